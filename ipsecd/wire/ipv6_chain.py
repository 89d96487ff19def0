"""The chain of IPv6 extension headers up to the upper layer (RFC 8200 section 4).

::

    +---------------+---------------+- - -     hop-by-hop, routing, destination options:
    |  Next Header  | Hdr Ext Len   |          (Hdr Ext Len + 1) * 8 octets
    +---------------+---------------+- - -
    +---------------+---------------+-------------------------+-----+-+
    |  Next Header  |   Reserved    |      Fragment Offset    | Res |M|  fragment header: 8 octets
    +---------------+---------------+-------------------------+-----+-+
    |                         Identification                          |
    +-----------------------------------------------------------------+

Which headers are skipped is the default of RFC 4301 section 4.4.1.1; AH and ESP are upper layers. Each step takes at
least eight octets, and there are at most MAX_EXTENSION_HEADERS steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import IpProtocol

HOP_BY_HOP = 0
_FIXED_OCTETS = 40  # of the IPv6 header
_PAYLOAD_LENGTH, NEXT_HEADER = slice(4, 6), 6  # where they stand in it
_SKIPPED = (HOP_BY_HOP, IpProtocol.ROUTING, IpProtocol.FRAGMENT, IpProtocol.DESTINATION)


@dataclass(frozen=True, slots=True)
class Chain:
    """The upper layer's protocol and where it stands, counted from the start of the packet; or, of a fragment other
    than the first, its next header and where its data stands. ``fragment_offset`` counts octets; ``fragment_header``
    is where the fragment header stands, 0 if there is none."""

    protocol: int
    offset: int
    fragment_offset: int = 0
    more_fragments: bool = False
    fragment_header: int = 0


def walk(first: int, r: Reader, *, whole: bool = True) -> Chain:
    """Walks from next header ``first``; ``r`` holds what stands behind the fixed header. With ``whole`` false the walk
    ends where the octets do. Raises WireError: ``bad-extension-header``, ``truncated``, and ``tiny-fragment`` for a
    first fragment that doesn't hold all headers (RFC 8200 section 4.5)."""
    protocol, headers = first, 0
    fragment_offset, more, fragment_header = 0, False, 0
    while protocol in _SKIPPED:
        if headers == limits.MAX_EXTENSION_HEADERS:
            raise WireError("bad-extension-header", "too many", offset=r.offset)
        if (protocol == HOP_BY_HOP and headers) or (protocol == IpProtocol.FRAGMENT and fragment_header):
            raise WireError("bad-extension-header", f"header {protocol} out of place", offset=r.offset)
        octets = _octets(protocol, r)
        if octets > r.remaining:
            if not whole:
                break
            reason = "tiny-fragment" if more else "truncated"
            raise WireError(reason, "extension headers don't end", offset=r.offset)
        headers += 1
        at = r.offset
        header = r.take(octets)
        if protocol == IpProtocol.FRAGMENT:
            field = int.from_bytes(header[2:4], "big")
            fragment_offset, more, fragment_header = field & 0xFFF8, bool(field & 1), at
        protocol = header[0]
        if fragment_offset:  # what follows is data, whatever it is called
            break
    return Chain(protocol, r.offset, fragment_offset, more, fragment_header)


class Extension(NamedTuple):
    """An extension header that stands at ``at``; the octet at ``named_at`` says that it is a ``kind``."""

    kind: int
    at: int
    octets: int
    named_at: int


def extensions(packet: bytes | bytearray, end: int) -> Iterator[Extension]:
    """The extension headers of an IPv6 packet, up to ``end``, where ``walk`` has found the last to end."""
    named_at, at = NEXT_HEADER, _FIXED_OCTETS
    while at < end:
        kind = packet[named_at]
        octets = 8 if kind == IpProtocol.FRAGMENT else 8 * (1 + packet[at + 1])
        yield Extension(kind, at, octets, named_at)
        named_at, at = at, at + octets


def without_fragment_header(packet: bytes, end: int) -> bytes:
    """The packet, or only its headers, as if it had no fragment header among the extension headers up to ``end``."""
    for kind, at, octets, named_at in extensions(packet, end):
        if kind == IpProtocol.FRAGMENT:
            kept = bytearray(packet)
            kept[named_at] = kept[at]
            payload = int.from_bytes(kept[_PAYLOAD_LENGTH], "big") - octets
            kept[_PAYLOAD_LENGTH] = payload.to_bytes(2, "big")
            del kept[at : at + octets]
            return bytes(kept)
    return packet


def _octets(protocol: int, r: Reader) -> int:
    """The size of the extension header that stands next, without reading it; at least 8."""
    if protocol == IpProtocol.FRAGMENT:
        return 8
    return 8 * (1 + r.peek(1)) if r.remaining >= 2 else 8
