"""Control lines, mutated: each ends in a checked request or a named refusal, quickly, and the server lives on."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipsecd.daemon.control import Access, ControlServer
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.log import Log
from ipsecd.daemon.log_sinks import Line, Writer
from ipsecd.daemon.protocol import COMMANDS, BadRequest, Request, encode_error, encode_request, parse_request

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "1"))
LINES = 100_000 if os.environ.get("IPSECD_PROFILE") == "long" else 5_000

REASONS = {
    "not-json",
    "not-an-object",
    "bad-id",
    "unknown-command",
    "unknown-argument",
    "missing-argument",
    "bad-argument",
    "line-too-long",
}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 65_535, 65_536, 1 << 64, -(1 << 70), 0.5, 1e308),
    *("", "tcp", "10.1.0.2", "to-hq", "debug", "\x00", "\x1b[2J", "\ud800", "x" * 1_024, "x" * 1_025),
    *([], {}, [[[[]]]], {"a": {"b": {}}}, ["status"]),
)


def lines(chance: random.Random, count: int) -> list[bytes]:
    """Good requests for every command, requests with odd values, and octets that were bent afterwards."""
    made = []
    names = sorted(COMMANDS)
    for number in range(count):
        name = names[number % len(names)]
        odd = chance.choice((0.0, 0.1, 1.0))
        request: dict[str, Any] = {
            "id": chance.choice(VALUES) if chance.random() < odd else number,
            "command": chance.choice(VALUES) if chance.random() < odd else name,
        }
        for argument, rule in COMMANDS[name].arguments.items():
            good = rule.span[1] if rule.span else (*rule.choices, "10.1.0.2")[0]
            request[argument] = chance.choice(VALUES) if chance.random() < odd else good
        if chance.random() < 0.1:
            request[chance.choice(("id", "name", "extra", "\n"))] = chance.choice(VALUES)
        octets = bytearray(json.dumps(request, ensure_ascii=chance.random() < 0.9).encode("utf-8", "surrogatepass"))
        for _ in range(chance.choice((0, 0, 1, 2, 8))):
            bend(chance, octets)
        made.append(bytes(octets))
    return made


def bend(chance: random.Random, octets: bytearray) -> None:
    """One mutation: a bit, a cut, an insertion, a repetition."""
    place = chance.randrange(len(octets) + 1)
    match chance.randrange(4):
        case 0 if octets:
            octets[place % len(octets)] ^= 1 << chance.randrange(8)
        case 1:
            del octets[place : place + chance.randrange(1, 9)]
        case 2:
            octets[place:place] = chance.choice((b"\x00", b"\xff", b'"', b"{", b"[", b"}", b"\\u", b"9" * 40, b","))
        case _:
            octets[place:place] = octets[place : place + 64] * chance.randrange(1, 5)


def judged(line: bytes) -> Request | BadRequest:
    try:
        return parse_request(line)
    except BadRequest as error:
        return error


def test_each_line_becomes_a_request_or_a_named_refusal() -> None:
    accepted = 0
    for line in lines(random.Random(SEED), LINES):
        match judged(line):
            case BadRequest() as error:
                assert error.reason in REASONS, (SEED, line)
                shown = json.loads(encode_error(error.request_id, error))["error"]
                assert shown["message"].isprintable(), (SEED, line)
            case request:
                accepted += 1
                again = parse_request(encode_request(request.id or 0, request.command, request.arguments))
                assert (again.command, again.arguments) == (request.command, request.arguments), (SEED, line)
    assert accepted > LINES // 50  # the generator isn't all noise


def test_a_server_answers_every_line_of_a_hostile_client_and_then_an_honest_one(tmp_path: Path) -> None:
    class Silent:
        def write(self, line: Line) -> None:
            pass

    async def handler(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {}

    async def main() -> None:
        guard = Guard()
        handlers = dict.fromkeys((name for name in COMMANDS if name != "monitor"), handler)
        server = ControlServer(handlers, Log(Writer(Silent())), guard, Access(os.getuid(), None))
        server.claim(tmp_path / "control")
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        hostile = [
            line for line in lines(random.Random(SEED), LINES // 5) if b"\n" not in line and b"monitor" not in line
        ]
        for line in hostile:
            writer.write(line + b"\n")
            await writer.drain()
            assert json.loads(await reader.readline()).keys() >= {"id"}, (SEED, line)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        writer.write(b'{"id":1,"command":"status"}\n')
        assert json.loads(await reader.readline()) == {"id": 1, "result": {}}
        await server.close()
        assert not guard.faults

    asyncio.run(asyncio.wait_for(main(), 120))
