"""The road in for runs does with AH packet by packet what the road for single packets does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.results import Result, ToTunRun
from ipsecd.ipsec.outer import fixed
from ipsecd.ipsec.transport import headed
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.selector import Selector
from tests.property.receivers import (
    NATTED,
    TRANSPORT,
    Way,
    apart,
    arriving,
    bent,
    ends,
    inside,
    kept,
    natively,
    one_by_one,
    packets_of,
    read,
    signed,
    state,
    together,
)
from tests.property.run_values import ADDRESSES, Big, bigs, often
from tests.property.test_runs_in import ALONE, ways
from tests.unit.crypto.suites import AH_INTEGRITIES
from tests.unit.dataplane.ends import End, authentic
from tests.unit.ipsec.packets import syn, udp
from tests.unit.ipsec.pairs import ah_keys, keys

MACS = [integrity.name for integrity in AH_INTEGRITIES]
AHEAD = {(True, 4): 20, (True, 6): 40, (False, 4): 0, (False, 6): 0}  # octets in front of AH
MAY_CHANGE = {(True, 4): [4, 5, 8, 10, 11], (True, 6): [7]}  # of them, what packets of one run needn't have in common

macs = often(st.just("sha256"), st.sampled_from(MACS))
forms = st.sampled_from([TUNNEL, TRANSPORT, NATTED])
limits = often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(40), hard_octets=st.just(99_999)))

every_way = pytest.mark.parametrize("native", [True, False], ids=["native", "UDP"])
every_outer = pytest.mark.parametrize("outer", [4, 6])
every_form = pytest.mark.parametrize("form", [TUNNEL, TRANSPORT], ids=["tunnel", "transport"])


def begun(near: End, *receivers: End, tos: int = 0) -> None:
    """The SA is in use, as it only is after a packet."""
    first = arriving(near, [udp(*ADDRESSES[4])], tos)
    for end in receivers:
        apart(end, first, 1.0, tos, way=None)


@st.composite
def reads(draw: st.DrawFn, near: End, tos: int) -> list[bytes]:
    """What one read may give: packets of one size, and one that may have less."""
    outer, native = near.outside.local.version, near.outside.native
    packets = draw(bigs(most=1_300)).segments()[: draw(st.integers(2, 64))]
    packets = [packet for packet in packets if len(packet) == len(packets[0])]
    for _ in range(draw(often(st.just(0), st.integers(1, 3)))):
        place = draw(st.integers(0, len(packets) - 1))
        packets[place] = bent(packets[place], draw(st.integers(0, 79)))
    payloads = [inside(packet, near.form, outer) for packet in packets if packet[0] >> 4 in (4, 6)]
    for _ in range(draw(often(st.just(0), st.integers(1, 2)))):
        place = draw(st.integers(0, len(payloads) - 1))
        payloads[place] = draw(st.sampled_from([4, 41, 50, 51, 59, 60, 6])), payloads[place][1]
    found = signed(near, payloads, tos, draw(ways))
    size, at = len(found[0]), AHEAD[native, outer]
    del found[64_000 // size :]
    for _ in range(draw(often(st.just(0), st.integers(1, 4)))):
        place = draw(st.integers(0, len(found) - 1))
        packet = found[place]
        match draw(st.sampled_from(["spi", "bent", "icv", "words", "header", "again", "swapped", "lost", "other"])):
            case "spi":
                packet = packet[: at + 4] + b"\0\0\x77\x77" + packet[at + 8 :]
            case "bent":
                packet = bent(packet, draw(st.integers(at, size - 1)))
            case "icv":
                packet = bent(packet, at + draw(st.integers(12, 40)))
            case "words":
                packet = packet[: at + 1] + bytes([draw(st.integers(0, 255))]) + packet[at + 2 :]
            case "header" if native:
                packet = bent(packet, draw(st.sampled_from(MAY_CHANGE[native, outer])))
            case "again":
                packet = found[place - 1]
            case "swapped":
                found[place - 1], packet = packet, found[place - 1]
            case "lost" if len(found) > 2:
                del found[place]
                continue
            case "other" if not native:
                packet = draw(st.sampled_from([bytes(4), b"\0\0\x22\x22", b"\xff\xff\xff\xff"])) + packet[4:]
            case _:
                pass
        found[place] = packet
    if native:
        return found
    last = draw(st.sampled_from([b"", b"", b"\xff", bytes(4) + b"ike", b"short", found[0][: size - 4]]))
    return [*found, last] if last and len(last) < size else found


def moved(end: End) -> m.Outside:
    """Where its peer might be next: of native packets the addresses stand in the headers."""
    return end.outside if end.outside.native else replace(end.outside, remote_port=999)


@settings(max_examples=2 * settings().max_examples)
@given(
    data=st.data(),
    mac=macs,
    esn=st.booleans(),
    given=limits,
    tos=often(st.just(0), st.integers(0, 3)),
    form=forms,
    outer=st.sampled_from([4, 6]),
    native=st.booleans(),
)
def test_a_read_is_what_its_packets_are_one_by_one(
    data: st.DataObject, mac: str, esn: bool, given: m.Limits, tos: int, form: Form, outer: int, native: bool
) -> None:
    near, one, two = ends(esn=esn, form=form, outer=outer, native=native, mac=mac, limits=given)
    for now in (1.0, 1.5, 3.0):
        packets = data.draw(reads(near, tos))
        outside = data.draw(often(st.just(None), st.just(moved(one))))
        found = one_by_one(together(one, packets, now, tos, outside, way=None))
        assert found == apart(two, packets, now, tos, outside, way=None)
        assert state(one) == state(two)


PACKETS = [udp(*ADDRESSES[4]), udp(*ADDRESSES[4]), udp(*ADDRESSES[4], 1), udp(*ADDRESSES[4], data=b"another size")]
NOISE = [b"\xff", b"", bytes(4) + b"ike", b"short", bytes([7]) * 80, bytes(4) + bytes(76), b"\x04\x05\0\0" + bytes(76)]


@settings(max_examples=2 * settings().max_examples)
@given(st.data(), macs, st.booleans(), limits, forms, st.booleans(), st.sampled_from([4, 6]))
def test_reads_in_a_row_are_what_their_packets_are_one_by_one(
    data: st.DataObject, mac: str, esn: bool, given: m.Limits, form: Form, native: bool, outer: int
) -> None:
    """Single ones, and runs between them."""
    near, one, two = ends(mac=mac, esn=esn, form=form, native=native, outer=outer, limits=given)
    for now in (1.0, 2.0):
        found: list[Result] = []
        wanted: list[Result] = []
        for _ in range(data.draw(st.integers(1, 40))):
            tos = data.draw(often(st.just(0), st.just(1)))
            match data.draw(st.sampled_from(["plain", "plain", "plain", "plain", "other", "noise", "bent", "run"])):
                case "plain":
                    packets = arriving(near, [PACKETS[0]], tos)
                case "other":
                    packets = arriving(near, [data.draw(st.sampled_from(PACKETS))], tos)
                case "noise" if not native:
                    packets = [data.draw(st.sampled_from(NOISE))]
                case "bent":
                    (packet,) = arriving(near, [PACKETS[0]], tos)
                    packets = [bent(packet, data.draw(st.integers(AHEAD[native, outer], len(packet) - 1)))]
                case _:
                    packets = arriving(near, Big(count=5).segments(), tos)
            outside = data.draw(often(st.just(one.outside), st.just(moved(one))))
            found += kept(read(one, packets, now, tos, outside, way=None))
            wanted += apart(two, packets, now, tos, outside, way=None)
        found += kept(one.roads.from_udp_end(now))
        assert one_by_one(found) == wanted
        assert state(one) == state(two)


@pytest.mark.parametrize("mac", MACS)
@pytest.mark.parametrize("esn", [False, True])
@every_way
@every_outer
@every_form
def test_a_run_is_verified_and_written_as_one(form: Form, outer: int, native: bool, esn: bool, mac: str) -> None:
    near, one, two = ends(mac=mac, esn=esn, form=form, outer=outer, native=native)
    begun(near, one, two)
    packets = arriving(near, Big(count=40).segments())
    results = together(one, packets, 1.0, way=None)
    assert [type(result) for result in results] == [ToTunRun]
    assert one_by_one(results) == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 1
    if form is TUNNEL:
        assert packets_of(results) == Big(count=40).segments()


@pytest.mark.parametrize("df", [False, True])
@every_outer
@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "UDP"])
def test_in_transport_mode_native_packets_get_their_own_headers_back(tcp: bool, outer: int, df: bool) -> None:
    near, one, two = ends(mac="sha256", form=TRANSPORT, outer=outer, native=True)
    begun(near, one, two)
    segments = Big(count=40, tcp=tcp).segments()
    packets = arriving(near, segments, 3, Way(ttls=(57,), df=df))
    results = together(one, packets, 1.0, 3, way=None)
    assert [type(result) for result in results] == [ToTunRun]
    assert one_by_one(results) == apart(two, packets, 1.0, 3, way=None)
    (_, *_, last) = packets_of(results)
    protocol, payload = inside(segments[-1], TRANSPORT, outer)
    start = f"4503{len(last):04x}001f{'4000' if df else '0000'}39{protocol:02x}"
    if outer == 6:
        start = f"60300000{len(payload):04x}{protocol:02x}39"
    assert last.hex().startswith(start)
    assert last.endswith(one.outside.remote.packed + one.outside.local.packed + payload)


@pytest.mark.parametrize("form", [TRANSPORT, NATTED], ids=["transport", "natted"])
@every_outer
def test_in_transport_mode_headers_are_made_anew_for_what_came_in_udp(outer: int, form: Form) -> None:
    near, one, two = ends(mac="sha256", form=form, outer=outer)
    begun(near, one, two)
    packets = arriving(near, Big(count=40).segments())
    results = together(one, packets, 1.0, 2, way=None)
    assert [type(result) for result in results] == [ToTunRun]
    assert one_by_one(results) == apart(two, packets, 1.0, 2, way=None)
    assert {packet[:2].hex() for packet in packets_of(results)} == {"4502" if outer == 4 else "6020"}


@every_way
@every_outer
@every_form
@pytest.mark.parametrize("place", [0, 20, 39])
def test_one_wrong_icv_costs_one_packet(place: int, form: Form, outer: int, native: bool) -> None:
    near, one, two = ends(mac="sha256", form=form, outer=outer, native=native)
    begun(near, one, two)
    packets = arriving(near, Big(count=40).segments(), way=Way(ttls=(9, 60, 255)))
    packets[place] = bent(packets[place], AHEAD[native, outer] + 14)
    results = together(one, packets, 1.0, way=None)
    assert results == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert (len(packets_of(results)), one.drops) == (39, {"bad-icv": 1})
    (sa,) = one.roads._inbound._sad
    assert (sa.failures, sa.window.top) == (0 if place < 39 else 1, 40 if place == 39 else 41)


@every_way
def test_a_run_that_comes_again_is_dropped_as_replayed(native: bool) -> None:
    near, far, _ = ends(mac="sha256", native=native)
    begun(near, far)
    packets = arriving(near, Big(count=40).segments())
    assert len(packets_of(together(far, packets, 1.0, way=None))) == 40
    assert packets_of(together(far, packets, 1.0, way=None)) == []
    assert far.drops == {"replayed": 40}


@every_way
@pytest.mark.parametrize("sequence", [(1 << 32) - 20, (1 << 32) - 1, 1 << 32, (1 << 33) - 41])
def test_extended_numbers_go_over_the_low_half(sequence: int, native: bool) -> None:
    near, far, _ = ends(mac="sha256", esn=True, native=native)
    begun(near, far)
    (sent,), (received,) = near.roads._outbound._sad, far.roads._inbound._sad
    sent.sequence = sequence - 1
    received.window.commit_run(sequence - 5, 4)
    packets = Big(count=40).segments()
    assert packets_of(together(far, arriving(near, packets), 1.0, way=None)) == packets
    assert received.window.top == sequence + 39


@pytest.mark.parametrize("words", [0, 3, 5, 6, 255])
@pytest.mark.parametrize("rows", [(3,), tuple(range(9))], ids=["one", "all"])
@every_way
@every_outer
def test_headers_that_lie_about_their_length_are_dropped_as_they_are_one_by_one(
    outer: int, native: bool, rows: tuple[int, ...], words: int
) -> None:
    near, one, two = ends(mac="sha1", outer=outer, native=native)
    begun(near, one, two)
    packets, at = arriving(near, Big(count=9, segment=100).segments()), AHEAD[native, outer] + 1
    for row in rows:
        packets[row] = packets[row][:at] + bytes([words]) + packets[row][at + 1 :]
    results = together(one, packets, 1.0, way=None)
    assert results == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert len(packets_of(results)) == 9 - len(rows)


@every_way
@every_form
def test_one_with_another_next_header_counts_as_what_it_says(form: Form, native: bool) -> None:
    near, one, two = ends(mac="sha256", form=form, native=native)
    begun(near, one, two)
    payloads = [inside(packet, form) for packet in Big(count=9, tcp=False).segments()]
    payloads[4] = 47, payloads[4][1]
    packets = signed(near, payloads)
    results = together(one, packets, 1.0, way=None)
    assert results == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert one.drops == ({"not-tunnel-mode": 1} if form is TUNNEL else {})
    if form is TRANSPORT:
        assert [packet[9] for packet in packets_of(results)] == [17, 17, 17, 17, 47, 17, 17, 17, 17]


def starting(near: End, packets: list[bytes], at_start: bytes) -> list[bytes]:
    """What arrives of them from a peer that begins AH so, behind the next header, and signs that."""
    (sa,) = near.roads._outbound._sad
    outer, native = near.outside.local.version, near.outside.native
    at = AHEAD[native, outer]
    unsent = b"" if native else fixed(near.outside.local, near.outside.remote)
    found = []
    for packet in arriving(near, packets):
        changed = packet[: at + 1] + at_start + packet[at + 4 :]
        whole = headed(unsent, 51, len(changed)) + changed if unsent else changed
        covered = bytearray(whole)
        start = len(whole) - len(packet) + at
        if outer == 4:
            covered[1:2], covered[6:9], covered[10:12] = bytes(1), bytes(3), bytes(2)
        else:
            covered[0:4], covered[7:8] = b"\x60\0\0\0", bytes(1)
        covered[start + 12 : start + 28] = bytes(16)
        icv = sa.mac.icv(b"", bytes(covered))
        found.append(changed[: at + 12] + icv + changed[at + 28 :])
    return found


@every_way
@every_outer
@pytest.mark.parametrize("words", [4, 7])
def test_headers_that_lie_about_their_length_are_dropped_even_if_they_are_authentic(
    words: int, outer: int, native: bool
) -> None:
    near, one, two = ends(mac="sha256", outer=outer, native=native)
    begun(near, one, two)
    packets = starting(near, Big(count=9).segments(), bytes([words, 0, 0]))
    assert together(one, packets, 1.0, way=None) == apart(two, packets, 1.0, way=None) == []
    assert state(one) == state(two)
    assert one.drops == {"ah-length": 9}
    single = starting(near, [PACKETS[0]], bytes([words, 0, 0]))
    assert together(one, single, 1.0, way=None) == []
    assert one.drops == {"ah-length": 10}


@every_way
@every_outer
def test_a_reserved_field_that_is_filled_is_taken_as_it_is_one_by_one(outer: int, native: bool) -> None:
    """It is signed too (RFC 4302 section 2.3). In UDP it stands where ESP has the end of its SPI."""
    near, one, two = ends(mac="sha256", outer=outer, native=native)
    begun(near, one, two)
    segments = Big(count=9).segments()
    packets = starting(near, segments, bytes([5 if outer == 4 else 6, 0, 1]))
    results = together(one, packets, 1.0, way=None)
    assert results == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert packets_of(results) == (segments if native else [])
    assert one.drops == ({} if native else {"unknown-spi": 9})


@every_way
@every_outer
def test_an_sa_around_esp_takes_no_runs(outer: int, native: bool) -> None:
    near, one, two = ends(mac="sha256", form=Form(transport=True, outer=True), outer=outer, native=native)
    begun(near, one, two)
    packets = arriving(near, Big(count=9).segments())
    assert together(one, packets, 1.0, way=None) == apart(two, packets, 1.0, way=None)
    assert state(one) == state(two)
    assert one.drops == {"nested": 10}


@every_way
@every_form
def test_ah_with_the_spi_of_esp_is_unknown_and_esp_with_that_of_ah(form: Form, native: bool) -> None:
    near, one, two = ends(mac="sha256", form=form, native=native)
    for end in (one, two):
        end.roads.handle(m.RemoveInbound(end.inbound), 0.0)
        end.install_inbound(keys=keys())
        for sa in end.roads._inbound._sad:
            sa.used = True
    packets = arriving(near, Big(count=9).segments())
    assert together(one, packets, 1.0, way=None) == apart(two, packets, 1.0, way=None) == []
    assert state(one) == state(two)
    assert one.drops == {"unknown-spi": 9}

    near, one, two = ends(form=form, native=native)
    for end in (one, two):
        end.roads.handle(m.RemoveInbound(end.inbound), 0.0)
        end.install_inbound(keys=ah_keys())
        for sa in end.roads._inbound._sad:
            sa.used = True
    datagrams = [authentic(near, *inside(packet, form)) for packet in Big(count=9).segments()]
    assert together(one, datagrams, 1.0) == apart(two, datagrams, 1.0) == []
    assert state(one) == state(two)
    assert one.drops == {"unknown-spi": 9}


@pytest.mark.parametrize(
    ("outer", "at", "to"),
    [(4, 0, 0x46), (4, 6, 0x20), (4, 7, 1), (4, 9, 50), (4, 9, 17), (6, 6, 50), (6, 6, 0), (6, 0, 0x70)],
)
@every_form
def test_packets_with_other_headers_go_one_by_one(form: Form, outer: int, at: int, to: int) -> None:
    """With options, fragments, ESP, another protocol, extension headers, another version."""
    near, one, two = ends(mac="sha256", form=form, outer=outer, native=True)
    begun(near, one, two)
    packets = arriving(near, Big(count=9).segments())
    packets = [packet[:at] + bytes([to]) + packet[at + 1 :] for packet in packets]
    assert together(one, packets, 1.0, way=None) == apart(two, packets, 1.0, way=None) == []
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 0


@every_outer
@every_form
def test_packets_from_elsewhere_go_one_by_one(form: Form, outer: int) -> None:
    """As authentic as those of the SA, if their sender signs them so."""
    near, one, two = ends(mac="sha256", form=form, outer=outer, native=True)
    begun(near, one, two)
    near.outside = replace(near.outside, local=near.outside.local + 1)
    there = replace(one.outside, remote=near.outside.local)
    packets = arriving(near, Big(count=9, tcp=False).segments())
    results = together(one, packets[:4], 1.0, outside=there, way=None)
    assert results == apart(two, packets[:4], 1.0, outside=there, way=None)
    assert state(one) == state(two)
    assert one.paths["runs-in"] == 0


@every_way
def test_runs_of_several_sas_are_verified_as_runs(native: bool) -> None:
    near, far, _ = ends(mac="sha256", native=native)
    begun(near, far)
    segments = Big(count=20).segments()
    first = arriving(near, segments)
    far.install_inbound(spi=0x3333, keys=ah_keys("sha1"))
    far.install_inbound(spi=0x4444, keys=ah_keys("sha512"))
    others = []
    for spi, mac in ((0x3333, "sha1"), (0x4444, "sha512")):
        for sa in list(near.roads._outbound._sad):
            near.roads.handle(m.RemoveOutbound(sa.spi, near.inbound), 0.0)
        near.install_outbound(spi=spi, keys=ah_keys(mac))
        begun(near, far)
        others.append(arriving(near, segments))
    for packets in (first, *others):
        assert packets_of(together(far, packets, 1.0, way=None)) == segments
    assert far.paths["runs-in"] == 3


def test_ah_and_esp_of_one_size_may_be_mixed_in_one_read() -> None:
    near, one, two = ends(mac="sha256")
    begun(near, one, two)
    signing = arriving(near, [udp(*ADDRESSES[4], data=bytes([number]) * 104) for number in range(20)])
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    near.install_outbound(spi=0x3333, keys=keys())
    for end in (one, two):
        end.install_inbound(spi=0x3333, keys=keys())
    sealing = [authentic(near, 4, udp(*ADDRESSES[4], data=bytes([number]) * 96)) for number in range(21)]
    for end in (one, two):
        end.receive(sealing[0], 1.0)
    del sealing[0]
    assert len({len(each) for each in (*signing, *sealing)}) == 1
    mixed = [
        *signing[:6],
        *sealing[:6],
        *(each for pair in zip(signing[6:13], sealing[6:13], strict=True) for each in pair),
    ]
    for packets in (mixed, [*sealing[13:], *signing[13:]]):
        assert one_by_one(together(one, packets, 1.0)) == apart(two, packets, 1.0)
        assert state(one) == state(two)
    assert one.paths["to-tun"] == 42
    assert one.paths["runs-in"] == 2


SINGLES = {
    "UDP": PACKETS[0],
    "TCP": Big(count=1, segment=1).segments()[0],
    "IPv6": Big(version=6, count=1, segment=20).segments()[0],
}


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("kind", SINGLES)
@every_way
@every_outer
@every_form
def test_a_packet_of_a_known_flow_never_takes_the_road_for_one(
    form: Form, outer: int, native: bool, kind: str, esn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, one, two = ends(mac="sha256", esn=esn, form=form, outer=outer, native=native)
    begun(near, one, two)
    packets = arriving(near, [SINGLES[kind]] * 4, way=Way(ttls=(7,)))
    wanted = [apart(two, [packet], 1.0, way=None) for packet in packets]
    assert together(one, packets[:1], 1.0, way=None) == wanted[0]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it did")

    for name in ("carry", "carry_native", "_pass"):
        monkeypatch.setattr(Inbound, name, refuse)
    assert [together(one, [packet], 1.0, way=None) for packet in packets[1:]] == wanted[1:]
    assert state(one) == state(two)


@pytest.mark.parametrize("kind", ALONE)
@every_way
def test_what_the_kernel_would_not_give_back_as_it_was_stays_apart(kind: str, native: bool) -> None:
    near, far, _ = ends(mac="sha256", native=native)
    begun(near, far)
    results = together(far, arriving(near, ALONE[kind]), 1.0, way=None)
    assert packets_of(results) == ALONE[kind]
    assert not any(isinstance(result, ToTunRun) for result in results)
    assert far.paths["runs-in"] == 1


def test_the_segment_size_in_each_syn_is_looked_at() -> None:
    near, far, _ = ends(mac="sha256", native=True)
    begun(near, far)
    together(far, arriving(near, [syn(*ADDRESSES[4], 9_000)] * 5), 1.0, way=None)
    assert far.paths["mss-clamped"] == 5


@every_way
@every_outer
def test_limits_count_the_octets_that_are_signed(outer: int, native: bool) -> None:
    near, far, _ = ends(mac="sha256", outer=outer, native=native)
    begun(near, far)
    (sa,) = far.roads._inbound._sad
    before, packets = sa.lifetime.octets, arriving(near, Big(count=9).segments())
    together(far, packets, 1.0, way=None)
    unsent = 0 if native else {4: 20, 6: 40}[outer]
    assert sa.lifetime.octets - before == 9 * (len(packets[0]) + unsent)


@every_way
@every_outer
def test_a_limit_is_told_by_the_packet_that_reaches_it(outer: int, native: bool) -> None:
    """The header that isn't sent counts too."""
    near, far, _ = ends(mac="sha256", outer=outer, native=native)
    begun(near, far)
    (sa,) = far.roads._inbound._sad
    counted = len(arriving(near, Big(count=9).segments())[0]) + (0 if native else {4: 20, 6: 40}[outer])
    before = sa.lifetime.octets
    for limit in (before + 9 * counted, before + 9 * counted + 1):
        near, one, two = ends(mac="sha256", outer=outer, native=native, limits=m.Limits(soft_octets=limit))
        begun(near, one, two)
        packets = arriving(near, Big(count=9).segments())
        results = together(one, packets, 1.0, way=None)
        assert one_by_one(results) == apart(two, packets, 1.0, way=None)
        assert (m.SoftExpired(one.inbound, "octets") in results) is (limit == before + 9 * counted)
        assert one.paths["runs-in"] == (limit > before + 9 * counted)


