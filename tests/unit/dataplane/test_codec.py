"""Messages between control process and roads as octets."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import get_args

import pytest

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.codec import TYPES, codec_of, decode, encode
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.selector import OPAQUE, Selector

OUTSIDE = m.Outside(ip_address("192.0.2.1"), 4500, ip_address("2001:db8::1"), 61_000)
KEYS = m.EspKeys(20, 128, 0, True, b"k" * 20, b"")
LOCAL = (Selector.net("10.1.0.0/16"), Selector.net("2001:db8:1::/48", 6, (80, 443)))
REMOTE = (Selector.net("10.2.0.0/16", 17, OPAQUE),)
LIMITS = m.Limits(soft_seconds=3_060.5, hard_seconds=3_600.0, soft_packets=1 << 31)
ENTRY = m.SpdEntry("to-hq", "rule 1", "protect", ((LOCAL[0], REMOTE[0]),), "to-hq#1", inbound=False)

MESSAGES: list[m.ToRoads | m.ToControl] = [
    m.InstallInbound(0xC0FFEE00, "to-hq#1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS, 1_024),
    m.InstallOutbound(0xFFFFFFFF, 1, "to-hq#1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS),
    m.InstallOutbound(2, 3, "x", KEYS, (), (), OUTSIDE, m.Limits(), m.OuterHeader(46, "set")),
    m.RemoveInbound(7),
    m.RemoveOutbound(7, 8),
    m.MovePath((1, 2, 0xFFFFFFFF), OUTSIDE),
    m.SetSpd(1 << 63, (ENTRY, ENTRY)),
    m.SetSpd(1, ()),
    m.GiveUp("büro"),
    m.SetPathMtu(ip_address("192.0.2.9"), 1_400),
    m.AskCounters(),
    m.Done(12),
    m.Done(13, "inbound SPI c0ffee00 is in use"),
    m.Acquire("to-hq#1", ip_address("10.1.0.1"), ip_address("10.2.0.1"), 6, 40_000, None),
    m.InboundUsed(7),
    m.SoftExpired(7, "octets"),
    m.HardExpired(7, "seconds"),
    m.PeerMoved(7, OUTSIDE),
    m.PeerAlive((1, 2)),
    m.IkeDatagram(b"\x00" * 200, ip_address("192.0.2.1"), 500, ip_address("192.0.2.2"), 500, False),
    m.Counters(
        (m.SaCounters(1, 2, "out", 3, 4, 5, 6.25), m.SaCounters(1, 1, "in", 0, 0, 0, None)),
        {"replayed": 1, "bad-icv": 1 << 64 - 1},
        {},
        {"to-hq": 9},
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_decodes_to_the_same(message: m.ToRoads | m.ToControl) -> None:
    assert decode(encode(message)) == message


def test_every_message_has_a_type_number_and_a_sample() -> None:
    kinds = set(get_args(m.ToRoads)) | set(get_args(m.ToControl))
    assert set(TYPES.values()) == kinds
    assert {type(message) for message in MESSAGES} == kinds


def test_the_octets_of_some_messages() -> None:
    assert encode(m.AskCounters()).hex() == "0109"
    assert encode(m.RemoveOutbound(0x7F, 0x80)).hex() == "01047f8001"
    assert encode(m.SetPathMtu(ip_address("192.0.2.9"), 1_400)).hex() == "010804c0000209f80a"
    assert encode(m.Done(1, "no")).hex() == "014001026e6f"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "truncated"),
        ("01", "truncated"),
        ("0209", "bad-version"),
        ("010a", "unknown-message"),
        ("010900", "trailing-octets"),
        ("0103", "truncated"),
        ("0103808080808080808080808000", "bad-number"),  # more than 64 bits
        ("0103ffffffffffffffffff02", "bad-number"),  # 2^64 and more
        ("01038000", "bad-number"),  # longer than it has to be
        ("010702c328", "bad-text"),
        ("010705c3", "truncated"),
        ("010805c0000209f80a", "bad-address"),
        ("0146ff01", "bad-count"),
        ("014603ff", "bad-count"),
        ("014704", "truncated"),
        ("01470004c00002010404c00002020402", "bad-flag"),
        ("014801000000000000017ff8000000000000000000", "bad-time"),
        ("014800020161010161010000", "bad-order"),  # a name twice
        ("014800020162010161010000", "bad-order"),
        ("0106010100000001040403020104010203040000ffff03", "bad-value"),  # reversed
    ],
)
def test_other_octets_are_refused(data: str, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(bytes.fromhex(data))
    assert caught.value.reason == reason


def test_too_long_to_be_a_message() -> None:
    with pytest.raises(WireError, match="too-long"):
        decode(bytes(limits.MAX_CONTROL_FRAME + 1))
    with pytest.raises(LocalError, match="too long"):
        encode(m.GiveUp("x" * limits.MAX_CONTROL_FRAME))


def test_an_impossible_outer_header_is_refused() -> None:
    good = encode(MESSAGES[2])
    assert good.endswith(b"\x01\x2e\x03set")
    with pytest.raises(WireError) as caught:
        decode(good[:-5] + b"\x40\x03set")
    assert caught.value.reason == "bad-value"


@pytest.mark.parametrize(
    "message",
    [
        m.RemoveInbound(-1),
        m.RemoveInbound(1 << 64),
        m.GiveUp("\ud800"),
        m.InstallInbound(1, "x", KEYS, (), (), OUTSIDE, m.Limits(soft_seconds=float("inf")), 64),
        OUTSIDE,
    ],
    ids=repr,
)
def test_what_is_no_message_is_our_own_mistake(message: m.ToRoads) -> None:
    with pytest.raises(LocalError):
        encode(message)


def test_an_annotation_without_an_encoding_is_our_own_mistake() -> None:
    @dataclass
    class Odd:
        field: set[int]

    with pytest.raises(LocalError, match="no encoding for set"):
        codec_of(set[int])
    with pytest.raises(LocalError, match="no encoding for int"):
        codec_of(int | str)


def test_keys_do_not_show_in_the_messages_that_carry_them() -> None:
    assert "6b6b" not in repr(MESSAGES[0])
    assert "kkkk" not in repr(MESSAGES[0])
    assert "kkkk" not in str(MESSAGES[1])
