"""Routing headers as they arrive, which is what AH covers of them (RFC 4302 appendix A2).

Of three types it is known how a router changes them, and it is the same for all: with n addresses and s segments left,
the destination and address n - s + 1 take each other's place, and s becomes one less. Type 0 is the source route of
RFC 2460 section 4.4 (deprecated by RFC 5095), type 2 the home address of mobile IPv6 (RFC 6275 section 6.4), type 3 the
source route of RPL, whose addresses lack the first octets that they share with the destination (RFC 6554 section 3)::

    +---------------+---------------+---------------+---------------+
    |  Next Header  |  Hdr Ext Len  |     Type      | Segments Left |
    +-------+-------+-------+-------+---------------+---------------+
    | CmprI | CmprE |  Pad  |              Reserved                 |   all zero but in type 3
    +-------+-------+-------+---------------------------------------+
    |   Address 1 to n - 1: 16 - CmprI octets each                  |
    +---------------------------------------------------------------+
    |   Address n: 16 - CmprE octets, and Pad octets of padding     |
    +---------------------------------------------------------------+
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd.errors import WireError

_FIXED = 8
_ADDRESS = 16
_RPL = 3
_FULL_ADDRESSES = (0, 2)


def arrive(header: bytearray, destination: bytearray, offset: int) -> tuple[bytearray, bytearray]:
    """A routing header with segments left, and the destination in front of it, as they will be at the last one. Raises
    WireError("bad-extension-header") for another type, or if there aren't so many addresses."""
    header, destination = bytearray(header), bytearray(destination)
    places = list(_places(header, offset))
    segments = header[3]
    if segments > len(places):
        raise WireError("bad-extension-header", f"{segments} of {len(places)} segments left", offset=offset)
    for place in places[len(places) - segments :]:
        lacking = _ADDRESS - (place.stop - place.start)
        header[place], destination[lacking:] = destination[lacking:], header[place]
    header[3] = 0
    return header, destination


def _places(header: bytearray, offset: int) -> Iterator[slice]:
    """Where the addresses stand, in order."""
    kind = header[2]
    if kind in _FULL_ADDRESSES:
        each = last = _ADDRESS
        end = len(header)
    elif kind == _RPL:
        each, last = _ADDRESS - (header[4] >> 4), _ADDRESS - (header[4] & 15)
        end = len(header) - (header[5] >> 4)
    else:
        raise WireError("bad-extension-header", f"no telling where a route of type {kind} ends", offset=offset)
    room = end - last - _FIXED
    if room < 0 or room % each:
        raise WireError("bad-extension-header", "addresses don't fill the routing header", offset=offset)
    for start in range(_FIXED, end - last, each):
        yield slice(start, start + each)
    yield slice(end - last, end)
