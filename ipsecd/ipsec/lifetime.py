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
        spent = now, self.octets, self.packets
        if reason := self._hard(*spent):
            self.over = True
            return Expiry(hard=True, reason=reason)
        if reason := self._soft(*spent):
            self._soft_told = True
            return Expiry(hard=False, reason=reason)
        return None

    def bears(self, packets: int, octets: int, now: float) -> bool:
        """Whether no further limit is reached, even with so much more."""
        spent = now, self.octets + octets, self.packets + packets
        return not (self.over or self._hard(*spent) or self._soft(*spent))

    def deadline(self) -> float | None:
        """When time alone will reach the next limit."""
        if self.over:
            return None
        waits = (
            [self._limits.hard_seconds] if self._soft_told else [self._limits.soft_seconds, self._limits.hard_seconds]
        )
        return min((self.installed + wait for wait in waits if wait is not None), default=None)

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


def _reached(octets: int, most_octets: int | None, packets: int, most_packets: int | None) -> str:
    if most_octets is not None and octets >= most_octets:
        return "octets"
    if most_packets is not None and packets >= most_packets:
        return "packets"
    return ""
