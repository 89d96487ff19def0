"""One process of the data plane as the control process has it: a real one, of that program or another in its place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon import worker as module
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.worker import Worker
from ipsecd.dataplane import codec
from ipsecd.dataplane import messages as m

PATIENCE = 30  # seconds; only ends a wait for what never comes
BEGIN = m.Begin("ipsec0", 1_438, (4,), 4_500, (), 600.0, ())


class World:
    """A worker, and what it has told. ``descriptors`` stand for a TUN device and a socket of ESP."""

    def __init__(self, road: str = "out") -> None:
        self.guard = Guard()
        self.said: list[Any] = []
        self.how: list[str] = []
        self.news = asyncio.Event()
        self.worker = Worker(road, self.guard, self._heard, self._died)
        self._open = contextlib.ExitStack()
        self.tun, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("127.0.0.1", 0))
        for each in (self.tun, self.ours, opened):
            each.setblocking(False)
            self._open.enter_context(each)
        self.descriptors = [self.ours.fileno(), opened.fileno()]

    def _heard(self, worker: Worker, message: Any) -> None:
        assert worker is self.worker
        if isinstance(message, m.Ready):
            worker.ready.set()
        self.said.append(message)
        self.news.set()

    def _died(self, worker: Worker) -> None:
        assert worker is self.worker
        assert worker.ready.is_set()
        self.how.append(worker.how)
        self.news.set()

    async def until(self, question: Callable[[], object]) -> None:
        while not question():
            await self.news.wait()
            self.news.clear()

    async def start(self) -> None:
        await self.worker.start(BEGIN, self.descriptors)

    async def end(self) -> None:
        await self.worker.close()
        self._open.close()


def running(test: Callable[[World], Coroutine[Any, Any, None]], road: str = "out") -> None:
    async def run() -> None:
        world = World(road)
        async with asyncio.timeout(PATIENCE):
            try:
                await test(world)
            finally:
                await world.end()

    asyncio.run(run())


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes workers run this Python text in the place of the data plane, which finds its channel as ``channel``."""

    def take(text: str) -> None:
        path = tmp_path / "program"
        start = "import os, signal, socket, sys\nchannel = socket.socket(fileno=int(sys.argv[5]))\n"
        path.write_text(f"#!{sys.executable}\n{start}{text}")
        path.chmod(0o700)
        monkeypatch.setattr(module, "_THIS_PROGRAM", str(path))

    return take


