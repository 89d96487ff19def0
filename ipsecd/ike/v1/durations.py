"""Lifetimes of SAs as attributes: of transforms of both phases, and in RESPONDER-LIFETIME (RFC 2407 sections 4.5 and
4.6.3.1). A type says what the duration behind it counts. Kilobytes are of 1,024 octets."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecd.ike.config import Lifetime
from ipsecd.wire.ikev1_attributes import Attribute, basic, duration
from ipsecd.wire.registry_v1 import LifeType, OakleyAttribute, SaAttribute

UNLIMITED = Lifetime(None)
ATTRIBUTES = (SaAttribute.LIFE_TYPE, SaAttribute.LIFE_DURATION)
OF_PHASE_1 = (OakleyAttribute.LIFE_TYPE, OakleyAttribute.LIFE_DURATION)
_KILOBYTE = 1_024
_MOST = 0xFFFF_FFFF  # the most that every peer reads


def written(lifetime: Lifetime, numbers: tuple[int, int] = ATTRIBUTES) -> tuple[Attribute, ...]:
    """What says it; nothing for one without an end. ``numbers`` are those of the attributes, in this phase."""
    found: list[Attribute] = []
    if lifetime.seconds is not None:
        found += _pair(LifeType.SECONDS, int(lifetime.seconds), numbers)
    if lifetime.octets is not None:
        found += _pair(LifeType.KILOBYTES, lifetime.octets // _KILOBYTE, numbers)
    return tuple(found)


def _pair(kind: LifeType, count: int, numbers: tuple[int, int]) -> list[Attribute]:
    number = max(1, min(count, _MOST))
    return [basic(numbers[0], kind), duration(numbers[1], number)]


def read(attributes: Iterable[Attribute], numbers: tuple[int, int] = ATTRIBUTES) -> Lifetime:
    """The shortest lifetime among other attributes. 0 is no limit, as some peers say it."""
    kind: int = LifeType.SECONDS
    found = UNLIMITED
    for attribute in attributes:
        if attribute.type == numbers[0]:
            kind = attribute.number
        elif attribute.type == numbers[1] and attribute.number:
            found = shorter(found, _of(kind, attribute.number))
    return found


def _of(kind: int, number: int) -> Lifetime:
    if kind == LifeType.SECONDS:
        return Lifetime(min(number, _MOST))
    return Lifetime(None, number * _KILOBYTE) if kind == LifeType.KILOBYTES else UNLIMITED


def shorter(one: Lifetime, two: Lifetime) -> Lifetime:
    """What ends as soon as either of both does."""
    pairs = ((one.seconds, two.seconds), (one.octets, two.octets), (one.packets, two.packets))
    seconds, octets, packets = (min((each for each in pair if each is not None), default=None) for pair in pairs)
    return Lifetime(seconds, None if octets is None else int(octets), None if packets is None else int(packets))


def ends_before(one: Lifetime, two: Lifetime) -> bool:
    """Whether ``one`` has a limit, in seconds or octets, that comes before that of ``two``."""
    both = shorter(one, two)
    return (both.seconds, both.octets) != (two.seconds, two.octets)
