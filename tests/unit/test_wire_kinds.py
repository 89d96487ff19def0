"""What the tests with real packets take for protected."""

from __future__ import annotations

import pytest

from tests.interop.wire import ABOUT_PROTECTED, expected, kind, spi
from tests.netns.packets import ah, cut, esp, time_exceeded, udp

KINDS = {  # where all is in UDP, where ESP is native, where AH is
    "IKE": (True, True, True),
    "link": (True, True, True),
    "ESP in UDP": (True, False, False),
    "AH in UDP": (True, False, False),
    "ESP 192.0.2.1 > 192.0.2.2": (False, True, False),
    "AH 192.0.2.1 > 192.0.2.2": (False, False, True),
    "ICMP 192.0.2.1 > 192.0.2.2": (False, False, False),
    "fragment of ESP 192.0.2.1 > 192.0.2.2": (False, False, False),  # of a packet whose beginning wasn't seen
}


@pytest.mark.parametrize("what", KINDS)
def test_native_packets_are_expected_where_nothing_is_in_udp(what: str) -> None:
    assert tuple(expected(what, native) for native in ("", "ESP", "AH")) == KINDS[what]


HERE, THERE = {4: "192.0.2.1", 6: "2001:db8::1"}, {4: "192.0.2.2", 6: "2001:db8::2"}
FRONT = {4: bytes(12) + b"\x08\x00", 6: bytes(12) + b"\x86\xdd"}  # of an Ethernet frame


@pytest.mark.parametrize("version", [4, 6])
def test_native_packets_are_known_by_their_spi_and_errors_about_them_as_such(version: int) -> None:
    here, there, front = HERE[version], THERE[version], FRONT[version]
    in_udp = udp(here, there, b"\xab\xcd\xef\x01" + bytes(8), 4_500, 4_500)
    for packet in (esp, ah):
        frame = front + packet(here, there, b"mark")
        name = packet.__name__.upper()
        assert (kind(frame), spi(frame)) == (f"{name} {here} > {there}", "12345678")
        first, *later = (front + piece for piece in cut(packet(here, there, b"mark" * 200)))
        assert (kind(first), spi(first)) == (f"{name} {here} > {there}", "12345678")
        assert {(kind(each), spi(each)) for each in later} == {(f"fragment of {name} {here} > {there}", "")}
        error = front + time_exceeded(there, packet(here, there, b"mark"))
        assert (kind(error), spi(error)) == (ABOUT_PROTECTED, "")
    assert (kind(front + in_udp), spi(front + in_udp)) == ("ESP in UDP", "abcdef01")
    about_another = front + time_exceeded(there, udp(here, there, b"mark"))
    assert kind(about_another) == f"{'ICMP' if version == 4 else 'ICMPv6'} {there} > {here}"
