"""The road in for runs does packet by packet what the road for single datagrams does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.results import Result, ToTunRun
from ipsecd.wire.checksum import checksum
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.offload import pseudo_sum
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import Selector
from tests.property.receivers import (
    JOINS,
    NATTED,
    TRANSPORT,
    Way,
    apart,
    bent,
    ends,
    inside,
    kept,
    natively,
    one_by_one,
    packets_of,
    read,
    state,
    together,
)
from tests.property.run_values import ACK, ADDRESSES, CWR, FIN, PSH, SYN, Big, bigs, often
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import End, authentic, only, protect
from tests.unit.ipsec.packets import echo, ipv4, ipv6, syn, udp
from tests.unit.ipsec.pairs import CBC, CHACHA, GCM

forms = st.sampled_from([TUNNEL, TRANSPORT, NATTED])
ways = st.builds(
    Way,
    first=st.sampled_from([1, 0xFFF8]),
    step=often(st.just(1), st.integers(0, 3)),
    ttls=often(st.just((64,)), st.lists(st.integers(1, 255), min_size=1, max_size=9).map(tuple)),
    df=st.booleans(),
)


@st.composite
def reads(draw: st.DrawFn, near: End, form: Form = TUNNEL, outer: int = 4) -> list[bytes]:
    """What one read may give: datagrams of one size, and one that may have less."""
    big = draw(bigs(most=1_300))
    packets = big.segments()[: draw(st.integers(2, 64))]
    packets = [packet for packet in packets if len(packet) == len(packets[0])]
    for _ in range(draw(often(st.just(0), st.integers(1, 3)))):
        place = draw(st.integers(0, len(packets) - 1))
        packets[place] = bent(packets[place], draw(st.integers(0, 79)))
    payloads = [inside(packet, form, outer) for packet in packets if packet[0] >> 4 in (4, 6)]
    for _ in range(draw(often(st.just(0), st.integers(1, 2)))):
        place = draw(st.integers(0, len(payloads) - 1))
        payloads[place] = draw(st.sampled_from([4, 41, 59, 6])), payloads[place][1]
    datagrams = [authentic(near, *payload) for payload in payloads]
    size = len(datagrams[0])
    del datagrams[64_000 // size :]
    for _ in range(draw(often(st.just(0), st.integers(1, 4)))):
        place = draw(st.integers(0, len(datagrams) - 1))
        what = draw(st.sampled_from(["spi", "bent", "ike", "noise", "again", "swapped", "lost"]))
        datagram = datagrams[place]
        match what:
            case "spi":
                datagram = b"\0\0\x77\x77" + datagram[4:]
            case "bent":
                datagram = bent(datagram, draw(st.integers(0, 1 << 16)))
            case "ike":
                datagram = bytes(4) + datagram[4:]
            case "noise":
                datagram = draw(st.binary(min_size=size, max_size=size)) if size < 200 else bytes([7]) * size
            case "again":
                datagram = datagrams[place - 1]
            case "swapped":
                datagrams[place - 1], datagram = datagram, datagrams[place - 1]
            case "lost" if len(datagrams) > 2:
                del datagrams[place]
                continue
            case _:
                pass
        datagrams[place] = datagram
    last = draw(st.sampled_from([b"", b"", b"\xff", bytes(4) + b"ike", b"short", datagrams[0][: size - 4]]))
    return [*datagrams, last] if last and len(last) < size else datagrams


def moved(end: End) -> m.Outside:
    """Where its peer might be next."""
    if end.outside.native:
        return replace(end.outside, remote=type(end.outside.remote)(int(end.outside.remote) + 1))
    return replace(end.outside, remote_port=999)


@settings(max_examples=3 * settings().max_examples)
@given(
    data=st.data(),
    suite=often(st.sampled_from([GCM, CHACHA]), st.just(CBC)),
    esn=st.booleans(),
    joins=st.sampled_from([JOINS, (IpProtocol.TCP,), ()]),
    given=often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(40), hard_octets=st.just(99_999))),
    tos=often(st.just(0), st.integers(0, 3)),
    form=forms,
    outer=st.sampled_from([4, 6]),
    native=st.booleans(),
    way=ways,
)
def test_a_read_is_what_its_datagrams_are_one_by_one(
    data: st.DataObject,
    suite: Suite,
    esn: bool,
    joins: tuple[int, ...],
    given: m.Limits,
    tos: int,
    form: Form,
    outer: int,
    native: bool,
    way: Way,
) -> None:
    near, one, two = ends(suite, esn=esn, joins=joins, form=form, outer=outer, native=native, limits=given)
    for now in (1.0, 1.5, 3.0):
        datagrams = data.draw(reads(near, form, outer))
        outside = data.draw(often(st.just(None), st.just(moved(one))))
        found = one_by_one(together(one, datagrams, now, tos, outside, way))
        assert found == apart(two, datagrams, now, tos, outside, way)
        assert state(one) == state(two)


PACKETS = [udp(*ADDRESSES[4]), udp(*ADDRESSES[4]), udp(*ADDRESSES[4], 1), udp(*ADDRESSES[4], data=b"another size")]
NOISE = [b"\xff", b"", bytes(4) + b"ike", b"short", bytes([7]) * 80, bytes(4) + bytes(76)]


@settings(max_examples=3 * settings().max_examples)
@given(
    st.data(),
    st.booleans(),
    often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(9))),
    forms,
    st.booleans(),
)
def test_reads_in_a_row_are_what_their_datagrams_are_one_by_one(
    data: st.DataObject, esn: bool, given: m.Limits, form: Form, native: bool
) -> None:
    """Single datagrams, as a kernel that joins none gives them, and runs between them."""
    near, one, two = ends(esn=esn, form=form, native=native, limits=given)
    for now in (1.0, 2.0):
        found: list[Result] = []
        wanted: list[Result] = []
        for _ in range(data.draw(st.integers(1, 40))):
            match data.draw(st.sampled_from(["plain", "plain", "plain", "plain", "other", "noise", "run"])):
                case "plain":
                    datagrams = [authentic(near, *inside(PACKETS[0], form))]
                case "other":
                    datagrams = [authentic(near, *inside(data.draw(st.sampled_from(PACKETS)), form))]
                case "noise":
                    datagrams = [data.draw(st.sampled_from(NOISE))]
                case _:
                    datagrams = [authentic(near, *inside(packet, form)) for packet in Big(count=5).segments()]
            outside = data.draw(often(st.just(one.outside), st.just(moved(one))))
            tos = data.draw(often(st.just(0), st.just(1)))
            found += kept(read(one, datagrams, now, tos, outside))
            wanted += apart(two, datagrams, now, tos, outside)
        found += kept(one.roads.from_udp_end(now))
        assert one_by_one(found) == wanted
        assert state(one) == state(two)


def test_single_datagrams_are_received_together_but_never_more_than_the_buffer_holds() -> None:
    near, far, _ = ends()
    packets = [single(number) for number in range(100)]
    far.receive(authentic(near, 4, udp(*ADDRESSES[4])))
    found: list[Result] = []
    for packet in packets:
        datagram = authentic(near, 4, packet)
        assert len(far.roads.received) == limits.RECEIVE_BUFFER
        far.roads.received[: len(datagram)] = datagram
        found += kept(far.roads.from_udp_read(len(datagram), len(datagram), far.outside, 0, True, 1.0))
    found += kept(far.roads.from_udp_end(1.0))
    assert packets_of(found) == packets
    assert far.paths["runs-in"] == 2


RUN = Big(count=40)


def opened(far: End, near: End, packets: list[bytes], spoiled: int | None = None) -> list[Result]:
    """What a run with these packets gives once the SA is in use; the ICV of one may be wrong."""
    far.receive(authentic(near, 4, udp("10.1.0.1", "10.2.0.1")))
    datagrams = [authentic(near, 4 if packet[0] >> 4 == 4 else 41, packet) for packet in packets]
    if spoiled is not None:
        datagrams[spoiled] = bent(datagrams[spoiled], -1)
    return together(far, datagrams, 1.0)


@pytest.mark.parametrize("suite", [GCM, CHACHA])
@pytest.mark.parametrize("esn", [False, True])
def test_a_plain_run_is_opened_and_written_as_one(suite: Suite, esn: bool) -> None:
    near, far, _ = ends(suite, esn=esn)
    results = [result for result in opened(far, near, RUN.segments()) if not isinstance(result, m.PeerAlive)]
    assert [type(result) for result in results] == [ToTunRun]
    assert packets_of(results) == RUN.segments()
    assert far.paths["runs-in"] == 1


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("esn", [False, True])
def test_a_run_of_native_packets_is_opened_and_written_as_one_too(esn: bool, outer: int) -> None:
    near, one, two = ends(esn=esn, outer=outer, native=True)
    before = [authentic(near, 4, udp(*ADDRESSES[4]))]
    for end in (one, two):
        apart(end, before, 1.0)
    datagrams = [authentic(near, 4, packet) for packet in RUN.segments()]
    results = together(one, datagrams, 1.0)
    assert [type(result) for result in results] == [ToTunRun]
    assert one_by_one(results) == apart(two, datagrams, 1.0)
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 1


@pytest.mark.parametrize("df", [False, True])
@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "UDP"])
def test_native_packets_of_transport_mode_get_their_own_headers_back_and_are_written_as_one(
    tcp: bool, outer: int, esn: bool, df: bool
) -> None:
    near, one, two = ends(esn=esn, outer=outer, native=True, form=TRANSPORT)
    before = [authentic(near, *inside(udp(*ADDRESSES[4]), TRANSPORT, outer))]
    for end in (one, two):
        apart(end, before, 1.0)
    big, way = Big(count=40, tcp=tcp), Way(ttls=(57,), df=df)
    datagrams = [authentic(near, *inside(packet, TRANSPORT, outer)) for packet in big.segments()]
    results = together(one, datagrams, 1.0, 3, way=way)
    assert [type(result) for result in results] == [ToTunRun]
    assert one_by_one(results) == apart(two, datagrams, 1.0, 3, way=way)
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 1
    (_, *_, last) = packets_of(results)
    protocol, payload = inside(big.segments()[-1], TRANSPORT, outer)
    start = f"4503{len(last):04x}001f{'4000' if df else '0000'}39{protocol:02x}"
    if outer == 6:
        start = f"60300000{len(payload):04x}{protocol:02x}39"
    assert last.hex().startswith(start)
    assert last.endswith(one.outside.remote.packed + one.outside.local.packed + payload)


@pytest.mark.parametrize("way", [Way(step=2), Way(ttls=(64, 64, 63))], ids=["identifications", "TTLs"])
def test_native_packets_of_transport_mode_that_do_not_count_on_are_written_one_by_one(way: Way) -> None:
    near, one, two = ends(native=True, form=TRANSPORT)
    before = [authentic(near, *inside(udp(*ADDRESSES[4]), TRANSPORT))]
    for end in (one, two):
        apart(end, before, 1.0)
    datagrams = [authentic(near, *inside(packet, TRANSPORT)) for packet in Big(count=40).segments()]
    results = together(one, datagrams, 1.0, way=way)
    assert results == apart(two, datagrams, 1.0, way=way)
    assert (len(results), one.paths["runs-in"]) == (40, 1)


@pytest.mark.parametrize("outer", [4, 6])
def test_a_native_packet_of_transport_mode_that_comes_alone_gets_its_own_header_back(
    outer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far, _ = ends(outer=outer, native=True, form=TRANSPORT)
    payload = inside(udp(*ADDRESSES[4]), TRANSPORT, outer)
    wanted = apart(far, [authentic(near, *payload)], 1.0, 2, way=Way(ttls=(57,)))[-1]
    monkeypatch.delattr(Inbound, "carry_native")
    assert together(far, [authentic(near, *payload)], 1.0, 2, way=Way(ttls=(57,))) == [wanted]
    assert far.counters().entries == {"all": 2}


def first_bent(packet: bytes, at: int, to: int) -> bytes:
    return packet[:at] + bytes([to]) + packet[at + 1 :]


@pytest.mark.parametrize(
    ("outer", "at", "to"),
    [(4, 0, 0x46), (4, 6, 0x20), (4, 7, 1), (4, 9, 51), (4, 9, 17), (6, 6, 51), (6, 6, 0), (6, 0, 0x70)],
)
def test_native_packets_with_other_headers_go_one_by_one(outer: int, at: int, to: int) -> None:
    """With options, fragments, AH, another protocol, extension headers, another version."""
    near, one, two = ends(outer=outer, native=True)
    before = [authentic(near, 4, udp(*ADDRESSES[4]))]
    for end in (one, two):
        apart(end, before, 1.0)
    datagrams = [authentic(near, 4, packet) for packet in RUN.segments()]
    packets = [first_bent(packet, at, to) for packet in natively(datagrams, 0, one.outside)]
    data = b"".join(packets)
    one.roads.room[: len(data)] = data
    found = list(kept(one.roads.from_native_reads(len(data), len(packets[0]), one.outside, 1.0)))
    found += kept(one.roads.from_udp_end(1.0))
    assert found == [each for packet in packets for each in two.roads.from_native_read(packet, two.outside, 1.0)]
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 0


@pytest.mark.parametrize("form", [TRANSPORT, NATTED], ids=["transport", "natted"])
@pytest.mark.parametrize(
    "big",
    [
        Big(count=40),
        Big(count=40, flags=ACK | FIN | PSH | CWR, segment=999),
        Big(count=40, tcp=False, segment=1),
        Big(count=40, tcp=False, segment=1_200),
    ],
)
def test_in_transport_mode_a_run_is_written_as_one_too(big: Big, form: Form) -> None:
    """Its IP header is made anew, with the Identification counting on as sequence numbers do."""
    near, one, two = ends(form=form)
    before = authentic(near, *inside(udp(*ADDRESSES[4]), form))
    for end in (one, two):
        end.receive(before)
    datagrams = [authentic(near, *inside(packet, form)) for packet in big.segments()]
    results = [result for result in together(one, datagrams, 1.0, 2) if not isinstance(result, m.PeerAlive)]
    assert [type(result) for result in results] == [ToTunRun]
    (first, *_, last) = packets_of(results)
    assert (first[:8].hex(), last[4:8].hex()) == (f"4502{len(first):04x}00020000", "00290000")
    assert first[12:20] == ip_address("192.0.2.1").packed + ip_address("198.51.100.1").packed
    assert packets_of(results) == packets_of(apart(two, datagrams, 1.0, 2))


@pytest.mark.parametrize("form", [TRANSPORT, NATTED], ids=["transport", "natted"])
@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "UDP"])
def test_a_run_between_hosts_of_ipv6_is_written_as_one_too(tcp: bool, form: Form) -> None:
    near, one, two = ends(form=form, outer=6)
    before = authentic(near, *inside(udp(*ADDRESSES[4]), form, 6))
    for end in (one, two):
        end.receive(before)
    datagrams = [authentic(near, *inside(packet, form, 6)) for packet in Big(count=40, tcp=tcp).segments()]
    results = [result for result in together(one, datagrams, 1.0, 2) if not isinstance(result, m.PeerAlive)]
    assert [type(result) for result in results] == [ToTunRun]
    assert packets_of(results) == packets_of(apart(two, datagrams, 1.0, 2))
    assert {packet[:4].hex() for packet in packets_of(results)} == {"60200000"}


@pytest.mark.parametrize(
    "big",
    [
        Big(count=40, flags=ACK | PSH),
        Big(count=40, flags=ACK | FIN | PSH | CWR),
        Big(count=40, version=6, sequence=(1 << 32) - 1_500),
        Big(count=40, identification=0xFFF0),
        Big(count=40, tcp=False),
        Big(count=64, tcp=False, version=6, segment=3),
    ],
)
def test_what_the_kernel_takes_apart_again_is_joined(big: Big) -> None:
    near, far, _ = ends()
    results = opened(far, near, big.segments())
    assert len(only(results, ToTunRun)) == 1
    assert packets_of(results) == big.segments()


@pytest.mark.parametrize("at", [0, 1, 4, 5, 8, 10, 11, 18, 24, 32, 33, 36, 38, 52, 60])
def test_a_packet_that_is_not_as_the_others_is_written_by_itself(at: int) -> None:
    """Joining writes checksums anew: what was damaged before it was sealed must stay so."""
    near, far, _ = ends()
    packets = RUN.segments()
    packets[7] = bent(packets[7], at)
    allowed = [packet for packet in packets if packet[0] == 0x45]
    assert packets_of(opened(far, near, packets)) == allowed


def single(number: int, **given: Any) -> bytes:
    """One of many packets that count on from each other, with right checksums."""
    big = Big(count=1, sequence=number * 1_000, identification=number, **given)
    return big.segments()[0]


def without_checksum(packet: bytes) -> bytes:
    """It has none, as 0 says, though 0 would be right (RFC 768)."""
    checksum, last = int.from_bytes(packet[26:28], "big"), int.from_bytes(packet[-2:], "big")
    return packet[:26] + bytes(2) + packet[28:-2] + ((checksum + last) % 0xFFFF).to_bytes(2, "big")


def of_another_length(packet: bytes) -> bytes:
    """The UDP header says less than there is, and the sum is that of it all."""
    length, checksum = int.from_bytes(packet[24:26], "big"), int.from_bytes(packet[26:28], "big")
    return packet[:24] + (length - 4).to_bytes(2, "big") + ((checksum + 4) % 0xFFFF).to_bytes(2, "big") + packet[28:]


ALONE: dict[str, list[bytes]] = {
    "PSH in each": [single(number, flags=ACK | PSH) for number in range(9)],
    "FIN in each": [single(number, flags=ACK | FIN) for number in range(9)],
    "CWR in each": [single(number, flags=ACK | CWR) for number in range(9)],
    "another flag": [single(number, flags=ACK | 0x20) for number in range(9)],
    "windows": [single(number, window=number) for number in range(9)],
    "DS fields": [single(number, tos=number << 2) for number in range(9)],
    "acknowledgements": [single(number, seed=number) for number in range(9)],
    "holes": [single(2 * number) for number in range(9)],
    "holes in sequences": [Big(count=1, sequence=2_000 * n, identification=n).segments()[0] for n in range(9)],
    "holes in TCP over IPv6": [Big(count=1, version=6, sequence=2_000 * n).segments()[0] for n in range(9)],
    "holes in identifications": [
        Big(count=1, sequence=1_000 * n, identification=2 * n).segments()[0] for n in range(9)
    ],
    "backwards": [single(9 - number) for number in range(9)],
    "no payload": [syn("10.1.0.1", "10.2.0.1", 1_000, flags=ACK)] * 9,
    "hardly a header": [ipv4("10.1.0.1", "10.2.0.1", 6, bytes(8))] * 9,
    "no UDP checksum": [without_checksum(single(number, tcp=False)) for number in range(9)],
    "UDP of another length": [of_another_length(single(number, tcp=False)) for number in range(9)],
    "ICMP": [echo("10.1.0.1", "10.2.0.1")] * 9,
    "options": [ipv4("10.1.0.1", "10.2.0.1", 17, single(0, tcp=False)[20:], options=b"\x01\x01\x01\0")] * 9,
    "fragments": [ipv4("10.1.0.1", "10.2.0.1", 17, bytes(64), offset=800, more=True)] * 9,
    "sources": [udp(f"10.1.0.{number}", "10.2.0.1") for number in range(1, 6)],
    "ports": [udp("10.1.0.1", "10.2.0.1", number) for number in range(1, 6)],
    "hop limits": [ipv6(*ADDRESSES[6], 17, single(0, version=6, tcp=False)[40:], label=n) for n in range(9)],
}


@pytest.mark.parametrize("kind", ALONE)
def test_what_the_kernel_would_not_give_back_as_it_was_stays_apart(kind: str) -> None:
    near, far, _ = ends()
    results = opened(far, near, ALONE[kind])
    assert only(results, ToTunRun) == []
    assert packets_of(results) == ALONE[kind]
    assert far.paths["runs-in"] == 1


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("flags", [ACK | PSH, ACK | FIN, ACK | CWR, ACK | 0x20, ACK | 0x40, 0])
def test_flags_of_one_packet_are_those_it_had(place: int, flags: int) -> None:
    near, far, _ = ends()
    packets = [single(number, flags=flags if number == place else ACK) for number in range(10)]
    assert packets_of(opened(far, near, packets)) == packets


def wrong(checksum: bytes) -> bytes:
    """As far from the right one in every packet."""
    return ((int.from_bytes(checksum, "big") + 5) % 0xFFFF).to_bytes(2, "big")


def test_wrong_header_checksums_stay_wrong_even_if_all_are() -> None:
    near, far, _ = ends()
    packets = [packet[:10] + wrong(packet[10:12]) + packet[12:] for packet in RUN.segments()]
    results = opened(far, near, packets)
    assert only(results, ToTunRun) == []
    assert packets_of(results) == packets


def repaired(packet: bytes, at: int, field: int) -> bytes:
    """The packet with the checksums of what it says now; its transport begins ``at`` and has its own in ``field``."""
    changed = bytearray(packet)
    if at == 20:
        changed[10:12] = bytes(2)
        changed[10:12] = checksum(memoryview(changed)[:at]).to_bytes(2, "big")
    place, octets = at + field, len(packet) - at
    changed[place : place + 2] = bytes(2)
    pseudo = pseudo_sum(changed, 4 if at == 20 else 6, 6 if field == 16 else 17, octets)
    changed[place : place + 2] = checksum(memoryview(changed)[at:], pseudo).to_bytes(2, "big")
    return bytes(changed)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_every_octet_of_the_headers_counts(version: int, tcp: bool) -> None:
    """Even with right checksums, one packet that differs in it isn't taken for another."""
    near, one, two = ends()
    packets = Big(version=version, tcp=tcp, count=10, segment=20).segments()
    source, destination = ADDRESSES[version]
    here, there = (
        replace(Selector.net(address), protocol=6 if tcp else 17, ports=(port, port))
        for address, port in ((destination, 443), (source, 40_000))
    )
    nets = tuple(zip(one.local, one.remote, strict=True))
    first = authentic(near, 4, udp(*ADDRESSES[4]))
    for end in (one, two):
        end.policy(m.SpdEntry("just these", "rule", "protect", ((here, there),), "child"), protect(*nets))
        end.receive(first, 1.0)
    at, field = 20 if version == 4 else 40, 16 if tcp else 6
    for octet in range(len(packets[0]) - 20):
        changed = list(packets)
        changed[4] = repaired(bent(packets[4], octet), at, field)
        datagrams = [authentic(near, 4 if version == 4 else 41, packet) for packet in changed]
        assert one_by_one(together(one, datagrams, 1.0)) == apart(two, datagrams, 1.0), octet
        assert state(one) == state(two), octet


