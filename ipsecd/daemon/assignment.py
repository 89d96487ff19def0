"""Which policy is to be in force: the one that the policy file assigns, or what an operator has chosen since.

The later word wins. A choice by ipsecctl holds as long as the file assigns what it assigned when the choice was made;
once it assigns something else, that holds, and the choice is forgotten. It outlives the process. While nobody knows
what was chosen, no policy is assigned rather than a weaker one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import NoneType

import structlog

from ipsecd.errors import KernelError, OperatorError
from ipsecd.io.state_file import StateFile
from ipsecd.policy.model import PolicyFile
from ipsecd.printable import quoted

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Assigned:
    """``policy`` is the one to be in force, ``said`` the one that the policy file assigns; None: none. ``doubt``: why
    nobody knows what an operator has chosen."""

    policy: str | None
    said: str | None
    doubt: str = ""

    @property
    def chosen(self) -> bool:
        """Whether an operator has chosen otherwise than the file."""
        return self.policy != self.said

    @property
    def by(self) -> str:
        """Who has assigned it."""
        return f"by ipsecctl; the policy file says {self.said or 'none'}" if self.chosen else "by the policy file"


def chosen(file: PolicyFile, policy: str) -> Assigned:
    """That this policy of the file is to be in force. Raises OperatorError if it has none of that name."""
    known = file.content.policies
    if policy not in known:
        there = f"it has {', '.join(known)}" if known else "it has none at all"
        raise OperatorError(f"{file.file} has no policy {quoted(policy)}", there)
    return Assigned(policy, file.content.assigned)


class Assignment:
    """What was chosen last. ``kept`` outlives the process."""

    def __init__(self, kept: StateFile) -> None:
        self._kept = kept
        self._choice = _load(kept)

    def under(self, file: PolicyFile) -> Assigned:
        """What holds with this policy file."""
        said, choice = file.content.assigned, self._choice
        if choice is not None and choice.doubt:  # nor what the file said then: it can't have the later word
            return Assigned(None, said, choice.doubt)
        if choice is None or choice.said != said:
            return Assigned(said, said)
        if choice.policy is not None and choice.policy not in file.content.policies:
            log.warning("assigned-is-gone", policy=choice.policy, file=file.file, instead=said or "none")
            return Assigned(said, said)
        return choice

    def settle(self, assigned: Assigned) -> None:
        """This is in force from now on, with a policy file that may have the later word. A choice that can't be
        forgotten on disk is overruled at each start anew."""
        choice = self._choice
        if choice is None or (assigned.doubt if choice.doubt else choice.said == assigned.said):
            return
        chosen = "what was chosen" if choice.doubt else choice.policy or "none"
        log.warning("assignment-forgotten", chosen=chosen, policy=assigned.said or "none")
        self._go_back(None)

    @contextmanager
    def choosing(self, assigned: Assigned) -> Iterator[None]:
        """Remember a choice while it is put in force; if that fails, the one before it. Raises KernelError if it can't
        be remembered."""
        before = self._choice
        self._remember(assigned)
        try:
            yield
        except BaseException:
            self._go_back(before)
            raise

    def _go_back(self, choice: Assigned | None) -> None:
        try:
            self._remember(choice)
        except KernelError as error:
            log.warning("assignment-not-saved", reason=str(error))

    def _remember(self, choice: Assigned | None) -> None:
        """One that agrees with the file needn't be."""
        if choice is not None and (choice.chosen or choice.doubt):
            self._kept.save(_encode(choice))
            self._choice = choice
        else:
            self._kept.remove()
            self._choice = None


def _load(kept: StateFile) -> Assigned | None:
    """What was chosen last, or that there is something and it can't be read."""
    try:
        text = kept.load()
        return None if text is None else _decode(text)
    except (KernelError, ValueError, KeyError, AttributeError, RecursionError) as error:
        log.warning("assignment-not-loaded", reason=str(error))
        return Assigned(None, None, f"nobody knows what ipsecctl has assigned: {error}")


def _encode(choice: Assigned) -> str:
    """Of a doubt, what nobody can read either."""
    return "unknown\n" if choice.doubt else json.dumps({"policy": choice.policy, "said": choice.said}) + "\n"


def _decode(text: str) -> Assigned:
    found = json.loads(text)
    if {type(each) for each in found.values()} <= {str, NoneType}:
        return Assigned(found["policy"], found["said"])
    raise ValueError("it isn't a choice of policies")
