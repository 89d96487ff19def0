"""Tunnel-mode header work: RFC 4301 section 5.1.2, RFC 6040."""

from __future__ import annotations

import pytest

from ipsecd.errors import LocalError, PeerError
from ipsecd.ipsec.tunnel import ECN_OUT, OuterHeader, inner_packet, propagate_ecn
from ipsecd.wire.checksum import checksum
from ipsecd.wire.ip import parse
from tests.unit.ipsec.packets import udp

V4 = ("10.1.0.1", "10.2.0.1")
V6 = ("2001:db8:1::1", "2001:db8:2::1")
NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3

# --- going out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize("tos", [0x00, 0xB8, 0x01, 0x02, 0xBB, 0xFF])
def test_ds_field_and_ecn_are_copied(ends: tuple[str, str], tos: int) -> None:
    assert OuterHeader().tos(parse(udp(*ends, tos=tos))) == tos


@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize(("inner", "outer"), [(0xB8, 0x28), (0xB9, 0x29), (0x02, 0x2A), (0xFF, 0x2B)])
def test_a_ds_field_of_our_own_leaves_ecn_alone(ends: tuple[str, str], inner: int, outer: int) -> None:
    assert OuterHeader(dscp=10).tos(parse(udp(*ends, tos=inner))) == outer


@pytest.mark.parametrize(
    ("df", "with_df", "without", "v6"),
    [("copy", True, False, True), ("set", True, True, True), ("clear", False, False, False)],
)
def test_df_is_copied_set_or_clear(df: str, with_df: bool, without: bool, v6: bool) -> None:
    header = OuterHeader(df=df)
    assert header.dont_fragment(parse(udp(*V4, df=True))) is with_df
    assert header.dont_fragment(parse(udp(*V4))) is without
    assert header.dont_fragment(parse(udp(*V6))) is v6


@pytest.mark.parametrize("wrong", [{"dscp": -1}, {"dscp": 64}, {"df": "maybe"}])
def test_an_outer_header_that_can_not_be_is_our_own_mistake(wrong: dict[str, int | str]) -> None:
    with pytest.raises(LocalError):
        OuterHeader(**wrong)  # type: ignore[arg-type]  # that's the mistake


# --- coming in --------------------------------------------------------------------------------------------------

FIGURE_4 = [  # RFC 6040: inner, outer, outgoing (None: drop), the mark in the figure
    (NOT_ECT, NOT_ECT, NOT_ECT, ""),
    (NOT_ECT, ECT_0, NOT_ECT, "ecn-dangerous"),
    (NOT_ECT, ECT_1, NOT_ECT, "ecn-dangerous"),
    (NOT_ECT, CE, None, "ecn-dangerous"),
    (ECT_0, NOT_ECT, ECT_0, ""),
    (ECT_0, ECT_0, ECT_0, ""),
    (ECT_0, ECT_1, ECT_1, ""),
    (ECT_0, CE, CE, ""),
    (ECT_1, NOT_ECT, ECT_1, ""),
    (ECT_1, ECT_0, ECT_1, "ecn-odd"),
    (ECT_1, ECT_1, ECT_1, ""),
    (ECT_1, CE, CE, ""),
    (CE, NOT_ECT, CE, ""),
    (CE, ECT_0, CE, ""),
    (CE, ECT_1, CE, "ecn-dangerous"),
    (CE, CE, CE, ""),
]


@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize(("inner", "outer", "outgoing", "oddity"), FIGURE_4)
def test_the_whole_of_figure_4(
    ends: tuple[str, str], inner: int, outer: int, outgoing: int | None, oddity: str
) -> None:
    arrived = udp(*ends, tos=0xB8 | inner)
    marked, counted = propagate_ecn(arrived, parse(arrived), 0x28 | outer)
    assert counted == oddity
    if outgoing is None:
        assert marked is None
    else:
        assert marked == udp(*ends, tos=0xB8 | outgoing)  # checksum included, the DS field untouched


def test_the_figure_is_complete() -> None:
    assert set(ECN_OUT) == {(inner, outer) for inner in range(4) for outer in range(4)}
    assert len(FIGURE_4) == 16


def test_a_marked_packet_keeps_a_right_checksum_whatever_it_was() -> None:
    for ttl in range(256):
        arrived = bytearray(udp(*V4, tos=ECT_0))
        arrived[8] = ttl
        arrived[10:12] = bytes(2)
        arrived[10:12] = checksum(bytes(arrived[:20])).to_bytes(2, "big")
        marked, _ = propagate_ecn(bytes(arrived), parse(bytes(arrived)), CE)
        assert marked is not None
        assert checksum(marked[:20]) == 0


@pytest.mark.parametrize(("next_header", "ends"), [(4, V4), (41, V6)])
def test_what_hides_the_length_of_a_packet_is_cut_off(next_header: int, ends: tuple[str, str]) -> None:
    packet = udp(*ends)
    for filler in (b"", b"\xff", bytes(300)):
        got, inner = inner_packet(next_header, packet + filler)
        assert got == packet
        assert inner == parse(packet)


@pytest.mark.parametrize(
    ("next_header", "payload", "reason"),
    [
        (6, udp(*V4), "not-tunnel-mode"),
        (50, udp(*V4), "not-tunnel-mode"),
        (0, udp(*V4), "not-tunnel-mode"),
        (255, udp(*V4), "not-tunnel-mode"),
        (4, udp(*V6), "inner-version"),
        (41, udp(*V4), "inner-version"),
        (4, b"", "inner-version"),
        (4, b"\x50" + udp(*V4)[1:], "inner-version"),
        (4, udp(*V4)[:-1], "malformed-inner"),
        (4, udp(*V4)[:19], "malformed-inner"),
        (41, udp(*V6)[:-1], "malformed-inner"),
        (41, udp(*V6)[:39], "malformed-inner"),
        (4, b"\x44" + udp(*V4)[1:], "malformed-inner"),
    ],
)
def test_what_is_no_packet_of_the_named_version_is_refused(next_header: int, payload: bytes, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        inner_packet(next_header, payload)
    assert caught.value.reason == reason
