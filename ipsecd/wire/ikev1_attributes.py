"""Data attributes of IKEv1 (RFC 2408 section 3.3): in transforms, in mode config, and in RESPONDER-LIFETIME.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |A|       Attribute Type        |  A=0: length   A=1: value     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~                     A=0: value                                ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.errors import LocalError, WireError
from ipsecd.wire.reader import Reader

_BASIC = 0x8000
_BASIC_OCTETS = 2


@dataclass(frozen=True, slots=True)
class Attribute:
    """``basic`` tells the form: two octets of value without a length (TV), or any number with one (TLV). It is kept as
    it came, because a responder sends a transform back as it was offered (RFC 2408 section 4.2)."""

    type: int
    value: bytes
    basic: bool = False

    @property
    def number(self) -> int:
        """The value as an unsigned number, as long as it is: durations come in two, four or more octets."""
        return int.from_bytes(self.value, "big")


def basic(kind: int, number: int) -> Attribute:
    """An attribute of two octets. LocalError for a number that doesn't fit."""
    if not 0 <= number <= 0xFFFF:
        raise LocalError(f"attribute {kind} of {number} isn't basic")
    return Attribute(kind, number.to_bytes(_BASIC_OCTETS, "big"), basic=True)


def duration(kind: int, number: int) -> Attribute:
    """A number in the shortest form that every peer reads: two octets if it fits them, else four (RFC 2407
    section 4.5.2). LocalError for one that doesn't fit."""
    if not 0 <= number <= 0xFFFF_FFFF:
        raise LocalError(f"attribute {kind} of {number} has more than four octets")
    return basic(kind, number) if number <= 0xFFFF else Attribute(kind, number.to_bytes(4, "big"))


def decode_attributes(r: Reader, most: int) -> tuple[Attribute, ...]:
    """All attributes up to the end of ``r``. WireError("too-many-attributes") beyond ``most`` of them."""
    found: list[Attribute] = []
    while r.remaining:
        if len(found) == most:
            raise WireError("too-many-attributes", offset=r.offset)
        field = r.u16()
        basic_form = bool(field & _BASIC)
        found.append(Attribute(field & ~_BASIC, r.take(_BASIC_OCTETS if basic_form else r.u16()), basic_form))
    return tuple(found)


def encode_attributes(attributes: Iterable[Attribute]) -> bytes:
    """Raises ValueError for a basic attribute that hasn't two octets, struct.error for what doesn't fit its field."""
    return b"".join(map(_encode, attributes))


def _encode(attribute: Attribute) -> bytes:
    if attribute.type & _BASIC:
        raise ValueError(f"attribute type {attribute.type} has more than 15 bits")
    if not attribute.basic:
        return struct.pack("!HH", attribute.type, len(attribute.value)) + attribute.value
    if len(attribute.value) != _BASIC_OCTETS:
        raise ValueError(f"a basic attribute of {len(attribute.value)} octets")
    return struct.pack("!H", _BASIC | attribute.type) + attribute.value
