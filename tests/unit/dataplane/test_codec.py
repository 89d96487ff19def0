"""Messages between control process and roads as octets."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from ipaddress import ip_address
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.codec import TYPES, Message, codec_of, decode, encode
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.reader import Reader
from ipsecd.wire.selector import OPAQUE, Address, Selector
from tests.unit.dataplane.samples import KEYS, MARKED, MESSAGES, OUTSIDE


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_decodes_to_the_same(message: Message) -> None:
    assert decode(encode(message)) == message


def test_every_message_has_a_type_number_and_a_sample() -> None:
    kinds = {*get_args(m.ToRoads), *get_args(m.ToControl), *get_args(m.OfProcesses), *get_args(m.ToProcesses)}
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
        ("0111", "unknown-message"),
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
    good = encode(m.SetSpd(1, (MARKED,)))
    assert good.endswith(b"\x01\x2e\x03set\x00")
    with pytest.raises(WireError) as caught:
        decode(good[:-6] + b"\x40\x03set\x00")
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


def test_of_two_kinds_each_has_its_number() -> None:
    keys = codec_of(m.EspKeys | m.AhKeys)
    out = bytearray()
    keys.write(m.AhKeys(12, True, b"kk"), out)
    assert out.hex() == "010c01026b6b"
    assert keys.read(Reader(out)) == m.AhKeys(12, True, b"kk")
    with pytest.raises(WireError, match="bad-kind"):
        keys.read(Reader(b"\x02"))
    with pytest.raises(LocalError, match="GiveUp is none of EspKeys, AhKeys"):
        keys.write(m.GiveUp("x"), out)


def test_keys_do_not_show_in_the_messages_that_carry_them() -> None:
    assert "6b6b" not in repr(MESSAGES[0])
    assert "kkkk" not in repr(MESSAGES[0])
    assert "kkkk" not in str(MESSAGES[1])


# --- any message ------------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, (1 << 64) - 1)
TEXT = st.text(max_size=20)
ADDRESSES = st.ip_addresses()


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    start, end = sorted(draw(st.tuples(*[st.ip_addresses(v=draw(st.sampled_from((4, 6))))] * 2)), key=int)
    ports = draw(st.one_of(st.just(OPAQUE), st.tuples(st.integers(0, 9), st.integers(9, 65_535))))
    return Selector(start, end, draw(st.integers(0, 255)), ports)


BY_TYPE: dict[object, st.SearchStrategy[object]] = {
    int: NUMBERS,
    str: TEXT,
    bytes: st.binary(max_size=80),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Address: ADDRESSES,
    Selector: selectors(),
    m.OuterHeader: st.builds(m.OuterHeader, st.none() | st.integers(0, 63), st.sampled_from(("copy", "set", "clear"))),
    m.Tfc: st.builds(m.Tfc, st.integers(0, 65_535), st.integers(0, 1_000)),
    m.EspKeys: st.builds(
        m.EspKeys,
        st.integers(0, 65_535),
        st.none() | NUMBERS,
        st.integers(0, 65_535),
        st.booleans(),
        st.binary(max_size=80),
        st.binary(max_size=80),
    ),
    m.AhKeys: st.builds(m.AhKeys, st.integers(0, 65_535), st.booleans(), st.binary(max_size=80)),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotation."""
    if annotation in BY_TYPE:
        return BY_TYPE[annotation]
    if is_dataclass(annotation):
        hints = get_type_hints(annotation)
        return st.builds(annotation, **{field.name: values(hints[field.name]) for field in fields(annotation)})
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(argument) for argument in arguments))
    return st.one_of(*(st.none() if kind is NoneType else values(kind) for kind in arguments))


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.__name__)
@given(st.data())
def test_any_message_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    octets = encode(message)
    assert decode(octets) == message
    assert encode(decode(octets)) == octets
