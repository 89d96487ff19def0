"""The header of every IKE message, of both major versions (RFC 7296 section 3.1, RFC 2408 section 3.1).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                       IKE SA Initiator's SPI                  |
    |                                                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                       IKE SA Responder's SPI                  |
    |                                                               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Next Payload | MjVer | MnVer | Exchange Type |X X R V I X X X|
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                          Message ID                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                            Length                             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import Exchange, Flag

HEADER_OCTETS = 28
SPI_OCTETS = 8
NO_SPI = bytes(SPI_OCTETS)  # the responder's SPI while the initiator doesn't know it
_LAYOUT = "!8s8sBBBBII"


@dataclass(frozen=True, slots=True)
class Header:
    """``spi_i`` and ``spi_r`` have eight octets; ``length`` counts the whole message, this header included."""

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    major: int
    minor: int
    exchange: Exchange
    flags: Flag
    message_id: int
    length: int

    @property
    def is_response(self) -> bool:
        return bool(self.flags & Flag.RESPONSE)

    @property
    def from_initiator(self) -> bool:
        """Whether the original initiator of the IKE SA sent it."""
        return bool(self.flags & Flag.INITIATOR)

    def encode(self) -> bytes:
        """28 octets. Raises LocalError if a value doesn't fit its field."""
        if len(self.spi_i) != SPI_OCTETS or len(self.spi_r) != SPI_OCTETS or not (self.major | self.minor) >> 4 == 0:
            raise LocalError(f"not an IKE header: {self}")
        version = self.major << 4 | self.minor
        fields = (self.next_payload, version, self.exchange, self.flags, self.message_id, self.length)
        try:
            return struct.pack(_LAYOUT, self.spi_i, self.spi_r, *fields)
        except struct.error as error:
            raise LocalError(f"not an IKE header: {self}") from error


def decode_header(data: bytes) -> Header:
    """The header of a datagram; nothing behind it is looked at, and no version is refused.

    Raises WireError: ``truncated``; ``too-long`` beyond MAX_IKE_DATAGRAM; ``bad-length`` unless the length field is the
    datagram's length; ``zero-spi`` for an initiator's SPI of zero, which RFC 7296 section 3.1 forbids.
    """
    if len(data) > limits.MAX_IKE_DATAGRAM:
        raise WireError("too-long", f"{len(data)} octets")
    r = Reader(data)
    spi_i, spi_r, following, version, exchange, flags, message_id, length = r.unpack(_LAYOUT)
    if length != len(data):
        raise WireError("bad-length", f"length field {length}, datagram {len(data)}", offset=HEADER_OCTETS - 4)
    if spi_i == NO_SPI:
        raise WireError("zero-spi", "the initiator's SPI is zero")
    major, minor = version >> 4, version & 15
    return Header(spi_i, spi_r, following, major, minor, Exchange(exchange), Flag(flags), message_id, length)
