"""A program ends with a line and an exit code, whatever becomes of its output."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.scripted import STATUS, Scripted, always

IPSECCTL = Path(sys.executable).with_name("ipsecctl")
IPSECD = Path(sys.executable).with_name("ipsecd")


@pytest.fixture
def status(tmp_path: Path) -> list[str]:
    """The words of a command that has something to say."""
    return [str(IPSECCTL), "--control", str(tmp_path / "control"), "status"]


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run words, as ``"$@"`` in a line of bash."""
    return subprocess.run(["bash", "-c", line, "bash", *words], text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('"$@" >&-', "Bad file descriptor"),
        ('"$@" --json >&-', "Bad file descriptor"),
        ('"$@" >/dev/full', "No space left on device"),
        ('"$@" --json >/dev/full', "No space left on device"),
        ('"$@" --help >/dev/full', "No space left on device"),
    ],
)
def test_an_output_that_can_not_be_written_is_a_failure_in_one_line(
    tmp_path: Path, status: list[str], line: str, why: str
) -> None:
    with Scripted(tmp_path / "control", always(STATUS)):
        done = shell(line, *status)
    assert (done.returncode, done.stderr) == (1, f"ipsecctl: can't write to standard output: {why}\n")


@pytest.mark.parametrize("line", ['"$@" | true; exit ${PIPESTATUS[0]}', '"$@" --json | true; exit ${PIPESTATUS[0]}'])
def test_a_pipe_that_nobody_reads_is_no_reason_for_words(tmp_path: Path, status: list[str], line: str) -> None:
    with Scripted(tmp_path / "control", always(STATUS | {"unresolved": ["x" * 100_000]})):
        done = shell(line, *status)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_words_that_nobody_can_read_change_no_exit_code(tmp_path: Path, status: list[str]) -> None:
    assert shell('"$@" 2>&-', *status).returncode == 3


def test_the_schema_meets_a_full_disk(tmp_path: Path) -> None:
    done = shell('"$@" >/dev/full', str(IPSECD), "schema")
    assert (done.returncode, done.stderr) == (1, "ipsecd: can't write to standard output: No space left on device\n")


def test_a_closed_descriptor_is_not_taken_by_the_next_socket(tmp_path: Path) -> None:
    """Else the log, which goes to descriptor 2, would go into it."""
    words = [sys.executable, "-c", "from ipsecd.cli.program import _fill_gaps; import os, socket; _fill_gaps(); "]
    words[-1] += "print(socket.socket().fileno(), [os.readlink(f'/proc/self/fd/{n}') for n in (0, 2)])"
    done = shell('"$@" <&- 2>&-', *words)
    assert done.stdout == "3 ['/dev/null', '/dev/null']\n"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_ctrl_c_ends_a_monitor_quietly(tmp_path: Path, more: tuple[str, ...]) -> None:
    said: Callable[..., object] = always({})
    with Scripted(tmp_path / "control", said) as server:
        words = [str(IPSECCTL), "--control", str(server.path), "monitor", *more]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as monitor:
            assert server.heard.wait(60)
            monitor.send_signal(signal.SIGINT)
            assert monitor.communicate(timeout=60) == (b"", b"")
        assert monitor.returncode == 130
