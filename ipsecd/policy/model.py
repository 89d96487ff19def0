"""A policy file that has been read and found right."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecd.errors import Mistake
from ipsecd.policy.nodes import Tree
from ipsecd.policy.schema import File, Policy


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The schema's objects, and the places of everything in the text. ``notes`` are remarks that stop nothing."""

    file: str
    content: File
    tree: Tree = field(repr=False, compare=False)
    notes: tuple[Mistake, ...] = field(default=(), compare=False)

    @property
    def assigned(self) -> Policy | None:
        """The policy in force, or None."""
        return self.content.policies[self.content.assigned] if self.content.assigned else None
