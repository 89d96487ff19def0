"""Packets of nothing, which hide when there are any (RFC 4303 section 2.6)."""

from __future__ import annotations

from dataclasses import replace
from math import log
from random import Random

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, Result, ToTun
from ipsecd.wire import ip
from ipsecd.wire.form import TUNNEL, Form
from tests.property.receivers import ends as receivers
from tests.property.receivers import state, together
from tests.unit.dataplane.ends import End, only, protect, tunnel
from tests.unit.dataplane.shapes import (
    AROUND,
    HOSTS,
    NETS,
    SHAPES,
    Shape,
    ends,
    outbound_sa,
    received,
    results_of,
    sent,
)
from tests.unit.dataplane.test_padding import PATH_MTU
from tests.unit.ipsec.packets import udp

V4 = NETS[4]
PAUSE = -log(((0x00010203040506 >> 3) + 1) / (1 << 53))  # at one a second, as the source draws here: 11 seconds

every_esp = pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if shape.protocol != "ah"], ids=lambda shape: shape.name
)


def at_rest(end: End, tfc: m.Tfc, **given: object) -> None:
    """Have the SA of this end replaced by one that sends dummies."""
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 0.0)
    (done,) = end.install_outbound(tfc=tfc, **given)
    assert isinstance(done, m.Done)
    assert not done.error


def drawn(end: End, seed: int) -> None:
    """Have the end draw what it draws from this."""
    random = Random(seed)
    end.roads._outbound._dummies._chance = end.roads._outbound._iv_source = random.randbytes


def after(end: End, seconds: float) -> list[Result]:
    """All that time alone brings about."""
    results: list[Result] = []
    while (when := end.roads.deadline()) is not None and when <= seconds:
        results += end.roads.timer(when)
    return results


def used(end: End, direction: str) -> dict[int, tuple[int, int, float | None, int]]:
    """Packets, octets, the last use and dummies of each SA of a direction."""
    sas = (sa for sa in end.counters().sas if sa.direction == direction)
    return {sa.spi: (sa.packets, sa.octets, sa.last_used, sa.dummies) for sa in sas}


@every_esp
def test_a_dummy_looks_like_any_padded_packet_and_is_dropped(shape: Shape) -> None:
    near, far = ends(shape)
    at_rest(near, m.Tfc(65_535, 1))
    (out,) = only(near.roads.timer(PAUSE), Out)
    (real,) = sent(near, udp(*shape.pair(shape.outer), df=True))
    assert len(out.datagram) == len(real.datagram)
    assert (out.outside, out.tos, out.df, out.packet) == (near.outside, real.tos, True, b"")
    if shape.native:
        header = 20 if shape.outer == 4 else 40
        one, other = (bytearray(each.datagram[:header]) for each in (out, real))
        if shape.outer == 4:
            assert ip.checksum(bytes(one)) == 0
            one[4:6] = one[10:12] = other[4:6] = other[10:12] = bytes(2)  # Identification and checksum
        else:
            one[1:4] = other[1:4] = bytes(3)  # the flow label
        one[8 if shape.outer == 4 else 7] = other[8 if shape.outer == 4 else 7] = 64
        assert one == other
    assert received(far, [out]) == []
    assert far.drops == {"dummy": 1}
    assert len(received(far, [real])) == 1


def test_they_go_at_their_times_whatever_else_goes() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=4))
    assert end.roads.deadline() == PAUSE / 4
    assert end.roads.timer(PAUSE / 5) == []
    end.send(udp(*V4), now=PAUSE / 5)
    assert len(only(end.roads.timer(PAUSE / 4), Out)) == 1
    assert end.roads.deadline() == PAUSE / 4 + PAUSE / 4


