"""Fragments put together again."""

from __future__ import annotations

from itertools import permutations

import pytest

from ipsecd import limits
from ipsecd.ipsec.fragment import fragments
from ipsecd.ipsec.reassembly import Gathered, Loss, Reassembly
from ipsecd.wire.ip import parse
from tests.unit.ipsec.packets import FRAGMENT, UDP, ipv4, ipv6, udp

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")
BODY = udp(*V4, data=bytes(range(256)) * 12)[20:]
ATOMIC = bytes.fromhex("11000000cafef00d")


def add(reassembly: Reassembly, packet: bytes, now: float = 0.0) -> Gathered:
    return reassembly.add(packet, parse(packet), now)


def v4(offset: int, octets: int, *, more: bool = True, identification: int = 7, protocol: int = UDP) -> bytes:
    """One fragment of ``BODY``."""
    body = BODY[offset : offset + octets]
    return ipv4(*V4, protocol, body, offset=offset, more=more, identification=identification)


def pieces(packet: bytes, mtu: int) -> list[bytes]:
    return fragments(packet, parse(packet), mtu)


@pytest.mark.parametrize(
    "whole",
    [
        ipv4(*V4, UDP, BODY, tos=0xB8),
        ipv4(*V4, UDP, BODY, options=bytes.fromhex("94040000 07040400")),  # one of them is copied, the other not
        ipv6(*V6, FRAGMENT, ATOMIC + BODY),
        ipv6(*V6, 0, bytes.fromhex("2c00010400000000") + ATOMIC + BODY),
        ipv6(*V6, FRAGMENT, bytes.fromhex("3c000000cafef00d 1100010400000000") + BODY),
    ],
)
def test_the_pieces_of_a_packet_make_it_whole_in_any_order(whole: bytes) -> None:
    for order in permutations(pieces(whole, 1_280)):
        reassembly = Reassembly()
        outcomes = [add(reassembly, piece) for piece in order]
        assert outcomes == [Gathered(), Gathered(), Gathered(whole, 3)]
        assert reassembly.held == 0
        assert reassembly.deadline() is None


def test_df_of_the_fragments_is_gone_from_the_whole() -> None:
    reassembly = Reassembly()
    for piece in pieces(ipv4(*V4, UDP, BODY), 1_280):
        marked = ipv4(
            *V4, UDP, piece[20:], df=True, more=parse(piece).more_fragments, offset=parse(piece).fragment_offset
        )
        outcome = add(reassembly, marked)
    assert outcome.whole == ipv4(*V4, UDP, BODY)


def test_packets_are_told_apart() -> None:
    """By addresses, protocol (IPv4) and identification."""
    reassembly = Reassembly()
    first, last = v4(0, 1_600), v4(1_600, 4_000, more=False)
    others = (
        v4(1_600, 4_000, more=False, identification=8),
        v4(1_600, 4_000, more=False, protocol=1),
        ipv4(V4[0], "10.2.0.2", UDP, BODY[1_600:], offset=1_600, identification=7),
        ipv4("10.1.0.2", V4[1], UDP, BODY[1_600:], offset=1_600, identification=7),
    )
    assert [add(reassembly, packet) for packet in (first, *others)] == [Gathered()] * 5
    assert reassembly.held == 5
    assert add(reassembly, last).whole == ipv4(*V4, UDP, BODY, identification=7)
    assert reassembly.held == 4


def test_the_same_fragment_again_is_dropped_alone() -> None:
    reassembly = Reassembly()
    assert add(reassembly, v4(0, 1_600)) == Gathered()
    assert add(reassembly, v4(0, 1_600)) == Gathered(loss=Loss.DUPLICATE, lost=1)
    assert add(reassembly, v4(1_600, 4_000, more=False)).whole == ipv4(*V4, UDP, BODY, identification=7)


@pytest.mark.parametrize(
    ("there", "comes"),
    [
        ([v4(0, 1_600)], v4(1_592, 800)),
        ([v4(0, 1_600)], v4(0, 800)),
        ([v4(800, 800)], v4(0, 1_600)),
        ([v4(800, 800)], v4(0, 808)),
        ([v4(800, 800)], v4(808, 8)),
        ([v4(0, 800), v4(1_600, 800)], v4(792, 16)),
        ([v4(0, 800), v4(1_600, 800)], v4(1_000, 608)),
        ([v4(800, 800, more=False)], v4(1_600, 800)),  # behind the end
        ([v4(800, 800, more=False)], v4(1_600, 800, more=False)),  # a second end
        ([v4(800, 800)], v4(400, 400, more=False)),  # an end before what is there
        ([v4(800, 800)], v4(400, 200, more=False)),
    ],
)
def test_fragments_that_overlap_or_contradict_are_dropped_all_of_them(there: list[bytes], comes: bytes) -> None:
    """RFC 5722: who sends such a thing wants filters to see something else than the receiver."""
    reassembly = Reassembly()
    assert [add(reassembly, piece) for piece in there] == [Gathered()] * len(there)
    assert add(reassembly, comes) == Gathered(loss=Loss.MISMATCH, lost=len(there) + 1)
    assert reassembly.held == 0


def test_what_would_be_longer_than_a_packet_can_be_is_dropped() -> None:
    """Each fragment is within bounds; with the options of the first they aren't."""
    reassembly = Reassembly()
    options = bytes.fromhex("07280400") + bytes(36)
    assert add(reassembly, ipv4(*V4, UDP, bytes(65_440), more=True, options=options)) == Gathered()
    assert add(reassembly, ipv4(*V4, UDP, bytes(70), offset=65_440)) == Gathered(loss=Loss.MISMATCH, lost=2)


def test_what_never_gets_whole_is_forgotten() -> None:
    reassembly = Reassembly()
    add(reassembly, v4(0, 800), 10.0)
    add(reassembly, v4(800, 800), 14.0)
    add(reassembly, v4(0, 800, identification=8), 14.0)
    assert reassembly.deadline() == 15.0
    assert reassembly.expire(14.9) == 0
    assert reassembly.expire(15.0) == 2
    assert (reassembly.held, reassembly.deadline()) == (1, 19.0)
    assert reassembly.expire(19.0) == 1
    assert reassembly.deadline() is None


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REASSEMBLY_OCTETS", 6_000)
    reassembly = Reassembly()
    big = [v4(0, 1_600, identification=number) for number in range(3)]
    assert [add(reassembly, packet) for packet in big] == [Gathered(), Gathered(), Gathered(loss=Loss.FULL, lost=1)]
    assert reassembly.held == 2
    small = [v4(8 * number, 8, identification=9) for number in range(1, 40)]
    lost = sum(add(reassembly, packet).lost for packet in small)
    assert lost + reassembly.held == 2 + 39  # tiny ones cost what they cost us, not what they carry
    assert reassembly.held < 24
