"""Exported keys go into files of our own: never into one that somebody else has laid there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ipsecd.cli.private_file import write_private
from ipsecd.cli.program import Failure


def test_a_fresh_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "esp_sa", ["one", "two"])
    finally:
        os.umask(before)
    assert (tmp_path / "esp_sa").read_text() == "one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "esp_sa").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["esp_sa"]


def test_who_holds_the_former_file_open_sees_no_key(tmp_path: Path) -> None:
    (tmp_path / "esp_sa").write_text("laid here\n")
    (tmp_path / "esp_sa").chmod(0o666)
    with (tmp_path / "esp_sa").open() as held:
        write_private(tmp_path / "esp_sa", ["a key"])
        assert held.read() == "laid here\n"
    assert (tmp_path / "esp_sa").read_text() == "a key\n"
    assert stat.S_IMODE((tmp_path / "esp_sa").stat().st_mode) == 0o600


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_is_replaced_and_not_followed(tmp_path: Path, link: object) -> None:
    (tmp_path / "theirs").write_text("theirs\n")
    link(tmp_path / "theirs", tmp_path / "esp_sa")  # type: ignore[operator]  # one of the two functions above
    write_private(tmp_path / "esp_sa", ["a key"])
    assert (tmp_path / "theirs").read_text() == "theirs\n"
    assert not (tmp_path / "esp_sa").is_symlink()


def test_what_can_not_be_written_is_a_failure_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "esp_sa").mkdir()
    with pytest.raises(Failure, match=r"^can't write .*/esp_sa: Is a directory$"):
        write_private(tmp_path / "esp_sa", ["a key"])
    assert [path.name for path in tmp_path.iterdir()] == ["esp_sa"]
    with pytest.raises(Failure, match=r"^can't write .*/nowhere/esp_sa: No such file or directory \(mkdir -p "):
        write_private(tmp_path / "nowhere" / "esp_sa", ["a key"])
