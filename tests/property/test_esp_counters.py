"""Whatever happens to a tunnel: the counters add up, nothing is delivered twice, no number is used twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, Result, ToTun
from ipsecd.dataplane.tally import DROPS
from ipsecd.wire.ip import parse
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, End, only, tunnel
from tests.unit.ipsec.packets import echo, ipv4, sized, syn, udp

V4, V6 = ("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")
PACKETS = [
    *(udp(*V4), udp(*V6), echo(*V4), echo(*V6), syn(*V4, 9_000), syn(*V6, 9_000)),
    *(sized(*V4, 1_400, df=True), sized(*V4, 1_439, df=True), sized(*V4, 4_000), sized(*V6, 1_280), sized(*V6, 1_500)),
    *(ipv4(*V4, 17, bytes(64), offset=800), ipv4(*V4, 17, bytes(64), more=True), udp("10.9.0.1", "10.2.0.1")),
    *(b"", b"\x45", bytes(40), udp(*V4)[:-1], b"\x60" + bytes(50), udp("10.1.0.1", "10.9.0.1"), udp(*V4, tos=2)),
]
OLD, NEW = 0x2222, 0xBEEF


@dataclass
class Link:
    """A tunnel whose packets may be lost, doubled, kept back and bent; everything counted."""

    near: End
    far: End
    now: float = 0.0
    given: int = 0
    arrived: int = 0
    numbers: Counter[bytes] = field(default_factory=Counter)
    kept: list[Out] = field(default_factory=list)
    delivered: list[bytes] = field(default_factory=list)

    def take(self, results: list[Result]) -> None:
        for out in only(results, Out):
            self.numbers[out.datagram[:8]] += 1
            self.kept.append(out)

    def arrive(self, datagram: bytes, tos: int) -> None:
        self.arrived += 1
        results = self.far.receive(datagram, self.now, tos=tos)
        self.delivered += [result.packet for result in only(results, ToTun)]


steps = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(PACKETS)),
    st.tuples(st.just("send"), st.sampled_from(PACKETS)),
    st.tuples(st.just("arrive"), st.integers(0, 30)),
    st.tuples(st.just("arrive"), st.integers(0, 30)),
    st.tuples(st.just("bend"), st.integers(0, 2_000)),
    st.tuples(st.just("noise"), st.binary(max_size=40)),
    st.tuples(st.just("wait"), st.floats(0.01, 40.0)),
    st.tuples(st.just("do"), st.sampled_from(["rekey", "drop old", "give up", "discard", "protect", "narrow", "mtu"])),
)


def do(link: Link, what: str) -> None:
    near, far = link.near, link.far
    if what == "rekey":
        far.install_inbound(link.now, spi=NEW)
        link.take(near.install_outbound(link.now, spi=NEW, limits=m.Limits(hard_packets=9, soft_octets=200)))
    elif what == "drop old":
        near.roads.handle(m.RemoveOutbound(OLD, near.inbound), link.now)
        far.roads.handle(m.RemoveInbound(OLD), link.now)
    elif what == "give up":
        near.roads.handle(m.GiveUp("child"), link.now)
    elif what == "discard":
        near.policy(m.SpdEntry("no", "r", "discard", ((NEAR_NETS[0], FAR_NETS[0]),)))
    elif what == "protect":
        near.policy()
    elif what == "narrow":
        far.policy(m.SpdEntry("all", "r", "protect", ((FAR_NETS[0], NEAR_NETS[0]),), "child"))
    else:
        near.roads.handle(m.SetPathMtu(near.outside.remote, 1_000), link.now)


def play(link: Link, step: tuple[str, object]) -> None:
    match step:
        case ("send", bytes(packet)):
            link.given += 1
            link.take(link.near.send(packet, now=link.now))
        case ("arrive", int(which)) if link.kept:
            out = link.kept[-1 - which % len(link.kept)]
            link.arrive(out.datagram, out.tos)
        case ("bend", int(where)) if link.kept:
            bent = bytearray(link.kept[-1].datagram)
            bent[where % len(bent)] ^= 1 << where % 8
            link.arrive(bytes(bent), 0)
        case ("noise", bytes(octets)):
            link.arrive(octets, 3)
        case ("wait", float(seconds)):
            link.now += seconds
            link.take(link.near.roads.timer(link.now))
            link.far.roads.timer(link.now)
        case ("do", str(what)):
            do(link, what)


@given(st.lists(steps, max_size=60))
def test_in_is_delivered_plus_dropped_plus_waiting(played: list[tuple[str, object]]) -> None:
    link = Link(*tunnel())
    for step in played:
        play(link, step)

    near, far = link.near.counters(), link.far.counters()
    paths = Counter(near.paths)
    assert paths["from-tun"] == link.given == paths["sealed"] + paths["waiting"] + sum(near.drops.values())
    assert paths["datagrams"] == sum(link.numbers.values())
    paths = Counter(far.paths)
    accepted = paths["to-tun"] + paths["ike"] + paths["keepalive"]
    assert paths["from-udp"] == link.arrived == accepted + sum(far.drops.values())
    assert paths["to-tun"] == len(link.delivered)
    assert set(near.drops) | set(far.drops) <= set(DROPS)
    # No sequence number is used twice with a key, and nothing is delivered twice.
    assert all(count == 1 for count in link.numbers.values())
    assert len(link.delivered) <= len(link.kept)
    for packet in link.delivered:
        view = parse(packet)
        assert str(view.source).startswith(("10.1.", "2001:db8:1:"))
        assert str(view.destination).startswith(("10.2.", "2001:db8:2:"))
