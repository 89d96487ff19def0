"""What is told of SAs that end when nothing goes by them: that packets went by them, out or in, now and then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, OutRun, Result
from tests.property.run_values import Big
from tests.unit.dataplane.apart import INBOUND, OUTBOUND, SPD, V4, World, from_far
from tests.unit.dataplane.ends import End, only
from tests.unit.dataplane.shapes import SHAPES, Shape, end, install_around, results_of
from tests.unit.ipsec.packets import udp

TUNNEL = Shape(transport=False, native=False)

every_shape = pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if not shape.esn], ids=lambda shape: shape.name
)


def watched(shape: Shape = TUNNEL, **given: object) -> tuple[End, End]:
    """Near and far end, whose SAs are watched."""
    both = end(shape, near=True), end(shape, near=False)
    for each in both:
        if shape.protocol == "both":
            install_around(each, shape)
        each.install_inbound(watched=True)
        each.install_outbound(watched=True, **given)
    return both


def told(each: End, now: float) -> list[Result]:
    """What time alone brings about."""
    return each.roads.timer(now)


@every_shape
def test_use_is_told_in_either_direction_whatever_packets_are_made_of(shape: Shape) -> None:
    near, far = watched(shape)
    assert (near.roads.deadline(), told(near, 2.0), near.roads.deadline()) == (2.0, [], 4.0)
    outs = only(near.send(udp(*shape.pair(4 if shape.outer == 4 else 6)), now=3.0), Out)
    results_of(far, outs, 3.0)
    assert told(near, 4.0) == [m.PairsUsed((near.inbound,))]
    assert only(told(far, 4.0), m.PairsUsed) == [m.PairsUsed((far.inbound,))]
    assert told(near, 6.0) == told(far, 6.0) == []


def test_what_goes_in_runs_is_use_too() -> None:
    near, far = watched()
    results_of(far, only(near.send(udp(*V4), now=1.0), Out), 1.0)  # the first goes alone
    for each in (near, far):
        assert told(each, 2.0) == [m.PairsUsed((each.inbound,))]
    big = Big(segment=500, count=40)
    runs = only(near.roads.from_tun_read(memoryview(big.packet), big.head, 3.0), OutRun)
    assert len(runs) == 1
    (run,) = runs
    far.roads.received[: len(run.datagrams)] = run.datagrams
    for results in (
        far.roads.from_udp_read(len(run.datagrams), run.octets, far.outside, 0, True, 3.0),
        far.roads.from_udp_end(3.0),
    ):
        list(results)
    assert far.paths["runs-in"] == 1
    for each in (near, far):
        assert told(each, 4.0) == [m.PairsUsed((each.inbound,))]


def test_of_many_packets_it_is_told_once_and_of_each_look_again() -> None:
    near, _ = watched()
    for number in range(20):
        near.send(udp(*V4), now=number / 10)
    assert told(near, 2.0) == [m.PairsUsed((near.inbound,))]
    near.send(udp(*V4), now=2.1)
    assert (told(near, 3.9), told(near, 4.0)) == ([], [m.PairsUsed((near.inbound,))])


def test_dummies_are_no_use_to_either_end() -> None:
    near, far = watched(tfc=m.Tfc(dummies=1_000))
    results = told(near, 2.0)
    assert results_of(far, only(results, Out), 2.0)
    assert far.counters().drops == {"dummy": 1}
    assert only(results, m.PairsUsed) == only(told(far, 2.0), m.PairsUsed) == []


def test_nothing_wakes_where_no_sa_is_watched() -> None:
    near, _ = watched()
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.5)
    assert near.roads.deadline() == 2.0
    near.roads.handle(m.RemoveInbound(near.inbound), 0.5)
    assert near.roads.deadline() is None
    near.install_inbound(1.0)
    near.install_outbound(1.0)
    assert near.roads.deadline() is None
    near.send(udp(*V4), now=1.5)
    assert told(near, 9.0) == []


def test_a_removed_sa_is_told_of_no_more() -> None:
    near, _ = watched()
    near.send(udp(*V4), now=1.0)
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 1.5)
    assert told(near, 2.0) == []


def test_processes_tell_it_likewise(out: World, into: World) -> None:
    out.tell(SPD, replace(OUTBOUND, watched=True))
    out.carry(udp(*V4))
    assert out.process.deadline() == 3.0
    out.process._ring(3.0)
    assert out.heard() == [m.PairsUsed((OUTBOUND.inbound,))]
    into.tell(SPD, replace(INBOUND, watched=True))
    into.receive(*from_far(udp(*V4[::-1])))
    into.heard()
    into.process._ring(3.0)
    assert into.heard() == [m.PairsUsed((INBOUND.spi,))]
