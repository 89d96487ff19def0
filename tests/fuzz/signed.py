"""Packets with AH from a peer that has the keys and isn't to be trusted: mutated, and then signed."""

from __future__ import annotations

from random import Random

from ipsecd.errors import PeerError
from ipsecd.ipsec import ah
from ipsecd.ipsec.transport import split
from ipsecd.wire import ip
from tests.unit.ipsec.packets import chained, ipv4, udp
from tests.unit.ipsec.pairs import HMACS

_MAC = HMACS["sha256"]
_HERE, _THERE, _HERE6, _THERE6 = "192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8::2"
_OPTIONS, _ROUTE, _WHOLE = "00 3e02beef 0000", "02 00 00 00000000 20010db8" + "00" * 12, "00 0000 00000007"


def _sealed(packet: bytes) -> bytes:
    return ah.seal(*split(packet, ip.parse(packet)), 0xC0FFEE01, 5, b"", _MAC.octets, _MAC.icv)


def opened(packet: bytes) -> tuple[bytes, bytes]:
    """What an authentic packet carries, in either mode. Raises PeerError."""
    received = ah.receive(packet)
    ah.check(received, b"", _MAC.octets, _MAC.verify)
    return received.without_ah(), received.payload


def signed(packet: bytes, _: Random) -> bytes:
    """The packet with the ICV that is right for it, if it gets so far that one is computed."""
    found: list[bytes] = []

    def compute(icv: bytes | memoryview, *parts: bytes | memoryview) -> bool:
        found.append(_MAC.icv(*parts))
        return True

    try:
        received = ah.receive(packet)
        ah.check(received, b"", _MAC.octets, compute)
    except PeerError:
        return packet
    at = received.start + 12
    return packet[:at] + found[0] + packet[at + len(found[0]) :]


_FRAGMENTED = chained(_HERE6, _THERE6, (0, _OPTIONS), (44, _WHOLE), last=51, body=_sealed(udp(_HERE6, _THERE6))[40:])
PACKETS = (
    _sealed(udp(_HERE, _THERE)),
    _sealed(udp(_HERE6, _THERE6)),
    _sealed(ipv4(_HERE, _THERE, 17, bytes(8), options=bytes.fromhex("94040000 830708cb00710100"))),
    _sealed(chained(_HERE6, _THERE6, (0, _OPTIONS), (60, _OPTIONS), (43, _ROUTE), body=bytes(8))),
    signed(_FRAGMENTED, Random(0)),
)
