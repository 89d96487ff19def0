"""``ipsecd``: what it says of a file, and how a start ends that can't be one. Nothing here touches the kernel."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ipsecd
from ipsecd.cli.ipsecd import _until_told, main
from ipsecd.policy.schema import schema_json
from tests.unit.daemon.daemons import policy

pytestmark = pytest.mark.xdist_group("starts here")  # of one network namespace: one daemon at a time

IPSECD = Path(sys.executable).with_name("ipsecd")
LATER = "not supported yet: Kerberos"
NOTED = (
    "assigned: p\ncredentials: {m: {kerberos: {}}}\n"
    "policies: {p: {}, q: {default_response: {authentication: [{kerberos: m}]}}}\n"
)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="ipsecd")


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A start that fails: it reads the policy, and gets no further."""
    options = ["--policy", str(folder / "policy.yaml"), "--state-dir", str(folder / "state")]
    command = [str(IPSECD), "run", *options, "--control", str(folder / "run" / "control"), *words]
    environment = {**os.environ, "TZ": "UTC"}
    return subprocess.run(command, text=True, capture_output=True, check=False, env=environment)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What was logged, without the time."""
    return [line[13:] for line in done.stderr.splitlines()]


# --- check ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        (policy(), 0, []),
        (NOTED, 0, [f"3:59: policies.q.default_response.authentication.0: {LATER} [note]"]),
        (
            NOTED.replace("assigned: p", "assigned: q"),
            0,
            [f"3:59: policies.q.default_response.authentication.0: run refuses this: {LATER} [note]"],
        ),
        (
            "assigned: x\nsettings: {mtu: 1}\n",
            1,
            ["1:11: assigned: there is no policy 'x'", "2:17: settings.mtu: 1 is out of range (at least 1280)"],
        ),
        (b"a: \xff\n", 1, ["1:4: isn't UTF-8 (save the file as UTF-8)"]),
        (b"x" * 10_485_760, 1, ["1:1: the file has more than 1048576 octets"]),
        ("", 1, ["1:1: the file is empty (a policy file that protects nothing says: policies: {})"]),
        ("policies: {}\n", 0, ["1:1: no policy is assigned: nothing is protected [note]"]),
    ],
    ids=["good", "a note", "what run refuses", "mistakes", "not UTF-8", "10 MiB", "empty", "assigns none"],
)
def test_check_says_everything_about_a_file_line_by_line(
    tmp_path: Path, text: str | bytes, code: int, told: list[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("check", str(path))
    assert (done.exit_code, done.stdout, done.stderr) == (code, "".join(f"{path}:{line}\n" for line in told), "")


@pytest.mark.parametrize(("name", "why"), [("none", "No such file or directory"), (".", "Is a directory")])
def test_check_of_a_file_that_can_not_be_read_hints_at_nothing_it_does_not_have(
    tmp_path: Path, name: str, why: str
) -> None:
    path = tmp_path / name
    done = run("check", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"ipsecd: can't read the policy {path}: {why}\n"


@pytest.mark.parametrize("words", [("check",), ("check", "a", "b"), ("run", "--log-level", "loud"), ("nonsense",)])
def test_wrong_usage_has_its_own_exit_code(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")


def test_the_schema_is_printed_as_it_is() -> None:
    done = run("schema")
    assert (done.exit_code, done.output) == (0, schema_json())
    assert json.loads(done.output)["title"]


def test_the_version_is_told_in_one_form() -> None:
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"ipsecd {ipsecd.__version__}\n")


# --- run ------------------------------------------------------------------------------------------------------------


def test_a_start_with_what_is_not_supported_ends_with_1_and_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        policy(key_exchange="{proposals: [{encryption: aes128gcm16, groups: mlkem768}]}")
    )
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    place = re.escape(f"{tmp_path}/policy.yaml:")
    told = lines(done)
    assert told[0] == f"info    ipsecd {ipsecd.__version__} starts with {tmp_path}/policy.yaml"
    wanted = (
        rf"error   {place}\d+:\d+: policies\.sites\.key_exchange\.proposals\.0\.groups\.0: not supported yet: mlkem768"
    )
    assert re.fullmatch(wanted, told[1])
    assert told[2:] == ["error   ipsecd can't start: the policy uses something that isn't supported yet"]


def test_a_start_without_a_policy_says_how_to_name_one_and_leaves_no_socket(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert done.returncode == 1
    assert lines(done)[-1] == (
        f"error   ipsecd can't start: can't read the policy {tmp_path}/policy.yaml: No such file or directory "
        "(--policy names another)"
    )
    assert list((tmp_path / "run").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("words", "environment", "warned"),
    [
        ((), None, False),
        (("--group", ""), None, False),
        (("--group", "no-such-group"), None, True),
        ((), "no-such-group", True),
    ],
)
def test_a_group_that_somebody_named_has_to_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environment: str | None, warned: bool
) -> None:
    if environment is not None:
        monkeypatch.setenv("IPSECD_GROUP", environment)
    told = "warning There is no group no-such-group here: nobody but root may control ipsecd"
    assert (told in lines(start(tmp_path, *words))) == warned


def test_a_place_that_is_taken_is_told_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "control").write_text("precious")
    done = start(tmp_path)
    assert done.returncode == 1
    why = f"{tmp_path}/run/control is no socket, so it isn't replaced (--control names another place)"
    assert lines(done)[1:] == [f"error   ipsecd can't start: {why}"]
    assert (tmp_path / "run" / "control").read_text() == "precious"


# --- flush ----------------------------------------------------------------------------------------------------------


def test_a_flush_that_can_not_have_its_lock_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("flush", "--state-dir", str(tmp_path / "file" / "state"))
    told = f"ipsecd: can't make the folder {tmp_path}/file/state: Not a directory (is ipsecd run as root?)\n"
    assert (done.exit_code, done.output) == (1, told)


def test_what_is_told_to_end_and_has_ended_hears_no_more_signals() -> None:
    """While its loop closes, asyncio's handlers write where nobody reads any more, and the log would show it."""
    stops = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    before = [signal.getsignal(number) for number in stops]
    app: Any = SimpleNamespace(run=lambda _: asyncio.sleep(0))
    try:
        asyncio.run(_until_told(app))
        assert [signal.getsignal(number) for number in stops] == [signal.SIG_IGN] * 3
    finally:
        for number, handler in zip(stops, before, strict=True):
            signal.signal(number, handler)
