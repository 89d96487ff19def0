"""What mode config hands to a host (draft-dukes-ike-mode-cfg-02 section 3.4)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.ikev1_attributes import Attribute, basic, encode_attributes
from ipsecd.wire.mode_config import NetworkSettings, asked, read, requests, written
from ipsecd.wire.registry_v1 import ConfigAttribute

ALL = NetworkSettings(
    (ip_address("10.3.0.1"), ip_address("2001:db8::1")),
    (ip_address("10.2.0.1"), ip_address("2001:db8::53")),
    (ip_address("10.2.0.2"),),
    (ip_network("10.2.0.0/16"), ip_network("2001:db8::/32")),
    3_600,
)
OCTETS = (
    "0001 0004 0a030001 0008 0010 20010db8000000000000000000000001 0002 0004 ffffffff"
    "0003 0004 0a020001 000a 0010 20010db8000000000000000000000053 0004 0004 0a020002"
    "000d 0008 0a020000 ffff0000 000f 0011 20010db8000000000000000000000000 20 0005 0004 00000e10"
)


def test_all_that_can_be_said_is_said_in_octets_and_read_again() -> None:
    assert encode_attributes(written(ALL)) == bytes.fromhex(OCTETS)
    assert read(written(ALL)) == ALL
    assert read(()) == NetworkSettings()
    assert written(NetworkSettings()) == ()


def test_a_request_asks_by_empty_attributes_for_each_ip_version() -> None:
    assert encode_attributes(requests((4,))).hex() == "0001000000020000000300000004" + "0000000d0000"
    assert {str(kind) for kind in asked(requests((6,)))} == {
        "INTERNAL_IP6_ADDRESS",
        "INTERNAL_IP6_DNS",
        "INTERNAL_IP6_NBNS",
        "INTERNAL_IP6_SUBNET",
    }
    assert read(requests((4, 6))) == NetworkSettings()


def test_an_ipv6_address_may_have_a_prefix_length_behind_it() -> None:
    said = Attribute(ConfigAttribute.INTERNAL_IP6_ADDRESS, ip_address("2001:db8::1").packed + b"\x40")
    assert read((said,)).addresses == (ip_address("2001:db8::1"),)


def test_what_is_not_known_says_nothing() -> None:
    assert read((Attribute(28_672, b"Welcome"), Attribute(16_000, b"x"), basic(16_520, 0))) == NetworkSettings()


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (1, "0a0300", "bad-attribute-length"),
        (1, "0a03000100", "bad-attribute-length"),
        (3, "0a", "bad-attribute-length"),
        (5, "0e10", "bad-attribute-length"),
        (8, "20010db8", "bad-attribute-length"),
        (13, "0a020000", "bad-attribute-length"),
        (13, "0a020000 ff00ff00", "bad-netmask"),
        (15, "20010db8000000000000000000000000 81", "bad-netmask"),
        (15, "20010db8000000000000000000000000", "bad-attribute-length"),
    ],
)
def test_values_that_can_not_be_are_refused(kind: int, value: str, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        read((Attribute(kind, bytes.fromhex(value)),))
    assert caught.value.reason == reason


def test_an_address_in_two_octets_is_refused() -> None:
    with pytest.raises(WireError):
        read((basic(ConfigAttribute.INTERNAL_IP4_ADDRESS, 10),))
