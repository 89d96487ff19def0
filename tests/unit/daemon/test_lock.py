"""One daemon for each state folder."""

import os
import stat
from pathlib import Path

import pytest

from ipsecd.daemon.lock import Lock, make_folder
from ipsecd.errors import OperatorError


def test_a_second_daemon_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock(path)
    with pytest.raises(OperatorError, match=f"another ipsecd, process {os.getpid()}, holds {path}"):
        Lock(path)
    first.close()
    Lock(path).close()


def test_a_lock_left_behind_by_a_dead_daemon_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("99999999999999\n")
    Lock(path).close()
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_can_not_be_made_is_the_operators_business(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(OperatorError, match="can't open the lock"):
        Lock(tmp_path / "lock")


def test_its_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    Lock(tmp_path / "state" / "lock").close()
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
