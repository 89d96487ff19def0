"""A process of the data plane that isn't as it should be, as one would be that a stranger has got into."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon import worker as module
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.worker import Worker
from ipsecd.dataplane import messages as m

BEGIN = m.Begin("ipsec0", 1_438, (4,), 4_500, (), 600.0, ())
BEGINNING = """
import array, os, signal, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.recv(100_000)
"""
HANGS_UP = BEGINNING + "channel.close(); signal.pause()"
SAYS_NOTHING_AT_ALL = BEGINNING + "channel.send(b''); signal.pause()"
SENDS_DESCRIPTORS = (
    BEGINNING
    + """
each = array.array("i", [os.open(os.devnull, os.O_RDONLY)] * 8)
for message in (b"one", b"two"):
    channel.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, each)])
"""
)


class World:
    def __init__(self) -> None:
        self.guard = Guard()
        self.died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.worker = Worker("in", self.guard, lambda *_: None, self._died)

    def _died(self, worker: Worker) -> None:
        self.died.set_result(worker.how)


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def started(monkeypatch: pytest.MonkeyPatch, program: str, test: Callable[[World], Any]) -> None:
    """Run a test with this program in the place of the road's."""
    start = asyncio.create_subprocess_exec

    async def other(*command: str, executable: str, **rest: Any) -> asyncio.subprocess.Process:
        assert executable
        return await start(sys.executable, "-c", program, command[5], **rest)

    async def run() -> None:
        world = World()
        reading, writing = os.pipe()
        await world.worker.start(BEGIN, [reading, writing])
        os.close(reading)
        os.close(writing)
        try:
            await test(world)
        finally:
            world.worker.kill()
            await world.worker.close()

    monkeypatch.setattr(module.asyncio, "create_subprocess_exec", other)
    asyncio.run(run())


@pytest.mark.parametrize("program", [HANGS_UP, SAYS_NOTHING_AT_ALL])
def test_one_that_nobody_can_tell_anything_is_ended(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(limits, "PLANE_END", 0.0)

    async def test(world: World) -> None:
        assert await world.died == "SIGKILL"

    started(monkeypatch, program, test)


def test_what_is_sent_to_one_that_has_hung_up_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLANE_END", 0.0)

    async def test(world: World) -> None:
        await world.died
        world.worker.send(m.Probe())

    started(monkeypatch, HANGS_UP, test)


def test_nobody_fills_us_with_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        before = descriptors()
        await world.died
        assert world.guard.faults == {"a message of the data plane": 2}
        assert descriptors() <= before

    started(monkeypatch, SENDS_DESCRIPTORS, test)