@every_way
def test_a_good_run_ends_the_count_of_failures(native: bool) -> None:
    near, far, _ = ends(mac="sha256", native=native)
    begun(near, far)
    (bad,) = arriving(near, [PACKETS[0]])
    together(far, [bent(bad, -1)], 1.0, way=None)
    (sa,) = far.roads._inbound._sad
    assert sa.failures == 1
    together(far, arriving(near, Big(count=9).segments()), 1.0, way=None)
    assert (sa.failures, far.paths["runs-in"]) == (0, 1)


def test_the_header_that_is_not_sent_has_the_addresses_that_the_peer_has_now() -> None:
    near, far, _ = ends(mac="sha256")
    begun(near, far)
    segments = Big(count=9).segments()
    together(far, arriving(near, segments), 1.0, way=None)
    near.outside = replace(near.outside, local=near.outside.local + 1)
    far.outside = replace(far.outside, remote=near.outside.local)
    begun(near, far)
    assert packets_of(together(far, arriving(near, segments), 1.0, way=None)) == segments
    assert far.paths["runs-in"] == 2


@pytest.mark.parametrize("mac", ["", "sha256"], ids=["ESP", "AH"])
@pytest.mark.parametrize("end", ["local", "remote"])
@every_outer
def test_native_packets_of_transport_mode_are_known_by_both_their_addresses(outer: int, end: str, mac: str) -> None:
    near, far, _ = ends(mac=mac, form=TRANSPORT, outer=outer, native=True)
    (here, there) = (Selector(each, each) for each in (far.outside.local, far.outside.remote))
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    far.install_inbound(local=(here,), remote=(there,))
    for _ in range(3):
        (packet,) = arriving(near, [PACKETS[0]])
        assert len(packets_of(together(far, [packet], 1.0, way=None))) == 1
    other = {"local": "remote", "remote": "local"}[end]
    near.outside = replace(near.outside, **{other: getattr(near.outside, other) + 1})
    there_now = replace(far.outside, **{end: getattr(near.outside, other)})
    for _ in range(3):
        (packet,) = arriving(near, [PACKETS[0]])
        assert packets_of(together(far, [packet], 1.0, outside=there_now, way=None)) == []
    assert far.drops == {"outside-selectors": 3}


