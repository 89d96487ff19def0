"""The authentication header (RFC 4302 section 2), without the cryptography.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Next Header  |  Payload Len  |          RESERVED             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |               Security Parameters Index (SPI)                 |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                      Sequence Number                          |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~    IV, Integrity Check Value (ICV), and padding behind it     ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Payload Len is the header's length in words of four octets, less two. Only GMAC has an IV (RFC 4543 section 4).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ipsecd.errors import LocalError, WireError
from ipsecd.wire.esp import MIN_SPI

FIXED_OCTETS = 12  # in front of IV and ICV
_FIXED = struct.Struct("!BBHII")
_ALIGNMENT = {4: 4, 6: 8}  # of the whole header, by the version of the IP header in front (section 3.3.3.2.1)


class AhHeader(NamedTuple):
    """``octets`` is the length of all of it, with what stands behind the fixed fields; ``sequence`` the low half of an
    extended sequence number. The reserved field is sent as zero and not looked at, though the ICV covers it (section
    2.3)."""

    next_header: int
    octets: int
    spi: int
    sequence: int

    def encode(self) -> bytes:
        """The fixed fields. Raises LocalError if a value doesn't fit."""
        words, odd = divmod(self.octets, 4)
        try:
            fixed = _FIXED.pack(self.next_header, words - 2, 0, self.spi, self.sequence)
        except struct.error as error:
            raise LocalError(f"not an AH header: {self}") from error
        if odd or self.octets < FIXED_OCTETS:
            raise LocalError(f"not an AH header: {self}")
        return fixed


def header_octets(value_octets: int, version: int) -> int:
    """The length of a header with IV and ICV of so many octets together, behind an IP header of this version. There is
    no more padding than the alignment needs (section 3.3.3.2.1)."""
    octets = FIXED_OCTETS + value_octets
    return octets + -octets % _ALIGNMENT[version]


def decode_header(data: bytes | memoryview) -> AhHeader:
    """The header at the start of ``data``, all of which is there. Raises WireError: ``truncated``, ``reserved-spi``,
    and ``ah-length`` if it says it is shorter than its fixed fields."""
    if len(data) < FIXED_OCTETS:
        raise WireError("truncated", f"{len(data)} octets of AH", offset=len(data))
    next_header, words, _, spi, sequence = _FIXED.unpack_from(data)
    octets = (words + 2) * 4
    if octets < FIXED_OCTETS:
        raise WireError("ah-length", f"{octets} octets", offset=1)
    if octets > len(data):
        raise WireError("truncated", f"{len(data)} of {octets} octets of AH", offset=len(data))
    if spi < MIN_SPI:
        raise WireError("reserved-spi", f"{spi}", offset=4)
    return AhHeader(next_header, octets, spi, sequence)
