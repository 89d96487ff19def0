"""Whatever listens at the control socket, ipsecctl ends with a line and an exit code, and never with a traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from tests.unit.cli.scripted import STATUS, Scripted, always
from tests.unit.daemon.daemons import ctl

NO_SENSE = "ipsecctl: the answer makes no sense (is it an ipsecd 0.1.0 that listens there?)\n"
HUNG_UP = "ipsecctl: ipsecd hung up (is it being stopped?)\n"
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": (),
    "sas": (),
    "policy": (),
    "explain": ("10.1.0.2", "10.2.0.2"),
    "up": ("site", "--wait", "1"),
    "reload": (),
    "log-level": (),
    "keys": ("export",),
}


def error(**fields: object) -> bytes:
    return json.dumps({"id": None, "error": fields}).encode() + b"\n"


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b'{"id":1}\n',
        b'{"id":2,"result":{}}\n',
        b'{"id":1,"result":[]}\n',
        b'{"id":1,"error":"no"}\n',
        error(reason=1, message="no", hint=""),
        error(reason="refused", hint=""),
        error(reason="refused", message="no", hint=None),
        error(reason="bad-policy", message="no", hint="", mistakes=5),
        error(reason="bad-policy", message="no", hint="", mistakes=[5]),
    ],
)
def test_an_answer_that_is_none_makes_no_sense(tmp_path: Path, said: bytes) -> None:
    with Scripted(tmp_path / "control", always(said)) as server:
        done = ctl(server.path, "status")
    assert (done.exit_code, done.output) == (1, NO_SENSE)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "result",
    [
        {},
        {"sas": 5, "rules": 5, "names": 5, "level": 5, "policy": 5, "unknown": 5, "difference": 5, "outbound": 5},
        {"sas": [5], "rules": [5], "names": [[]], "policy": "p", "entries": [5], "peers": [5], "esp_sa": [5]},
        {"sas": [{}], "rules": [{}], "names": {}, "policy": "p", "entries": [{}], "peers": [{}], "difference": {}},
    ],
    ids=["empty", "numbers", "lists of numbers", "objects that lack everything"],
)
def test_an_answer_of_another_shape_is_no_traceback(tmp_path: Path, command: str, result: dict[str, Any]) -> None:
    with Scripted(tmp_path / "control", always(result)) as server:
        done = ctl(server.path, command, *COMMANDS[command])
    assert isinstance(done.exception, SystemExit | None)
    if (command, result.get("level")) != ("log-level", 5):  # a number is as good as a word to show
        assert (done.exit_code, done.output) == (1, NO_SENSE)


def test_an_event_of_another_shape_ends_a_monitor(tmp_path: Path) -> None:
    said = b'{"id":1,"result":{}}\n{"event":{"level":"info","time":"2026-01-02T03:04:05.678","text":"well"}}\n'
    with Scripted(tmp_path / "control", always(said + b'{"event":{"level":"info"}}\n')) as server:
        done = ctl(server.path, "monitor")
    assert (done.exit_code, done.output) == (1, f"03:04:05.678 info    well\n{NO_SENSE}")


@pytest.mark.parametrize("said", [None, b"", b'{"id":1,"result":{'])
def test_a_daemon_that_hangs_up_is_no_longer_there(tmp_path: Path, said: bytes | None) -> None:
    with Scripted(tmp_path / "control", always(said)) as server:
        done = ctl(server.path, "status")
    assert (done.exit_code, done.output) == (3, HUNG_UP)


def test_an_answer_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONTROL_ANSWER", 1_000)
    with Scripted(tmp_path / "control", always(STATUS | {"unresolved": ["x" * 1_000]})) as server:
        done = ctl(server.path, "status")
    assert (done.exit_code, done.output) == (1, NO_SENSE)


def test_a_refusal_is_told_with_its_hint_and_its_mistakes(tmp_path: Path) -> None:
    said = error(reason="bad-policy", message="1 mistake", hint="mend it", mistakes=["p.yaml:1:1: \x1b[2J"])
    with Scripted(tmp_path / "control", always(said)) as server:
        done = ctl(server.path, "reload")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "p.yaml:1:1: \\x1b[2J\nipsecctl: 1 mistake (mend it)\n"


def test_who_has_no_permission_is_told_so_by_an_exit_code_of_its_own(tmp_path: Path) -> None:
    said = error(reason="permission", message="you may not control ipsecd", hint="be root")
    with Scripted(tmp_path / "control", always(said)) as server:
        done = ctl(server.path, "status")
    assert (done.exit_code, done.output) == (4, "ipsecctl: you may not control ipsecd (be root)\n")


@pytest.mark.parametrize("dead", [False, True])
def test_without_a_daemon_the_next_step_is_told(tmp_path: Path, dead: bool) -> None:
    path = tmp_path / "control"
    if dead:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    done = ctl(path, "status")
    hint = "systemctl start ipsecd; journalctl -u ipsecd says why it doesn't run; --control names another socket"
    assert (done.exit_code, done.output) == (3, f"ipsecctl: no ipsecd listens at {path} ({hint})\n")


@pytest.mark.parametrize(("name", "why"), [("file/control", "Not a directory"), ("x" * 120, "AF_UNIX path too long")])
def test_why_a_socket_can_not_be_connected_to_is_told(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("")
    done = ctl(tmp_path / name, "status")
    assert (done.exit_code, done.output) == (3, f"ipsecctl: can't connect to {tmp_path / name}: {why}\n")
