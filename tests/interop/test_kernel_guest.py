"""The guest itself: commands, their ends, and its own."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.interop import kernel_modules
from tests.interop.kernel import Guest
from tests.interop.kernel_static import Static
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel")]


def test_a_command_is_told_with_its_output_and_status(kernel: Static) -> None:
    script = "cat; echo bad >&2; exit 3"
    assert kernel.guest.run("sh", "-c", script, given="good\n", check=False) == (3, "good\n", "bad\n")
    with pytest.raises(RuntimeError, match=r"status 3\ngood\nbad"):
        kernel.guest.run("sh", "-c", script, given="good\n")
    assert kernel.guest.run("nothing", check=False).status == 127


def test_a_command_runs_beside_others_until_it_is_ended(kernel: Static) -> None:
    name = kernel.guest.start("sh", "-c", "sleep 1000 & wait")
    while not sleeps(kernel):
        assert not kernel.guest.ended(name)
    kernel.guest.end(name, signal.SIGTERM)
    while sleeps(kernel):  # it gets the signal when its shell does, and ends when it can
        pass


def sleeps(kernel: Static) -> bool:
    return kernel.guest.run("pgrep", "sleep", check=False).status == 0


def test_its_kernel_is_its_own(kernel: Static) -> None:
    assert kernel.guest.run("uname", "-r").output.strip() != os.uname().release


def test_a_guest_that_does_not_boot_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_modules, "in_order", lambda: [Path("/nowhere/esp4.ko")])
    with (
        pytest.raises(RuntimeError, match=r"(?s)it boots.*its console.*/nowhere/esp4.ko"),
        Guest(tmp_path / "guest", []),
    ):
        pass


def processes(group: int) -> list[str]:
    """The living processes of a group."""
    found = []
    for process in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, its_group, *_ = process.read_text().rpartition(")")[2].split()
            found += [process.parent.name] if int(its_group) == group and state != "Z" else []
    return found


def test_the_end_of_a_guest_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with Guest(tmp_path / "guest", []) as guest:
        guest.run("true")
        assert len(processes(guest.pid)) > 1
        os.kill(guest.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="never came true: sleep 1000"):
            guest.run("sleep", "1000")
    eventually(lambda: not processes(guest.pid), "its processes end")
