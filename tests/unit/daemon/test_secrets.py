"""Secrets leave the process through the protocol and by ``ipsecctl keys export`` alone (SECURITY.md, promise 9)."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecd.daemon.effects import Conductor
from ipsecd.daemon.log_sinks import encode_journal
from tests.unit.daemon.daemons import KEY, PATIENCE, Daemon, mirrored, pair, policy, settled
from tests.unit.daemon.secrets_kept import Recorder

ASKED = (("status",), ("sas",), ("policy",), ("explain", "10.1.0.2", "10.2.0.2"), ("reload",), ("log-level",))
OURS = policy(keylog="true")
THEIRS = policy(mirrored(), keylog="true")
BINARY = "\t\x01\x7f binary key \x1b[0m of many octets"


class Listener:
    """Everything that two daemons say, and that may be shown of what they are made of."""

    def __init__(self, *daemons: Daemon) -> None:
        self._daemons = daemons
        self._said: list[bytes] = []
        for daemon in daemons:
            daemon.log.add_tap(lambda event: self.hear(json.dumps(event), repr(event)), "debug")

    def hear(self, *texts: object) -> None:
        self._said += [str(text).encode("utf-8", "backslashreplace") for text in texts]

    def said(self) -> bytes:
        lines = [line for daemon in self._daemons for line in daemon.told.lines]
        logged = [line.text.encode("utf-8", "backslashreplace") for line in lines]
        return b"\n".join([*logged, *map(encode_journal, lines), *self._said])


@pytest.mark.parametrize("kind", ["plain", "json", "journal"])
@pytest.mark.parametrize("key", [KEY, BINARY], ids=["a text", "octets"])
def test_no_secret_is_logged_shown_or_part_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    recorder = Recorder()
    exported: dict[str, Any] = {}

    async def main() -> bytes:
        options = {"kind": kind, "level": "debug", "key": key}
        async with asyncio.timeout(PATIENCE), pair(tmp_path, OURS, THEIRS, **options) as (a, b):
            listener = Listener(a, b)
            _overhear(listener, monkeypatch)
            await a.ctl("up", "site", "--wait", "30")
            for words in (*ASKED, ("rekey", "site"), ("rekey", "peer:site"), *ASKED):
                for more in ((), ("--json",)):
                    listener.hear((await a.ctl(*words, *more)).output)
                    await settled()
            exported.update(json.loads((await a.ctl("keys", "export", "--json")).output))
            _break(a, monkeypatch)
            listener.hear((await a.ctl("status", code=1)).output)
            b.write("peer.psk", "another key of more than twenty octets")
            listener.hear((await b.ctl("reload")).output, (await a.ctl("down", "site")).output)
            listener.hear((await a.ctl("up", "site")).output)
            await settled()
            for daemon in (a, b):
                protection = daemon.protection
                listener.hear(repr(protection.prepared), repr(protection.keys), repr(protection.negotiation.status()))
                listener.hear(repr(protection.negotiation._core.config), repr(vars(protection)))
            return listener.said()

    with recorder.recording():
        said = asyncio.run(main())
    assert {key.encode(), b"another key of more than twenty octets"} <= recorder.secrets
    assert b"KEYS ARE KEPT" in said
    assert b"child-established" in said or b"child SA established" in said
    assert b"another oops" in said
    keys = {bytes.fromhex(word[2:]) for line in exported["esp_sa"] for word in line.split('"') if word[:2] == "0x"}
    assert len({each for each in keys if len(each) > 4} & recorder.secrets) >= 4  # it hears what it should
    assert recorder.found_in(said) == []


def _overhear(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the negotiation decides and the data plane is told, as an error's text would have it."""
    one, tell = Conductor._one, Conductor.tell_roads

    def hear_one(conductor: Conductor, effect: Any, now: float) -> None:
        listener.hear(repr(effect))
        one(conductor, effect, now)

    def hear_message(conductor: Conductor, message: Any, now: float) -> None:
        listener.hear(repr(message))
        tell(conductor, message, now)

    monkeypatch.setattr(Conductor, "_one", hear_one)
    monkeypatch.setattr(Conductor, "tell_roads", hear_message)


def _break(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next question for the state end in a fault, whose traceback is logged."""
    keys = daemon.protection.prepared.ring.keys

    def fail() -> list[Any]:
        raise KeyError("another oops", keys, daemon.protection.negotiation._core.ikes)

    monkeypatch.setattr(daemon.protection, "sas", fail)


SECRET = bytes(range(0xA0, 0xB4))


@pytest.mark.parametrize(
    ("said", "form"),
    [
        (b"key " + SECRET, "raw"),
        (repr(SECRET).encode(), "shown"),
        (SECRET.hex().encode(), "hex"),
        (SECRET.hex().upper().encode(), "hex"),
        (SECRET.hex(":").encode(), "hex"),
        (SECRET.hex(" ", 4).upper().encode(), "hex"),
        (str(list(SECRET.hex(" ").split())).replace("'", "").encode(), "hex"),
        (base64.b64encode(SECRET), "base64"),
        (base64.urlsafe_b64encode(b"x" + SECRET + b"yz"), "base64"),
        (base64.b64encode(b"xy" + SECRET), "base64"),
    ],
)
def test_a_secret_is_found_in_whatever_form(said: bytes, form: str) -> None:
    recorder = Recorder()
    recorder.secrets = {SECRET, b"another one, which isn't there"}
    assert (form, SECRET) in recorder.found_in(b"before " + said + b" after")
    assert recorder.found_in(b"before and after") == []
