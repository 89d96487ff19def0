"""Routing headers as they arrive (RFC 4302 appendix A2; RFC 2460 section 4.4, RFC 6275 section 6.4, RFC 6554)."""

from __future__ import annotations

import pytest

from ipsecd.errors import WireError
from ipsecd.ipsec.ah_route import arrive


def address(number: int) -> str:
    return "20010db8" + "00" * 11 + f"{number:02x}"


def arrived(header: str, destination: int | str) -> tuple[str, str]:
    shown = destination if isinstance(destination, str) else address(destination)
    found, last = arrive(bytearray.fromhex(header), bytearray.fromhex(shown), 40)
    return found.hex(), last.hex()


def plain(kind: int, left: int, *stops: int) -> str:
    return f"11{2 * len(stops):02x}{kind:02x}{left:02x}00000000" + "".join(address(stop) for stop in stops)


def test_all_stops_are_visited_in_turn() -> None:
    """The example of RFC 2460 section 4.4: from S to D by I1, I2 and I3."""
    assert arrived(plain(0, 3, 2, 3, 4), 1) == (plain(0, 0, 1, 2, 3), address(4))


def test_a_packet_under_way_goes_the_rest_of_the_way() -> None:
    assert arrived(plain(0, 2, 1, 3, 4), 2) == (plain(0, 0, 1, 2, 3), address(4))
    assert arrived(plain(0, 1, 1, 2, 4), 3) == (plain(0, 0, 1, 2, 3), address(4))


def test_a_home_address_takes_the_place_of_the_care_of_address() -> None:
    assert arrived(plain(2, 1, 9), 1) == (plain(2, 0, 1), address(9))


def test_addresses_of_rpl_lack_what_they_share_with_the_destination() -> None:
    """CmprI 15, CmprE 14, Pad 4: two addresses of an octet, one of two."""
    assert arrived("11 01 03 03 fe400000 02 03 0a04 00000000", 1) == (
        "110103 00 fe400000 01 02 0003 00000000".replace(" ", ""),
        "20010db8" + "00" * 10 + "0a04",
    )


def test_addresses_of_rpl_may_be_whole() -> None:
    assert arrived(plain(3, 2, 2, 3), 1) == (plain(3, 0, 1, 2), address(3))


def refused(header: str) -> str:
    with pytest.raises(WireError) as caught:
        arrived(header, 1)
    return str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        plain(0, 4, 2, 3, 4),
        plain(0, 1),
        "11 01 00 01 00000000" + "00" * 8,  # half an address
        "11 03 00 01 00000000" + "00" * 24,  # one and a half
        "11 01 03 03 fe500000 02 03 0a04 00000000",  # padding where an address would be: two are left
        "11 01 03 01 00000000" + "00" * 8,
        "11 00 03 01 00000000",
        "11 01 03 01 00f00000" + "00" * 8,
        "11 01 03 01 e0f00000" + "00" * 8,
    ],
)
def test_a_route_of_fewer_stops_than_it_says_is_refused(header: str) -> None:
    assert refused(header).startswith("bad-extension-header")


@pytest.mark.parametrize("kind", [1, 4, 253])
def test_a_route_of_another_type_is_refused(kind: int) -> None:
    assert "no telling where a route of type" in refused(plain(kind, 1, 2))
