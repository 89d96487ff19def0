"""What datagrams and packets that arrive at once have in common."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ipsecd.dataplane.messages import Outside
from ipsecd.wire.ip import IPV4_OCTETS, IPV6_OCTETS
from ipsecd.wire.registry import IpProtocol

_V4 = struct.Struct("!6xHxB")  # fragment and protocol
_PLAIN_V4, _FRAGMENT = 0x45, 0x3FFF
_NEXT_HEADER_V6 = 6
_AH = IpProtocol.AH.value
_PROTECTED = (IpProtocol.ESP.value, _AH)


class Alike(NamedTuple):
    """Octets, sender, TOS, whether they came where ESP is spoken, the octets of the IP header in front of each, 0 in
    UDP, and whether that says that AH is behind it."""

    segment: int
    outside: Outside
    tos: int
    natt: bool
    head: int = 0
    ah: bool = False


def plain_header(packet: memoryview) -> tuple[int, int, bool]:
    """How many octets the header of a native packet has, its TOS, and whether AH is behind it, else ESP; 0 octets if it
    isn't plain, and then neither is looked for."""
    if packet[0] == _PLAIN_V4:
        fragment, protocol = _V4.unpack_from(packet)
        plain = protocol in _PROTECTED and not fragment & _FRAGMENT
        return (IPV4_OCTETS if plain else 0), packet[1], protocol == _AH
    protocol = packet[_NEXT_HEADER_V6]
    plain = packet[0] >> 4 == 6 and protocol in _PROTECTED
    return (IPV6_OCTETS if plain else 0), (packet[0] << 4 | packet[1] >> 4) & 0xFF, protocol == _AH
