"""IP headers in front of ESP and AH that leave without UDP, for all packets of a run at once.

In a tunnel the packets of one run go between the same hosts and have one length, so their headers differ in nothing but
Identification and checksum, and IPv6 headers in nothing. In transport mode packets keep their own headers, which say
another protocol and length now.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipsecd.dataplane.columns import MOST, Octets, checksums, column, sums
from ipsecd.ipsec.outer import IDENTIFICATIONS, Front, identification
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS

LENGTH_AT = {4: 2, 6: 4}
PROTOCOL_AT = {4: 9, 6: 6}
_IDENTIFICATION_AT, _CHECKSUM_AT = 4, 10
_ON = np.arange(MOST, dtype=np.uint16)
_ON_AND_BACK = np.stack((_ON, -_ON), axis=1)  # an IPv4 checksum falls by as much as the Identification rises
# what doesn't change on the way (RFC 4302 section 3.3.3.1), of plain headers by their length, none among them
LASTING = {
    0: b"",
    IPV4_OCTETS: bytes.fromhex("ff00ffff ffff0000 00ff0000 ffffffff ffffffff"),
    IPV6_OCTETS: b"\xf0\0\0\0\xff\xff\xff" + b"\0" + b"\xff" * 32,
}
_MASKS = {octets: int.from_bytes(mask, "big") for octets, mask in LASTING.items()}
_MASK_ROWS = {octets: np.frombuffer(mask, np.uint8) for octets, mask in LASTING.items()}

Column = npt.NDArray[Any]


class Own(NamedTuple):
    """The headers of plain packets in transport mode: their place in front of each of a run's packets, which have
    ``octets`` then, and the protocol that they say."""

    heads: Octets
    protocol: int
    octets: int

    def keep(self, headers: Octets) -> None:
        """Write these headers, a row each, as they read around what is protected."""
        count, octets = headers.shape
        heads = self.heads[:count]
        heads[:] = headers
        version = 4 if octets == IPV4_OCTETS else 6
        heads[:, PROTOCOL_AT[version]] = self.protocol
        column(heads, LENGTH_AT[version], ">u2")[:] = self.said
        if version == 4:
            check = column(heads, _CHECKSUM_AT, ">u2")
            check[:] = 0
            check[:] = checksums(sums(heads, 0, octets))

    @property
    def said(self) -> int:
        """The length that they say, which in IPv6 is that of what follows."""
        return self.octets - (IPV6_OCTETS if self.heads.shape[1] == IPV6_OCTETS else 0)


def head_each(packets: Octets, front: Front, first: int) -> None:
    """Write the headers of these packets, a row each, whose sequence numbers count from ``first`` on."""
    count, octets = packets.shape
    header = front.of(octets - front.octets, 0)
    packets[:, : front.octets] = np.frombuffer(header, np.uint8)
    if front.octets == IPV4_OCTETS:
        # the checksum of a header without an Identification stands for the sum of all the rest
        rest = 0xFFFF - int.from_bytes(header[_CHECKSUM_AT : _CHECKSUM_AT + 2], "big")
        left = IDENTIFICATIONS - first % IDENTIFICATIONS  # until they come round
        v4 = identified(packets)
        identify(v4[:left], identification(first), rest)
        if left < count:
            identify(v4[left:], identification(first + left), rest)


def identified(heads: Octets) -> Column:
    """The columns of IPv4 headers that differ from packet to packet: Identifications and checksums, side by side."""
    columns: Column = heads[:, _IDENTIFICATION_AT : _CHECKSUM_AT + 2].view(">u2")[:, ::3]
    return columns


def identify(v4: Column, first: int, rest: int) -> None:
    """Write Identifications from ``first`` on, and the checksums of headers whose other words have this sum."""
    count, check = len(v4), 0xFFFF - rest - first
    v4[:] = _ON_AND_BACK[:count] + np.array((first, check % 0x10000), np.uint16)
    if check < count - 1:  # it comes round on the way; if the Identification does, so does this
        v4[:, 1] = checksums(v4[:, 0].astype(np.int64) + rest)


def covered(header: bytes) -> bytes:
    """A plain header as it enters an ICV, without what may change on the way; nothing if there is none."""
    octets = len(header)
    return (int.from_bytes(header, "big") & _MASKS[octets]).to_bytes(octets, "big")


def cover(heads: Octets) -> None:
    """Likewise many of them, in place, a row each."""
    heads &= _MASK_ROWS[heads.shape[1]]
