"""The IP headers that packets of transport mode come with, without UDP: put in front of what they carry, for all
packets of a run at once, as ``transport.headed`` does it for one.

Addresses, TOS, TTL and Identification stay as they came. Protocol, length and checksum are those of the packet that its
sender protected (RFC 4302 section 3.1.1, RFC 4303 section 3.1.1).
"""

from __future__ import annotations

from ipsecd.dataplane.columns import Octets, checksums, column, sums
from ipsecd.wire.ip import IPV4_OCTETS

_V4_LENGTH, _V4_PROTOCOL, _V4_CHECKSUM = 2, 9, 10
_V6_LENGTH, _V6_NEXT_HEADER = 4, 6


def put_back(headers: Octets, packets: Octets, protocol: int, octets: int) -> None:
    """Write ``headers``, without options or extension headers, a row each, to the start of ``packets``, which are
    ``octets`` long with them and carry ``protocol``."""
    head = headers.shape[1]
    packets[:, :head] = headers
    if head == IPV4_OCTETS:
        packets[:, _V4_PROTOCOL] = protocol
        column(packets, _V4_LENGTH, ">u2")[:] = octets
        checksum = column(packets, _V4_CHECKSUM, ">u2")
        checksum[:] = 0
        checksum[:] = checksums(sums(packets, 0, head))
    else:
        packets[:, _V6_NEXT_HEADER] = protocol
        column(packets, _V6_LENGTH, ">u2")[:] = octets - head
