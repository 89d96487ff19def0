"""A policy file's plain values and the place of each: mappings, lists, text, whole numbers, true and false."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.errors import Mistake
from ipsecd.policy.paths import Path, Value, dotted


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; lines and columns count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Tree:
    """The document and, by path, where each value and each key stands. ``mistakes`` are those found so far; what
    stands at or below a ``spoilt`` path isn't what was meant, and needs no further complaint."""

    file: str
    value: Value = ""
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    spoilt: set[Path] = field(default_factory=set)

    def mark(self, path: Path) -> Mark:
        """Where the value at this path stands, or else the nearest thing that holds it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))

    def key(self, path: Path) -> Mark:
        """Where the key that names this path stands."""
        return self.keys.get(path) or self.mark(path)

    def mistake(self, path: Path, message: str, hint: str = "", mark: Mark | None = None) -> Mistake:
        """A mistake of this file, at the value's place unless another is given."""
        mark = mark or self.mark(path)
        return Mistake(self.file, mark.line, mark.column, dotted(path, self.value), message, hint)

    def complain(self, path: Path, message: str, hint: str = "") -> None:
        """Add a mistake, unless that has been complained about already."""
        if not self.is_spoilt(path):
            self.mistakes.append(self.mistake(path, message, hint))

    def is_spoilt(self, path: Path) -> bool:
        """Whether something at or above this path has been complained about already."""
        return any(path[:length] in self.spoilt for length in range(len(path) + 1))


def in_order(found: Iterable[Mistake], what: str = "mistakes") -> tuple[Mistake, ...]:
    """The mistakes, or what else is told so, in file order; behind the first MAX_MISTAKES, how many more there are."""
    ordered = sorted(set(found), key=lambda mistake: (mistake.line, mistake.column, str(mistake)))
    if len(ordered) > limits.MAX_MISTAKES:
        first = ordered[limits.MAX_MISTAKES]
        rest = f"{len(ordered) - limits.MAX_MISTAKES} more {what} from here on"
        ordered[limits.MAX_MISTAKES :] = [Mistake(first.file, first.line, first.column, "", rest)]
    return tuple(ordered)


def mapping(value: Value | None) -> dict[str, Value]:
    """A mapping of the tree; an empty one if something else stands there, or nothing."""
    return value if isinstance(value, dict) else {}


def items(value: Value | None) -> list[Value]:
    """A list of the tree, likewise."""
    return value if isinstance(value, list) else []


def text(holder: Value | None, field: str) -> str:
    """The text in a field; empty if there is none."""
    value = mapping(holder).get(field)
    return value if isinstance(value, str) else ""
