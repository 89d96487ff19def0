"""The clocks: one that timers run by, and how long the machine slept. The wall clock decides nothing."""

from __future__ import annotations

import time


class Clock:
    """Seconds since an arbitrary moment."""

    def __init__(self) -> None:
        self._apart = self._difference()

    def now(self) -> float:
        """Monotonic, and goes on while the machine is suspended: keys get older, and peers forget, meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def slept(self) -> float:
        """Seconds the machine was suspended since the last call, or since this clock was made. Who waits by the event
        loop's clock, which stood still, must be told."""
        before, self._apart = self._apart, self._difference()
        return max(0.0, self._apart - before)

    @staticmethod
    def _difference() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
