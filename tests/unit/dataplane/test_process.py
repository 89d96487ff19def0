"""What both roads have in common in processes of their own, turn by turn."""

from __future__ import annotations

import errno
import gc
import select
import socket
from dataclasses import replace
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.dataplane import codec
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.__main__ import begin
from ipsecd.dataplane.process import RoadProcess
from ipsecd.dataplane.process_in import InboundProcess
from ipsecd.dataplane.process_out import OutboundProcess
from ipsecd.dataplane.results import Result
from ipsecd.errors import KernelError, LocalError
from ipsecd.io.channel import Arrived, Channel, channel_pair
from tests.unit.dataplane.apart import (
    IKE,
    INBOUND,
    NEAR,
    OUTBOUND,
    PEER,
    PORT,
    SPD,
    USED,
    V4,
    Device,
    World,
    from_far,
    opened,
)
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, TUN_MTU
from tests.unit.ipsec.packets import udp

# --- messages ---------------------------------------------------------------------------------------------------


def test_messages_are_acknowledged_in_order(either: World) -> None:
    moved = m.MovePath((1,), NEAR)
    assert either.tell(SPD, moved, m.SetPathMtu(PEER, 1_400), m.Probe()) == [m.Done(number) for number in (1, 2, 3, 4)]


def test_a_question_has_a_number_too_and_its_answer_is_its_acknowledgement(either: World) -> None:
    first, counters, last = either.tell(m.Probe(), m.AskCounters(), m.Probe())
    assert (first, last) == (m.Done(1), m.Done(3))
    assert isinstance(counters, m.Counters)


def test_what_can_not_be_done_says_why_and_what_comes_behind_it_is_done(either: World) -> None:
    older = m.SetSpd(1, ())
    assert either.tell(SPD, older, m.SetSpd(2, ())) == [m.Done(1), m.Done(2, "SPD generation 1 after 1"), m.Done(3)]


def test_an_spd_may_come_in_parts(out: World) -> None:
    first = replace(SPD.entries[0], name="first", pairs=((NEAR_NETS[1], FAR_NETS[1]),))
    assert out.tell(m.SpdPart((first,)), m.SetSpd(1, SPD.entries), OUTBOUND) == [m.Done(1), m.Done(2)]
    out.carry(udp(*V4), udp("2001:db8:1::1", "2001:db8:2::1"))
    assert out.counters().entries == {"first": 1, "all": 1}
    assert out.tell(m.SetSpd(2, (first,))) == [m.Done(4)]
    out.carry(udp(*V4))
    assert sum(out.drops().values()) == 1


def test_parts_of_an_spd_that_is_refused_are_forgotten(out: World) -> None:
    out.tell(SPD)
    assert out.tell(m.SpdPart(SPD.entries), m.SetSpd(1, ())) == [m.Done(2, "SPD generation 1 after 1")]
    out.tell(m.SetSpd(2, ()))
    out.carry(udp(*V4))
    assert out.heard() == []


@pytest.mark.parametrize(("road", "message"), [("out", INBOUND), ("in", OUTBOUND)])
def test_a_message_for_the_other_road_is_refused(road: str, message: m.ToRoads) -> None:
    world = World(road)
    assert world.tell(message) == [m.Done(1, f"{type(message).__name__} is no message to the roads")]
    world.close()


