"""Single packets of known flows, gathered into runs: what policy, SA and sizes say of a flow is remembered for a while.

Only plain packets are: whole TCP and UDP packets without options, and no SYN, as the segment size in those is looked
at. Whatever the control side says makes all flows forgotten, and so does time.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from ipsecd.dataplane.sealing import Layout
from ipsecd.ipsec.sa import OutboundSa
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.tcp import FLAGS_AT, SYN

_V4 = struct.Struct("!BBHxxHxB2x12s")  # to the ports: version, TOS, length, fragment, protocol, addresses and ports
_V6 = struct.Struct("!IHBx36s")  # version and class, length, next header, addresses and ports
_FRAGMENT = 0x3FFF
_PORTS = {IpProtocol.TCP, IpProtocol.UDP}
_LEAST = {4: 28, 6: 48}  # octets with a UDP header
_FLAGS = {4: 20 + FLAGS_AT, 6: 40 + FLAGS_AT}


class Plain(NamedTuple):
    """What a plain packet shows: of which flow it is, in a form to be looked up, its version and its length."""

    flow: Hashable
    version: int
    octets: int


def plain(packet: memoryview) -> Plain | None:
    """What a packet shows, if it is plain."""
    size = len(packet)
    if size < _LEAST[4]:
        return None
    if packet[0] == 0x45:
        _, tos, octets, fragment, protocol, ends = _V4.unpack_from(packet)
        if fragment & _FRAGMENT:
            return None
        found = Plain((tos, fragment, protocol, ends), 4, octets)
    elif packet[0] >> 4 == 6 and size >= _LEAST[6]:
        first, payload, protocol, ends = _V6.unpack_from(packet)
        found = Plain((first >> 20 & 0xFF, protocol, ends), 6, payload + 40)
    else:
        return None
    if protocol not in _PORTS or found.octets != size:
        return None
    if protocol == IpProtocol.TCP:
        at = _FLAGS[found.version]
        if size <= at or packet[at] & SYN:
            return None
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """How the packets of a flow go out: by this entry and SA, with this outer header, at most ``room`` octets each."""

    entry: str
    sa: OutboundSa
    next_header: int
    tos: int
    df: bool
    room: int


@dataclass(slots=True)
class Gathered:
    """Packets of one SA and one size, laid out as the rows of a run; ``entries`` has the SPD entry of each."""

    way: Way
    layout: Layout
    entries: list[str]

    def takes(self, way: Way, octets: int) -> bool:
        """Whether a packet that goes this way may be the next."""
        mine = self.way
        return (
            len(self.entries) < self.layout.most
            and octets == self.layout.inner
            and way.sa is mine.sa
            and (way.next_header, way.tos, way.df) == (mine.next_header, mine.tos, mine.df)
        )

    def packets(self) -> list[bytes]:
        return [row[: self.layout.inner].tobytes() for row in self.layout.rows[: len(self.entries)]]
