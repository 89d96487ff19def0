"""When pairs of SAs that nothing goes by end. What replaces a pair goes on with its clock: a rekey isn't use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipsecd.ike.core import Core
    from ipsecd.ike.timers import Timer

UNUSED = "nothing went by it"


@dataclass(slots=True)
class _LastUse:
    at: float


class Inactivity:
    """The clock of one pair. ``end`` is called when it hasn't been used for ``most`` seconds, and if it's there still,
    after as many again; None: never."""

    def __init__(self, core: Core, most: float | None, end: Callable[[], None]) -> None:
        self._core = core
        self._most = most
        self._end = end
        self._last = _LastUse(core.now)
        self._timer: Timer | None = None

    @property
    def watched(self) -> bool:
        """Whether it matters that it's used."""
        return self._most is not None

    def start(self) -> None:
        if self._most is not None:
            self._timer = self._core.timers.at(max(self._core.now, self._last.at + self._most), self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def used(self) -> None:
        """A packet went by it lately, or by one that it shares its clock with."""
        self._last.at = self._core.now

    def follow(self, before: Inactivity) -> None:
        """It replaces that one. Of a pair that wasn't watched nobody knows when it was used."""
        if self.watched and before.watched:
            self._last = before._last
            if self._timer is not None:
                self.stop()
                self.start()

    def _look(self) -> None:
        if self._most is None:
            return
        quiet_enough = self._last.at + self._most
        if self._core.now < quiet_enough:
            self._timer = self._core.timers.at(quiet_enough, self._look)
        else:
            self._timer = self._core.after(self._most, self._look)
            self._end()
