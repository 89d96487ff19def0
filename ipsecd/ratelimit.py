"""How often something may happen: so many at once, and so many a second in the long run."""

from __future__ import annotations


class RateLimit:
    """A token bucket. It starts full."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled = 0.0

    def take(self, now: float) -> bool:
        """Whether it may happen now; if so it counts as done."""
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
