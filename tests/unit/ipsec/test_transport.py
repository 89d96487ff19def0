"""Where AH and ESP go in a packet in transport mode."""

from __future__ import annotations

import pytest

from ipsecd.errors import Refused
from ipsecd.ipsec.transport import Split, headed, split
from ipsecd.wire import ip
from ipsecd.wire.checksum import checksum
from tests.unit.ipsec.packets import chained, ipv4, ipv6, udp

HERE, THERE = "192.0.2.1", "198.51.100.1"
HERE6, THERE6 = "2001:db8::1", "2001:db8::2"
UDP = b"\x03\xe8\x07\xd0\x00\x0d\x00\x00hello"
HOP, ROUTING, DESTINATION, FRAGMENT, ESP = 0, 43, 60, 44, 50
ROUTE = "02 00 01 00000000" + "20010db8" + "00" * 11 + "03"  # mobile IPv6, one address


def chain(*headers: tuple[int, str], last: int = 17, body: bytes = UDP) -> bytes:
    return chained(HERE6, THERE6, *headers, last=last, body=body)


OPTIONS = "00 010400000000"
WHOLE = "00 0000 00000007"  # a fragment header: all there is


def taken_apart(packet: bytes) -> Split:
    return split(packet, ip.parse(packet))


def test_in_ipv4_it_stands_behind_the_options() -> None:
    packet = ipv4(HERE, THERE, 17, UDP, options=bytes.fromhex("9404000001010100"))
    assert taken_apart(packet) == (packet[:28], 17, UDP)


def test_in_ipv6_it_stands_behind_the_fixed_header() -> None:
    packet = ipv6(HERE6, THERE6, 17, UDP)
    assert taken_apart(packet) == (packet[:40], 17, UDP)


def test_what_stands_behind_the_packet_is_left_out() -> None:
    for packet in (ipv4(HERE, THERE, 17, UDP), ipv6(HERE6, THERE6, 17, UDP), chain((HOP, OPTIONS))):
        assert taken_apart(packet + b"behind").payload == UDP


@pytest.mark.parametrize(
    ("headers", "front", "next_header"),
    [
        ([(HOP, OPTIONS)], 48, 17),
        ([(HOP, OPTIONS), (DESTINATION, OPTIONS)], 48, DESTINATION),
        ([(DESTINATION, OPTIONS)], 40, DESTINATION),
        ([(DESTINATION, OPTIONS), (ROUTING, ROUTE)], 72, 17),
        ([(HOP, OPTIONS), (DESTINATION, OPTIONS), (ROUTING, ROUTE), (DESTINATION, OPTIONS)], 80, DESTINATION),
    ],
)
def test_it_stands_behind_what_is_for_the_way_and_before_what_is_for_the_receiver(
    headers: list[tuple[int, str]], front: int, next_header: int
) -> None:
    packet = chain(*headers)
    assert taken_apart(packet) == (packet[:front], next_header, packet[front:])


def test_ah_stands_before_esp() -> None:
    packet = chain((HOP, OPTIONS), last=ESP)
    assert taken_apart(packet) == (packet[:48], ESP, UDP)


def test_a_fragment_header_of_a_whole_packet_is_left_out() -> None:
    found = taken_apart(chain((HOP, OPTIONS), (FRAGMENT, WHOLE), (DESTINATION, OPTIONS)))
    without = chain((HOP, OPTIONS), (DESTINATION, OPTIONS))
    assert found == (without[:48], DESTINATION, without[48:])
    assert taken_apart(chain((FRAGMENT, WHOLE))) == (chain()[:40], 17, UDP)


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(HERE, THERE, 17, bytes(16), more=True),
        ipv4(HERE, THERE, 17, bytes(16), offset=8),
        chain((FRAGMENT, "00 0001 00000007"), body=bytes(16)),
        chain((FRAGMENT, "00 0008 00000007"), body=bytes(16)),
    ],
)
def test_a_fragment_is_refused(packet: bytes) -> None:
    with pytest.raises(Refused, match="transport-fragment"):
        taken_apart(packet)


def test_headers_say_what_stands_behind_them() -> None:
    front = ipv4(HERE, THERE, 17, UDP, df=True, tos=0xB8)[:20]
    rebuilt = headed(front, 51, 100)
    assert rebuilt[:10] == front[:2] + b"\x00\x78" + front[4:9] + b"\x33"
    assert (rebuilt[12:], checksum(rebuilt)) == (front[12:], 0)

    front = chain((HOP, OPTIONS), (DESTINATION, OPTIONS))[:56]
    rebuilt = headed(front, 51, 100)
    assert rebuilt == front[:4] + b"\x00\x74" + front[6:48] + b"\x33" + front[49:]
    assert headed(front[:40], 50, 8)[4:7] == b"\x00\x08\x32"


@pytest.mark.parametrize(("front", "most"), [(udp(HERE, THERE)[:20], 65_515), (udp(HERE6, THERE6)[:40], 65_535)])
def test_no_packet_is_larger_than_its_length_can_say(front: bytes, most: int) -> None:
    assert b"\xff\xff" in headed(front, 51, most)
    with pytest.raises(Refused, match="too-big"):
        headed(front, 51, most + 1)


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(HERE, THERE, 17, UDP, options=bytes(4)),
        ipv6(HERE6, THERE6, 17, UDP),
        chain((HOP, OPTIONS), (DESTINATION, OPTIONS), (ROUTING, ROUTE), (DESTINATION, OPTIONS)),
    ],
)
def test_what_is_taken_apart_can_be_put_together(packet: bytes) -> None:
    front, next_header, payload = taken_apart(packet)
    assert headed(headed(front, 51, 1_000), next_header, len(payload)) + payload == packet
