"""The IP headers that packets of transport mode come with, without UDP: put in front of what they carry, for all
packets of a run at once, as ``transport.headed`` does it for one.

Addresses, TOS, TTL and Identification stay as they came. Protocol, length and checksum are those of the packet that its
sender protected (RFC 4302 section 3.1.1, RFC 4303 section 3.1.1).
"""

from __future__ import annotations

import numpy as np

from ipsecd.dataplane.columns import Octets, checksums, column
from ipsecd.wire.ip import IPV4_OCTETS

_V4 = np.dtype(  # ``pieces`` are the words of Identification and of flags, ``hops`` is that of TTL and protocol
    {
        "names": ["length", "pieces", "hops", "protocol", "checksum"],
        "formats": [">u2", ">u4", ">u2", "u1", ">u2"],
        "offsets": [2, 4, 8, 9, 10],
        "itemsize": IPV4_OCTETS,
    }
)
_ALIKE = int.from_bytes(bytes.fromhex("ffffffff 00000000 00000000 ffffffff ffffffff"), "big")
_V6_LENGTH, _V6_NEXT_HEADER = 4, 6


def put_back(headers: Octets, packets: Octets, protocol: int, octets: int) -> None:
    """Write ``headers``, a row each, to the start of ``packets``, which are ``octets`` long with them and carry
    ``protocol``. They have no options and no extension headers. Those of IPv4 are alike but for Identification, DF, TTL
    and checksum."""
    head = headers.shape[1]
    packets[:, :head] = headers
    if head != IPV4_OCTETS:
        packets[:, _V6_NEXT_HEADER] = protocol
        column(packets, _V6_LENGTH, ">u2")[:] = octets - head
        return
    each = packets[:, :head].view(_V4)[:, 0]
    each["protocol"] = protocol
    each["length"] = octets
    total = each["pieces"].astype(np.int64)
    total += each["hops"]
    total += (int.from_bytes(packets[0, :head].tobytes(), "big") & _ALIKE) % 0xFFFF
    each["checksum"] = checksums(total)
