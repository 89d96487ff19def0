"""The Internet checksum (RFC 1071, RFC 1624)."""

from ipaddress import ip_address

import pytest

from ipsecd.wire.checksum import checksum, ones_sum, pseudo_checksum, repair


def test_the_sum_of_rfc_1071_section_3() -> None:
    assert ones_sum(bytes.fromhex("0001 f203 f4f5 f6f7")) == 0xDDF2
    assert checksum(bytes.fromhex("0001 f203 f4f5 f6f7")) == 0x220D


def test_an_odd_last_octet_is_padded_with_zero() -> None:
    assert ones_sum(b"\x01\x02\x03") == 0x0102 + 0x0300


@pytest.mark.parametrize(
    ("octets", "expected"), [("", 0xFFFF), ("0000", 0xFFFF), ("ffff", 0), ("ffff0000", 0), ("8000 7fff", 0)]
)
def test_zero_and_its_other_form_are_told_apart(octets: str, expected: int) -> None:
    assert checksum(bytes.fromhex(octets)) == expected


def test_a_header_that_carries_its_checksum_sums_to_nothing() -> None:
    # The outer header of RFC 7634 appendix A.
    assert checksum(bytes.fromhex("4500008c234500004032de5bcb007199cb007105")) == 0


def test_a_udp_datagram_with_its_pseudo_header_v4() -> None:
    udp = bytes.fromhex("0035 1f90 000a 0000 6869")
    partial = pseudo_checksum(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 17, len(udp))
    # c000 + 0201 + c000 + 0202 + 0011 + 000a and 0035 + 1f90 + 000a + 6869, folded and inverted, added by hand
    assert (partial, checksum(udp, partial)) == (0x841F, 0xF3A7)


def test_the_pseudo_header_of_ipv6_holds_both_addresses_the_length_and_the_protocol() -> None:
    partial = pseudo_checksum(ip_address("2001:db8::1"), ip_address("2001:db8::2"), 58, 0x10000 + 8)
    assert partial == 2 * (0x2001 + 0x0DB8) + 1 + 2 + 1 + 8 + 58


def test_the_repair_that_rfc_1624_section_4_got_right() -> None:
    """The example whose older formula gave 0xffff: HC 0xdd2f, m 0x5555, m' 0x3285."""
    assert repair(0xDD2F, 0x5555, 0x3285) == 0x0000
