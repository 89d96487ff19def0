"""IP headers in front of ESP that leaves without UDP, for all packets of a run at once.

Packets of one run go between the same hosts and have one length, so their headers differ in nothing but Identification
and checksum, and IPv6 headers in nothing.
"""

from __future__ import annotations

import numpy as np

from ipsecd.dataplane.columns import INDEX, Octets, checksums, column
from ipsecd.ipsec.outer import IDENTIFICATIONS, Front
from ipsecd.wire.ip import IPV4_OCTETS

_IDENTIFICATION_AT, _CHECKSUM_AT = 4, 10


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