def test_none_go_by_an_sa_that_no_packet_goes_by_any_more() -> None:
    """After a rekey, until it's deleted; and again if it has to do without the new one."""
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1))
    end.install_outbound(spi=0x7777, inbound=0x8888, tfc=m.Tfc(dummies=1))
    old, new = bytes.fromhex("00002222"), bytes.fromhex("00007777")
    assert [out.datagram[:4] for out in only(end.roads.timer(PAUSE), Out)] == [new]
    assert [out.datagram[:4] for out in only(end.send(udp(*V4), now=PAUSE), Out)] == [new]
    end.roads.handle(m.RemoveOutbound(0x7777, 0x8888), PAUSE)
    assert [out.datagram[:4] for out in only(end.roads.timer(2 * PAUSE), Out)] == [old]


def test_sas_of_one_child_for_other_packets_send_dummies_of_their_own() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1))
    end.install_outbound(spi=0x7777, inbound=0x8888, local=end.local[:1], remote=end.remote[:1], tfc=m.Tfc(dummies=1))
    assert len(only(end.roads.timer(PAUSE), Out)) == 2


def test_what_time_has_passed_over_is_not_made_up_for() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1_000))
    assert len(only(end.roads.timer(60.0), Out)) == 1
    assert end.roads.deadline() == 60.0 + PAUSE / 1_000


def test_so_many_a_second_go_on_average_at_times_nobody_can_predict() -> None:
    end, _ = tunnel()
    drawn(end, 7)
    at_rest(end, m.Tfc(dummies=10))
    pauses, now = [], 0.0
    for _ in range(2_000):
        when = end.roads.deadline()
        assert when is not None
        pauses.append(when - now)
        now = when
        assert len(only(end.roads.timer(now), Out)) == 1
    assert 0.09 < sum(pauses) / len(pauses) < 0.11
    assert 0.58 < sum(pause < 0.1 for pause in pauses) / len(pauses) < 0.68  # 1 - 1/e of an exponential distribution


def test_without_padding_they_have_sizes_of_packets_of_all_kinds() -> None:
    end, _ = tunnel()
    drawn(end, 7)
    at_rest(end, m.Tfc(dummies=1_000))
    sizes = {len(out.datagram) for out in only(after(end, 2.0), Out)}
    assert len(sizes) > 300  # of 355 that there are, as padding to the cipher's blocks makes them
    assert (min(sizes), max(sizes)) == (8 + 8 + 24 + 16, 1_472)


def test_they_use_up_an_sa_and_are_no_use_of_it() -> None:
    near, far = tunnel()
    at_rest(near, m.Tfc(padding=600, dummies=1))
    outs = only(near.roads.timer(PAUSE), Out)
    (sa,) = (sa for sa in near.counters().sas if sa.direction == "out")
    assert sa == m.SaCounters(near.outbound, near.inbound, "out", 1, 604, 1, None, 1)
    results_of(far, outs, now=5.0)
    (sa,) = (sa for sa in far.counters().sas if sa.direction == "in")
    assert sa == m.SaCounters(far.inbound, far.inbound, "in", 1, 604, 1, None, 1)
    results_of(far, sent(near, udp(*V4)), now=6.0)
    results_of(far, only(near.roads.timer(2 * PAUSE), Out), now=7.0)
    (sa,) = (sa for sa in far.counters().sas if sa.direction == "in")
    assert (sa.packets, sa.last_used, sa.dummies) == (3, 6.0, 2)
    assert near.paths["dummies"] == 2
    assert near.paths["sealed"] == 1


def test_they_reach_the_limits_of_an_sa_and_end_with_it() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1), limits=m.Limits(soft_packets=2, hard_packets=3))
    results = after(end, 100.0)
    assert [type(result) for result in results] == [Out, Out, m.SoftExpired, Out, m.HardExpired]
    assert end.roads.deadline() is None


def test_they_end_where_the_numbers_do() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1))
    outbound_sa(end).sequence = (1 << 32) - 1
    assert end.roads.timer(PAUSE) == [m.HardExpired(end.inbound, "packets")]
    assert end.drops == {}
    assert after(end, 100.0) == []


def test_none_go_once_the_sa_is_removed() -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(dummies=1))
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 0.0)
    assert end.roads.deadline() is None


