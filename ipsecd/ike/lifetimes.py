"""When SAs are rekeyed and when they end. Each side minds its own lifetimes (RFC 7296 section 2.8)."""

from __future__ import annotations

from ipsecd import limits
from ipsecd.ike.config import Lifetime
from ipsecd.ike.suites import EspSuite, Layer

_MARGIN_PART = 0.15  # of a lifetime that is too short for the usual margin
_LARGEST_PART = 0.5
_SMALL_BLOCK = 8


def soft_seconds(seconds: float, fraction: float) -> float:
    """When to rekey an SA that lives so long. ``fraction``, from 0 to 1, stretches the margin, so that two ends with
    equal lifetimes seldom rekey at once (2.8.1)."""
    margin = max(limits.REKEY_MARGIN_MIN, min(limits.REKEY_MARGIN, seconds * _MARGIN_PART))
    return seconds - min(margin * (1.0 + limits.REKEY_FUZZ * fraction), seconds * _LARGEST_PART)


def soft_octets(octets: int, fraction: float) -> int:
    """The same of what an SA may encrypt."""
    return int(octets * _soft_part(fraction))


def _soft_part(fraction: float) -> float:
    return 1.0 - _MARGIN_PART * (1.0 + limits.REKEY_FUZZ * fraction)


def child_limits(lifetime: Lifetime, suite: Layer, fraction: float) -> tuple[Lifetime, Lifetime]:
    """The soft and the hard limits of a child SA: those configured, and those its counters and its
    cipher set."""
    part = _soft_part(fraction)
    hard_packets = _least(lifetime.packets, None if suite.esn else limits.HARD_PACKETS)
    soft_packets = _least(_part(lifetime.packets, part), limits.SOFT_PACKETS)
    small = isinstance(suite, EspSuite) and suite.encryption.block_octets == _SMALL_BLOCK
    octets = _least(lifetime.octets, limits.SMALL_BLOCK_OCTETS if small else None)
    seconds = lifetime.seconds
    soft = Lifetime(None if seconds is None else soft_seconds(seconds, fraction), _part(octets, part), soft_packets)
    return soft, Lifetime(seconds, octets, hard_packets)


def _part(limit: int | None, part: float) -> int | None:
    return None if limit is None else int(limit * part)


def _least(one: int | None, two: int | None) -> int | None:
    known = [limit for limit in (one, two) if limit is not None]
    return min(known, default=None)
