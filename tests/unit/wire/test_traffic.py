"""Traffic Selector payloads (RFC 7296 section 3.13)."""

from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.selector import OPAQUE, Selector
from ipsecd.wire.traffic import Selectors, decode_selectors, encode_selectors

V4 = "07 00 0010 0000 ffff c0000200 c00002ff"
V6 = "08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db80000000000000000ffffffff"


def read(octets: str) -> Selectors:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_selectors(body)


def reason(octets: str) -> str:
    with pytest.raises(WireError) as caught:
        read(octets)
    return caught.value.reason


def test_the_selectors_that_the_rfc_draws() -> None:
    """The TSi of the example in section 3.13: UDP from one address, ports 100 and 200."""
    host = ip_address("198.51.100.66")
    selectors = (Selector(host, host, 17, (100, 100)), Selector(host, host, 17, (200, 200)))
    octets = "02000000 07110010 00640064 c6336442 c6336442 07110010 00c800c8 c6336442 c6336442"
    assert read(octets) == (selectors, ())
    assert encode_selectors(selectors, ()) == bytes.fromhex(octets)


def test_both_families_may_stand_in_one_payload() -> None:
    known, unknown = read(f"02000000 {V4} {V6}")
    assert [str(selector) for selector in known] == ["192.0.2.0/24", "2001:db8::/96"]
    assert unknown == ()
    assert encode_selectors(known, unknown) == bytes.fromhex(f"02000000 {V4} {V6}")


def test_opaque_ports_are_the_one_range_that_stands_backwards() -> None:
    (selector,), _ = read("01000000 07 2c 0010 ffff 0000 00000000 ffffffff")
    assert selector.ports == OPAQUE


def test_types_we_do_not_know_are_kept_apart_from_those_we_narrow() -> None:
    octets = f"03000000 09 01 0008 61626364 {V4} c8 00 0004"
    known, unknown = read(octets)
    assert [str(selector) for selector in known] == ["192.0.2.0/24"]
    assert unknown == ((9, b"\1abcd"), (200, b"\0"))
    assert encode_selectors(known, unknown) == bytes.fromhex(f"03000000 {V4} 09 01 0008 61626364 c8 00 0004")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", "truncated"),
        ("010000", "truncated"),
        ("00000000", "selector-count"),  # one or more
        ("01000000", "selector-count"),
        (f"00000000 {V4}", "selector-count"),
        (f"02000000 {V4}", "selector-count"),
        (f"ff000000 {V4}", "selector-count"),
        (f"01000000 {V4} {V4}", "selector-count"),
        (f"01000000 {V4} 00", "truncated"),
        ("01000000 07 00 0003 0000 ffff c0000200 c00002ff", "bad-length"),
        ("01000000 07 00 0000 0000 ffff c0000200 c00002ff", "bad-length"),
        ("01000000 07 00 000f 0000 ffff c0000200 c00002ff", "truncated"),
        ("01000000 07 00 0011 0000 ffff c0000200 c00002ff", "truncated"),
        ("01000000 07 00 0011 0000 ffff c0000200 c00002ff 00", "trailing-octets"),
        ("01000000 08 00 0010 0000 ffff c0000200 c00002ff", "truncated"),  # v4 addresses in the v6 type
        ("01000000 07 00 0028 0000 ffff" + "00" * 16 + "ff" * 16, "trailing-octets"),  # and the other way round
        ("01000000 07 00 0010 0000 ffff c00002ff c0000200", "reversed-addresses"),
        ("01000000 07 06 0010 0051 0050 c0000200 c00002ff", "reversed-ports"),
        ("01000000 07 06 0010 ffff 0001 c0000200 c00002ff", "reversed-ports"),
        ("01000000 c8 00 0003", "bad-length"),
        ("01000000 c8 00 0005", "truncated"),
    ],
)
def test_ranges_lengths_and_counts_must_make_sense(octets: str, expected: str) -> None:
    assert reason(octets) == expected


def test_there_are_so_many_selectors_and_no_more() -> None:
    most = limits.MAX_SELECTORS_READ
    assert most == 255
    assert len(read(f"ff000000 {V4 * most}")[0]) == most
    assert reason(f"00000000 {V4 * (most + 1)}") == "too-many-selectors"
    assert reason(f"ff000000 {V4 * (most + 1)}") == "too-many-selectors"
    assert reason(f"ff000000 {'c8000004' * (most + 1)}") == "too-many-selectors"
