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

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import IpProtocol

HOP_BY_HOP = 0
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


def _octets(protocol: int, r: Reader) -> int:
    """The size of the extension header that stands next, without reading it; at least 8."""
    if protocol == IpProtocol.FRAGMENT:
        return 8
    return 8 * (1 + r.peek(1)) if r.remaining >= 2 else 8
