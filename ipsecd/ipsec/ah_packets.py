"""AH packets of one SA: signed, and checked in the order that RFC 4302 section 3.4 demands."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ipsecd.ipsec import ah
from ipsecd.ipsec.numbering import once
from ipsecd.ipsec.sa import InboundSa, OutboundSa


class Checked(NamedTuple):
    """An authentic, fresh packet. ``newest``: no number was higher before."""

    received: ah.Received
    sequence: int
    newest: bool


def seal(sa: OutboundSa, sequence: int, front: bytes, next_header: int, payload: bytes) -> bytes:
    """The packet that carries ``payload`` behind the headers of ``front`` under a number from ``sa.take``, which is the
    IV too if the algorithm takes one. Raises what ``ah.seal`` does."""
    mac = sa.mac
    iv = sequence.to_bytes(mac.iv_octets, "big") if mac.iv_octets else b""
    high = sa.high(sequence)
    return ah.seal(front, next_header, payload, sa.spi, sequence, high, mac.icv_octets, partial(mac.icv, iv), iv)


def check(sa: InboundSa, received: ah.Received) -> Checked:
    """A packet of this SA, once. Raises what ``ah.check`` and ``once`` do."""
    mac = sa.mac
    iv = received.iv(mac.iv_octets)

    def attempt(high: bytes) -> None:
        ah.check(received, high, mac.icv_octets, partial(mac.verify, iv), mac.iv_octets)

    sequence, newest, _ = once(sa, received.header.sequence, attempt)
    return Checked(received, sequence, newest)
