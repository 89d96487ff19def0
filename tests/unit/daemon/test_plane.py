"""Processes of the data plane that die are started again, later and later, and at last no more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon import plane as module
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.plane import Apart, Measures
from ipsecd.dataplane.messages import Counters
from ipsecd.errors import KernelError
from tests.unit.dataplane.samples import OUTSIDE

TUN: Any = SimpleNamespace(name="ipsec0", offloads=frozenset({"tun-tso"}), fileno=lambda: 7)


class Processes:
    """What is started and stopped; ``fails``: it can't be started."""

    fails = False

    def __init__(self, *_: object) -> None:
        self.done: list[str] = []

    async def start(self, begin: Any, descriptors: Any) -> None:
        self.done.append("start")
        self.begin, self.descriptors = begin, descriptors
        if Processes.fails:
            raise KernelError("no more processes")

    async def stop(self) -> None:
        self.done.append("stop")

    async def counters(self) -> Counters:
        return Counters((), {"replayed": 2}, {}, {})


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []

    def results(self, results: Iterable[Any], now: float) -> None: ...
    def path_heard(self, heard: Any) -> None: ...
    def tun_lost(self, reason: str) -> None: ...

    def plane_again(self) -> None:
        self.told.append("again")

    def plane_failed(self, reason: str) -> None:
        self.told.append(reason)


class Sockets:
    """One of each kind and version."""

    offloads = frozenset({"udp-gro"})
    native = SimpleNamespace(versions=(4,), descriptors=lambda *, sending: (44,) if sending else (45, 46))

    def of_esp(self, *, sending: bool) -> dict[int, Any]:
        first = 20 if sending else 30
        return {version: SimpleNamespace(port=4_500, fileno=lambda at=first + version: at) for version in (4, 6)}


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.pauses = 1_000.0, list[float]()
        self.owner = Owner()
        monkeypatch.setattr(module, "Processes", Processes)
        monkeypatch.setattr(module.asyncio, "sleep", self._sleep)
        self.plane = Apart(Measures(1_400, 600.0), TUN, self.owner, Guard(), lambda: self.now)
        self.processes: Any = self.plane.roads

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def die(self) -> None:
        self.plane.plane_died("in", "SIGSEGV")
        if self.plane._again is not None:
            await self.plane._again


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(Processes, "fails", False)
    return World(monkeypatch)


def test_what_the_processes_are_told_first(world: World) -> None:
    asyncio.run(world.plane.start(TUN, Sockets()))  # type: ignore[arg-type]  # all that is asked of sockets
    begin = world.processes.begin
    assert (begin.tun, begin.tun_mtu, begin.versions, begin.port) == ("ipsec0", 1_400, (4, 6), 4_500)
    assert (begin.udp_offloads, begin.joins, begin.native) == (("udp-gro",), (6,), (4,))
    assert world.processes.descriptors == {"out": (7, (24, 26, 44)), "in": (7, (34, 36, 45, 46))}


def test_it_is_started_again_later_and_later(world: World) -> None:
    async def test() -> None:
        await world.plane.start(TUN, Sockets())  # type: ignore[arg-type]
        for _ in range(3):
            await world.die()
        world.now += limits.PLANE_DEATHS_WITHIN
        await world.die()

    asyncio.run(test())
    assert world.pauses == [0.0, 1.0, 2.0, 0.0]
    assert world.processes.done == ["start", *["stop", "start"] * 4]
    assert world.owner.told == ["again"] * 4


def test_after_too_many_deaths_in_a_while_it_is_given_up(world: World) -> None:
    async def test() -> None:
        await world.plane.start(TUN, Sockets())  # type: ignore[arg-type]
        for _ in range(limits.PLANE_DEATHS + 1):
            await world.die()

    asyncio.run(test())
    assert world.owner.told == [*["again"] * limits.PLANE_DEATHS, "the processes of the data plane die again and again"]


def test_the_death_of_the_other_while_it_is_started_again_is_the_same_one(world: World) -> None:
    async def test() -> None:
        await world.plane.start(TUN, Sockets())  # type: ignore[arg-type]
        world.plane.plane_died("in", "SIGSEGV")
        world.plane.plane_died("out", "SIGKILL")
        assert world.plane._again is not None
        await world.plane._again

    asyncio.run(test())
    assert world.owner.told == ["again"]


def test_what_cannot_be_started_again_is_tried_and_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        await world.plane.start(TUN, Sockets())  # type: ignore[arg-type]
        monkeypatch.setattr(Processes, "fails", True)
        await world.die()

    asyncio.run(test())
    assert world.owner.told == ["no more processes"]
    assert world.pauses == [float(count) for count in range(limits.PLANE_DEATHS)]


def test_counters_are_those_of_the_processes_and_of_the_port_that_carries_no_esp(world: World) -> None:
    front = world.plane.front
    front.received[:5] = b"short"
    list(front.from_udp_read(5, 5, OUTSIDE, 0, False, 1.0))
    list(front.from_udp_end(1.0))
    counted = asyncio.run(world.plane.counters())
    assert counted is not None
    assert counted.drops == {"replayed": 2}
    assert (counted.paths["from-udp"], counted.paths["ike"]) == (1, 1)


def test_a_tun_device_that_is_being_made_anew_is_waited_for(world: World) -> None:
    async def run() -> None:
        closed: Any = SimpleNamespace(name="ipsec0", offloads=frozenset(), fileno=lambda: -1)
        sockets: Any = Sockets()
        await world.plane.start(closed, sockets)
        world.processes.new_tun = lambda _: None
        world.processes.done.clear()
        dying = asyncio.create_task(world.die())
        while "stop" not in world.processes.done:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        assert world.processes.done == ["stop"]
        world.plane.new_tun(TUN)
        await dying
        assert world.processes.done == ["stop", "start"]
        assert world.processes.descriptors["out"].tun == 7

    asyncio.run(run())


def test_a_control_process_needs_no_numpy() -> None:
    """It is a fifth of what a start costs, and only roads use it."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, ipsecd.daemon.app; print('numpy' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout == "False\n"
