"""The authentication header (RFC 4302 section 2)."""

import pytest

from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ah import AhHeader, decode_header, header_octets

SHA256 = "11 05 0000 c0ffee01 0000002a" + "5a" * 16  # in front of UDP, with an ICV of 128 bits in IPv4


def test_a_header_is_written_and_read() -> None:
    header = AhHeader(next_header=17, octets=28, spi=0xC0FFEE01, sequence=42)
    assert decode_header(bytes.fromhex(SHA256) + b"what it protects") == header
    assert header.encode() == bytes.fromhex(SHA256)[:12]


def test_what_is_reserved_is_ignored() -> None:
    assert decode_header(bytes.fromhex("11 05 beef c0ffee01 0000002a" + "5a" * 16)).spi == 0xC0FFEE01


@pytest.mark.parametrize(
    ("value", "v4", "v6"),
    [
        (12, 24, 24),  # HMAC-SHA1-96, AES-XCBC-96, AES-CMAC-96
        (16, 28, 32),  # HMAC-SHA-256-128
        (24, 36, 40),  # HMAC-SHA-384-192; AES-GMAC, IV and ICV
        (32, 44, 48),  # HMAC-SHA-512-256
        (13, 28, 32),
    ],
)
def test_the_header_ends_on_32_bits_in_ipv4_and_on_64_in_ipv6(value: int, v4: int, v6: int) -> None:
    assert (header_octets(value, 4), header_octets(value, 6)) == (v4, v6)


def reason(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode_header(data)
    return caught.value.reason


def test_a_header_that_does_not_end_is_truncated() -> None:
    whole = bytes.fromhex(SHA256)
    assert {reason(whole[:octets]) for octets in range(len(whole))} == {"truncated"}


def test_a_header_shorter_than_its_fixed_fields_is_named() -> None:
    behind = bytes.fromhex(SHA256)[2:]
    assert reason(b"\x11\x00" + behind) == "ah-length"
    assert decode_header(b"\x11\x01" + behind).octets == 12


@pytest.mark.parametrize("spi", [0, 1, 255])
def test_reserved_spis_are_named(spi: int) -> None:
    data = bytes.fromhex(SHA256)
    assert reason(data[:4] + spi.to_bytes(4, "big") + data[8:]) == "reserved-spi"
    assert decode_header(data[:4] + bytes.fromhex("00000100") + data[8:]).spi == 256


@pytest.mark.parametrize(
    "header",
    [
        AhHeader(256, 24, 0x1000, 1),
        AhHeader(17, 26, 0x1000, 1),
        AhHeader(17, 8, 0x1000, 1),
        AhHeader(17, 1_032, 0x1000, 1),  # 256 words
        AhHeader(17, 24, 1 << 32, 1),
        AhHeader(17, 24, 0x1000, 1 << 32),
    ],
)
def test_a_header_that_has_no_octets_is_our_own_mistake(header: AhHeader) -> None:
    with pytest.raises(LocalError, match="not an AH header"):
        header.encode()
    assert AhHeader(17, 1_028, 0x1000, 1).encode().hex() == "11ff00000000100000000001"
