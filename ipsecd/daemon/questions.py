"""When each DNS name is to be asked for: as what was said of it ends, sooner if there is a reason, never too often."""

from __future__ import annotations

from ipsecd import limits


class Questions:
    """Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._open: set[str] = set()

    @property
    def next(self) -> float:
        """When there is something to ask; infinity if there never is."""
        return min(self._due.values(), default=float("inf"))

    def retain(self, names: frozenset[str], now: float) -> None:
        """These are the names from now on. New ones are due at once."""
        self._due = {name: self._due.get(name, now) for name in names}
        self._asked = {name: when for name, when in self._asked.items() if name in names}
        self._open &= names

    def due(self, now: float) -> tuple[str, ...]:
        """Names to ask for, those that have waited longest first."""
        return tuple(sorted((name for name, when in self._due.items() if when <= now), key=self._due.__getitem__))

    def ask(self, name: str, now: float) -> bool:
        """The name is asked for now; whether the question before is still open, and so has failed. So will this one if
        it's open by RESOLVE_TIME."""
        failed = name in self._open
        self._open.add(name)
        self._asked[name] = now
        self._due[name] = now + limits.RESOLVE_TIME
        return failed

    def answered(self, name: str, ttl: float | None, now: float) -> None:
        """The answer counts for ``ttl`` seconds; None: nobody knows for how long, or there was none."""
        if name in self._due:
            wait = limits.RESOLVE_UNTOLD if ttl is None else min(ttl, limits.RESOLVE_MOST)
            self._open.discard(name)
            self._due[name] = now + max(wait, limits.RESOLVE_LEAST)

    def hurry(self) -> None:
        """There is a reason to ask for all of them again, but for those that are being asked for."""
        for name, asked in self._asked.items():
            if name not in self._open:
                self._due[name] = min(self._due[name], asked + limits.RESOLVE_LEAST)
