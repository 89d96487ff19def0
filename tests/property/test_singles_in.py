"""Single datagrams and short runs: what is remembered of their flows makes them quicker, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.columns import MOST
from ipsecd.dataplane.inbound import Inbound
from ipsecd.dataplane.results import Result, ToTun, ToTunRun
from ipsecd.wire.selector import Selector
from tests.property.receivers import apart, bent, ends, kept, one_by_one, packets_of, state
from tests.property.run_values import ACK, ADDRESSES, PSH, Big, often
from tests.unit.crypto.suites import Suite
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, End, authentic, only, protect
from tests.unit.ipsec.packets import echo, ipv4, ipv6, syn, udp
from tests.unit.ipsec.pairs import CBC, CHACHA, GCM, fixed_iv

Draw = Callable[..., Any]  # what hypothesis hands out in either way

PACKETS = [
    udp(*ADDRESSES[4]),
    udp(*ADDRESSES[4], tos=2),
    udp(*ADDRESSES[4], tos=1),
    udp(*ADDRESSES[4], 1_000, 53),
    udp(*ADDRESSES[4], data=b"longer by some"),
    udp("10.1.0.9", "10.2.0.1"),
    udp("10.9.0.1", "10.2.0.1"),  # outside the selectors
    udp(*ADDRESSES[4], 1_000, 53) + bytes(8),  # and what hides the length (RFC 4303 section 2.7)
    ipv4(*ADDRESSES[4], 17, bytes(16), more=True),
    ipv4(*ADDRESSES[4], 17, bytes(16), offset=16),
    ipv4(*ADDRESSES[4], 17, bytes(16), options=b"\x01\x01\x01\0"),
    ipv4(*ADDRESSES[4], 17, bytes(7)),
    ipv4(*ADDRESSES[4], 47, bytes(24)),
    ipv4(*ADDRESSES[4], 6, bytes(8)),
    echo(*ADDRESSES[4]),
    Big(count=1, segment=1).segments()[0],
    Big(count=1, segment=1, options=0, flags=ACK | PSH, seed=1).segments()[0],
    Big(version=6, count=1, segment=20).segments()[0],
    Big(version=6, tcp=False, count=1, segment=20, tos=3).segments()[0],
    ipv6(*ADDRESSES[6], 60, b"\x11\0\1\4" + bytes(4) + bytes(16)),
    ipv6(*ADDRESSES[6], 58, b"\x80\0" + bytes(14)),
    Big(version=6, tcp=False, count=1, segment=20, tos=3).segments()[0] + bytes(8),
    syn(*ADDRESSES[4], 9_000),
    bytes(40),
]
UDP_ONLY = tuple((replace(here, protocol=17), there) for here, there in zip(FAR_NETS, NEAR_NETS, strict=True))
POLICIES: list[tuple[m.SpdEntry, ...]] = [
    (),
    (protect(*zip(FAR_NETS, NEAR_NETS, strict=True), child="another"),),
    (protect(*UDP_ONLY),),
    (m.SpdEntry("no", "rule", "discard", UDP_ONLY), protect(*zip(FAR_NETS, NEAR_NETS, strict=True))),
    (m.SpdEntry("other", "rule", "protect", UDP_ONLY, "child"), protect(*zip(FAR_NETS, NEAR_NETS, strict=True))),
]


def sealed(near: End, plaintext: bytes) -> bytes:
    """A datagram that only the peer can make, with any trailer."""
    (sa,) = near.roads._outbound._sad
    number = sa.take(1)
    assert number is not None
    header = sa.spi.to_bytes(4, "big") + (number & 0xFFFF_FFFF).to_bytes(4, "big")
    iv = fixed_iv(sa.cipher.iv_octets)
    return header + sa.cipher.seal(header, sa.high(number), iv, plaintext)


def streams(near: End) -> bool:
    """Whether its cipher takes any number of octets."""
    (sa,) = near.roads._outbound._sad
    return sa.run is not None


def datagram(draw: Draw, near: End, sent: list[bytes]) -> bytes:
    """What may come next: mostly a new packet."""
    packet = draw(often(st.sampled_from(PACKETS[:2]), st.sampled_from(PACKETS)))
    kind = draw(often(st.just("new"), st.sampled_from(["again", "bent", "far", "trailer", "next", "noise", "late"])))
    match kind:
        case "again" if sent:
            return draw(st.sampled_from(sent))
        case "bent":
            return bent(authentic(near, 4, packet), draw(st.integers(0, 200)))
        case "far":
            (sa,) = near.roads._outbound._sad
            sa.take(draw(st.sampled_from([1, 63, 64, 1_500])))
        case "trailer" if streams(near):
            return sealed(
                near, packet + draw(st.sampled_from([b"\1\3\2\4", b"\1\2\2\4", bytes(4), b"\xff\4", b"\2\2\2\4"]))
            )
        case "next":
            return authentic(near, draw(st.sampled_from([4, 41, 59, 6])), packet)
        case "noise":
            return draw(st.sampled_from([b"\xff", b"", bytes(4) + b"ike", b"short", bytes([7]) * 80, b"\0\0\x22\x22"]))
        case "late":
            sent.append(authentic(near, 4, packet))  # and "again" may bring it
        case _:
            pass
    return authentic(near, 4 if packet[0] >> 4 != 6 else 41, packet)


def control(draw: Draw, end_s: list[End]) -> None:
    """Something that the control side may say, to each."""
    what = draw(st.sampled_from(["policy", "remove", "install", "move", "mtu"]))
    entries = draw(st.sampled_from(POLICIES))
    local = draw(st.sampled_from([FAR_NETS, tuple(replace(net, protocol=17) for net in FAR_NETS)]))
    mtu = draw(st.sampled_from([1_000, 1_500]))
    for end in end_s:
        match what:
            case "policy":
                end.policy(*entries)
            case "remove":
                end.roads.handle(m.RemoveInbound(end.inbound), 0.0)
            case "install":
                end.roads.handle(m.RemoveInbound(end.inbound), 0.0)
                end.install_inbound(local=local)
            case "move":
                end.roads.handle(m.MovePath((end.inbound,), replace(end.outside, remote_port=999)), 0.0)
            case _:
                end.roads.handle(m.SetPathMtu(end.outside.remote, mtu), 0.0)


def begin_at(sequence: int, near: End, *receivers: End) -> None:
    """The next packet has this number, and all before it were lost."""
    (sa,) = near.roads._outbound._sad
    sa.sequence = sequence - 1
    for end in receivers:
        (received,) = end.roads._inbound._sad
        received.window.commit_run(sequence - 1, 1)


@settings(max_examples=2 * settings().max_examples)
@given(
    data=st.data(),
    suite=often(st.sampled_from([GCM, CHACHA]), st.just(CBC)),
    esn=st.booleans(),
    given=often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(9), hard_octets=st.just(4_000))),
)
def test_datagrams_that_come_alone_are_what_they_are_on_the_road_for_one(
    data: st.DataObject, suite: Suite, esn: bool, given: m.Limits
) -> None:
    near, one, two = ends(suite, esn=esn, limits=given)
    sent: list[bytes] = []
    if esn and data.draw(st.booleans()):
        begin_at((1 << 32) - 4, near, one, two)
    now = 1.0
    for _ in range(data.draw(st.integers(1, 30))):
        found: list[Result] = []
        wanted: list[Result] = []
        for _ in range(data.draw(often(st.just(1), st.integers(1, 5)))):
            outside = data.draw(often(st.just(one.outside), st.just(replace(one.outside, remote_port=999))))
            tos = data.draw(often(st.just(0), st.integers(0, 3)))
            octets = datagram(data.draw, near, sent)
            sent.append(octets)
            one.roads.received[: len(octets)] = octets
            found += kept(one.roads.from_udp_read(len(octets), len(octets), replace(outside), tos, True, now))
            wanted += apart(two, [octets], now, tos, outside)
        found += kept(one.roads.from_udp_end(now))
        assert one_by_one(found) == wanted
        assert state(one) == state(two)
        now += data.draw(st.sampled_from([0.0, 0.4, 1.1]))
        if data.draw(often(st.just(False), st.just(True))):
            control(data.draw, [one, two])


def receive(far: End, *datagrams: bytes, tos: int = 0) -> list[Result]:
    """As one read of each, and nothing more waits."""
    found: list[Result] = []
    for octets in datagrams:
        far.roads.received[: len(octets)] = octets
        found += kept(far.roads.from_udp_read(len(octets), len(octets), far.outside, tos, True, 1.0))
        found += kept(far.roads.from_udp_end(1.0))
    return found


def test_extended_numbers_go_over_the_low_half() -> None:
    near, far, _ = ends(esn=True)
    begin_at((1 << 32) - 2, near, far)
    for _ in range(5):
        assert packets_of(receive(far, authentic(near, 4, PACKETS[0]))) == [PACKETS[0]]
    (sa,) = far.roads._inbound._sad
    assert sa.window.top == (1 << 32) + 2


KNOWN = {
    "UDP": PACKETS[0],
    "TCP": PACKETS[15],
    "echo": PACKETS[14],
    "IPv6": PACKETS[17],
    "ICMPv6 echo": PACKETS[20],
    "ECT(0)": PACKETS[1],
    "CE": PACKETS[18],
}


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("kind", KNOWN)
def test_a_packet_of_a_known_flow_never_takes_the_road_for_one(
    kind: str, esn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far, _ = ends(esn=esn)
    packet = KNOWN[kind]
    tos = {"ECT(0)": 2, "CE": 3}.get(kind, 0)
    next_header = 4 if packet[0] >> 4 == 4 else 41
    receive(far, authentic(near, next_header, packet), tos=tos)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it did")

    monkeypatch.setattr(Inbound, "carry", refuse)
    monkeypatch.setattr(Inbound, "_pass", refuse)
    assert packets_of(receive(far, *[authentic(near, next_header, packet) for _ in range(3)], tos=tos)) == [packet] * 3
    assert far.counters().entries == {"all": 4}


def test_what_is_remembered_of_a_flow_goes_with_the_policy() -> None:
    near, far, _ = ends()
    assert len(packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(3)]))) == 3
    far.policy(m.SpdEntry("no", "rule", "discard", UDP_ONLY))
    assert packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(2)])) == []
    assert far.drops == {"policy-discard": 2}


def test_what_is_remembered_of_a_flow_goes_with_the_sa() -> None:
    near, far, _ = ends()
    assert len(packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(3)]))) == 3
    far.roads.handle(m.RemoveInbound(far.inbound), 0.0)
    far.install_inbound(local=(Selector.net("10.3.0.0/16"),))
    assert packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(2)])) == []
    assert far.drops == {"outside-selectors": 2}


@pytest.mark.parametrize("kind", ["UDP", "TCP", "IPv6"])
def test_octets_that_hide_the_length_are_taken_off_packets_of_known_flows(kind: str) -> None:
    # RFC 4303 section 2.7
    near, far, _ = ends()
    packet = KNOWN[kind]
    next_header = 4 if packet[0] >> 4 == 4 else 41
    datagrams = [authentic(near, next_header, packet + bytes(hidden)) for hidden in (0, 8, 0, 4)]
    assert packets_of(receive(far, *datagrams)) == [packet] * 4


def test_what_one_sa_may_carry_another_may_not() -> None:
    near, far, _ = ends()
    assert packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(2)])) == [PACKETS[0]] * 2
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    near.install_outbound(spi=0x3333)
    far.install_inbound(spi=0x3333, local=(Selector.net("10.3.0.0/16"),))
    assert packets_of(receive(far, *[authentic(near, 4, PACKETS[0]) for _ in range(2)])) == []
    assert far.drops == {"outside-selectors": 2}


def test_only_so_many_flows_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FLOWS", 4)
    near, far, _ = ends()
    packets = [udp(*ADDRESSES[4], port) for port in range(1, 12)]
    assert packets_of(receive(far, *[authentic(near, 4, packet) for packet in packets])) == packets
    assert len(far.roads._inbound._known) <= 4


@pytest.mark.parametrize(
    ("reads", "together"),
    [
        ((3, 45), [48]),  # what was left over, and the rest
        ((45, 3), [45, 3]),
        ((45, 45), [45, 45]),
        ((3, 45, 3, 45), [48, 48]),
        ((45, 3, 45), [45, 48]),
        ((1, 1, 1, 1, 40), [44]),
        ((1, 20, 30), [21, 30]),
    ],
)
def test_some_reads_wait_for_others(reads: tuple[int, ...], together: list[int]) -> None:
    near, far, _ = ends()
    packets = Big(count=sum(reads), segment=600).segments()
    receive(far, authentic(near, 4, PACKETS[0]))
    datagrams = [authentic(near, 4, packet) for packet in packets]
    results: list[Result] = []
    start = 0
    for count in reads:
        octets = b"".join(datagrams[start : start + count])
        assert len(far.roads.received) == limits.RECEIVE_BUFFER
        far.roads.received[: len(octets)] = octets
        results += kept(far.roads.from_udp_read(len(octets), len(datagrams[0]), far.outside, 0, True, 1.0))
        start += count
    results += kept(far.roads.from_udp_end(1.0))
    joined = [len(result.payloads) for result in only(results, ToTunRun)]
    assert joined == [count for count in together if count > 3]
    assert packets_of(results) == packets


def test_a_shorter_last_one_ends_what_waits() -> None:
    near, far, _ = ends()
    receive(far, authentic(near, 4, PACKETS[0]))
    packets = Big(count=20, segment=1_200, tail=100).segments()
    datagrams = [authentic(near, 4, packet) for packet in packets]
    results: list[Result] = []
    for start, end in ((0, 3), (3, 21)):
        octets = b"".join(datagrams[start:end])
        far.roads.received[: len(octets)] = octets
        results += kept(far.roads.from_udp_read(len(octets), len(datagrams[0]), far.outside, 0, True, 1.0))
    assert [len(result.payloads) for result in only(results, ToTunRun)] == [20]
    assert packets_of(results) == packets


def test_half_as_many_as_fit_wait_for_no_more() -> None:
    near, far, _ = ends()
    receive(far, authentic(near, 4, PACKETS[0]))
    results: list[Result] = []
    for _ in range(MOST // 2):
        assert results == []
        octets = authentic(near, 4, PACKETS[0])
        far.roads.received[: len(octets)] = octets
        results += kept(far.roads.from_udp_read(len(octets), len(octets), far.outside, 0, True, 1.0))
    assert packets_of(results) == [PACKETS[0]] * (MOST // 2)


def receive_run(far: End, datagrams: list[bytes]) -> list[Result]:
    """As one read."""
    octets = b"".join(datagrams)
    far.roads.received[: len(octets)] = octets
    results = list(kept(far.roads.from_udp_read(len(octets), len(datagrams[0]), far.outside, 0, True, 1.0)))
    return results + list(kept(far.roads.from_udp_end(1.0)))


def test_one_that_is_lost_costs_the_others_nothing() -> None:
    near, far, _ = ends()
    packets = Big(count=40).segments()
    receive(far, authentic(near, 4, PACKETS[0]))
    datagrams = [authentic(near, 4, packet) for packet in packets]
    del datagrams[20], packets[20]
    results = receive_run(far, datagrams)
    assert [type(result) for result in results] == [ToTunRun, ToTunRun]
    assert packets_of(results) == packets


@pytest.mark.parametrize("esn", [False, True])
def test_one_that_comes_twice_in_a_run_passes_once(esn: bool) -> None:
    near, far, _ = ends(esn=esn)
    packets = Big(count=40).segments()
    receive(far, authentic(near, 4, PACKETS[0]))
    datagrams = [authentic(near, 4, packet) for packet in packets]
    datagrams.insert(20, datagrams[20])
    datagrams.insert(30, datagrams[5])
    assert packets_of(receive_run(far, datagrams)) == packets
    assert far.drops == {"replayed": 2}


def test_runs_of_several_sas_are_opened_as_runs() -> None:
    near, far, _ = ends()
    receive(far, authentic(near, 4, PACKETS[0]))
    packets = Big(count=20).segments()
    reads = [[authentic(near, 4, packet) for packet in packets] for _ in range(2)]
    for end in (near, far):
        key = end.keys.encryption_key
        end.keys = replace(end.keys, encryption_key=bytes(octet ^ 1 for octet in key))
    far.install_inbound(spi=0x3333)
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    near.install_outbound(spi=0x3333)
    receive(far, authentic(near, 4, PACKETS[0]))
    others = [[authentic(near, 4, packet) for packet in packets] for _ in range(2)]
    mixed = [*reads[1][:10], *others[1][:10], *reads[1][10:], *others[1][10:]]
    for datagrams in (reads[0], others[0], mixed):
        receive_run(far, datagrams)
    assert far.paths["to-tun"] == 2 + 4 * len(packets)
    assert far.paths["runs-in"] == 2 + 4


def test_many_flows_of_one_size_stay_what_they_are() -> None:
    near, far, _ = ends()
    packets = [udp(*ADDRESSES[4], port % 5 + 1, data=bytes([port] * 9)) for port in range(60)]
    receive(far, authentic(near, 4, PACKETS[0]))
    datagrams = [authentic(near, 4, packet) for packet in packets]
    assert receive_run(far, datagrams) == [ToTun(packet) for packet in packets]
    assert far.counters().entries == {"all": 61}
