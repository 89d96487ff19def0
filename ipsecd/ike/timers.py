"""Timers in one heap. Nothing here reads a clock: whoever runs them says what time it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import ldexp

_TIDY_FROM = 64  # cancelled timers that may lie in the heap before it's rebuilt
_DOUBLINGS = 64  # of any delay: far more than it takes to reach any longest one


def back_off(first: float, last: float, failures: int) -> float:
    """How long to wait after so many failures: ``first``, twice that, and so on, but never more than ``last``."""
    return min(ldexp(first, min(failures, _DOUBLINGS)), last)


class Timer:
    """An appointment. ``cancel`` may be called at any time, more than once, and after it rang."""

    __slots__ = ("_action", "_owner", "when")

    def __init__(self, owner: Timers, when: float, action: Callable[[], None]) -> None:
        self._owner = owner
        self._action: Callable[[], None] | None = action
        self.when = when

    def cancel(self) -> None:
        if self._action is not None:
            self._action = None
            self._owner.forget()

    def ring(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()

    @property
    def pending(self) -> bool:
        return self._action is not None


class Timers:
    """All appointments of one core, in order of time, then of making."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()
        self._cancelled = 0

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self, when, action)
        heappush(self._heap, (when, next(self._number), timer))
        return timer

    def forget(self) -> None:
        """A timer was cancelled. Long ones must not keep what they would have acted on alive for hours."""
        self._cancelled += 1
        if self._cancelled > max(_TIDY_FROM, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapify(self._heap)
            self._cancelled = 0

    def due(self, now: float) -> Iterator[Timer]:
        """Those to ring by ``now``, one after the other, also what their ringing adds."""
        while self._heap and self._heap[0][0] <= now:
            yield self._pop()

    def deadline(self) -> float | None:
        """When the next one rings."""
        while self._heap and not self._heap[0][2].pending:
            self._pop()
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return sum(entry[2].pending for entry in self._heap)

    def _pop(self) -> Timer:
        timer = heappop(self._heap)[2]
        if not timer.pending:
            self._cancelled = max(0, self._cancelled - 1)
        return timer
