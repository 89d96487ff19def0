"""How the packets of a flow go out by runs, and what protects them: ESP by ``sealing``, AH by ``signing``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ipsecd.dataplane.layouts import Layout
from ipsecd.ipsec.outer import Front, identification
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.ipsec.transport import headed

_SIZES = 64  # of the packets of a flow that are remembered


class Size(NamedTuple):
    """What becomes of packets of one length: of each ``inside`` octets are protected, with ``around`` in front or
    behind, which is the same for all. So many octets are ``counted`` against the limits of the SA, so many ``sent``,
    and at most so many packets at once."""

    inside: int
    around: bytes
    counted: int
    sent: int
    most: int


class Wrapper(Protocol):
    """Protects many packets of one way at once. Buffers are shared: one run is sent before the next is laid out."""

    def size(self, way: Way, octets: int) -> Size:
        """Of packets of so many octets."""

    def layout(self, way: Way, size: Size) -> Layout:
        """Where packets of this size are written, until another layout is asked for."""

    def seal(self, way: Way, first: int, count: int, last: bytes = b"") -> memoryview:
        """Protect the packets in the first ``count`` rows of that layout under the sequence numbers from ``first`` on:
        what leaves, one behind the other. ``last`` is no longer than they, protected already, and goes behind them."""

    def seal_each(self, way: Way, size: Size, first: int, packets: Sequence[bytes]) -> list[bytes]:
        """Protect a few packets of this size, under the sequence numbers from ``first`` on."""


@dataclass(slots=True, eq=False)
class Way:
    """How the packets of a flow go out: by this entry and SA, which ``by`` protects, with this outer header, at most
    ``room`` octets each. ``ahead`` is how many octets of each stay outside: its IP header in transport mode. ``head``
    is how many octets of IP header are sent: none in UDP, where the kernel writes it. ``front`` makes the headers of a
    tunnel, and those that AH in UDP is signed with; those of native transport mode are the packets' own."""

    entry: str
    sa: OutboundSa
    by: Wrapper
    protocol: int
    next_header: int
    ahead: int
    head: int
    tos: int
    df: bool
    room: int
    front: Front | None
    _sizes: dict[int, Size] = field(default_factory=dict, init=False)

    def size(self, octets: int) -> Size:
        """What becomes of packets of so many octets."""
        found = self._sizes.get(octets)
        if found is None:
            if len(self._sizes) >= _SIZES:
                self._sizes.clear()
            found = self._sizes[octets] = self.by.size(self, octets)
        return found


def header_of(way: Way, packet: bytes, octets: int, number: int) -> bytes:
    """The IP header in front of so many octets that leave for ``packet`` under this sequence number. Where the kernel
    writes another there is no Identification in it."""
    if way.front is not None:
        return way.front.of(octets, identification(number) if way.head else 0)
    return headed(packet[: way.ahead], way.sa.protocol, octets)
