"""Which packets may be gathered into runs."""

from __future__ import annotations

import pytest

from ipsecd.dataplane.gathering import plain
from tests.unit.ipsec.packets import ICMP, ICMPV6, TCP, UDP, echo, ipv4, ipv6, syn, udp

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")


def flows(packets: list[bytes]) -> set[object]:
    """What plain packets are known by."""
    found = {plain(memoryview(packet)) for packet in packets}
    assert None not in found
    return found


@pytest.mark.parametrize("pair", [V4, V6])
def test_a_flow_is_known_by_all_that_decides_how_its_packets_go(pair: tuple[str, str]) -> None:
    assert len(flows([udp(*pair), udp(*pair, data=b"more of it"), udp(*pair, data=b"")])) == 1
    assert len(flows([echo(*pair), echo(*pair, data=b"another checksum")])) == 1
    others = [udp(*pair), udp(*pair[::-1]), udp(*pair, 1), udp(*pair, 1_000, 1), udp(*pair, tos=1)]
    others += [syn(*pair, 1_000, flags=0x10), *([udp(*pair, df=True)] if pair is V4 else [])]
    others += [echo(*pair), echo(*pair[::-1]), echo(*pair, kind=0 if pair is V4 else 129), odd_echo(*pair)]
    assert len(flows(others)) == len(others)


def odd_echo(*pair: str) -> bytes:
    """One whose code isn't 0, as policy may look at that."""
    packet = bytearray(echo(*pair))
    packet[-11] = 1
    return bytes(packet)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        udp(*V4, data=b"")[:27],
        udp(*V6, data=b"")[:47],
        udp(*V4) + b"\0",
        udp(*V6) + b"\0",
        udp(*V4)[:-1],
        udp(*V6)[:-1],
        echo(*V4) + b"\0",
        echo(*V6)[:-1],
        echo(*V4, kind=3),
        echo(*V4, kind=13),
        echo(*V4, kind=128),
        echo(*V6, kind=1),
        echo(*V6, kind=135),
        echo(*V6, kind=8),
        ipv4(*V4, ICMPV6, b"\x80" + bytes(7)),
        ipv6(*V6, ICMP, b"\x08" + bytes(7)),
        ipv4(*V4, 47, bytes(8)),
        syn(*V4, 1_000),
        syn(*V6, 1_000, flags=0x12),
        ipv4(*V4, TCP, bytes(8)),
        ipv6(*V6, TCP, bytes(8)),
        ipv4(*V4, UDP, bytes(64), more=True),
        ipv4(*V4, UDP, bytes(64), offset=64),
        ipv4(*V4, UDP, bytes(64), options=b"\1\1\1\0"),
        ipv6(*V6, 44, b"\x11\0\0\0\0\0\0\7" + bytes(16)),
        ipv6(*V6, 0, b"\x11\0\1\4\0\0\0\0" + bytes(16)),
        b"\x55" + udp(*V4)[1:],
    ],
)
def test_what_is_out_of_the_ordinary_is_not_plain(packet: bytes) -> None:
    assert plain(memoryview(packet)) is None
