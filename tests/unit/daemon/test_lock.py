"""One daemon for each state folder."""

import os
from pathlib import Path

import pytest

from ipsecd.daemon.lock import Lock
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
    with pytest.raises(OperatorError, match="can't open the lock"):
        Lock(tmp_path / "missing" / "lock")
