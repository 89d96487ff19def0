"""That packets go by SAs that end when none do: told by a look, from time to time, at when each was last used. Packets
cost nothing more for it, and nothing wakes where no SA is watched.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.dataplane.messages import PairsUsed
from ipsecd.dataplane.results import Result
from ipsecd.ipsec.lifetime import Lifetime


class Uses:
    """The SAs of one road that are watched. Each is named by its SPI and the inbound one of its pair."""

    def __init__(self) -> None:
        self._watched: dict[tuple[int, int], Lifetime] = {}
        self._looked = self._again = float("-inf")

    def begin(self, spi: int, inbound: int, lifetime: Lifetime, now: float) -> None:
        """Watch this SA from now on."""
        if not self._watched:
            self._looked, self._again = now, now + limits.USE_TOLD_EVERY
        self._watched[spi, inbound] = lifetime

    def end(self, spi: int, inbound: int) -> None:
        """It's fine if it isn't watched."""
        self._watched.pop((spi, inbound), None)

    def next(self) -> float | None:
        """When to look again."""
        return self._again if self._watched else None

    def tell(self, now: float, results: list[Result]) -> None:
        """Which of them have been used since the last look, if it's time for one."""
        if not self._watched or now < self._again:
            return
        looked, self._looked, self._again = self._looked, now, now + limits.USE_TOLD_EVERY
        used = {
            inbound
            for (_, inbound), lifetime in self._watched.items()
            if lifetime.last_used is not None and lifetime.last_used >= looked
        }
        if used:
            results.append(PairsUsed(tuple(sorted(used))))
