"""Headers of our own: those of tunnels, the fixed one of AH in UDP, and those that are made anew."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.errors import LocalError
from ipsecd.ipsec import outer
from ipsecd.ipsec.transport import headed
from ipsecd.wire.checksum import checksum

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")
HERE6, THERE6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")


def test_a_tunnel_says_tos_identification_and_df() -> None:
    made = outer.header(HERE, THERE, tos=0xB8, identification=7, dont_fragment=True)
    assert made.hex() == "45b8001400074000" + "4000" + "4df5" + "c0000201" + "c6336401"
    assert outer.header(HERE6, THERE6, tos=0xB8).hex()[:16] == "6b80000000000040"


def test_the_fixed_header_says_nothing_that_may_change() -> None:
    assert outer.fixed(HERE, THERE).hex()[:16] == "4500001400000000"
    assert outer.fixed(HERE6, THERE6).hex()[:16] == "6000000000000040"


def test_no_packet_goes_from_one_family_to_the_other() -> None:
    with pytest.raises(LocalError, match=r"no packet goes from 192\.0\.2\.1 to 2001:db8::2"):
        outer.header(HERE, THERE6)


@pytest.mark.parametrize("tos", [0, 0xFF])
@pytest.mark.parametrize("octets", [0, 1, 1_480, 65_515])
@pytest.mark.parametrize("number", [0, 1, 0xFFFF, 0x5_0001_2345])
def test_what_is_made_anew_has_right_sums_and_the_low_half_of_the_number(tos: int, octets: int, number: int) -> None:
    front = outer.Front(HERE, THERE, 17, tos)
    made = front.of(octets, number)
    assert (front.octets, front.ends) == (20, HERE.packed + THERE.packed)
    assert checksum(made) == 0
    assert made == headed(outer.header(HERE, THERE, tos=tos, identification=number & 0xFFFF), 17, octets)
    front = outer.Front(HERE6, THERE6, 17, tos)
    assert front.octets == 40
    assert front.of(octets, number) == headed(outer.header(HERE6, THERE6, tos=tos), 17, octets)
