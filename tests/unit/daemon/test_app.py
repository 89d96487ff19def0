"""The daemon's start."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd.crypto import selftest
from ipsecd.daemon.app import App
from ipsecd.daemon.log import Log
from ipsecd.daemon.log_sinks import Writer
from ipsecd.daemon.options import Options
from ipsecd.daemon.systemd import Systemd
from ipsecd.errors import OperatorError
from tests.interop.waiting import eventually
from tests.unit.daemon.daemons import Daemon, beside
from tests.unit.daemon.test_control import Silent


def test_the_algorithms_are_tested_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "run", lambda: {"aes128gcm16": "a wrong answer"})
    options = Options(tmp_path / "absent.yaml", tmp_path / "state", tmp_path / "control")
    with capture_logs() as logs, pytest.raises(OperatorError, match="can't read the policy"):
        asyncio.run(App(options, Log(Writer(Silent())), Systemd({}, 1)).run({}))
    assert [line["event"] for line in logs] == ["algorithm-withdrawn", "starting", "start-failed"]
    assert (logs[0]["algorithm"], logs[0]["reason"]) == ("aes128gcm16", "a wrong answer")


def test_settings_of_the_machine_are_looked_at_with_what_is_local_to_the_policy(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        local = (ip_address("10.1.0.0"), ip_address("10.1.255.255"))
        assert daemon.kernel.looked_at == ({"10.1.0.0/16": local}, (local,), (), ("wan0",))

    beside(tmp_path, scenario)


def test_a_fault_in_the_status_line_ends_at_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise RuntimeError("a bug")

    async def scenario(daemon: Daemon) -> None:
        monkeypatch.setattr(daemon.app, "summary", fail)
        await asyncio.to_thread(eventually, lambda: daemon.app.guard.faults["the status line"] > 0, "it asks")
        await daemon.ctl("status")

    beside(tmp_path, scenario)