def test_an_sa_that_only_dummies_went_by_was_in_nobodys_use() -> None:
    """What asks for another one in its place is throttled, as of one that nothing went by."""
    end = End(near=True)
    end.policy()
    assert len(only(end.send(udp(*V4)), m.Acquire)) == 1
    end.roads.handle(m.GiveUp("child"), 0.1)
    end.install_outbound(0.1, tfc=m.Tfc(dummies=1_000))
    assert len(only(end.roads.timer(0.2), Out)) == 1
    end.roads.handle(m.RemoveOutbound(end.outbound, end.inbound), 0.3)
    assert end.send(udp(*V4), now=0.4) == []
    assert end.drops == {"gave-up": 1, "acquire-throttled": 1}


def test_they_have_the_outer_header_that_all_packets_of_their_rule_have() -> None:
    end, _ = tunnel()
    pairs = tuple(zip(end.local, end.remote, strict=True))
    end.policy(protect(*pairs, header=m.OuterHeader(dscp=46, df="clear")))
    at_rest(end, m.Tfc(dummies=1))
    (out,) = only(end.roads.timer(PAUSE), Out)
    assert (out.tos, out.df) == (0xB8, False)


def test_so_have_those_between_two_hosts_in_a_tunnel_and_in_transport_mode_they_have_that_of_packets() -> None:
    """There the header is the packet's own."""
    for form, tos, df in ((TUNNEL, 0xB8, False), (Form(transport=True), 0, True)):
        end = End(near=True)
        pairs = tuple(zip(end.local, end.remote, strict=True))
        end.policy(replace(protect(*pairs, header=m.OuterHeader(dscp=46, df="clear")), each=True))
        end.install_outbound(child="child@10.1.0.1@10.2.0.1", form=form, tfc=m.Tfc(dummies=1))
        (out,) = only(end.roads.timer(PAUSE), Out)
        assert (out.tos, out.df) == (tos, df)


def test_within_ah_they_use_up_both_sas() -> None:
    near, far = ends(Shape("both"))
    at_rest(near, m.Tfc(padding=600, dummies=1))
    outs = only(near.roads.timer(PAUSE), Out)
    packet = 20 + 28 + 8 + 8 + 584 + 16  # IP, AH, and ESP: header, IV, what is encrypted, ICV
    expected = {far.inbound: (1, 584, None, 1), far.inbound + AROUND: (1, packet, None, 1)}
    assert used(near, "out") == expected
    results_of(far, outs, now=5.0)
    assert used(far, "in") == expected
    results_of(far, sent(near, udp(*HOSTS[4])), now=6.0)
    assert {(packets, last_used, dummies) for packets, _, last_used, dummies in used(far, "in").values()} == {
        (2, 6.0, 1)
    }


@pytest.mark.parametrize("padding", [65_535, 0])
def test_none_go_where_no_packet_fits(padding: int) -> None:
    end, _ = tunnel()
    at_rest(end, m.Tfc(padding, 1))
    end.roads.handle(m.SetLinkMtu(end.outside.remote, 60), 0.0)
    assert end.roads.timer(PAUSE) == []
    assert end.paths["dummies"] == 0


def test_a_run_of_them_is_dropped_and_counted_as_one_by_one() -> None:
    near, far, other = receivers()
    at_rest(near, m.Tfc(65_535, 1_000))
    dummies = [out.datagram for out in only(after(near, 0.1), Out)]
    real = [out.datagram for out in only(near.send(udp(*V4)), Out)]
    assert len(dummies) > 8
    for end in (far, other):
        end.receive(real[0], 1.0)
    assert only(together(far, dummies, 2.0), ToTun) == []
    for datagram in dummies:
        other.receive(datagram, 2.0)
    assert far.drops == other.drops == {"dummy": len(dummies)}
    assert state(far) == state(other)
    (sa,) = (sa for sa in far.counters().sas if sa.direction == "in")
    assert (sa.dummies, sa.last_used) == (len(dummies), 1.0)


def test_padding_alone_sends_none() -> None:
    end, _ = tunnel()
    at_rest(end, PATH_MTU)
    assert end.roads.deadline() is None
