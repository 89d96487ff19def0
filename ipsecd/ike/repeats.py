"""When a request is said again, and when its answer is waited for no longer (RFC 7296 sections 2.1 and 2.4)."""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.ike.core import Core


class Repeats:
    """Runs from its making until ``stop``. ``again`` is called each time the request is to be repeated, ``tries`` times
    in all and ever more seldom; ``gave_up`` once, after the last wait."""

    def __init__(self, core: Core, tries: int, again: Callable[[], None], gave_up: Callable[[], None]) -> None:
        self._core = core
        self._tries = tries
        self._again = again
        self._gave_up = gave_up
        self._delay = limits.RETRANSMIT_FIRST
        self._timer = core.after(self._jittered(), self._due)

    def stop(self) -> None:
        self._timer.cancel()

    def _due(self) -> None:
        if self._tries == 0:
            self._gave_up()
            return
        self._tries -= 1
        self._delay *= limits.RETRANSMIT_FACTOR
        self._timer = self._core.after(self._jittered(), self._due)
        self._again()

    def _jittered(self) -> float:
        return self._core.jittered(self._delay, limits.RETRANSMIT_JITTER)
