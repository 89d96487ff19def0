"""AH: what is signed is accepted wherever it ends, whatever routers do to it, and nothing else is."""

from __future__ import annotations

from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.crypto.mac import Mac
from ipsecd.errors import PeerError, WireError
from ipsecd.ipsec import ah
from ipsecd.ipsec.ah_ipv6 import covered
from ipsecd.ipsec.transport import split
from ipsecd.wire import ip
from tests.property.header_values import (
    DESTINATION,
    HOP,
    ROUTING,
    chain,
    options_v4,
    packets_v4,
    packets_v6,
    routes_v4,
)
from tests.property.routers import arrive
from tests.property.wire_values import addresses_v6
from tests.unit.ipsec.packets import ipv6
from tests.unit.ipsec.pairs import HMACS

MACS = list(HMACS.values())
SPI = 0xC0FFEE01

macs = st.sampled_from(MACS)
noises = st.binary(min_size=8, max_size=8)
highs = st.sampled_from((b"", bytes(4), b"\0\0\0\5"))
options_and_route = st.tuples(options_v4, routes_v4()).map(b"".join).filter(lambda octets: len(octets) <= 40)
packets = packets_v4() | packets_v4(options_and_route) | packets_v6()


def seal(packet: bytes, mac: Mac, high: bytes = b"") -> bytes:
    return ah.seal(*split(packet, ip.parse(packet)), SPI, 7, high, mac.octets, mac.icv)


def opened(packet: bytes, mac: Mac, high: bytes = b"") -> ah.Received:
    received = ah.receive(packet)
    ah.check(received, high, mac.octets, mac.verify)
    return received


@given(packets, macs, highs, noises)
def test_what_is_signed_is_accepted_where_it_ends(packet: bytes, mac: Mac, high: bytes, noise: bytes) -> None:
    sealed = seal(packet, mac, high)
    there = arrive(sealed, noise)
    received = opened(there, mac, high)
    whole = ip.parse(received.without_ah())
    sent = ip.parse(packet)
    assert (whole.protocol, whole.source) == (sent.protocol, sent.source)
    assert received.payload == split(packet, sent).payload
    assert received.without_ah()[whole.transport_offset :] == packet[sent.transport_offset :]


@given(packets_v6(), packets_v4(), macs, noises)
def test_a_packet_in_a_packet_comes_out_as_it_went_in(one: bytes, other: bytes, mac: Mac, noise: bytes) -> None:
    for outer, inner in ((one, other), (other, one)):
        front = split(outer, ip.parse(outer)).front
        sealed = ah.seal(front, 4 if inner is other else 41, inner, SPI, 1, b"", mac.octets, mac.icv)
        assert opened(arrive(sealed, noise), mac).payload == inner


@given(packets, macs, st.data())
def test_no_octet_from_ah_on_can_change(packet: bytes, mac: Mac, data: st.DataObject) -> None:
    there = bytearray(arrive(seal(packet, mac), bytes(8)))
    start = ah.receive(bytes(there)).start
    at = data.draw(st.integers(start, len(there) - 1))
    there[at] ^= data.draw(st.integers(1, 255))
    assert _reason(bytes(there), mac) in ("bad-icv", "truncated", "ah-length", "reserved-spi")


@given(packets, macs, st.integers(0), st.integers(1, 255))
def test_a_changed_packet_is_refused_by_name_or_as_good_as_it_was(packet: bytes, mac: Mac, at: int, bits: int) -> None:
    """Whatever is accepted carries the same payload from the same source to the same destination."""
    there = arrive(seal(packet, mac), bytes(8))
    at %= len(there)
    other = there[:at] + bytes([there[at] ^ bits]) + there[at + 1 :]
    if not _reason(other, mac):
        before, after = opened(there, mac), opened(other, mac)
        assert after.payload == before.payload
        was, now = ip.parse(there), ip.parse(other)
        assert (now.source, now.destination, now.protocol) == (was.source, was.destination, was.protocol)


@given(st.binary(max_size=120), st.sampled_from((b"", b"\x45", b"\x47", b"\x60")))
def test_any_octets_are_refused_by_name(data: bytes, start: bytes) -> None:
    assert _reason(start + data, MACS[0])


@given(st.binary(max_size=100), st.sampled_from((HOP, DESTINATION, ROUTING)), st.booleans())
def test_any_extension_header_is_covered_or_refused_by_name(data: bytes, kind: int, sending: bool) -> None:
    first, octets = chain([(kind, data + bytes(-(len(data) + 2) % 8))], 51)
    front = ipv6("2001:db8::1", "2001:db8::2", first, octets)
    outcome = _outcome(front, sending)
    assert outcome in ("covered", "bad-option", "bad-extension-header", "unfinished-route")
    assert outcome != "unfinished-route" or kind == ROUTING


@given(packets, st.integers(0), st.integers(0, 255), st.integers(-40, 40))
def test_ah_is_found_where_the_view_of_the_packet_says_it_is(packet: bytes, at: int, bits: int, more: int) -> None:
    """Most packets are seen through at a glance, which must not see anything else than a thorough look."""
    sealed = bytearray(seal(packet, MACS[0]))
    sealed[at % min(len(sealed), 48)] ^= bits
    data = bytes(sealed[:more] if more < 0 else sealed + bytes(more))
    try:
        whole = ip.parse(data)
        expected = (whole.is_fragment, whole.protocol, whole.transport_offset, whole.total_octets)
    except WireError:
        expected = (False, 0, 0, 0)
    try:
        received = ah.receive(data)
    except WireError as error:
        shown = error.reason
    else:
        shown = ""
        assert (False, 51, received.start, len(received.packet)) == expected
    in_ah = ("truncated", "ah-length", "reserved-spi")
    assert not shown or expected[:2] != (False, 51) or shown in in_ah


@given(st.lists(addresses_v6, min_size=1, max_size=4), st.data())
def test_a_packet_may_be_signed_anywhere_on_its_route(stops: list[IPv6Address], data: st.DataObject) -> None:
    mac = MACS[0]
    left = data.draw(st.integers(0, len(stops)))
    route = bytes([0, left, 0, 0, 0, 0]) + b"".join(stop.packed for stop in stops)
    first, octets = chain([(ROUTING, route)], 17)
    packet = ipv6("2001:db8::1", "2001:db8::2", first, octets + bytes(8))
    received = opened(arrive(seal(packet, mac), bytes(8)), mac)
    assert received.packet[24:40] == (stops[-1].packed if left else IPv6Address("2001:db8::2").packed)


def _reason(packet: bytes, mac: Mac) -> str:
    try:
        opened(packet, mac)
    except PeerError as error:
        return error.reason
    return ""


def _outcome(front: bytes, sending: bool) -> str:
    try:
        found = covered(front, sending=sending)
    except WireError as error:
        return error.reason
    return "covered" if len(found) == len(front) else "of another length"
