"""SAs that are always to be there, and those that end when nothing goes by them: no rule can have both."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd.errors import Mistake
from ipsecd.policy.model import PolicyFile


def short_lived(policy_file: PolicyFile) -> Iterator[Mistake]:
    """Rules that would bring back at once what their filter action ends."""
    for policy in (None, *policy_file.content.policies):
        for path, rule in policy_file.rules(policy) if policy else policy_file.persistent():
            if rule.start == "always" and policy_file.action(rule).inactivity is not None:
                message = "it would bring back at once what the filter action's inactivity ends"
                hint = "leave it out, or name an action without inactivity"
                yield policy_file.mistake((*path, "start"), message, hint)
