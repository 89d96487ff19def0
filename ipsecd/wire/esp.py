"""ESP framing (RFC 4303 section 2), without the cryptography.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |               Security Parameters Index (SPI)                 |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                      Sequence Number                          |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~                    IV and payload data                        ~
    +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |               |     Padding (0-255 octets): 1, 2, 3 ...       |
    +-+-+-+-+-+-+-+-+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                               |  Pad Length   | Next Header   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~                Integrity Check Value (ICV)                    ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ipsecd.errors import LocalError, WireError

HEADER_OCTETS = 8
TRAILER_OCTETS = 2  # pad length and next header, behind the padding
ALIGNMENT = 4  # of the ciphertext's end, whatever the cipher's block (section 2.4)
MIN_SPI = 256  # 0 is for local use, 1 to 255 are reserved (section 2.1)
MAX_PADDING = 255
_HEADER = struct.Struct("!II")
_PATTERN = bytes(range(1, MAX_PADDING + 1))


@dataclass(frozen=True, slots=True)
class EspHeader:
    """``sequence`` is the low half of an extended sequence number."""

    spi: int
    sequence: int

    def encode(self) -> bytes:
        """Eight octets. Raises LocalError if a value doesn't fit."""
        try:
            return _HEADER.pack(self.spi, self.sequence)
        except struct.error as error:
            raise LocalError(f"not an ESP header: {self}") from error


def decode_header(data: bytes | memoryview) -> EspHeader:
    """The header of an ESP packet. Raises WireError: ``truncated``, ``reserved-spi``."""
    if len(data) < HEADER_OCTETS:
        raise WireError("truncated", f"{len(data)} octets of ESP", offset=len(data))
    spi, sequence = _HEADER.unpack_from(data)
    if spi < MIN_SPI:
        raise WireError("reserved-spi", f"{spi}")
    return EspHeader(spi, sequence)


def trailer(payload_octets: int, align: int, next_header: int) -> bytes:
    """Padding, pad length and next header that bring ``payload_octets`` to a multiple of ``align`` and of four."""
    padding = -(payload_octets + TRAILER_OCTETS) % max(align, ALIGNMENT)
    return _PATTERN[:padding] + bytes([padding, next_header])


def strip_trailer(plaintext: bytes) -> tuple[bytes, int]:
    """The payload data and the next header of an opened packet.

    Raises WireError: ``truncated``; ``bad-padding`` if the padding is longer than the plaintext or isn't 1, 2, 3 ...,
    which section 2.4 tells receivers to check.
    """
    if len(plaintext) < TRAILER_OCTETS:
        raise WireError("truncated", f"{len(plaintext)} octets of plaintext", offset=len(plaintext))
    padding, next_header = plaintext[-2:]
    end = len(plaintext) - TRAILER_OCTETS - padding
    if end < 0 or plaintext[end:-TRAILER_OCTETS] != _PATTERN[:padding]:
        raise WireError("bad-padding", f"pad length {padding}", offset=max(end, 0))
    return plaintext[:end], next_header
