"""IP headers of a whole run: what differs from row to row, and what AH doesn't cover."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest

from ipsecd.dataplane.columns import Octets
from ipsecd.dataplane.heading import Own, cover, covered, head_each
from ipsecd.ipsec import ah_ipv4, ah_ipv6
from ipsecd.ipsec.outer import Front

V4 = bytes.fromhex("45b80054 1234c000 4011abcd c0000201 c6336401")
V6 = bytes.fromhex("6abcdef0 002c1140") + bytes(range(0x20, 0x40))
PAIR = ip_address("192.0.2.1"), ip_address("198.51.100.1")
PAIR6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")


def rows(*headers: bytes) -> Octets:
    return np.array([list(header) for header in headers], np.uint8)


def test_of_an_ipv4_header_tos_flags_ttl_and_checksum_are_not_covered() -> None:
    expected = "45000054 12340000 00110000 c0000201 c6336401"
    assert covered(V4) == bytes.fromhex(expected) == ah_ipv4.covered(V4, sending=True)


def test_of_an_ipv6_header_class_flow_and_hop_limit_are_not_covered() -> None:
    expected = bytes.fromhex("60000000 002c1100") + V6[8:]
    assert covered(V6) == expected == ah_ipv6.covered(V6, sending=True)


def test_where_there_is_no_header_there_is_nothing_to_cover() -> None:
    assert covered(b"") == b""


@pytest.mark.parametrize("header", [V4, V6])
def test_many_headers_are_covered_in_place(header: bytes) -> None:
    several = rows(header, bytes([header[0], 0xFF]) + header[2:], header)
    cover(several)
    assert [row.tobytes() for row in several] == [covered(header)] * 3


def test_own_headers_of_ipv4_say_another_protocol_length_and_checksum() -> None:
    packets = np.zeros((3, 24), np.uint8)
    Own(packets[:, :20], 51, 150).keep(rows(V4, V4[:5] + b"\x35" + V4[6:]))
    expected = ["45b800961234c0004033bb12c0000201c6336401", "45b800961235c0004033bb11c0000201c6336401", "00" * 20]
    assert [row[:20].tobytes().hex() for row in packets] == expected
    assert not packets[:, 20:].any()


def test_own_headers_of_ipv6_say_another_protocol_and_what_follows() -> None:
    packets = np.zeros((1, 40), np.uint8)
    Own(packets, 50, 150).keep(rows(V6))
    assert packets.tobytes() == bytes.fromhex("6abcdef0 006e3240") + V6[8:]


@pytest.mark.parametrize("first", [0, 1, 65_530, 65_534, 65_535, 2**32 - 3])
def test_identifications_come_round_without_0(first: int) -> None:
    packets = np.zeros((9, 30), np.uint8)
    front = Front(*PAIR, 51, 0xB8, dont_fragment=True)
    head_each(packets, front, first)
    numbers = [(first + number) % 65_535 + 1 for number in range(9)]
    assert [row[:20].tobytes() for row in packets] == [front.of(10, number) for number in numbers]


def test_headers_of_an_ipv6_tunnel_are_all_alike() -> None:
    packets = np.zeros((2, 50), np.uint8)
    head_each(packets, Front(*PAIR6, 51, 0), 7)
    expected = "6000000000 0a3340" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002"
    assert [row[:40].tobytes() for row in packets] == [bytes.fromhex(expected)] * 2
