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
