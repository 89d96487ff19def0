"""One daemon for each state folder, and for each network namespace."""

import os
import socket
import stat
from pathlib import Path

import pytest

from ipsecd.daemon.lock import FolderLock, NamespaceLock, make_folder
from ipsecd.errors import OperatorError


def test_a_second_daemon_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = FolderLock(path)
    with pytest.raises(OperatorError, match=f"another ipsecd, process {os.getpid()}, holds {path}"):
        FolderLock(path)
    first.close()
    FolderLock(path).close()


def test_a_lock_left_behind_by_a_dead_daemon_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("99999999999999\n")
    FolderLock(path).close()
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_can_not_be_made_is_the_operators_business(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(OperatorError, match="can't open the lock"):
        FolderLock(tmp_path / "lock")


def test_its_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    FolderLock(tmp_path / "state" / "lock").close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_folders_are_made_with_their_mode_whatever_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    before = os.umask(0o077)
    try:
        make_folder(tmp_path / "run" / "ipsecd", 0o755)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, *tmp_path.glob("run/**"))] == [
        0o750,
        0o755,
        0o755,
    ]


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError) as caught:
        make_folder(tmp_path / "file" / "folder", 0o755)
    assert str(caught.value) == (
        f"can't make the folder {tmp_path}/file/folder: Not a directory (is ipsecd run as root?)"
    )


def test_a_second_daemon_in_a_network_namespace_is_refused_whatever_its_folder() -> None:
    name = f"\0ipsecd test of process {os.getpid()}"
    first = NamespaceLock(name)
    for _ in range(3):
        with pytest.raises(OperatorError, match=f"another ipsecd, process {os.getpid()}, runs in this network"):
            NamespaceLock(name)
    first.close()
    NamespaceLock(name).close()


def test_a_name_that_somebody_else_has_taken_keeps_it_from_starting() -> None:
    name = f"\0ipsecd test of process {os.getpid()}, taken"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(name)  # and nobody listens
        with pytest.raises(OperatorError, match="another ipsecd, process unknown, runs"):
            NamespaceLock(name)
