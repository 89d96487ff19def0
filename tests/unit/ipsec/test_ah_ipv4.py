"""What AH covers of an IPv4 header (RFC 4302 section 3.3.3.1.1, appendix A1)."""

from __future__ import annotations

import pytest

from ipsecd.errors import WireError
from ipsecd.ipsec.ah_ipv4 import covered

#         version, TOS, length  id, flags     TTL, protocol, checksum
HEADER = "45 b9 0064            1234 7fff     40 33 abcd"
COVERED = "45 00 0064           1234 0000     00 33 0000"
ADDRESSES = "c0000201 c6336401"


def header(options: str, *, destination: str = "c6336401", sending: bool = False) -> str:
    """What is covered of the options, once the rest is as it should be."""
    octets = bytes.fromhex(options)
    first = bytes([0x45 + len(octets) // 4])
    whole = first + bytes.fromhex(HEADER)[1:] + bytes.fromhex(ADDRESSES) + octets
    expected = first + bytes.fromhex(COVERED)[1:] + bytes.fromhex("c0000201" + destination)
    found = covered(whole, sending=sending)
    assert found[:20] == expected
    return found[20:].hex()


def test_of_the_fixed_header_all_that_changes_on_the_way_is_zero() -> None:
    assert covered(bytes.fromhex(HEADER + ADDRESSES), sending=True) == bytes.fromhex(COVERED + ADDRESSES)
    assert covered(bytes.fromhex(HEADER + ADDRESSES), sending=False) == bytes.fromhex(COVERED + ADDRESSES)


@pytest.mark.parametrize(
    "option",
    [
        "01010101",  # no operation
        "00000000",  # end of options
        "820b1234567890abcdef0500",  # security
        "85041234",  # extended security
        "8606000000010000",  # commercial security
        "94040000",  # router alert
        "9506e00000010000",  # sender-directed delivery
    ],
)
@pytest.mark.parametrize("sending", [False, True])
def test_immutable_options_are_covered_as_they_are(option: str, sending: bool) -> None:
    assert header(option, sending=sending) == bytes.fromhex(option).hex()


@pytest.mark.parametrize(
    "option",
    [
        "0707040000000000",  # record route
        "440805000000000a",  # timestamp
        "88040102",  # stream identifier
        "0b0405dc",  # MTU probe
        "520c00010000ffffc0000201",  # traceroute
        "9e040102",  # unknown, copied
        "1e040102",  # unknown
        "14040000",  # the number of a router alert in another class
        "02041234",  # and that of security, not copied
    ],
)
@pytest.mark.parametrize("sending", [False, True])
def test_options_that_change_or_are_unknown_are_zero_altogether(option: str, sending: bool) -> None:
    assert header(option, sending=sending) == bytes(len(bytes.fromhex(option))).hex()


def test_each_option_is_judged_by_itself_up_to_their_end() -> None:
    found = header("01 0707040a000001 94040000 440405f0 00 beef00")
    assert bytes.fromhex(found) == bytes.fromhex("01 00000000000000 94040000 00000000 00 beef00")


@pytest.mark.parametrize("kind", ["83", "89"])
class TestSourceRoutes:
    def test_who_sends_puts_in_where_the_packet_ends(self, kind: str) -> None:
        route = kind + "0b04 cb007101 cb007102 00"
        assert header(route, destination="cb007102", sending=True) == "00" * 12

    def test_some_stops_are_behind_it(self, kind: str) -> None:
        route = kind + "0b08 cb007101 cb007102 00"
        assert header(route, destination="cb007102", sending=True) == "00" * 12

    def test_all_stops_are_behind_it(self, kind: str) -> None:
        route = kind + "0b0c cb007101 cb007102 00"
        assert header(route, sending=True) == "00" * 12

    def test_who_receives_takes_the_destination_as_it_came(self, kind: str) -> None:
        """The option isn't covered, so whoever is on the way could make up one that names another destination."""
        assert header(kind + "0b04 cb007101 cb007102 00") == "00" * 12

    @pytest.mark.parametrize(
        "route",
        [
            "02 0000",  # no pointer
            "06 04 cb0071 0000",  # no whole address
            "07 03 cb007101 00",  # the pointer before the first
            "0b 05 cb007101 cb007102 00",  # or inside one
        ],
    )
    def test_what_is_no_route_is_refused(self, kind: str, route: str) -> None:
        with pytest.raises(WireError, match=r"^bad-option"):
            header(kind + route, sending=True)

    def test_a_route_of_no_stop_leads_nowhere_else(self, kind: str) -> None:
        assert header(kind + "0304 00", sending=True) == "00000000"

    def test_two_routes_are_refused(self, kind: str) -> None:
        with pytest.raises(WireError, match="two source routes"):
            header(kind + "0704cb007101 01 830704cb007102 00", sending=True)


@pytest.mark.parametrize("options", ["07000000", "07010000", "07050000", "01010107", "94040000 44ff0500"])
@pytest.mark.parametrize("sending", [False, True])
def test_an_option_that_lies_about_its_length_is_refused(options: str, sending: bool) -> None:
    with pytest.raises(WireError, match=r"^bad-option"):
        header(options, sending=sending)