def test_padding_that_hides_lengths_is_taken_off_each() -> None:
    # RFC 4303 section 2.7
    near, far, _ = ends()
    packets = [single(number) for number in range(5)]
    assert packets_of(opened(far, near, [packet + bytes(40) for packet in packets])) == packets


def test_a_run_that_comes_again_is_dropped_as_replayed() -> None:
    near, far, _ = ends()
    far.receive(authentic(near, 4, udp("10.1.0.1", "10.2.0.1")))
    datagrams = [authentic(near, 4, packet) for packet in RUN.segments()]
    assert len(packets_of(together(far, datagrams, 1.0))) == 40
    assert packets_of(together(far, datagrams, 1.0)) == []
    assert far.drops == {"replayed": 40}


def test_a_good_run_ends_the_count_of_failures() -> None:
    near, far, _ = ends()
    far.receive(authentic(near, 4, udp("10.1.0.1", "10.2.0.1")))
    far.receive(bent(authentic(near, 4, udp("10.1.0.1", "10.2.0.1")), -1))
    (sa,) = far.roads._inbound._sad
    assert sa.failures == 1
    together(far, [authentic(near, 4, packet) for packet in RUN.segments()], 1.0)
    assert sa.failures == 0


def test_a_datagram_of_nothing_is_dropped_and_counted() -> None:
    _, far, _ = ends()
    assert list(far.roads.from_udp_read(0, 0, far.outside, 0, True, 1.0)) == []
    assert far.drops == {"runt": 1}
    assert far.paths["from-udp"] == 1


