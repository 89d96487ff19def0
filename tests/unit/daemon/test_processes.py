"""Two processes behind the messages of one data plane, with processes that are stood in for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, ClassVar

import pytest

from ipsecd import limits
from ipsecd.daemon import processes as module
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.processes import IN, OUT, Descriptors, Processes
from ipsecd.dataplane import messages as m
from ipsecd.errors import KernelError, LocalError
from tests.unit.dataplane.samples import ENTRY, KEYS, LIMITS, LOCAL, OUTSIDE, REMOTE

INBOUND = m.InstallInbound(1, "site/1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS, 64)
OUTBOUND = m.InstallOutbound(2, 1, "site/1", KEYS, LOCAL, REMOTE, OUTSIDE, LIMITS)
SPD = m.SetSpd(1, ())
TOO_LONG = m.GiveUp("x" * 100)
PEER = ip_address("192.0.2.2")
BEGIN = m.Begin("ipsec0", 1_438, (4,), 4_500, (), 600.0, ())
DESCRIPTORS = {OUT: Descriptors(10, (11,)), IN: Descriptors(10, (12,))}


class Worker:
    """A process that answers when the test says so."""

    all: ClassVar[dict[str, Worker]] = {}
    begins = True
    ends = ""

    def __init__(self, road: str, _guard: Guard, heard: Callable[..., None], died: Callable[..., None]) -> None:
        self.road, self.heard, self.died = road, heard, died
        self.ready = asyncio.Event()
        self.how = ""
        self.owed: deque[tuple[int, int]] = deque()
        self.sent: list[Any] = []
        self.begun: Any = None
        self.pid = 100 + len(Worker.all)
        self.hangs = self.killed = self.hung_up = self.closed = False
        Worker.all[road] = self

    async def start(self, begin: m.Begin, descriptors: list[int]) -> None:
        self.begun = (begin, descriptors)
        if Worker.ends and self.road == IN:
            self.dies(Worker.ends)
        elif Worker.begins:
            self.heard(self, m.Ready(()))

    def send(self, message: Any, descriptors: Iterable[int] = ()) -> None:
        if message == TOO_LONG:
            raise LocalError("a message that is too long")
        self.sent.append((message, list(descriptors)) if descriptors else message)

    def stuck(self) -> bool:
        return self.hangs

    def kill(self) -> None:
        self.killed = True

    def hang_up(self) -> None:
        self.hung_up = True

    async def close(self) -> None:
        self.closed = True

    def dies(self, how: str) -> None:
        self.how = how
        self.ready.set()
        self.died(self)

    def does(self, error: str = "") -> None:
        self.heard(self, m.Done(len(self.sent), error))


class Owner:
    """Who is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def results(self, results: Iterable[Any], now: float) -> None:
        self.told += results

    def path_heard(self, heard: m.Heard) -> None:
        self.told.append(heard)

    def tun_lost(self, reason: str) -> None:
        self.told.append(("tun lost", reason))

    def plane_died(self, road: str, how: str) -> None:
        self.told.append((road, how))


class World:
    def __init__(self) -> None:
        self.owner, self.guard, self.now = Owner(), Guard(), 100.0
        self.processes = Processes(self.owner, self.guard, lambda: self.now)

    @property
    def told(self) -> list[Any]:
        told, self.owner.told = self.owner.told, []
        return told

    @property
    def out(self) -> Worker:
        return Worker.all[OUT]

    @property
    def into(self) -> Worker:
        return Worker.all[IN]


@pytest.fixture(autouse=True)
def stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Worker", Worker)
    monkeypatch.setattr(Worker, "begins", True)
    monkeypatch.setattr(Worker, "ends", "")
    Worker.all.clear()


