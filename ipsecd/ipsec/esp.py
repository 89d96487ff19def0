"""ESP packets of one SA (RFC 4303): sealed, and opened in the order that section 3.4 demands."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.errors import PeerError, WireError
from ipsecd.ipsec.numbering import once
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.wire.esp import HEADER_OCTETS, TRAILER_OCTETS, EspHeader, strip_trailer, trailer

IvSource = Callable[[int], bytes]
"""So many octets that nobody can predict."""

_LOW = 0xFFFF_FFFF


class Opened(NamedTuple):
    """An authentic, fresh packet. ``newest``: no number was higher before. ``encrypted`` counts the octets that were
    (RFC 4301 section 4.4.2.1)."""

    sequence: int
    next_header: int
    payload: bytes
    newest: bool
    encrypted: int


def seal(sa: OutboundSa, sequence: int, next_header: int, payload: bytes, iv_source: IvSource) -> tuple[bytes, int]:
    """The ESP packet that carries ``payload`` under a number from ``sa.take``, and the octets encrypted."""
    cipher = sa.cipher
    plaintext = payload + trailer(len(payload), cipher.align, next_header)
    iv = sequence.to_bytes(cipher.iv_octets, "big") if sa.counter_iv else iv_source(cipher.iv_octets)
    header = EspHeader(sa.spi, sequence & _LOW).encode()
    return header + cipher.seal(header, sa.high(sequence), iv, plaintext), len(plaintext)


def open_(sa: InboundSa, packet: bytes, low: int) -> Opened:
    """What an ESP packet of this SA carries; ``low`` is the sequence number it shows. The padding is looked at once all
    else was right. Raises what ``once`` does, and PeerError ``bad-padding``."""
    cipher = sa.cipher
    sequence, newest, plaintext = once(sa, low, lambda high: cipher.open(packet, high))
    try:
        payload, next_header = strip_trailer(plaintext)
    except WireError as error:
        raise PeerError("bad-padding", str(error)) from None
    return Opened(sequence, next_header, payload, newest, len(plaintext))


def largest_payload(cipher: EspCipher, room: int) -> int:
    """How many octets fit in an ESP packet of at most ``room`` octets."""
    plaintext = room - HEADER_OCTETS - cipher.iv_octets - cipher.icv_octets
    return plaintext // cipher.align * cipher.align - TRAILER_OCTETS
