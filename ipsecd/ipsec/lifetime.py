"""How long an SA may live (RFC 4301 section 4.4.2.1): seconds, octets and packets, soft and hard.

A soft limit is reached once and asks for a replacement. A hard limit ends the SA. Octets are those that were
encrypted, padding included. An SA whose sequence numbers end has a soft and a hard packet limit before that end,
whatever else it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from ipsecd import limits

_LAST_PLAIN = (1 << 32) - 1
_LAST_EXTENDED = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, octets and packets after which the SA is reported soft-expired, or is dead; None: never."""

    soft_seconds: float | None = None
    soft_octets: int | None = None
    soft_packets: int | None = None
    hard_seconds: float | None = None
    hard_octets: int | None = None
    hard_packets: int | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """A limit that was reached: ``reason`` is seconds, octets or packets."""

    hard: bool
    reason: str


def last_sequence(*, esn: bool) -> int:
    """The highest sequence number there is (RFC 4303 section 2.2)."""
    return _LAST_EXTENDED if esn else _LAST_PLAIN


def before_the_numbers_end(given: Limits, *, esn: bool) -> Limits:
    """The limits, with packet limits that lie before the last sequence number."""
    if esn:
        return given
    hard = _least(given.hard_packets, limits.HARD_PACKETS)
    return replace(given, soft_packets=_least(given.soft_packets, limits.SOFT_PACKETS, hard), hard_packets=hard)


class Lifetime:
    """What one SA has carried since it was installed, held against its limits. ``over``: it must carry nothing more."""

    __slots__ = (
        "_limits",
        "_next_octets",
        "_next_packets",
        "_next_second",
        "_soft_told",
        "installed",
        "last_used",
        "octets",
        "over",
        "packets",
    )

    def __init__(self, given: Limits, installed: float) -> None:
        self._limits = given
        self._soft_told = False
        self.installed = installed
        self.last_used: float | None = None
        self.packets = 0
        self.octets = 0
        self.over = False
        self._look_ahead()

    def carry(self, packets: int, octets: int, now: float) -> None:
        """Count what went over the SA just now."""
        self.spend(packets, octets)
        self.last_used = now

    def spend(self, packets: int, octets: int) -> None:
        """Count what went over the SA and wasn't use of it: dummies (RFC 4303 section 2.6)."""
        self.packets += packets
        self.octets += octets

    def reached(self, now: float) -> Expiry | None:
        """The limit reached since the last call, if any: the soft one is told once, the hard one once and alone."""
        if self.over or self.bears(0, 0, now):
            return None
        spent = now, self.octets, self.packets
        if reason := self._hard(*spent):
            self.over = True
            return Expiry(hard=True, reason=reason)
        if reason := self._soft(*spent):
            self._soft_told = True
            self._look_ahead()
            return Expiry(hard=False, reason=reason)
        return None

    def bears(self, packets: int, octets: int, now: float) -> bool:
        """Whether no further limit is reached, even with so much more."""
        return (
            not self.over
            and now < self._next_second
            and self.octets + octets < self._next_octets
            and self.packets + packets < self._next_packets
        )

    def deadline(self) -> float | None:
        """When time alone will reach the next limit."""
        return None if self.over or self._next_second == inf else self._next_second

    def _look_ahead(self) -> None:
        """Find the limits that come next, whatever is asked of them later."""
        given, soft = self._limits, not self._soft_told
        self._next_second = self.installed + _next(given.hard_seconds, given.soft_seconds if soft else None)
        self._next_octets = _next(given.hard_octets, given.soft_octets if soft else None)
        self._next_packets = _next(given.hard_packets, given.soft_packets if soft else None)

    def _hard(self, now: float, octets: int, packets: int) -> str:
        given = self._limits
        if given.hard_seconds is not None and now >= self.installed + given.hard_seconds:  # the sum of ``deadline``
            return "seconds"
        return _reached(octets, given.hard_octets, packets, given.hard_packets)

    def _soft(self, now: float, octets: int, packets: int) -> str:
        given = self._limits
        if self._soft_told:
            return ""
        if given.soft_seconds is not None and now >= self.installed + given.soft_seconds:
            return "seconds"
        return _reached(octets, given.soft_octets, packets, given.soft_packets)


def _least(*values: int | None) -> int:
    return min(value for value in values if value is not None)


def _next(*values: float | None) -> float:
    """The least of these; infinity if there is none."""
    return min((value for value in values if value is not None), default=inf)


def _reached(octets: int, most_octets: int | None, packets: int, most_packets: int | None) -> str:
    if most_octets is not None and octets >= most_octets:
        return "octets"
    if most_packets is not None and packets >= most_packets:
        return "packets"
    return ""
