"""Policy text to a PolicyFile, or to every mistake in it."""

from __future__ import annotations

from pydantic import ValidationError

from ipsecd.errors import ConfigError
from ipsecd.policy import mistakes
from ipsecd.policy.crosscheck import crosscheck
from ipsecd.policy.fallback import reaching_too_far
from ipsecd.policy.fit import unfit
from ipsecd.policy.halves import unequal
from ipsecd.policy.lasting import short_lived
from ipsecd.policy.lending import unfit_access
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.nodes import in_order
from ipsecd.policy.parsing import parse
from ipsecd.policy.schema import File
from ipsecd.policy.speakable import unspeakable


def load_policy(text: str, file: str) -> PolicyFile:
    """The policy file with this text; ``file`` is its name in messages. Raises ConfigError with all mistakes found."""
    tree = parse(text, file)
    crosscheck(tree)
    try:
        content = File.model_validate(tree.value)
    except ValidationError as error:
        raise ConfigError(in_order([*tree.mistakes, *mistakes.of(error, tree)])) from None
    if tree.mistakes:
        raise ConfigError(in_order(tree.mistakes))
    policy_file = PolicyFile(file, content, tree)
    rules = (unfit, unequal, reaching_too_far, short_lived, unfit_access, unspeakable)
    if wrong := in_order(mistake for rule in rules for mistake in rule(policy_file)):
        raise ConfigError(wrong)
    return policy_file
