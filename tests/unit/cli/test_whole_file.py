"""A file that is written anew stays whose it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ipsecd.cli.whole_file import rewrite


def test_a_file_of_somebody_else_stays_theirs_and_as_it_was_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's user has to read what root has written into its file."""
    path = tmp_path / "policy.yaml"
    path.write_text("before\n")
    path.chmod(0o640)
    owner = path.stat()
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    rewrite(path, "after\n")
    assert given == [(owner.st_uid, owner.st_gid)]
    assert path.read_text() == "after\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_ones_own_file_is_given_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("before\n")
    given: list[object] = []
    monkeypatch.setattr(os, "fchown", lambda *who: given.append(who))
    rewrite(path, "after\n")
    assert (given, path.read_text()) == ([], "after\n")
