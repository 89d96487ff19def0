"""What routers do to a packet on its way, step by step (RFC 791, RFC 8200; RFC 2460 section 4.4 for its routes)."""

from __future__ import annotations

from ipsecd.ipsec import ah
from ipsecd.wire.ipv6_chain import extensions
from tests.property.header_values import DESTINATION, HOP, ROUTING

_IMMUTABLE = (0, 1, 130, 133, 134, 148, 149)  # options of IPv4


def _arrive_v4(packet: bytes, start: int, noise: bytes) -> bytes:
    """Each router decrements the TTL, may mark and clear what it likes, and writes its address into options."""
    octets = bytearray(packet)
    octets[1], octets[6], octets[8], octets[10:12] = noise[0], octets[6] ^ 0x40, noise[1] | 1, noise[2:4]
    at = 20
    while at < start:
        kind = octets[at]
        length = 1 if kind < 2 else octets[at + 1]
        if kind in (131, 137):
            while octets[at + 2] < length:
                stop = at + octets[at + 2] - 1
                octets[16:20], octets[stop : stop + 4] = octets[stop : stop + 4], noise[4:8]
                octets[at + 2] += 4
        elif kind not in _IMMUTABLE and length > 3:
            octets[at + 3 : at + length] = noise[3:4] * (length - 3)
        at += length
    return bytes(octets)


def _arrive_v6(packet: bytes, start: int, noise: bytes) -> bytes:
    octets = bytearray(packet)
    octets[0], octets[1:4], octets[7] = 0x60 | noise[0] & 15, noise[1:4], noise[4]
    for kind, at, size, _ in extensions(packet, start):
        if kind == ROUTING:
            stops = (size - 8) // 16
            while octets[at + 3]:
                octets[at + 3] -= 1
                stop = at + 8 + 16 * (stops - octets[at + 3] - 1)
                octets[24:40], octets[stop : stop + 16] = octets[stop : stop + 16], octets[24:40]
        elif kind in (HOP, DESTINATION):
            option = at + 2
            while option < at + size:
                length = octets[option + 1] if octets[option] else -1
                if octets[option] & 0x20:
                    octets[option + 2 : option + 2 + length] = noise[5:6] * length
                option += 2 + length
    return bytes(octets)


def arrive(packet: bytes, noise: bytes) -> bytes:
    """The packet, which has AH, where its route ends. ``noise`` is eight octets of what is written on the way."""
    start = ah.receive(packet).start
    return (_arrive_v4 if packet[0] >> 4 == 4 else _arrive_v6)(packet, start, noise)
