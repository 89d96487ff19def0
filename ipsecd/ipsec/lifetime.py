"""How long an SA may live (RFC 4301 section 4.4.2.1): seconds, octets and packets, soft and hard.

A soft limit is reached once and asks for a replacement. A hard limit ends the SA. Octets are those that were
encrypted, padding included. An SA whose sequence numbers end has a soft and a hard packet limit before that end,
whatever else it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    __slots__ = ("_limits", "_soft_told", "installed", "last_used", "octets", "over", "packets")

    def __init__(self, given: Limits, installed: float) -> None:
        self._limits = given
        self._soft_told = False
        self.installed = installed
        self.last_used: float | None = None
        self.packets = 0
        self.octets = 0
        self.over = False

    def carry(self, packets: int, octets: int, now: float) -> None:
        """Count what went over the SA just now."""
        self.packets += packets
        self.octets += octets
        self.last_used = now

    def reached(self, now: float) -> Expiry | None:
        """The limit reached since the last call, if any: the soft one is told once, the hard one once and alone."""
        if self.over:
            return None
        given = self._limits
        if reason := _first(now, self, given.hard_seconds, given.hard_octets, given.hard_packets):
            self.over = True
            return Expiry(hard=True, reason=reason)
        if self._soft_told:
            return None
        if reason := _first(now, self, given.soft_seconds, given.soft_octets, given.soft_packets):
            self._soft_told = True
            return Expiry(hard=False, reason=reason)
        return None

    def deadline(self) -> float | None:
        """When time alone will reach the next limit."""
        if self.over:
            return None
        waits = (
            [self._limits.hard_seconds] if self._soft_told else [self._limits.soft_seconds, self._limits.hard_seconds]
        )
        return min((self.installed + wait for wait in waits if wait is not None), default=None)


def _least(*values: int | None) -> int:
    return min(value for value in values if value is not None)


def _first(now: float, spent: Lifetime, seconds: float | None, octets: int | None, packets: int | None) -> str | None:
    if seconds is not None and now >= spent.installed + seconds:  # the very sum that ``deadline`` gave
        return "seconds"
    if octets is not None and spent.octets >= octets:
        return "octets"
    if packets is not None and spent.packets >= packets:
        return "packets"
    return None
