"""What a socket or a TUN has for us, datagram by datagram and packet by packet, however the kernel hands them over."""

from __future__ import annotations

from typing import NamedTuple

from ipsecd import limits
from ipsecd.io.tun import Tun
from ipsecd.io.udp import UdpSocket
from ipsecd.io.udp_open import Address
from ipsecd.wire import offload


class Datagram(NamedTuple):
    data: bytes
    remote: Address
    remote_port: int
    local: Address
    traffic_class: int


def datagrams(opened: UdpSocket, reads: int) -> list[Datagram]:
    """What so many reads give."""
    buffer = memoryview(bytearray(limits.RECEIVE_BUFFER))
    found: list[Datagram] = []
    for _ in range(reads):
        if (read := opened.receive_into(buffer)) is None:
            break
        octets, segment, *rest = read
        pieces = (bytes(buffer[at : min(at + segment, octets)]) for at in range(0, octets, segment))
        found += (Datagram(piece, *rest) for piece in pieces)
    return found


def packets(tun: Tun, reads: int) -> list[bytes]:
    """What so many reads give."""
    found: list[bytes] = []
    for _ in range(reads):
        if (read := tun.read()) is None:
            break
        found += offload.segments(read.packet, offload.decode(read.head))
    return found
