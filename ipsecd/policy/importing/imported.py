"""What an import comes to, and what is said of it on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy.complaint import Complaint
from ipsecd.policy.nodes import Mark, in_order
from ipsecd.policy.paths import Value

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imported:
    """A policy file's tree, and in the order of the text what couldn't be carried over or was changed, and why."""

    tree: dict[str, Value]
    remarks: tuple[Mistake, ...]


@dataclass(slots=True)
class Report:
    """Gathers what is to be said of a text. Nothing that is said may repeat a value that could be a key."""

    file: str
    _remarks: list[Mistake] = field(default_factory=list)
    _mistakes: list[Mistake] = field(default_factory=list)

    def remark(self, mark: Mark, message: str, hint: str = "") -> None:
        """Something was left out, or is another than it was."""
        self._remarks.append(Mistake(self.file, mark.line, mark.column, "", message, hint))

    def mistake(self, mark: Mark, message: str, hint: str = "") -> None:
        """The text can't be understood here."""
        self._mistakes.append(Mistake(self.file, mark.line, mark.column, "", message, hint))

    def tried(self, read: Callable[[], T], mark: Mark) -> T | None:
        """What ``read`` comes to; its complaints become mistakes at this place."""
        try:
            return read()
        except Complaint as error:
            for remark in error.remarks:
                self.mistake(mark, remark.message, remark.hint)
            return None

    def settle(self) -> None:
        """Raises ConfigError with all mistakes, if there are any."""
        if self._mistakes:
            raise ConfigError(in_order(self._mistakes))

    def imported(self, tree: dict[str, Value]) -> Imported:
        """The result, with all remarks."""
        return Imported(tree, in_order(self._remarks, "remarks"))
