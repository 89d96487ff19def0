"""The body of the Traffic Selector payloads (RFC 7296 section 3.13).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Number of TSs |                 RESERVED                      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   TS Type     | IP Protocol ID|       Selector Length         |  once for each TS;
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  types 7 and 8, other
    |           Start Port          |           End Port            |  types share only the
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  type and the length
    ~                  Starting Address (4 or 16)                   ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~                   Ending Address (4 or 16)                    ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import TsType
from ipsecd.wire.selector import OPAQUE, Address, Selector

Selectors = tuple[tuple[Selector, ...], tuple[tuple[int, bytes], ...]]


def decode_selectors(r: Reader) -> Selectors:
    """The selectors of types 7 and 8, and the (type, octets behind the type) of others, which we don't understand and
    so leave out when narrowing (section 2.9). Raises WireError; a payload without any selector is malformed too."""
    count = r.u8()
    r.take(3)
    known: list[Selector] = []
    unknown: list[tuple[int, bytes]] = []
    while r.remaining:
        if len(known) + len(unknown) == limits.MAX_SELECTORS_READ:
            raise WireError("too-many-selectors", offset=r.offset)
        kind, protocol = r.unpack("!BB")
        with r.window(r.u16() - 4) as body:
            if kind == TsType.IPV4_ADDR_RANGE:
                known.append(_decode_range(body, protocol, IPv4Address, 4))
            elif kind == TsType.IPV6_ADDR_RANGE:
                known.append(_decode_range(body, protocol, IPv6Address, 16))
            else:
                unknown.append((kind, bytes([protocol]) + body.rest()))
    if not count or count != len(known) + len(unknown):
        found = len(known) + len(unknown)
        raise WireError("selector-count", f"{found} selectors, count says {count}", offset=r.offset)
    return tuple(known), tuple(unknown)


def _decode_range(r: Reader, protocol: int, kind: type[IPv4Address | IPv6Address], octets: int) -> Selector:
    first, last = r.unpack("!HH")
    start, end = r.take(octets), r.take(octets)
    if start > end:
        raise WireError("reversed-addresses", offset=r.offset)
    if first > last and (first, last) != OPAQUE:
        raise WireError("reversed-ports", f"{first} to {last}", offset=r.offset)
    return Selector(kind(start), kind(end), protocol, (first, last))


def encode_selectors(selectors: tuple[Selector, ...], unknown: tuple[tuple[int, bytes], ...]) -> bytes:
    parts = [struct.pack("!B3x", len(selectors) + len(unknown))]
    parts += [_encode_range(selector) for selector in selectors]
    parts += [struct.pack("!BBH", kind, body[0], len(body) + 3) + body[1:] for kind, body in unknown]
    return b"".join(parts)


def _encode_range(selector: Selector) -> bytes:
    kind = TsType.IPV4_ADDR_RANGE if selector.version == 4 else TsType.IPV6_ADDR_RANGE
    ends: tuple[Address, Address] = (selector.start, selector.end)
    addresses = b"".join(address.packed for address in ends)
    return struct.pack("!BBHHH", kind, selector.protocol, len(addresses) + 8, *selector.ports) + addresses