@pytest.mark.parametrize("mac", ["", "sha256"], ids=["ESP", "AH"])
def test_packets_that_waited_for_each_other_need_not_agree_on_df(mac: str) -> None:
    """No ICV covers it, and they come in reads of their own."""
    near, one, two = ends(mac=mac, form=TRANSPORT, native=True)
    begun(near, one, two)
    found: list[Result] = []
    wanted: list[Result] = []
    for number, segment in enumerate(Big(count=8).segments()):
        packets = arriving(near, [segment], way=Way(df=number % 2 == 1))
        found += kept(read(one, packets, 1.0, 0, one.outside, way=None))
        wanted += apart(two, packets, 1.0, way=None)
    found += kept(one.roads.from_udp_end(1.0))
    assert one_by_one(found) == wanted
    assert [packet[6] for packet in packets_of(found)] == [0x00, 0x40] * 4
    assert one.paths["runs-in"] == 1


@every_way
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("mac", ["", "sha256"], ids=["ESP", "AH"])
def test_a_congestion_mark_on_hardly_anything_costs_nothing_else(mac: str, count: int, native: bool) -> None:
    near, one, two = ends(mac=mac, native=native)
    begun(near, one, two)
    if mac:
        packets = signed(near, [(59, b"?")] * count, 1)
        wanted = {"not-tunnel-mode": count}
    else:
        packets = natively([authentic(near, 59, b"?") for _ in range(count)], 1, one.outside, Way() if native else None)
        wanted = {"dummy": count}
    assert together(one, packets, 1.0, 1, way=None) == apart(two, packets, 1.0, 1, way=None) == []
    assert state(one) == state(two)
    assert one.drops == wanted


@every_way
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("ecn", [0, 1, 2, 3])
def test_congestion_marks_of_the_way_are_carried_inside(ecn: int, count: int, native: bool) -> None:
    # RFC 6040 section 4.2
    near, one, two = ends(mac="sha256", native=native)
    begun(near, one, two)
    packets = arriving(near, Big(count=max(count, 2), tos=2).segments()[:count], ecn)
    results = together(one, packets, 1.0, ecn, way=None)
    assert one_by_one(results) == apart(two, packets, 1.0, ecn, way=None)
    assert {packet[1] for packet in packets_of(results)} == {{0: 2, 1: 1, 2: 2, 3: 3}[ecn]}
    assert state(one) == state(two)
