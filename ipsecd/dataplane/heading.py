"""IP headers in front of ESP and AH that leave without UDP, for all packets of a run at once.

In a tunnel the packets of one run go between the same hosts and have one length, so their headers differ in nothing but
Identification and checksum, and IPv6 headers in nothing. In transport mode packets keep their own headers, which say
another protocol and length now.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ipsecd.dataplane.columns import INDEX, Octets, checksums, column, sums
from ipsecd.ipsec.outer import IDENTIFICATIONS, Front
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS

LENGTH_AT = {4: 2, 6: 4}
PROTOCOL_AT = {4: 9, 6: 6}
_IDENTIFICATION_AT, _CHECKSUM_AT = 4, 10


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
        given = ((INDEX[:count] + first) % IDENTIFICATIONS + 1).astype(np.int64)
        column(packets, _IDENTIFICATION_AT, ">u2")[:] = given
        # that of the header without one stands for the sum of all the rest
        check = int.from_bytes(header[_CHECKSUM_AT : _CHECKSUM_AT + 2], "big")
        column(packets, _CHECKSUM_AT, ">u2")[:] = checksums(given - check)
