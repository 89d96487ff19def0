"""The IKE header (RFC 7296 section 3.1)."""

import re
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ike import HEADER_OCTETS, NO_SPI, Header, decode_header
from ipsecd.wire.registry import Exchange, Flag

OCTETS = bytes.fromhex("c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7 2e 20 25 28 00000009 0000001c")
HEADER = Header(OCTETS[:8], OCTETS[8:16], 46, 2, 0, Exchange.INFORMATIONAL, Flag.RESPONSE | Flag.INITIATOR, 9, 28)


def test_a_header_comes_back_as_it_was() -> None:
    assert decode_header(OCTETS) == HEADER
    assert HEADER.encode() == OCTETS


@pytest.mark.parametrize(("flags", "response", "initiator"), [(0, 0, 0), (8, 0, 1), (0x20, 1, 0), (0xD7, 0, 0)])
def test_flags_say_who_sent_it_and_unused_bits_say_nothing(flags: int, response: int, initiator: int) -> None:
    header = decode_header(OCTETS[:19] + bytes([flags]) + OCTETS[20:])
    assert (header.is_response, header.from_initiator) == (bool(response), bool(initiator))


def test_every_version_is_read_because_the_answer_depends_on_it() -> None:
    for version in range(256):
        header = decode_header(OCTETS[:17] + bytes([version]) + OCTETS[18:])
        assert (header.major, header.minor) == divmod(version, 16)


def test_an_exchange_nobody_assigned_keeps_its_number() -> None:
    header = decode_header(OCTETS[:18] + b"\xf0" + OCTETS[19:])
    assert (header.exchange.value, str(header.exchange), header.exchange.known) == (240, "EXCHANGE_240", False)


@pytest.mark.parametrize("octets", range(HEADER_OCTETS))
def test_a_short_datagram_is_truncated(octets: int) -> None:
    with pytest.raises(WireError, match=r"^truncated"):
        decode_header(OCTETS[:octets])


@pytest.mark.parametrize("length", [0, 27, 29, 0x1C00_0000, 0xFFFF_FFFF])
def test_the_length_must_be_that_of_the_datagram(length: int) -> None:
    with pytest.raises(WireError, match=r"^bad-length"):
        decode_header(OCTETS[:24] + length.to_bytes(4, "big"))


def test_the_initiators_spi_is_never_zero() -> None:
    with pytest.raises(WireError, match=r"^zero-spi"):
        decode_header(NO_SPI + OCTETS[8:])


def test_a_datagram_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(WireError, match=r"^too-long"):
        decode_header(bytes(limits.MAX_IKE_DATAGRAM + 1))


@pytest.mark.parametrize(
    "change",
    [{"spi_i": b"short"}, {"spi_r": b"much too long"}, {"major": 16}, {"minor": -1}, {"message_id": 1 << 32}],
    ids=str,
)
def test_a_header_that_has_no_octets_is_our_own_mistake(change: dict[str, object]) -> None:
    wrong = replace(HEADER, **change)  # type: ignore[arg-type]  # wrong values are the point
    with pytest.raises(LocalError, match=re.escape("not an IKE header: Header(")):
        wrong.encode()