def test_more_datagrams_than_a_run_has_rows_are_several_runs() -> None:
    near, far, _ = ends()
    packets = [udp("10.1.0.1", "10.2.0.1", data=bytes([number])) for number in range(200)]
    assert packets_of(opened(far, near, packets)) == packets
    assert far.paths["runs-in"] == 2


@pytest.mark.parametrize("sequence", [(1 << 32) - 20, (1 << 32) - 1, 1 << 32, (1 << 33) - 41])
def test_extended_numbers_go_over_the_low_half(sequence: int) -> None:
    near, far, _ = ends(esn=True)
    (sent,), (received,) = near.roads._outbound._sad, far.roads._inbound._sad
    sent.sequence = sequence - 1
    received.window.commit_run(sequence - 5, 4)
    assert packets_of(opened(far, near, RUN.segments())) == RUN.segments()
    assert received.window.top == sequence + 40


def test_one_wrong_icv_costs_one_packet() -> None:
    near, far, _ = ends()
    arrived = packets_of(opened(far, near, RUN.segments(), 20))
    assert arrived == [packet for number, packet in enumerate(RUN.segments()) if number != 20]
    assert far.drops == {"bad-icv": 1}


@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_the_segment_size_in_each_syn_is_looked_at(flags: int) -> None:
    near, far, _ = ends()
    packets = Big(count=3, segment=10, options=4).segments()
    packets = [packet[:33] + bytes([flags]) + packet[34:40] + b"\x02\x04\xff\xff" + packet[44:] for packet in packets]
    opened(far, near, packets)
    assert far.paths["mss-clamped"] == 3


def test_the_segment_size_in_a_syn_among_others_is_looked_at() -> None:
    near, far, _ = ends()
    packets = Big(count=8, segment=10, options=4).segments()
    packets[3] = packets[3][:33] + bytes([SYN]) + packets[3][34:40] + b"\x02\x04\xff\xff" + packets[3][44:]
    assert len(packets_of(opened(far, near, packets))) == 8
    assert far.paths["mss-clamped"] == 1


def test_the_buffer_holds_the_largest_read() -> None:
    near, far, _ = ends()
    assert len(far.roads.received) == limits.RECEIVE_BUFFER
    packets = Big(count=44, segment=1_380).segments()
    assert len(authentic(near, 4, packets[0])) * 44 > 64_000
    assert packets_of(opened(far, near, packets)) == packets