def test_a_bug_in_one_message_is_told_and_keeps_the_order_of_the_others(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = either.process.tell

    def broken(message: m.ToRoads, *rest: Any) -> list[Result]:
        if isinstance(message, m.SetPathMtu):
            raise KeyError(7)
        return tell(message, *rest)

    monkeypatch.setattr(either.process, "tell", broken)
    before, failed, fault, after = either.tell(m.Probe(), m.SetPathMtu(PEER, 1_400), m.Probe())
    assert (before, after) == (m.Done(1), m.Done(3))
    assert failed == m.Done(2, "KeyError(7)")
    assert isinstance(fault, m.Fault)
    assert (fault.what, fault.error, fault.traceback[-1]) == (
        "a message to the data plane",
        "KeyError(7)",
        "KeyError: 7",
    )


def test_what_is_no_message_to_it_is_a_fault_and_not_acknowledged(either: World) -> None:
    assert either.control.send(b"\xff\xff")
    begin = m.Begin("ipsec0", TUN_MTU, (4,), PORT, (), 600.0, ())
    unreadable, unasked, twice, done = either.tell(USED, begin, m.Probe())
    assert all(isinstance(each, m.Fault) for each in (unreadable, unasked, twice))
    assert done == m.Done(1)


def test_a_bounded_number_of_messages_is_taken_in_one_turn(either: World) -> None:
    for _ in range(limits.BURST + 1):
        assert either.control.send(codec.encode(m.Probe()))
    assert len(either.tell()) == limits.BURST
    assert either.tell() == [m.Done(limits.BURST + 1)]


def test_of_many_faults_all_are_told_but_not_all_with_a_traceback(either: World) -> None:
    for _ in range(int(limits.PLANE_FAULTS) + 3):
        either.process.guarded("a test", int, "x")
    told = [each for each in either.heard() if isinstance(each, m.Fault)]
    assert len(told) == int(limits.PLANE_FAULTS) + 3
    assert told[0].traceback
    assert not told[-1].traceback


def test_it_says_that_it_is_ready_obeys_what_waits_and_ends_with_the_control_process(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamed: list[str] = []
    for name in ("freeze", "disable", "collect"):  # this process goes on
        monkeypatch.setattr(gc, name, lambda name=name: tamed.append(name))
    assert either.control.send(codec.encode(m.Probe()))
    either.ends[0].shutdown(socket.SHUT_WR)
    monkeypatch.setattr(either.process, "_turns", {either.ends[1].fileno(): either.process._listen})
    with pytest.raises(EOFError):
        either.process.run({"landlock"})
    assert either.heard()[:2] == [m.Ready(("landlock",)), m.Done(1)]
    assert tamed == ["collect", "freeze", "disable"]  # no look for garbage ever comes between packets


def test_time_has_its_turn(out: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packet that waits for an SA is given up by the road's own timer, within ``run``."""
    for name in ("freeze", "disable", "collect"):
        monkeypatch.setattr(gc, name, lambda: None)
    out.tell(SPD)
    rung: list[float] = []

    def ring(now: float) -> list[Result]:
        rung.append(now)
        out.ends[0].shutdown(socket.SHUT_WR)
        return [USED]

    monkeypatch.setattr(out.process, "deadline", lambda: 0.0)
    monkeypatch.setattr(out.process, "timer", ring)
    with pytest.raises(EOFError):
        out.process.run(())
    assert len(rung) == 1
    assert out.heard() == [m.Ready(()), USED]


# --- a control process that is slow -------------------------------------------------------------------------------


def test_without_room_an_ike_message_is_lost_and_reports_come_later_in_order(either: World) -> None:
    either.fill()
    reports = [m.InboundUsed(number) for number in range(3)]
    for report in reports:
        either.process.say(report)
        either.process.say(IKE)
    assert either.process.drops == {"control-full": 3}
    waited = either.heard()
    assert set(map(type, waited)) == {m.IkeDatagram}
    either.process.say(m.InboundUsed(3))  # there is room, but others wait
    either.process._say_on()
    assert either.heard() == [*reports, m.InboundUsed(3)]
    either.process.say(IKE)
    assert either.heard() == [IKE]


def test_reports_that_wait_have_a_bound(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_WAITING", 2)
    either.fill()
    for number in range(3):
        either.process.say(m.InboundUsed(number))
    assert either.process.drops == {"control-full": 1}
    either.heard()
    either.process._say_on()
    assert either.heard() == [m.InboundUsed(0), m.InboundUsed(1)]


def test_an_answer_is_never_lost(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_WAITING", 0)
    either.fill()
    answers = [m.Done(1), m.Counters((), {}, {}, {})]
    for answer in (*answers, m.InboundUsed(1)):
        either.process.say(answer)
    assert either.process.drops == {"control-full": 1}
    either.heard()
    either.process._say_on()
    assert either.heard() == answers


def test_what_routers_say_is_lost_first_but_not_what_the_kernel_says(either: World) -> None:
    either.fill()
    ours = m.Heard(PORT, errno.EMSGSIZE, False, PEER, PORT, 1_400, b"")
    either.process.say(m.Heard(PORT, errno.ECONNREFUSED, True, PEER, PORT, 0, b""))
    either.process.say(ours)
    assert either.process.drops == {"control-full": 1}
    either.heard()
    either.process._say_on()
    assert either.heard() == [ours]


def test_while_reports_wait_it_wakes_up_when_there_is_room(either: World) -> None:
    ready = lambda: [what & select.POLLOUT for _, what in either.process._poll.poll(0)]  # noqa: E731
    assert not any(ready())
    either.fill()
    either.process.say(USED)
    assert not any(ready())
    either.heard()
    assert any(ready())
    either.process._say_on()
    assert not any(ready())


# --- the TUN device ---------------------------------------------------------------------------------------------


def test_a_device_that_can_not_be_read_is_told_once_and_let_go(out: World) -> None:
    out.tell(SPD)
    out.tun.drops["tun-full"] += 1
    out.tun.gone = True
    out.turn(out.tun.fileno())
    assert out.heard() == [m.TunLost(0, "can't use ipsec0: it's gone")]
    assert not out.watches(out.tun.fileno())
    assert out.tun.closed
    out.process.tun_lost(KernelError("again"))
    out.process._from_tun(1.0, select.POLLIN)  # type: ignore[attr-defined]  # the event was there before the loss
    assert out.heard() == []
    assert out.drops() == {"tun-full": 1}


def test_a_device_that_can_not_be_written_to_is_told_once_and_packets_are_counted(into: World) -> None:
    into.tell(SPD, INBOUND)
    into.tun.gone = True
    into.receive(*from_far(udp(*V4[::-1], data=b"a"), udp(*V4[::-1], data=b"b"), udp(*V4[::-1], data=b"c")))
    told = [each for each in into.heard() if isinstance(each, m.TunLost)]
    assert told == [m.TunLost(0, "can't use ipsec0: it's gone")]
    assert into.drops() == {"tun-gone": 3}


@pytest.mark.parametrize("lost", [True, False])
def test_another_device_takes_the_place_of_one(either: World, lost: bool) -> None:
    old, new = either.tun, Device()
    either.tell(SPD, INBOUND if isinstance(either.process, InboundProcess) else OUTBOUND)
    if lost:
        either.process.tun_lost(KernelError("gone"))
        assert either.heard() == [m.TunLost(0, "gone")]
    assert either.control.send(codec.encode(m.NewTun()), [new.fileno()])
    assert either.tell(m.Probe()) == [m.Done(3)]
    assert old.closed
    either.tun = new
    if isinstance(either.process, OutboundProcess):
        new.route(udp(*V4))
        (taken,) = either.process._turns.keys() - watched(either)
        either.turn(taken)
        assert opened(either.socket.sent) == [udp(*V4)]
    else:
        assert either.receive(*from_far(udp(*V4[::-1]))) == [udp(*V4[::-1])]
        assert either.process._turns.keys() == watched(either)
    assert either.drops() == {}
    assert either.process._tun is not None
    assert either.process._tun.name == "ipsec0"
    either.process.tun_lost(KernelError("gone too"))
    assert either.heard() == [m.TunLost(1, "gone too")]
    old.kernel.close()


def watched(either: World) -> set[int]:
    """Besides the device."""
    raw = (either.raw,) if isinstance(either.process, OutboundProcess) else (either.raw, either.router, either.esp)
    return {either.ends[1].fileno(), *(each.fileno() for each in (either.socket, *raw))}


# --- the beginning ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("road", "kind"), [("out", OutboundProcess), ("in", InboundProcess)])
def test_it_is_made_of_what_it_is_told_first(road: str, kind: type[RoadProcess]) -> None:
    told = m.Begin("ipsec0", TUN_MTU, (4, 6), PORT, ("udp-gro",), 600.0, (6,), (4, 6))
    ours, theirs = channel_pair()
    first = Arrived(memoryview(codec.encode(told)), tuple(descriptors(raw=2 if road == "out" else 5)))
    with ours, theirs:
        made = begin(road, Channel(theirs), first)
        assert type(made) is kind
        assert made._turns.keys() == {theirs.fileno(), *first.descriptors[1:]}
        assert {key: each.natt for key, each in made._sockets.items()} == {(4, PORT): True, (6, PORT): True}  # type: ignore[attr-defined]
    if isinstance(made, InboundProcess):
        raw = [*made._native, *made._routers]
        assert (len(made._native), len(made._routers)) == (4, 1)
    else:
        raw = list(made._native.values())  # type: ignore[attr-defined]
        assert made._native.keys() == {4, 6}  # type: ignore[attr-defined]
    assert [each.fileno() for each in raw] == list(first.descriptors[3:])
    for each in (made._tun, *made._sockets.values(), *raw):  # type: ignore[attr-defined]
        each.close()


def descriptors(raw: int) -> list[int]:
    """A device, a socket of each IP version, and some that stand for raw ones."""
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, *[socket.AF_INET] * raw)
    return [socket.socket(family, socket.SOCK_DGRAM).detach() for family in families]


@pytest.mark.parametrize("data", [codec.encode(m.Probe()), b"", b"\xff"])
def test_nothing_else_may_come_first(data: bytes) -> None:
    ours, theirs = channel_pair()
    with ours, theirs, pytest.raises(LocalError):
        begin("out", Channel(theirs), Arrived(memoryview(data), ()))
