"""Checksums behind a NAT, mended by the difference of the addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.ipsec.mending import mended
from ipsecd.wire import ip
from tests.unit.ipsec.packets import TCP, UDP, chained, ipv4, ipv6, syn, udp

BEFORE = ip_address("192.168.1.5"), ip_address("198.51.100.1")
NOW = ("203.0.113.7", "10.0.0.9")


def moved(packet: bytes, protocol: int) -> bytes:
    """What the receiver has put its header in front of: as sent, between other addresses."""
    return ipv4(*NOW, protocol, packet[20:])


def after(packet: bytes) -> bytes:
    return mended(packet, ip.parse(packet), BEFORE)


def test_udp_and_tcp_are_what_they_would_be_between_the_new_addresses() -> None:
    old = str(BEFORE[0]), str(BEFORE[1])
    assert after(moved(udp(*old), UDP)) == udp(*NOW)
    assert after(moved(syn(*old, 1_400), TCP)) == syn(*NOW, 1_400)


def test_a_sum_of_0_is_sent_as_its_other_form() -> None:
    """RFC 768: 0 would say that there is no checksum."""
    old, word = (str(BEFORE[0]), str(BEFORE[1])), int.from_bytes(udp(*NOW, data=bytes(2))[26:28], "big")
    data = word.to_bytes(2, "big")  # makes the new sum 0
    assert after(moved(udp(*old, data=data), UDP))[26:28] == b"\xff\xff"


@pytest.mark.parametrize("body", ["03e807d0000a00006869", "03e807d0", "03e807d0000aaa"])
def test_without_a_checksum_there_is_nothing_to_mend(body: str) -> None:
    packet = ipv4(*NOW, UDP, bytes.fromhex(body))
    assert after(packet) == packet


def test_behind_destination_options_the_checksum_is_found_too() -> None:
    here, there = "2001:db8::1", "2001:db8::2"
    old = "2001:db8:a::1", "2001:db8:b::2"
    packet = chained(here, there, (60, "00010400000000"), body=udp(*old)[40:])
    found = mended(packet, ip.parse(packet), (ip_address(old[0]), ip_address(old[1])))
    assert found[48:] == udp(here, there)[40:]


@pytest.mark.parametrize("protocol", [1, 47, 132])
def test_what_does_not_sum_addresses_stays(protocol: int) -> None:
    packet = ipv4(*NOW, protocol, bytes(range(32)))
    assert after(packet) == packet
    other = ipv6("2001:db8::1", "2001:db8::2", protocol, bytes(range(32)))
    assert mended(other, ip.parse(other), BEFORE) == other
