"""Identities of IKEv1 (RFC 2407 section 4.6.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id, decode_id
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import IdType
from ipsecd.wire.selector import Selector

NAMES = {
    "192.0.2.1": "01 00 0000 c0000201",
    "gw.example": "02 00 0000 67772e6578616d706c65",
    "a@b.example": "03 00 0000 6140622e6578616d706c65",
    "2001:db8::1": "05 00 0000 20010db8000000000000000000000001",
    "CN=x, O=y": "09 00 0000 3018310a30080603550403 0c0178310a3008060355040a0c0179",
    "keyid:0x00ff": "0b 00 0000 00ff",
}
SELECTED = {
    "01 00 0000 c0000201": Selector.net("192.0.2.1"),
    "01 11 06a5 c0000201": Selector.net("192.0.2.1", 17, (1701, 1701)),
    "04 00 0000 c6336400 ffffff00": Selector.net("198.51.100.0/24"),
    "04 06 0000 00000000 00000000": Selector.net("0.0.0.0/0", 6),
    "05 00 0000 20010db8000000000000000000000001": Selector.net("2001:db8::1"),
    "06 00 0000 20010db8000000000000000000000000 ffffffff000000000000000000000000": Selector.net("2001:db8::/32"),
    "07 00 0000 c6336405 c6336409": Selector(ip_address("198.51.100.5"), ip_address("198.51.100.9")),
    "08 00 0000 20010db8000000000000000000000001 20010db8000000000000000000000003": Selector(
        ip_address("2001:db8::1"), ip_address("2001:db8::3")
    ),
}


def read(octets: str) -> Id:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_id(body)


@pytest.mark.parametrize(("name", "octets"), NAMES.items(), ids=NAMES)
def test_who_a_peer_is_means_the_same_in_both_versions_of_ike(name: str, octets: str) -> None:
    assert read(octets).identity == Identity.parse(name)
    assert Id.of(Identity.parse(name)) == read(octets)
    assert read(octets).encode() == bytes.fromhex(octets)


@pytest.mark.parametrize(("octets", "selector"), SELECTED.items(), ids=map(str, SELECTED.values()))
def test_what_traffic_is_meant(octets: str, selector: Selector) -> None:
    assert read(octets).selector == selector
    assert Id.selecting(selector) == read(octets)


def test_a_subnet_of_one_address_is_said_as_an_address() -> None:
    selector = read("04 00 0000 c6336407 ffffffff").selector
    assert selector == Selector.net("198.51.100.7")
    assert Id.selecting(selector) == read("01 00 0000 c6336407")


def test_bits_of_a_host_in_a_subnet_mean_nothing() -> None:
    assert read("04 00 0000 c6336463 ffffff00").selector == Selector.net("198.51.100.0/24")


@pytest.mark.parametrize("octets", ["02 00 0000 6777", "03 11 01f4 6140", "0b 00 0000 6777", "fa 00 0000 00"])
def test_a_name_selects_no_traffic(octets: str) -> None:
    assert read(octets).selector is None


def test_a_range_of_ports_can_not_be_said() -> None:
    with pytest.raises(ValueError, match="port range"):
        Id.selecting(Selector.net("192.0.2.0/24", 6, (1, 2)))


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", "bad-identity-length"),
        ("01 00 00", "bad-identity-length"),
        ("01 00 0000 c00002", "bad-identity-length"),
        ("01 00 0000 c000020100", "bad-identity-length"),
        ("02 00 0000", "bad-identity"),
        ("02 00 0000 67770a", "bad-identity"),
        ("04 00 0000 c6336400", "bad-identity-length"),
        ("04 00 0000 c6336400 ffffff0000", "bad-identity-length"),
        ("04 00 0000 c6336400 ff00ff00", "bad-subnet-mask"),
        ("04 00 0000 c6336400 00ffffff", "bad-subnet-mask"),
        ("06 00 0000 c6336400 ffffff00", "bad-identity-length"),
        ("06 00 0000 20010db8000000000000000000000000 fffffffe000000000000000000000001", "bad-subnet-mask"),
        ("07 00 0000 c6336409 c6336405", "bad-range"),
        ("08 00 0000 20010db8000000000000000000000003 20010db8000000000000000000000001", "bad-range"),
        ("0b 00 0000" + "00" * 1025, "bad-identity-length"),
    ],
)
def test_what_can_not_be_an_identity_is_refused(octets: str, expected: str) -> None:
    with pytest.raises(WireError) as caught:
        read(octets)
    assert caught.value.reason == expected


def test_types_nobody_assigned_keep_their_number() -> None:
    assert read("c8 00 0000 00ff") == Id(IdType(200), b"\x00\xff")
