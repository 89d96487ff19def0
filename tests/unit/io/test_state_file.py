"""A state file belongs to whoever its folder belongs to, and says how that is mended where it doesn't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecd.errors import KernelError
from ipsecd.io.state_file import StateFile


@pytest.fixture
def kept(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "floor.nft", "the floor", "without it nothing is protected after a reboot")


def test_what_root_keeps_belongs_to_the_owner_of_the_folder(kept: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, *owner: given.append(owner))
    kept.save("table inet ipsecd")
    folder = kept.path.parent.stat()
    assert given == [(folder.st_uid, folder.st_gid)]
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_a_root_that_may_give_nothing_away_keeps_it_all_the_same(
    kept: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", refuse)
    kept.save("table inet ipsecd")
    assert kept.load() == "table inet ipsecd"


def test_whoever_may_not_read_it_is_told_whose_it_should_be(kept: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    kept.save("table inet ipsecd")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(KernelError) as failure:
        kept.load()
    path = kept.path
    assert failure.value.message == f"can't read the floor from {path}: Permission denied"
    cure = f"chown --reference={path.parent} {path}"
    assert failure.value.hint == f"without it nothing is protected after a reboot; {cure}"


def test_what_is_appended_stands_behind_what_was_there_and_is_on_disk(
    kept: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    kept.save("one\n")
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    kept.append("two\n")
    assert (kept.load(), synced) == ("one\ntwo\n", [8])


def test_nothing_is_appended_where_nothing_is(kept: StateFile) -> None:
    with pytest.raises(KernelError, match=r"can't keep the floor in .*: No such file or directory"):
        kept.append("two\n")
    assert kept.load() is None
