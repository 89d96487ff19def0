"""Packets cut into fragments."""

from __future__ import annotations

import pytest

from ipsecd.errors import LocalError
from ipsecd.ipsec.fragment import fragments
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import IpPacket, parse
from tests.unit.ipsec.packets import FRAGMENT, UDP, ipv4, ipv6, udp

ENDS = ("10.1.0.1", "10.2.0.1")


def cut(packet: bytes, mtu: int) -> list[bytes]:
    return fragments(packet, parse(packet), mtu)


def put_together(pieces: list[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        view = parse(piece)
        assert view.fragment_offset == len(body)
        body += piece[view.header_octets :]
    return bytes(body)


def shape(piece: IpPacket) -> tuple[int, int, bool]:
    return piece.total_octets, piece.fragment_offset, piece.more_fragments


def test_a_packet_is_cut_into_the_fewest_pieces_that_fit() -> None:
    packet = udp(*ENDS, data=bytes(range(256)) * 6)
    pieces = cut(packet, 600)
    assert [shape(parse(piece)) for piece in pieces] == [
        (596, 0, True),
        (596, 576, True),
        (412, 1_152, False),
    ]
    assert put_together(pieces) == packet[20:]


def test_every_piece_keeps_the_rest_of_the_header_and_has_a_right_checksum() -> None:
    packet = ipv4(*ENDS, UDP, bytes.fromhex("0001000203f00000") + bytes(1_000), tos=0xB8, ttl=9, identification=0xBEEF)
    for piece in cut(packet, 300):
        assert checksum(piece[:20]) == 0
        assert (piece[1], piece[4:6].hex(), piece[8], piece[9]) == (0xB8, "beef", 9, 17)
        assert piece[12:20] == packet[12:20]


def test_a_fragment_is_cut_into_smaller_ones_at_its_place_in_the_whole() -> None:
    middle = ipv4(*ENDS, UDP, bytes(800), more=True, offset=1_600)
    assert [shape(parse(piece)) for piece in cut(middle, 420)] == [
        (420, 1_600, True),
        (420, 2_000, True),
    ]
    last = ipv4(*ENDS, UDP, bytes(801), offset=1_600)
    assert [shape(parse(piece)) for piece in cut(last, 420)] == [
        (420, 1_600, True),
        (420, 2_000, True),
        (21, 2_400, False),
    ]


def test_options_stand_in_the_first_fragment_and_those_with_the_copied_flag_in_all() -> None:
    record_route = bytes.fromhex("0707040000000000")  # not copied
    router_alert = bytes.fromhex("94040000")  # copied (RFC 2113)
    options = b"\x01" + router_alert + record_route[:7]
    packet = ipv4(*ENDS, UDP, bytes.fromhex("0001000200c80000") + bytes(192), options=options)
    first, second, third = cut(packet, 100)
    assert first[20:32] == options
    assert second[:1] == b"\x46"
    assert second[20:24] == router_alert
    assert third[20:24] == router_alert
    assert put_together([first, second, third]) == packet[32:]
    for piece in (first, second, third):
        assert checksum(piece[: parse(piece).header_octets]) == 0


def test_options_that_end_early_are_padded_to_whole_words() -> None:
    options = bytes.fromhex("8803aa00")  # three octets, copied; then the end
    packet = ipv4(*ENDS, UDP, bytes.fromhex("0001000200200000") + bytes(24), options=options)
    first, second = cut(packet, 48)
    assert first[20:24] == options
    assert second[20:24] == bytes.fromhex("8803aa00")


def test_what_fits_stays_whole() -> None:
    packet = udp(*ENDS)
    assert cut(packet, len(packet)) == [packet]


def test_pieces_of_eight_octets_are_the_smallest() -> None:
    pieces = cut(udp(*ENDS, data=bytes(9)), 28)
    assert [shape(parse(piece)) for piece in pieces] == [(28, 0, True), (28, 8, True), (21, 16, False)]


def test_what_must_not_be_fragmented_or_can_not_is_our_own_mistake() -> None:
    with pytest.raises(LocalError, match="must not"):
        cut(udp(*ENDS, df=True), 28)
    with pytest.raises(LocalError, match="must not"):
        cut(udp("2001:db8::1", "2001:db8::2"), 60)
    with pytest.raises(LocalError, match="no room"):
        cut(udp(*ENDS), 27)


V6 = ("2001:db8:1::1", "2001:db8:2::1")
OPTIONS = bytes.fromhex("2c00010400000000")  # hop-by-hop, then a fragment header
HEADER = bytes.fromhex("11000000cafef00d")  # UDP is next; the whole packet


def test_an_ipv6_packet_that_its_source_had_cut_is_cut_again() -> None:
    """RFC 8200 section 4.5: what stands before the fragment header stands in each piece."""
    body = bytes(range(256)) * 10
    pieces = cut(ipv6(*V6, 0, OPTIONS + HEADER + body, tos=0xB8), 1_280)
    assert [shape(parse(piece)) for piece in pieces] == [(1_280, 0, True), (1_280, 1_224, True), (168, 2_448, False)]
    for piece in pieces:
        assert piece[:4] == bytes.fromhex("6b8abcde")
        assert piece[6:48] == ipv6(*V6, 0, OPTIONS)[6:48]
        assert (piece[48:50], piece[52:56]) == (HEADER[:2], HEADER[4:])
        assert len(piece) == 40 + int.from_bytes(piece[4:6], "big")
    assert b"".join(piece[56:] for piece in pieces) == body


def test_a_piece_of_an_ipv6_fragment_keeps_its_place() -> None:
    (first, last) = cut(ipv6(*V6, FRAGMENT, bytes.fromhex("11000bb9cafef00d") + bytes(1_600)), 1_280)
    assert shape(parse(first)) == (1_280, 3_000, True)
    assert shape(parse(last)) == (416, 4_232, True)


def test_an_ipv6_packet_that_its_source_had_not_cut_is_left_alone() -> None:
    with pytest.raises(LocalError):
        cut(udp(*V6, data=bytes(2_000)), 1_280)
