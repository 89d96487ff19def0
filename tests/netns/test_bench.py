"""A short measurement finds its figures, tells a VPN from none by the wire, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.netns.session import left_behind, session

pytestmark = pytest.mark.root

BENCH = "scripts.measuring"
SHORT = ("--rounds", "1", "--seconds", "1", "--contestants", "plain,ipsecd", "--figures", "tcp1,ping")
BOTH = {"setup", "tcp1", "tcp1-back", "ping-p50", "ping-p99"}


def test_a_short_run_finds_every_figure_it_was_asked_for(tmp_path: Path) -> None:
    with session(BENCH, *SHORT, "--output", str(tmp_path)) as process:
        told, _ = process.communicate()
        assert process.returncode == 0, told
        assert left_behind(process) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "hosts-offload-on.json",
        "hosts-offload-on.md",
        "hosts-offload-on.svg",
    ]
    plain, ipsecd = json.loads((tmp_path / "hosts-offload-on.json").read_text())["turns"]
    assert [plain["contestant"], plain["error"], ipsecd["contestant"], ipsecd["error"]] == ["plain", "", "ipsecd", ""]
    assert set(plain["values"]) == BOTH
    assert set(ipsecd["values"]) == BOTH | {"tcp1-cpu", "tcp1-memory"}
    assert [name for name, value in ipsecd["values"].items() if value <= 0] == []


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C reaches everything in the terminal's foreground: here while a stream runs through the tunnel."""
    with session(BENCH, *SHORT, "--contestants", "ipsecd", "--seconds", "60", "--output", str(tmp_path)) as process:
        assert process.stdout is not None
        assert any("set-up" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        told = process.stdout.read()
        assert process.wait() == 130, told
        assert left_behind(process) == []
    assert "Traceback" not in told
