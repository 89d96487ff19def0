"""What AH covers of an IPv4 header (RFC 4302 sections 3.3.3.1.1 and appendix A1).

::

    +-------+-------+---------------+-------------------------------+
    | version, IHL  | 0 (DSCP, ECN) |         Total Length          |
    +---------------+---------------+-------------------------------+
    |        Identification         |   0 (flags, fragment offset)  |
    +---------------+---------------+-------------------------------+
    |    0 (TTL)    |   Protocol    |         0 (checksum)          |
    +---------------+---------------+-------------------------------+
    |    Source Address, Destination Address where the packet ends  |
    +---------------------------------------------------------------+
    |    options: as they are if immutable, else all of them zero   |
    +---------------------------------------------------------------+
"""

from __future__ import annotations

from ipsecd.errors import WireError
from ipsecd.wire.ip import IPV4_OCTETS

_END, _NO_OPERATION = 0, 1
_LOOSE_ROUTE, _STRICT_ROUTE = 131, 137
# Security, extended and commercial security, router alert, sender-directed delivery. All others change on the way, or
# are unknown to us, and are zeroed alike (section 3.3.3.1).
_IMMUTABLE = frozenset({130, 133, 134, 148, 149})
_DESTINATION = slice(16, 20)
_ROUTE = 3  # octets of a source route in front of its addresses; its pointer counts from 1


def covered(header: bytes, *, sending: bool) -> bytearray:
    """The header as it enters the ICV. Who sends puts in the address where a source route will end; who receives takes
    the destination as it came. Raises WireError("bad-option") for an option that says it is longer than there is room,
    and for what is no source route."""
    octets = bytearray(header)
    octets[1] = 0
    octets[6:9] = bytes(3)
    octets[10:12] = bytes(2)
    if len(header) > IPV4_OCTETS:
        _cover_options(octets, sending=sending)
    return octets


def _cover_options(octets: bytearray, *, sending: bool) -> None:
    at, end, routed = IPV4_OCTETS, len(octets), False
    while at < end and octets[at] != _END:
        kind = octets[at]
        if kind == _NO_OPERATION:
            at += 1
            continue
        length = octets[at + 1] if at + 1 < end else 0
        if not 2 <= length <= end - at:
            raise WireError("bad-option", f"option {kind} of {length} octets", offset=at)
        option = octets[at : at + length]
        if sending and kind in (_LOOSE_ROUTE, _STRICT_ROUTE):
            if routed:
                raise WireError("bad-option", "two source routes", offset=at)
            octets[_DESTINATION] = _last_stop(option, octets[_DESTINATION], at)
            routed = True
        if kind not in _IMMUTABLE:
            octets[at : at + length] = bytes(length)
        at += length


def _last_stop(route: bytearray, destination: bytearray, at: int) -> bytearray:
    """Where a source route ends (RFC 791 section 3.1): at its last address, unless all have been visited."""
    length = len(route)
    pointer = route[2] if length > 2 else 0
    if length < _ROUTE or (length - _ROUTE) % 4 or pointer <= _ROUTE or pointer % 4:
        raise WireError("bad-option", f"a source route of {length} octets, at {pointer}", offset=at)
    return route[-4:] if pointer < length else destination
