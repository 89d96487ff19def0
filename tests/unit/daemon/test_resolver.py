"""DNS names: each asked for in its time, outside the event loop, and none held up by another that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.resolver import Resolver
from ipsecd.io.lookup import Answer, NotAnswered
from ipsecd.io.state_file import StateFile
from ipsecd.wire.selector import Address
from tests.interop.waiting import eventually

ONE, TWO = ip_address("192.0.2.1"), ip_address("2001:db8::2")
PATIENCE = 30.0  # seconds; only ends a wait for what never comes


class World:
    """A clock that stands until it's told, and a DNS with the answers given, each with its TTL. A name hangs as long as
    its gate is shut."""

    def __init__(self, folder: Path, **answers: tuple[Address, ...]) -> None:
        self.time = 1_000.0
        self.ttl: float | None = 60.0
        self.answers = answers
        self.gates: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.kept = StateFile(folder / "names.json", "answers", "that is a pity")
        self.resolver = Resolver(self.kept, lambda: self.time, self.look_up)
        self.resolver.retain(frozenset(answers))

    def look_up(self, name: str) -> Answer:
        self.asked.append(name)
        if name in self.gates:
            self.gates[name].wait()
        if name not in self.answers:
            raise NotAnswered("server failure")
        return Answer(self.answers[name], self.ttl)

    async def turn(self) -> None:
        """Ask for what is due, until no thread is left."""
        self.resolver._ask()
        while self.resolver._threads:
            self.resolver._news.clear()
            await self.resolver._news.wait()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario()

    asyncio.run(main())


def test_names_are_asked_for_until_one_has_changed_and_that_outlives_the_process(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,), b=())
        assert world.resolver.addresses("hq") == ()
        while world.resolver.addresses("hq") == () or not world.resolver.gone:
            await world.resolver.follow()
        assert (world.resolver.addresses("hq"), world.resolver.gone) == ((ONE,), {"b"})
        assert Resolver(world.kept, lambda: 0.0).addresses("hq") == (ONE,)

    run(scenario)


def test_a_name_is_asked_for_again_when_its_ttl_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,))
        await world.turn()
        world.answers["hq"] = (ONE, TWO)
        world.time += 59.9
        await world.turn()
        assert (world.asked, world.resolver.addresses("hq")) == (["hq"], (ONE,))
        world.time += 0.1
        world.ttl = None
        await world.turn()
        assert (world.asked, world.resolver.addresses("hq")) == (["hq"] * 2, (ONE, TWO))
        world.time += 5.0
        await world.turn()
        assert world.asked == ["hq"] * 3

    run(scenario)


def test_a_reason_asks_again_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,))
        await world.resolver.follow()
        world.answers["hq"] = (TWO,)
        following = asyncio.create_task(world.resolver.follow())
        await asyncio.sleep(0)
        assert not following.done()
        world.time += 2.0
        world.resolver.hurry()
        await following
        assert world.resolver.addresses("hq") == (TWO,)

    run(scenario)


def test_silence_changes_nothing_is_told_once_and_asked_again_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,))
        await world.turn()
        del world.answers["hq"]
        with capture_logs() as logs:
            for _ in range(3):
                world.time += 60.0
                await world.turn()
            world.answers["hq"] = (ONE,)
            world.time += 5.0
            await world.turn()
            del world.answers["hq"]
            world.time += 60.0
            await world.turn()
        assert world.resolver.addresses("hq") == (ONE,)
        silence = {"event": "name-unanswered", "log_level": "warning", "name": "hq", "reason": "server failure"}
        assert logs == [silence, silence], "once each time it begins"

    run(scenario)


def test_a_name_that_hangs_holds_up_no_other_and_a_late_answer_counts_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, good=(ONE,), hung=(ONE,))
        world.gates["hung"] = first = threading.Event()
        await world.resolver.follow()
        assert (world.resolver.addresses("good"), world.resolver.addresses("hung")) == ((ONE,), ())
        world.time += 10.0
        world.gates["hung"] = second = threading.Event()
        with capture_logs() as logs:
            world.resolver._ask()
        assert [(log["event"], log["reason"]) for log in logs] == [("name-unanswered", "no answer in time")]
        first.set()
        while world.resolver._threads > 1:
            world.resolver._news.clear()
            await world.resolver._news.wait()
        assert world.resolver.addresses("hung") == ()
        world.answers["hung"] = (TWO,)
        second.set()
        await world.resolver.follow()
        assert world.resolver.addresses("hung") == (TWO,)

    run(scenario)


def test_so_many_are_asked_for_at_once_and_the_others_as_these_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESOLVE_THREADS", 2)

    async def scenario() -> None:
        world = World(tmp_path, a=(ONE,), b=(ONE,), c=(ONE,))
        gate = threading.Event()
        world.gates = dict.fromkeys("abc", gate)
        world.resolver._ask()
        world.resolver._ask()
        assert (world.resolver._threads, world.resolver._rest()) == (2, None)
        gate.set()
        while not all(world.resolver.addresses(name) for name in "abc"):
            await world.resolver.follow()
        assert sorted(world.asked) == ["a", "b", "c"]

    run(scenario)


def test_a_name_that_the_policy_no_longer_has_is_forgotten_while_it_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,))
        world.gates["hq"] = threading.Event()
        world.resolver._ask()
        world.resolver.retain(frozenset())
        world.gates["hq"].set()
        await world.turn()
        assert world.resolver.addresses("hq") == ()

    run(scenario)


def test_a_lookup_with_a_fault_of_its_own_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: faults.append(fault.exc_type))

    async def scenario() -> None:
        world = World(tmp_path, hq=(ONE,))
        world.resolver._lookup = {}.__getitem__
        with capture_logs() as logs:
            await world.turn()
        assert [(log["event"], log["reason"]) for log in logs] == [("name-unanswered", "the question failed")]

    run(scenario)
    eventually(lambda: faults == [KeyError], "the thread has told")
