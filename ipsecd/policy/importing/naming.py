"""Names that fit our grammar, made of any text; no two things share one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.]+")
_LONGEST: Final = 64


class Names:
    """The names of one kind of thing. ``kind`` begins the name of what has none that could be kept."""

    def __init__(self, kind: str, taken: Iterable[str] = ()) -> None:
        self._kind = kind
        self._taken = set(taken)
        self._known: dict[str, str] = {}

    def of(self, key: str, text: str) -> str:
        """The name of what goes by this key, made of this text when it is first asked for."""
        if key not in self._known:
            self._known[key] = self.fresh(text)
        return self._known[key]

    def knows(self, key: str) -> bool:
        """Whether what goes by this key has its name already."""
        return key in self._known

    def fresh(self, text: str) -> str:
        """A name that nothing has yet, like this text: small letters, with hyphens for what a name can't hold."""
        base = _UNFIT.sub("-", text).strip("-_.").lower()
        if not base[:1].isalpha():
            base = f"{self._kind}-{base}".rstrip("-")
        name, number = base[:_LONGEST], 2
        while name in self._taken:
            ending = f"-{number}"
            name, number = base[: _LONGEST - len(ending)] + ending, number + 1
        self._taken.add(name)
        return name
