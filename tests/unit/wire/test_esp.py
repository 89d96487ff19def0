"""ESP framing (RFC 4303 section 2)."""

import json
from pathlib import Path

import pytest

from ipsecd.errors import LocalError, WireError
from ipsecd.wire.esp import EspHeader, decode_header, strip_trailer, trailer

VECTORS = Path(__file__).parents[2] / "vectors"


def test_the_published_packet_begins_and_ends_as_we_would_frame_it() -> None:
    """RFC 7634 appendix A."""
    vector = json.loads((VECTORS / "rfc7634-chacha20poly1305.json").read_text())["esp"]
    source, plaintext = bytes.fromhex(vector["source_packet"]), bytes.fromhex(vector["plaintext"])
    header = EspHeader(0x01020304, 5)
    assert header.encode().hex() == vector["aad"]
    assert decode_header(bytes.fromhex(vector["packet"])[20:]) == header
    assert source + trailer(len(source), 4, 4) == plaintext
    assert strip_trailer(plaintext) == (source, 4)


@pytest.mark.parametrize("octets", range(8))
def test_a_short_packet_is_truncated(octets: int) -> None:
    with pytest.raises(WireError, match=r"^truncated"):
        decode_header(bytes.fromhex("0102030400000005")[:octets])


@pytest.mark.parametrize("spi", [0, 1, 255])
def test_reserved_spis_are_named(spi: int) -> None:
    with pytest.raises(WireError, match=r"^reserved-spi"):
        decode_header(spi.to_bytes(4, "big") + bytes(4))
    assert decode_header(bytes.fromhex("00000100 00000000")) == EspHeader(256, 0)


@pytest.mark.parametrize("header", [EspHeader(1 << 32, 0), EspHeader(256, -1)])
def test_a_header_that_has_no_octets_is_our_own_mistake(header: EspHeader) -> None:
    with pytest.raises(LocalError, match=r"not an ESP header"):
        header.encode()


@pytest.mark.parametrize(
    ("payload", "align", "octets"),
    [
        (2, 4, "0004"),
        (3, 4, "010203 03 04"),
        (4, 4, "0102 02 04"),
        (5, 1, "01 01 04"),
        (14, 16, "0004"),
        (0, 8, "010203040506 06 04"),
    ],
)
def test_padding_counts_up_to_the_alignment(payload: int, align: int, octets: str) -> None:
    assert trailer(payload, align, 4) == bytes.fromhex(octets)
    assert (payload + len(trailer(payload, align, 4))) % max(align, 4) == 0


@pytest.mark.parametrize("octets", ["", "00"])
def test_a_plaintext_without_trailer_is_truncated(octets: str) -> None:
    with pytest.raises(WireError, match=r"^truncated"):
        strip_trailer(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["0104", "61 01 04", "02 01 02 04", "0102 03 04", "010203 ff 04"])
def test_padding_that_does_not_count_up_is_refused(octets: str) -> None:
    with pytest.raises(WireError, match=r"^bad-padding"):
        strip_trailer(bytes.fromhex(octets))


def test_a_packet_may_hold_nothing_but_its_trailer() -> None:
    assert strip_trailer(bytes.fromhex("0102 02 3b")) == (b"", 59)  # a dummy packet, RFC 4303 section 2.6


def test_the_longest_padding_is_255_octets() -> None:
    plaintext = b"payload" + bytes(range(1, 256)) + b"\xff\x29"
    assert strip_trailer(plaintext) == (b"payload", 41)
