"""A JSON object that knows where it stands in its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ipsecd.policy.importing.imported import Report
from ipsecd.policy.nodes import Mark, Tree
from ipsecd.policy.paths import Path

T = TypeVar("T")


class JsonObject:
    """A JSON object and its path. What isn't as it should be is a mistake, and comes as nothing."""

    def __init__(self, value: object, path: Path, tree: Tree, report: Report) -> None:
        self._value: dict[str, Any] = value if isinstance(value, dict) else {}
        self.path = path
        self._tree = tree
        self._report = report
        if not isinstance(value, dict):
            report.mistake(self.mark, "expected an object")

    @property
    def mark(self) -> Mark:
        return self._tree.mark(self.path)

    def at(self, field: str) -> Mark:
        """Where the value of a field stands."""
        return self._tree.mark((*self.path, field))

    def has(self, field: str) -> bool:
        """Whether a field has a value."""
        return self._value.get(field) is not None

    def raw(self, field: str) -> Any:
        """A field's value as it stands there."""
        return self._value.get(field)

    def text(self, field: str) -> str:
        """A text, empty where there is none."""
        return self._of(field, str, "")

    def number(self, field: str) -> int:
        """A number from 0, 0 where there is none."""
        found = self._of(field, int, 0)
        if isinstance(found, bool) or found < 0:
            self._report.mistake(self.at(field), "expected a number from 0")
            return 0
        return found

    def truth(self, field: str, default: bool) -> bool:
        """True or false."""
        return self._of(field, bool, default)

    def object(self, field: str) -> JsonObject:
        """An object that has to be there."""
        return JsonObject(self._value.get(field), (*self.path, field), self._tree, self._report)

    def objects(self, field: str) -> Iterator[JsonObject]:
        """The objects of a list, none where there isn't one."""
        for index, value in enumerate(self.items(field)):
            found = JsonObject(value, (*self.path, field, index), self._tree, self._report)
            if isinstance(value, dict):
                yield found

    def items(self, field: str) -> list[Any]:
        """A list, empty where there is none."""
        return self._of(field, list, [])

    def tried(self, read: Callable[[], T], *fields: str) -> T | None:
        """What ``read`` comes to; complaints become mistakes at the first field that is there."""
        mark = next((self.at(field) for field in fields if self.has(field)), self.mark)
        return self._report.tried(read, mark)

    def _of(self, field: str, kind: type[T], default: T) -> T:
        value = self._value.get(field)
        if value is None:
            return default
        if isinstance(value, kind):
            return value
        words = {str: "text", int: "a number", bool: "true or false", list: "a list"}[kind]
        self._report.mistake(self.at(field), f"expected {words}")
        return default
