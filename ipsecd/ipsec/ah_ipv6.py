"""What AH covers of an IPv6 header and the extension headers in front of AH (RFC 4302 sections 3.3.3.1.2, appendix A2).

::

    +-------+-----------------------+-------------------------------+
    |   6   |        0 (traffic class, flow label)                  |
    +-------+-----------------------+---------------+---------------+
    |         Payload Length        |  Next Header  | 0 (hop limit) |
    +-------------------------------+---------------+---------------+
    |    Source Address, Destination Address where the packet ends  |
    +---------------------------------------------------------------+
    |    hop-by-hop and destination options: the data of those that |
    |    may change on the way is zero                              |
    +---------------------------------------------------------------+
    |    routing header: as it arrives                              |
    +---------------------------------------------------------------+

A fragment header counts as not there, as it is put in after AH, and may be left in by who puts the fragments together.
"""

from __future__ import annotations

from ipsecd.errors import WireError
from ipsecd.ipsec.ah_route import arrive
from ipsecd.wire.ip import IPV6_OCTETS
from ipsecd.wire.ipv6_chain import HOP_BY_HOP, extensions, without_fragment_header
from ipsecd.wire.registry import IpProtocol

_OPTIONS = (HOP_BY_HOP, IpProtocol.DESTINATION)
_PAD1 = 0
_MAY_CHANGE = 0x20  # of an option's type (RFC 8200 section 4.2)
_DESTINATION = slice(24, 40)
_SEGMENTS_LEFT = 3


def covered(headers: bytes, *, sending: bool) -> bytearray:
    """The headers as they enter the ICV. Who sends lets the packet arrive first; who receives takes it as it came.

    Raises WireError: ``bad-option`` for an option that says it is longer than there is room, ``bad-extension-header``
    for a routing header that can't be followed to its end, ``unfinished-route`` for a packet that came before it got
    there.
    """
    octets = bytearray(headers)
    octets[0:4] = b"\x60\0\0\0"
    octets[7] = 0
    if len(headers) > IPV6_OCTETS:
        octets = bytearray(without_fragment_header(bytes(octets), len(octets)))
        _cover_extensions(octets, sending=sending)
    return octets


def _cover_extensions(octets: bytearray, *, sending: bool) -> None:
    for kind, at, size, _ in extensions(octets, len(octets)):
        if kind in _OPTIONS:
            _cover_options(octets, at + 2, at + size)
        elif kind == IpProtocol.ROUTING and octets[at + _SEGMENTS_LEFT]:
            if not sending:
                raise WireError("unfinished-route", offset=at)
            arrived, destination = arrive(octets[at : at + size], octets[_DESTINATION], at)
            octets[at : at + size] = arrived
            octets[_DESTINATION] = destination


def _cover_options(octets: bytearray, at: int, end: int) -> None:
    while at < end:
        kind = octets[at]
        if kind == _PAD1:
            at += 1
            continue
        length = octets[at + 1] if at + 1 < end else end
        if length > end - at - 2:
            raise WireError("bad-option", f"option {kind} doesn't end", offset=at)
        if kind & _MAY_CHANGE:
            octets[at + 2 : at + 2 + length] = bytes(length)
        at += 2 + length
