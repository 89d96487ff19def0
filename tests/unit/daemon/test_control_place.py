"""The control socket takes the place of a dead daemon's socket, and of nothing else."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecd.daemon.control_place import Place
from ipsecd.errors import OperatorError
from tests.unit.daemon.daemons import Daemon, beside, policy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control"


@pytest.fixture
def living(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen(8)
        yield living


def refusal(path: Path) -> str:
    with pytest.raises(OperatorError) as caught:
        Place(path, None)
    return str(caught.value)


def test_a_socket_that_nobody_listens_at_is_replaced_and_ours_is_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    place = Place(path, os.getgid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    place.leave()
    place.listener.close()
    assert not path.exists()


def test_a_file_that_is_no_socket_stays(path: Path) -> None:
    path.write_text("precious")
    assert refusal(path) == f"{path} is no socket, so it isn't replaced (--control names another place)"
    assert path.read_text() == "precious"


def test_a_link_to_a_dead_socket_is_no_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{path}-dead")
    path.symlink_to(f"{path}-dead")
    assert "is no socket" in refusal(path)
    assert path.is_symlink()


def test_a_socket_that_somebody_listens_at_stays_his_and_he_is_named(path: Path, living: socket.socket) -> None:
    expected = f"process {os.getpid()} listens at {path} (stop it, or --control names another place)"
    assert refusal(path) == expected
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_listener_that_is_too_busy_to_accept_is_alive(path: Path, living: socket.socket) -> None:
    living.listen(0)
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(str(path))
        assert refusal(path).startswith(f"{path} is in use: ")
    assert path.exists()


def test_a_socket_of_another_type_is_alive(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert refusal(path).startswith(f"{path} is in use: ")
    assert path.exists()


def test_a_socket_that_took_the_place_of_ours_stays(path: Path) -> None:
    place = Place(path, None)
    path.unlink()
    later = Place(path, None)
    place.leave()
    place.listener.close()
    assert path.exists()
    later.leave()
    later.listener.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "why"), [("missing/control", "No such file or directory"), ("x" * 120, "AF_UNIX path too long")]
)
def test_why_a_path_can_not_be_had_is_told(tmp_path: Path, name: str, why: str) -> None:
    expected = f"can't listen at {tmp_path / name}: {why} (--control names another place)"
    assert refusal(tmp_path / name) == expected


def test_a_daemon_that_can_not_have_its_place_changes_nothing_of_the_one_that_is_there(tmp_path: Path) -> None:
    async def scenario(first: Daemon) -> None:
        second = Daemon(tmp_path / "second", policy())
        second.app.options = second.options = type(second.options)(
            second.options.policy, second.options.state, first.options.control, ""
        )
        with pytest.raises(OperatorError, match=re.escape(f"process {os.getpid()} listens at {tmp_path}/control")):
            await second.__aenter__()
        assert second.kernels == []
        assert second.events == ["starting", "start-failed"]
        assert (await first.ctl("status")).exit_code == 0

    beside(tmp_path, scenario)