def there(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


Instead = Callable[[str], None]


@pytest.mark.parametrize("road", ["out", "in"])
def test_the_program_begins_obeys_in_order_and_ends_with_its_channel(road: str) -> None:
    async def test(world: World) -> None:
        await world.start()
        world.worker.send(m.SetSpd(1, ()))  # which waits until it has begun
        await world.worker.ready.wait()
        world.worker.send(m.Probe())
        world.worker.send(m.AskCounters())
        await world.until(lambda: len(world.said) == 4)
        assert world.said[1:3] == [m.Done(1), m.Done(2)]
        assert isinstance(world.said[3], m.Counters)
        pid = world.worker.pid
        assert pid is not None
        await world.worker.close()
        assert not there(pid)
        assert world.how == []

    running(test, road)


def test_another_device_goes_with_its_message_and_the_one_before_is_let_go() -> None:
    async def test(world: World) -> None:
        await world.start()
        await world.worker.ready.wait()
        world.ours.close()
        other, new = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other, new:
            new.setblocking(False)
            world.worker.send(m.NewTun(), [new.fileno()])
            world.worker.send(m.SetSpd(1, ()))
            await world.until(lambda: m.Done(1) in world.said)
        assert world.tun.recv(1) == b""

    running(test)


def test_a_killed_process_is_told_once(instead: Instead) -> None:
    instead("signal.pause()\n")

    async def test(world: World) -> None:
        await world.start()
        world.worker.kill()
        await world.until(lambda: world.how)
        assert world.how == ["SIGKILL"]
        world.worker.kill()
        world.worker.send(m.Probe())  # its end may be known here before others hear of it
        await world.worker.close()
        assert world.how == ["SIGKILL"]

    running(test)


def test_one_that_ends_by_itself_is_told_with_its_status(instead: Instead) -> None:
    instead("sys.exit(3)\n")

    async def test(world: World) -> None:
        await world.start()
        await world.until(lambda: world.how)
        assert world.how == ["exit status 3"]

    running(test)


def test_what_was_said_before_the_end_is_heard(instead: Instead) -> None:
    instead(f"channel.recv(1_000)\nchannel.send({codec.encode(m.InboundUsed(7))!r})\n")

    async def test(world: World) -> None:
        await world.start()
        await world.until(lambda: world.how)
        assert world.said == [m.InboundUsed(7)]

    running(test)


def test_one_that_does_not_end_is_killed(instead: Instead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLANE_END", 0.05)
    instead("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()\n")

    async def test(world: World) -> None:
        await world.start()
        pid = world.worker.pid
        await world.worker.close()
        assert not there(pid)
        assert world.how == []

    running(test)


def test_what_can_not_be_started_is_told_and_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_THIS_PROGRAM", "/nonexistent/python")

    async def test(world: World) -> None:
        with pytest.raises(FileNotFoundError):
            await world.start()
        world.worker.kill()
        assert world.worker.pid is None

    running(test)


def test_it_gets_its_channel_and_no_other_descriptor(instead: Instead) -> None:
    instead(
        "held = {int(name) for name in os.listdir('/proc/self/fd')} - {0, 1, 2}\n"
        "held = {each for each in held if os.path.exists(f'/proc/self/fd/{each}')}\n"
        "sys.exit(10 + (held == {int(sys.argv[5])}) + 2 * (int(sys.argv[6]) == os.getppid()))\n"
    )

    async def test(world: World) -> None:
        await world.start()
        await world.until(lambda: world.how)
        assert world.how == ["exit status 13"]

    running(test)


def test_what_is_no_message_from_it_is_a_fault_of_ours(instead: Instead) -> None:
    odd = [codec.encode(m.Probe()), b"\xff\xff", codec.encode(m.InboundUsed(7))]
    instead("channel.recv(1_000)\n" + "".join(f"channel.send({data!r})\n" for data in odd))

    async def test(world: World) -> None:
        await world.start()
        await world.until(lambda: world.how)
        assert world.said == [m.InboundUsed(7)]
        assert world.guard.faults == {"a message of the data plane": 2}

    running(test)


def test_messages_that_find_no_room_go_later_in_order(instead: Instead, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    instead(
        "from ipsecd.dataplane import codec, messages as m\n"
        f"open({str(gate)!r}).read()\n"
        "seen = 0\n"
        "assert isinstance(codec.decode(channel.recv(2_000_000)), m.Begin)\n"
        "while isinstance(told := codec.decode(channel.recv(2_000_000)), m.GiveUp):\n"
        "    seen += told.child.endswith(f' {seen}')\n"
        "channel.send(codec.encode(m.InboundUsed(seen)))\n"
    )

    async def test(world: World) -> None:
        await world.start()
        sent = 0
        while len(world.worker._waiting) < 3:
            world.worker.send(m.GiveUp("x" * 100_000 + f" {sent}"))
            sent += 1
        world.worker.send(m.AskCounters())
        await asyncio.to_thread(gate.write_text, "go")
        await world.until(lambda: world.said)
        assert world.said == [m.InboundUsed(sent)]
        assert not world.worker._waiting

    running(test)


def test_a_descriptor_waits_for_room(instead: Instead) -> None:
    instead("signal.pause()\n")

    async def test(world: World) -> None:
        await world.start()
        while not world.worker._waiting:
            world.worker.send(m.GiveUp("x" * 100_000))
        world.worker.send(m.NewTun(), world.descriptors[:1])
        _, (waiting,) = world.worker._waiting[-1]
        assert os.fstat(waiting).st_ino == os.fstat(world.descriptors[0]).st_ino
        world.worker.hang_up()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(waiting)

    running(test)


def test_it_is_stuck_when_it_owes_the_same_answer_look_after_look() -> None:
    async def test(world: World) -> None:
        worker = world.worker
        assert not any(worker.stuck() for _ in range(2 * limits.PLANE_LOOKS))
        worker.owed.extend([(1, 1), (2, 2)])
        assert [worker.stuck() for _ in range(limits.PLANE_LOOKS + 2)] == [*[False] * (limits.PLANE_LOOKS + 1), True]
        worker.owed.popleft()
        assert not any(worker.stuck() for _ in range(limits.PLANE_LOOKS + 1))
        assert worker.stuck()

    running(test)
