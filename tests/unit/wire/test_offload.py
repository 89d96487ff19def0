"""Packets that stand for many, cut one after the other, and checksums that are to be finished."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.checksum import pseudo_checksum
from ipsecd.wire.offload import NEEDS_CHECKSUM, Gso, Offload, decode, finish, plan, segments
from tests.unit.ipsec.packets import TCP, UDP, ipv4, ipv6, udp

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")


def test_a_virtio_header_is_ten_octets_in_the_machines_order() -> None:
    head = struct.pack("=BBHHHH", 1, 4, 74, 1_348, 40, 16)
    assert decode(head) == Offload(NEEDS_CHECKSUM, Gso.TCP6, 74, 1_348, 40, 16)
    assert decode(head).encode() == head
    assert decode(bytes(10)) == Offload()
    assert decode(struct.pack("=BBHHHH", 1, 0x81, 54, 9, 20, 16)).gso == Gso.TCP4  # VIRTIO_NET_HDR_GSO_ECN
    with pytest.raises(WireError, match="truncated"):
        decode(bytes(9))


def pseudo(version: int, protocol: int, octets: int) -> int:
    """The sum that the kernel leaves in the checksum's place."""
    source, destination = (ip_address(address) for address in (V4 if version == 4 else V6))
    return pseudo_checksum(source, destination, protocol, octets) % 0xFFFF


def datagrams(version: int, *data: bytes) -> list[bytes]:
    if version == 6:
        return [ipv6(*V6, UDP, udp(*V6, data=each)[40:]) for each in data]
    return [ipv4(*V4, UDP, udp(*V4, data=each)[20:], identification=0xFFFF + n & 0xFFFF) for n, each in enumerate(data)]


@pytest.mark.parametrize("version", [4, 6])
def test_a_udp_packet_is_cut_into_datagrams(version: int) -> None:
    offload = Offload(1, Gso.UDP_DATAGRAMS, 28, 4, 20 if version == 4 else 40, 6)
    for data, pieces in ((b"abcdefghij", (b"abcd", b"efgh", b"ij")), (b"abcdefgh", (b"abcd", b"efgh"))):
        head = struct.pack("!HHHH", 1_000, 2_000, 8 + 4, pseudo(version, UDP, 8 + len(data)))
        big = ipv4(*V4, UDP, head + data, identification=0xFFFF) if version == 4 else ipv6(*V6, UDP, head + data)
        assert segments(big, offload) == datagrams(version, *pieces)


def test_a_tcp_packet_is_cut_into_segments_that_count_on() -> None:
    """FIN and PSH are the last one's, CWR is the first one's (RFC 3168 section 6.1.2)."""
    body = struct.pack("!HHIIBBHHH", 1, 2, 0xFFFF_FFFE, 7, 5 << 4, 0x99, 500, 0, 0) + b"abcdefg"
    found = segments(ipv6(*V6, TCP, body), Offload(1, Gso.TCP6, 60, 3, 40, 16))
    shown = [struct.unpack_from("!IIBB", piece, 44) for piece in found]
    assert shown == [(0xFFFF_FFFE, 7, 0x50, 0x90), (1, 7, 0x50, 0x10), (4, 7, 0x50, 0x19)]
    assert [piece[60:] for piece in found] == [b"abc", b"def", b"g"]
    assert [int.from_bytes(piece[4:6], "big") for piece in found] == [23, 23, 21]


def test_the_last_address_on_the_way_is_what_the_kernel_says() -> None:
    """A routing header hides it (RFC 8200 section 8.1)."""
    routing = bytes([UDP, 2, 0, 1, 0, 0, 0, 0]) + bytes(16)
    head = struct.pack("!HHHH", 1_000, 2_000, 8 + 4, pseudo(6, UDP, 16))
    big = ipv6("2001:db8:1::1", "2001:db8:9::9", 43, routing + head + b"abcdefgh")
    found = segments(big, Offload(1, Gso.UDP_DATAGRAMS, 72, 4, 64, 6))
    assert [piece[64:] for piece in found] == [udp(*V6, data=data)[40:] for data in (b"abcd", b"efgh")]


@pytest.mark.parametrize(
    ("packet", "offload"),
    [
        (b"", Offload(1, Gso.TCP4, 40, 9, 20, 16)),
        (udp(*V4), Offload(1, Gso.TCP6, 40, 9, 20, 16)),
        (udp(*V4), Offload(1, 3, 28, 9, 20, 6)),  # fragments of UDP
        (udp(*V4), Offload(1, 9, 28, 9, 20, 6)),
        (udp(*V4), Offload(0, Gso.UDP_DATAGRAMS, 28, 2, 20, 6)),
        (udp(*V4), Offload(1, Gso.UDP_DATAGRAMS, 28, 0, 20, 6)),
        (udp(*V4), Offload(1, Gso.UDP_DATAGRAMS, 28, 2, 19, 6)),
        (udp(*V6), Offload(1, Gso.UDP_DATAGRAMS, 28, 2, 20, 6)),
        (udp(*V4, data=b""), Offload(1, Gso.UDP_DATAGRAMS, 28, 2, 20, 6)),
        (udp(*V4)[:27], Offload(1, Gso.UDP_DATAGRAMS, 28, 2, 20, 6)),
        (udp(*V4), Offload(1, Gso.UDP_DATAGRAMS, 28, 2, 20, 16)),
        (udp(*V4, data=bytes(20)), Offload(1, Gso.TCP4, 40, 2, 20, 16)),  # a TCP header of less than 20 octets
    ],
)
def test_what_is_not_as_its_virtio_header_says_is_refused(packet: bytes, offload: Offload) -> None:
    with pytest.raises(WireError, match="bad-offload"):
        plan(packet, offload)


@pytest.mark.parametrize(("at", "start", "pair"), [(26, 20, V4), (46, 40, V6)])
def test_a_checksum_is_finished_from_the_sum_of_the_pseudo_header(at: int, start: int, pair: tuple[str, str]) -> None:
    whole = udp(*pair, data=b"some data")
    addresses = whole[12:20] if start == 20 else whole[8:40]
    words = struct.unpack(f"!{len(addresses) // 2}H", addresses)
    pseudo = (sum(words) + UDP + len(whole) - start) % 0xFFFF
    packet = bytearray(whole)
    packet[at : at + 2] = pseudo.to_bytes(2, "big")
    assert segments(bytes(packet), Offload(1, Gso.NONE, 0, 0, start, 6)) == [whole]
    assert segments(whole, Offload()) == [whole]


def test_a_finished_checksum_of_nothing_says_that_there_is_one() -> None:
    packet = bytearray(b"\xff\xff\0\0")
    finish(packet, Offload(1, Gso.NONE, 0, 0, 0, 2))
    assert packet == b"\xff\xff\xff\xff"


@pytest.mark.parametrize(("start", "offset"), [(20, 12), (0xFFFF, 0xFFFF), (32, 0)])
def test_a_checksum_that_is_not_in_the_packet_is_refused(start: int, offset: int) -> None:
    with pytest.raises(WireError, match="bad-offload"):
        segments(bytes(33), Offload(1, Gso.NONE, 0, 0, start, offset))
