"""What AH covers of an IPv6 header and of extension headers (RFC 4302 section 3.3.3.1.2, appendix A2)."""

from __future__ import annotations

import pytest

from ipsecd.errors import WireError
from ipsecd.ipsec.ah_ipv6 import covered
from tests.unit.ipsec.packets import chained

HERE, THERE = "20010db8" + "00" * 11 + "01", "20010db8" + "00" * 11 + "02"
HOP, ROUTING, FRAGMENT, AH, DESTINATION = 0, 43, 44, 51, 60
ROUTE = "02 00 {left} 00000000" + "20010db8" + "00" * 11 + "{stop}"


def headers(*extensions: tuple[int, str]) -> bytes:
    return chained("2001:db8::1", "2001:db8::2", *extensions, last=AH)


def behind(*extensions: tuple[int, str], sending: bool = False, destination: str = THERE) -> str:
    """What is covered of extension headers, once the fixed header is as it should be."""
    whole = headers(*extensions)
    found = covered(whole, sending=sending)
    assert found[:40].hex() == "60000000" + whole[4:7].hex() + "00" + HERE + destination
    return found[40:].hex()


def test_of_the_fixed_header_all_that_changes_on_the_way_is_zero() -> None:
    whole = bytes.fromhex("6b9abcde 0064 33 40" + HERE + THERE)
    for sending in (False, True):
        assert covered(whole, sending=sending).hex() == "60000000" + "0064" + "33" + "00" + HERE + THERE


@pytest.mark.parametrize("kind", [HOP, DESTINATION])
@pytest.mark.parametrize("sending", [False, True])
@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ("00 0502beef 0100", "00 0502beef 0100"),  # router alert, PadN of none
        ("00 3e02beef 0000", "00 3e020000 0000"),  # one that may change, two Pad1
        ("00 200001020000", "00 200001020000"),  # one that may, without data; then PadN
        ("01 c20400010000 ee0512345678ff 00", "01 c20400010000 ee050000000000 00"),  # two, of which one may
        ("00 1e04 3e02beef", "00 1e04 3e02beef"),  # what looks like an option inside another
        ("00 3f04 0502beef", "00 3f04 00000000"),
        ("00 000000000000", "00 000000000000"),
    ],
)
def test_the_data_of_options_that_may_change_is_zero(kind: int, sending: bool, options: str, seen: str) -> None:
    assert behind((kind, options), sending=sending) == ("33" + seen).replace(" ", "")


@pytest.mark.parametrize("kind", [HOP, DESTINATION])
@pytest.mark.parametrize("options", ["00 05050000 0000", "00 0000000000 3e", "00 0103000000 01", "00 05ff00000000"])
def test_an_option_that_lies_about_its_length_is_refused(kind: int, options: str) -> None:
    for sending in (False, True):
        with pytest.raises(WireError, match=r"^bad-option"):
            behind((kind, options), sending=sending)


def test_who_sends_lets_the_packet_arrive() -> None:
    found = behind((ROUTING, ROUTE.format(left="01", stop="09")), sending=True, destination=THERE[:-2] + "09")
    assert found == ("33" + ROUTE.format(left="00", stop="02")).replace(" ", "")


def test_one_route_goes_on_where_another_ends() -> None:
    first, second = (ROUTE.format(left="01", stop=stop) for stop in ("08", "09"))
    found = behind((ROUTING, first), (ROUTING, second), sending=True, destination=THERE[:-2] + "09")
    assert found[:48] == ("2b" + ROUTE.format(left="00", stop="02")).replace(" ", "")
    assert found[48:] == ("33" + ROUTE.format(left="00", stop="08")).replace(" ", "")


@pytest.mark.parametrize("route", [ROUTE.format(left="00", stop="09"), "00 04 00 00000000", "00 63 00 00000000"])
@pytest.mark.parametrize("sending", [False, True])
def test_a_route_that_has_ended_is_covered_as_it_is(route: str, sending: bool) -> None:
    assert behind((ROUTING, route), sending=sending) == ("33" + route).replace(" ", "")


def test_a_packet_that_has_not_arrived_is_refused_by_who_receives_it() -> None:
    with pytest.raises(WireError, match=r"^unfinished-route"):
        behind((ROUTING, ROUTE.format(left="01", stop="09")))


def test_a_route_nobody_can_follow_is_refused() -> None:
    with pytest.raises(WireError, match=r"^bad-extension-header"):
        behind((ROUTING, ROUTE.format(left="02", stop="09")), sending=True)


@pytest.mark.parametrize("sending", [False, True])
def test_a_fragment_header_counts_as_not_there(sending: bool) -> None:
    fragment, options = (FRAGMENT, "00 0000 00000007"), "00 3e02beef 0000"
    assert covered(headers(fragment), sending=sending) == covered(headers(), sending=sending)
    between = covered(headers((HOP, options), fragment, (DESTINATION, options)), sending=sending)
    assert between == covered(headers((HOP, options), (DESTINATION, options)), sending=sending)