def running(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a test with both processes started."""

    async def run() -> None:
        world = World()
        await world.processes.start(BEGIN, DESCRIPTORS)
        await test(world)

    asyncio.run(run())


def test_each_process_gets_its_own_descriptors() -> None:
    async def test(world: World) -> None:
        assert world.out.begun == (BEGIN, [10, 11])
        assert world.into.begun == (BEGIN, [10, 12])

    running(test)


def test_processes_that_never_begin_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "begins", False)
    monkeypatch.setattr(limits, "PLANE_START", 0.0)

    async def run() -> None:
        world = World()
        with pytest.raises(KernelError, match="they took too long"):
            await world.processes.start(BEGIN, DESCRIPTORS)
        assert world.out.closed
        assert world.into.closed

    asyncio.run(run())


def test_one_that_ends_before_it_begins_is_no_death_but_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "ends", "exit status 1")

    async def run() -> None:
        world = World()
        with pytest.raises(KernelError, match=r"don't start: process in has ended \(exit status 1\)$"):
            await world.processes.start(BEGIN, DESCRIPTORS)
        assert world.told == []
        assert (world.out.closed, world.into.closed) == (True, True)
        assert world.processes.handle(SPD, 1.0) == [m.Done(1, "the data plane is not running")]

    asyncio.run(run())


def test_a_message_to_one_road_is_done_when_that_has_done_it() -> None:
    async def test(world: World) -> None:
        assert world.processes.handle(INBOUND, 1.0) == []
        assert world.processes.handle(OUTBOUND, 1.0) == []
        assert (world.into.sent, world.out.sent) == ([INBOUND], [OUTBOUND])
        world.out.does("SPI 2 is in use")
        assert world.told == [m.Done(2, "SPI 2 is in use")]
        world.into.does()
        assert world.told == [m.Done(1)]

    running(test)


@pytest.mark.parametrize(
    ("first", "second", "error"), [("", "", ""), ("no", "", "no"), ("", "no", "no"), ("a", "b", "a")]
)
def test_a_message_to_both_is_done_when_both_have_done_it(first: str, second: str, error: str) -> None:
    async def test(world: World) -> None:
        world.processes.handle(SPD, 1.0)
        world.out.does(first)
        assert world.told == []
        world.into.does(second)
        assert world.told == [m.Done(1, error)]

    running(test)


def test_what_nobody_waits_for_is_a_fault_of_ours() -> None:
    async def test(world: World) -> None:
        with pytest.raises(LocalError):
            world.out.does()

    running(test)


def test_what_can_not_be_sent_is_owed_by_nobody() -> None:
    async def test(world: World) -> None:
        with pytest.raises(LocalError):
            world.processes.handle(TOO_LONG, 1.0)
        assert not world.out.owed
        world.processes.handle(OUTBOUND, 1.0)
        world.out.does()
        assert world.told == [m.Done(2)]
        await world.processes.stop()
        assert world.told == []

    running(test)


@pytest.mark.parametrize("count", [0, 1, limits.SPD_PART, limits.SPD_PART + 1, 3 * limits.SPD_PART])
def test_an_spd_goes_in_parts_that_are_not_too_big(count: int) -> None:
    async def test(world: World) -> None:
        entries = tuple(replace(ENTRY, name=str(number)) for number in range(count))
        world.processes.handle(m.SetSpd(7, entries), 1.0)
        assert world.out.sent == world.into.sent
        *parts, last = world.out.sent
        assert all(isinstance(part, m.SpdPart) for part in parts)
        assert last == m.SetSpd(7, last.entries)
        assert tuple(entry for part in world.out.sent for entry in part.entries) == entries
        assert max(len(part.entries) for part in world.out.sent) <= limits.SPD_PART
        world.out.does()
        world.into.does()
        assert world.told == [m.Done(1)]

    running(test)


def test_without_processes_a_message_fails_at_once() -> None:
    async def test(world: World) -> None:
        await world.processes.stop()
        assert world.processes.handle(SPD, 1.0) == [m.Done(1, "the data plane is not running")]

    running(test)


def test_what_is_owed_at_the_end_has_failed() -> None:
    async def test(world: World) -> None:
        world.processes.handle(INBOUND, 1.0)
        world.processes.handle(SPD, 1.0)
        world.out.does()
        await world.processes.stop()
        assert world.told == [m.Done(1, "the data plane has ended"), m.Done(2, "the data plane has ended")]
        assert (world.out.closed, world.into.closed) == (True, True)

    running(test)


def test_reports_and_what_else_is_heard_go_where_they_belong() -> None:
    async def test(world: World) -> None:
        used = m.InboundUsed(7)
        heard = m.Heard(4_500, 90, True, ip_address("192.0.2.2"), 4_500, 1_400, b"")
        for message in (used, heard, m.TunLost(0, "gone"), m.Fault("a datagram", "KeyError(1)", ())):
            world.into.heard(world.into, message)
        assert world.told == [used, heard, ("tun lost", "gone")]
        assert world.guard.faults == {"a datagram": 1}

    running(test)


def counters(sa: int, drops: int, waiting: int) -> m.Counters:
    sas = (m.SaCounters(sa, sa, "in", 1, 2, 3, None, 0),)
    return m.Counters(sas, {"replayed": drops}, {"to-tun": drops, "waiting": waiting}, {"site": drops})


def test_counters_are_those_of_both_and_of_those_before_but_for_their_sas() -> None:
    async def test(world: World) -> None:
        asked = asyncio.create_task(world.processes.counters())
        await asyncio.sleep(0)
        world.out.heard(world.out, counters(1, 10, 2))
        world.into.heard(world.into, counters(2, 5, 0))
        together = await asked
        assert [sa.spi for sa in together.sas] == [1, 2]
        assert (together.drops, together.entries) == ({"replayed": 15}, {"site": 15})
        assert together.paths == {"to-tun": 15, "waiting": 2}
        await world.processes.stop()
        await world.processes.start(BEGIN, DESCRIPTORS)
        asked = asyncio.create_task(world.processes.counters())
        await asyncio.sleep(0)
        world.out.heard(world.out, counters(3, 1, 1))
        world.into.heard(world.into, counters(4, 1, 0))
        after = await asked
        assert [sa.spi for sa in after.sas] == [3, 4]
        assert (after.drops, after.paths) == ({"replayed": 17}, {"to-tun": 17, "waiting": 1})

    running(test)


def test_of_a_process_that_does_not_answer_the_last_counters_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        world.out.heard(world.out, counters(1, 10, 0))
        monkeypatch.setattr(limits, "PLANE_ANSWER", 0.0)
        assert (await world.processes.counters()).drops == {"replayed": 10}
        world.out.heard(world.out, counters(1, 11, 0))  # late, and nobody waits any more
        assert (await world.processes.counters()).drops == {"replayed": 11}

    running(test)


def test_a_stuck_process_is_killed_and_an_idle_one_asked_whether_it_is_there() -> None:
    async def test(world: World) -> None:
        world.now += limits.PLANE_PROBE
        world.processes.look_after()
        assert (world.out.sent, world.into.sent) == ([m.Probe()], [m.Probe()])
        world.out.does()
        assert world.told == []
        world.into.hangs = True
        world.processes.look_after()
        assert (world.out.killed, world.into.killed) == (False, True)

    running(test)


def test_a_death_is_told_but_not_of_processes_that_were_ended() -> None:
    async def test(world: World) -> None:
        before = world.into
        world.into.dies("SIGSEGV")
        assert world.told == [(IN, "SIGSEGV")]
        await world.processes.stop()
        await world.processes.start(BEGIN, DESCRIPTORS)
        before.dies("SIGKILL")
        assert world.told == []

    running(test)


def test_another_tun_goes_to_both_and_what_is_said_of_the_one_before_is_old() -> None:
    async def test(world: World) -> None:
        world.processes.new_tun(20)
        assert (world.out.sent, world.into.sent) == ([(m.NewTun(), [20])], [(m.NewTun(), [20])])
        world.into.heard(world.into, m.TunLost(0, "gone"))
        assert world.told == []
        world.into.heard(world.into, m.TunLost(1, "gone too"))
        assert world.told == [("tun lost", "gone too")]
        await world.processes.stop()
        await world.processes.start(BEGIN, DESCRIPTORS)
        world.out.heard(world.out, m.TunLost(0, "the one they began with"))
        assert world.told == [("tun lost", "the one they began with")]

    running(test)


def test_one_that_ends_while_the_other_begins_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "begins", False)

    async def run() -> None:
        world = World()
        starting = asyncio.create_task(world.processes.start(BEGIN, DESCRIPTORS))
        await asyncio.sleep(0)
        world.out.heard(world.out, m.Ready(()))
        world.out.dies("SIGKILL")
        world.into.heard(world.into, m.Ready(()))
        with pytest.raises(KernelError, match=r"process out has ended \(SIGKILL\)"):
            await starting
        assert world.told == []

    asyncio.run(run())


def test_nothing_is_sent_to_processes_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "begins", False)

    async def run() -> None:
        world = World()
        starting = asyncio.create_task(world.processes.start(BEGIN, DESCRIPTORS))
        await asyncio.sleep(0)
        world.now += limits.PLANE_PROBE
        world.processes.look_after()
        assert world.processes.handle(INBOUND, 1.0) == [m.Done(1, "the data plane is not running")]
        world.processes.new_tun(20)
        assert (await world.processes.counters()).drops == {}
        assert (world.out.sent, world.into.sent) == ([], [])
        for worker in (world.out, world.into):
            worker.heard(worker, m.Ready(()))
        await starting
        assert world.processes.handle(INBOUND, 1.0) == []

    asyncio.run(run())


def test_they_end_even_if_the_wait_for_it_is_cut_short() -> None:
    async def test(world: World) -> None:
        stopping = asyncio.create_task(world.processes.stop())
        asyncio.get_running_loop().call_soon(stopping.cancel)
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert (world.out.hung_up, world.into.hung_up) == (True, True)

    running(test)


def test_a_process_can_not_fill_us_with_faults_of_ever_new_names() -> None:
    async def test(world: World) -> None:
        for number in range(2 * limits.PLANE_FAULT_KINDS):
            world.into.heard(world.into, m.Fault(str(number), "", ()))
        assert len(world.guard.faults) == limits.PLANE_FAULT_KINDS + 1
        assert world.guard.faults["something else"] == limits.PLANE_FAULT_KINDS

    running(test)


@pytest.mark.parametrize(("road", "message"), [(OUT, m.InboundUsed(1)), (IN, m.Acquire("a", *[PEER] * 2, 6, 1, 2))])
def test_no_road_says_what_the_other_has_to(road: str, message: Any) -> None:
    async def test(world: World) -> None:
        worker = Worker.all[road]
        with pytest.raises(LocalError, match=f"the road {road} says"):
            worker.heard(worker, message)
        assert world.told == []

    running(test)
