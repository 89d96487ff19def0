"""When dummy packets go (RFC 4303 section 2.6): at times that nobody can predict, so many a second on average.

They don't wait for each other, nor for packets (a Poisson process), so nothing about when one goes tells it from those,
but that the loop of a road wakes after whole milliseconds for them.
"""

from __future__ import annotations

from math import log

from ipsecd.ipsec.hiding import Chance
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.sad import Alarms

_BITS = 53  # of a float
_DRAWN = 7  # octets that have as many

Name = tuple[int, int]


class Dummies:
    """The outbound SAs that send some, and when each sends its next."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._sas: dict[Name, OutboundSa] = {}
        self._alarms: Alarms[Name] = Alarms()

    def begin(self, sa: OutboundSa, now: float) -> None:
        """Count from now on; nothing happens for an SA that sends none."""
        if sa.tfc.dummies:
            name = (sa.spi, sa.inbound)
            self._sas[name] = sa
            self._alarms.set(name, now + self._pause(sa.tfc.dummies))

    def end(self, spi: int, inbound: int) -> None:
        """It's fine if there is no such SA."""
        self._sas.pop((spi, inbound), None)
        self._alarms.set((spi, inbound), None)

    def due(self, now: float) -> list[OutboundSa]:
        """The SAs of which one has to go now. What time has passed over isn't made up for."""
        found = [self._sas.pop(name) for name in self._alarms.due(now)]
        for sa in found:
            if not sa.over:
                self.begin(sa, now)
        return [sa for sa in found if not sa.over]

    def next(self) -> float | None:
        """When the next one goes."""
        return self._alarms.next()

    def _pause(self, rate: int) -> float:
        drawn = int.from_bytes(self._chance(_DRAWN), "big") >> 8 * _DRAWN - _BITS
        return -log((drawn + 1) / (1 << _BITS)) / rate
