"""The control socket under good and bad clients."""

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from ipsecd import limits
from ipsecd.daemon import control
from ipsecd.daemon.control import Access, Caller, ControlServer, caller_of
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.log import Log, use
from ipsecd.daemon.log_sinks import Line, Writer
from ipsecd.errors import LocalError, OperatorError


class Silent:
    def write(self, line: Line) -> None:
        pass


@pytest.fixture(autouse=True)
def structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def status(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ipsecd": "up"}


async def refused(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    raise OperatorError(f"no rule {arguments['name']}", "see ipsecctl policy")


async def broken(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise KeyError("oops")


HANDLERS = {"status": status, "up": refused, "down": broken, "keys-export": status}


class Served:
    """A control server with what tests want to look at."""

    def __init__(self, directory: Path, access: Access) -> None:
        self.path = directory / "control"
        self.log = Log(Writer(Silent()))
        use(self.log)
        self.guard = Guard()
        self.server = ControlServer(HANDLERS, self.log, self.guard, access)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path))


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> Any:
    writer.write(line + b"\n")
    return json.loads(await reader.readline())


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def go(scenario: Callable[[Served], Awaitable[None]], access: Access | None = None) -> None:
        async def main() -> None:
            served = Served(tmp_path, access or Access(os.getuid(), None))
            served.server.claim(served.path)
            await served.server.start()
            try:
                await scenario(served)
            finally:
                await served.server.close()

        asyncio.run(asyncio.wait_for(main(), 30))

    return go


def test_requests_are_answered_in_turn_and_errors_end_nothing(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        client = await served.connect()
        assert await ask(*client, b'{"id":1,"command":"status"}') == {"id": 1, "result": {"ipsecd": "up"}}
        assert (await ask(*client, b"nonsense"))["error"]["reason"] == "not-json"
        assert await ask(*client, b'{"id":2,"command":"up","name":"x"}') == {
            "id": 2,
            "error": {"reason": "refused", "message": "no rule x", "hint": "see ipsecctl policy"},
        }
        assert (await ask(*client, b'{"id":3,"command":"status"}'))["id"] == 3

    run(scenario)


def test_a_fault_in_a_command_is_counted_and_answered_without_its_details(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        client = await served.connect()
        answer = await ask(*client, b'{"id":1,"command":"down","name":"x"}')
        assert answer["error"]["reason"] == "fault"
        assert "oops" not in str(answer)
        assert served.guard.faults == {"a control line": 1}
        assert "result" in await ask(*client, b'{"command":"status"}')

    run(scenario)


def test_the_socket_is_for_its_owner_and_group_from_the_start(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        assert stat.S_IMODE(served.path.stat().st_mode) == 0o660

    run(scenario, Access(os.getuid(), os.getgid()))


def test_who_calls_before_it_is_ready_is_answered_when_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        served = Served(tmp_path, Access(os.getuid(), None))
        served.server.claim(served.path)
        reader, writer = await served.connect()
        await served.server.start()
        assert "result" in await ask(reader, writer, b'{"command":"status"}')
        await served.server.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_what_is_not_claimed_can_not_be_served(tmp_path: Path) -> None:
    served = Served(tmp_path, Access(0, None))
    with pytest.raises(LocalError):
        asyncio.run(served.server.start())
    asyncio.run(served.server.close())


def test_a_stranger_is_refused(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "caller_of", lambda _: Caller(4_242, 1_000, frozenset({1_000})))

    async def scenario(served: Served) -> None:
        reader, _ = await served.connect()
        assert json.loads(await reader.readline())["error"]["reason"] == "permission"
        assert await reader.read() == b""

    run(scenario, Access(uid=990, group=991))


@pytest.mark.parametrize(
    ("caller", "admitted"),
    [
        (Caller(1, 0, frozenset({0})), True),
        (Caller(1, 990, frozenset({990})), True),
        (Caller(1, 1_000, frozenset({1_000, 991})), True),
        (Caller(1, 1_000, frozenset({1_000})), False),
    ],
)
def test_root_the_service_user_and_the_group_are_admitted(caller: Caller, admitted: bool) -> None:
    assert Access(uid=990, group=991).admits(caller) is admitted


def test_a_group_that_is_not_set_admits_nobody() -> None:
    assert not Access(uid=990, group=None).admits(Caller(1, 1_000, frozenset({1_000})))


def test_the_keys_are_refused_to_all_but_root(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "caller_of", lambda _: Caller(1, 1_000, frozenset({991})))

    async def scenario(served: Served) -> None:
        answer = await ask(*await served.connect(), b'{"id":5,"command":"keys-export"}')
        assert (answer["id"], answer["error"]["reason"]) == (5, "permission")

    run(scenario, Access(uid=990, group=991))


def test_the_kernel_says_who_calls() -> None:
    one, two = socket.socketpair()
    with one, two:
        caller = caller_of(one)
    assert (caller.pid, caller.uid) == (os.getpid(), os.getuid())
    assert {os.getgid(), *os.getgroups()} <= caller.groups


def test_a_kernel_without_peer_groups_leaves_the_primary_group() -> None:
    class Old:
        def getsockopt(self, _level: int, option: int, _size: int) -> bytes:
            if option == control.SO_PEERGROUPS:
                raise OSError
            return struct.pack("iII", 1, 2, 3)

    assert caller_of(Old()) == Caller(1, 2, frozenset({3}))  # type: ignore[arg-type]  # the part of a socket it uses


def test_a_line_without_end_is_cut_off(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        reader, writer = await served.connect()
        writer.write(b"x" * (limits.CONTROL_LINE * 2))
        assert json.loads(await reader.readline())["error"]["reason"] == "line-too-long"
        assert "result" in await ask(*await served.connect(), b'{"command":"status"}')

    run(scenario)


def test_half_a_line_before_hanging_up_does_nothing(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        reader, writer = await served.connect()
        writer.write(b'{"command":"status"}')
        writer.write_eof()
        assert await reader.read() == b""

    run(scenario)


def test_between_two_lines_of_one_client_everything_else_has_its_turn(
    tmp_path: Path,
) -> None:
    """However many lines come at once, a packet never waits for more than one of them."""
    turns = 0
    seen: list[int] = []

    async def main() -> None:
        nonlocal turns

        async def count(_: Mapping[str, Any]) -> Mapping[str, Any]:
            seen.append(turns)
            return {}

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        server = ControlServer({"status": count}, Log(Writer(Silent())), Guard(), Access(os.getuid(), None))
        server.claim(tmp_path / "control")
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        turn()
        writer.write(b'{"command":"status"}\n' * 2_000)
        for _ in range(2_000):
            await reader.readline()
        await server.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(set(seen)) == len(seen) == 2_000


def test_too_many_clients_are_told_so_and_idle_ones_make_room(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTROL_CLIENTS", 4)
    monkeypatch.setattr(limits, "CONTROL_FIRST_REQUEST", 0.2)

    async def scenario(served: Served) -> None:
        idle = [await served.connect() for _ in range(4)]
        late, _ = await served.connect()
        assert json.loads(await late.readline())["error"]["reason"] == "too-many-clients"
        for reader, _ in idle:
            assert await reader.read() == b""
        assert "result" in await ask(*await served.connect(), b'{"command":"status"}')

    run(scenario)


def test_monitor_streams_events_until_the_client_hangs_up(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        reader, writer = await served.connect()
        assert await ask(reader, writer, b'{"id":1,"command":"monitor","level":"debug"}') == {"id": 1, "result": {}}
        served.log.emit("debug", "odd-thing", {"peer": "hq\n"})
        event = json.loads(await reader.readline())["event"]
        assert (event["event"], event["level"], event["fields"]) == ("odd-thing", "debug", {"peer": "hq\\n"})
        writer.close()
        while served.log._taps:  # noqa: ASYNC110  the tap's going is all there is to see
            await asyncio.sleep(0)

    run(scenario)


def test_a_monitor_that_does_not_read_is_cut_off(run: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        reader, writer = await served.connect()
        await ask(reader, writer, b'{"command":"monitor"}')
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a stream can
        emitted = 0
        while served.log._taps:
            served.log.emit("info", "odd-thing", {"text": "x" * 200})
            emitted += 1
            await asyncio.sleep(0)
        assert emitted < 100_000

    run(scenario)


def test_closing_hangs_up_on_everybody(run: Callable[..., None]) -> None:
    """And that is nobody's fault."""
    faults: list[object] = []

    async def scenario(served: Served) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        reader, writer = await served.connect()
        await ask(reader, writer, b'{"command":"monitor"}')
        await served.server.close()
        assert await reader.read() == b""

    run(scenario)
    assert faults == []
