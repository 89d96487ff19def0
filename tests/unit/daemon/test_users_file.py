"""A file of users is nobody else's, and no part of it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.daemon import users_file
from ipsecd.daemon.owned_file import File
from ipsecd.daemon.passwords import users_line
from ipsecd.daemon.users_file import read_users
from ipsecd.errors import OperatorError
from tests.unit.daemon.pem_files import put

ME = frozenset({0, os.getuid()})


def test_users_are_judged_by_it_and_two_are_equal_if_the_files_are(tmp_path: Path) -> None:
    path = put(tmp_path / "users.txt", users_line("alice", b"sesame").encode() + b"\n")
    found = read_users(path, ME)
    assert found.table.verify("alice", Secret(b"sesame"))
    assert found == read_users(path, ME)
    put(path, b"# nobody\n")
    assert found != read_users(path, ME)
    assert "alice" not in repr(found)


@pytest.mark.parametrize(
    ("octets", "mode", "told"),
    [
        (b"", 0o640, "the users file {path} is open to others (mode 0640) (chmod 600 {path})"),
        (b"alice:sesame\n", 0o600, "{path}:1: a hash reads $scrypt$ln=15,r=8,p=1$SALT$HASH (each line reads"),
        (b"#\n\xff\n", 0o600, "{path}:2: isn't UTF-8 (save the file as UTF-8)"),
        (b"#" * 11, 0o600, "the users file {path} has more than 10 octets (10000 users)"),
    ],
)
def test_what_cant_be_used_is_told_without_any_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: bytes, mode: int, told: str
) -> None:
    path = put(tmp_path / "users.txt", octets, mode)
    if b"#" * 5 in octets:
        monkeypatch.setattr(users_file, "_USERS", File("users file", most=10))
    with pytest.raises(OperatorError) as caught:
        read_users(path, ME)
    assert str(caught.value).startswith(told.format(path=path))
    assert "sesame" not in str(caught.value)


def test_a_missing_one_tells_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="doesn't exist") as caught:
        read_users(tmp_path / "users.txt", ME)
    assert "ipsecd hash-password USER" in caught.value.hint
