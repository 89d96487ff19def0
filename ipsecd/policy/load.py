"""Policy text to a PolicyFile, or to every mistake in it."""

from __future__ import annotations

from pydantic import ValidationError

from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy import mistakes, nodes
from ipsecd.policy.crosscheck import crosscheck
from ipsecd.policy.fit import unfit
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.schema import File


def load_policy(text: str, file: str) -> PolicyFile:
    """The policy file with this text; ``file`` is its name in messages. Raises ConfigError with all mistakes found."""
    tree = nodes.parse(text, file)
    crosscheck(tree)
    try:
        content = File.model_validate(tree.value)
    except ValidationError as error:
        raise _all(tree, tuple(mistakes.of(error, tree))) from None
    if tree.mistakes:
        raise _all(tree, ())
    policy_file = PolicyFile(file, content, tree)
    if too_large := tuple(unfit(policy_file)):
        raise _all(tree, too_large)
    return policy_file


def _all(tree: nodes.Tree, more: tuple[Mistake, ...]) -> ConfigError:
    return ConfigError(mistakes.in_order({*tree.mistakes, *more}, "mistakes"))
