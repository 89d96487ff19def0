"""``ipsecd hash-password``: what it prints is a line that a users file takes, and nothing of the password."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ipsecd.cli.ipsecd import main
from ipsecd.crypto.secret import Secret
from ipsecd.crypto.user_table import UserTable

IPSECD = Path(sys.executable).with_name("ipsecd")


@pytest.mark.parametrize("typed", [b"sesame\n", b"sesame\r\n", b"sesame", b"sesame\nmore\n"])
def test_the_first_line_of_standard_input_is_the_password(typed: bytes) -> None:
    done = CliRunner().invoke(main, ["hash-password", "alice"], input=typed)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("alice:$scrypt$ln=15,r=8,p=1$")
    assert "sesame" not in done.stdout
    table = UserTable(done.stdout, "users")
    assert table.verify("alice", Secret(b"sesame"))
    assert not table.verify("alice", Secret(b"sesam"))


def test_without_a_name_it_is_the_hash_alone_and_each_has_a_salt_of_its_own() -> None:
    one, two = (CliRunner().invoke(main, ["hash-password"], input=b"sesame\n").stdout for _ in range(2))
    assert one.startswith("$scrypt$ln=15,r=8,p=1$")
    assert one != two


def test_on_a_terminal_the_password_is_asked_for_twice_without_an_echo() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.Popen([IPSECD, "hash-password", "bob"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    for prompt in (b"Password: ", b"The same again: "):
        while not shown.endswith(prompt):
            shown += os.read(ours, 1_024)
        os.write(ours, b"sesame\n")
    told, _ = done.communicate(timeout=60)
    assert (done.returncode, b"sesame" in shown) == (0, False)
    assert UserTable(told.decode(), "users").verify("bob", Secret(b"sesame"))


@pytest.mark.parametrize("user", ["", "a:b", "#a", " a", "a ", "a\nb", "x" * 257])
def test_a_name_that_would_be_read_back_as_another_is_refused(user: str) -> None:
    done = CliRunner().invoke(main, ["hash-password", "--", user], input=b"sesame\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "a user's name" in done.stderr


@pytest.mark.parametrize(
    ("typed", "told"), [(b"\n", "an empty password is none"), (b"x" * 1_025, "a password has up to 1024 octets")]
)
def test_what_is_no_password_is_refused(typed: bytes, told: str) -> None:
    done = CliRunner().invoke(main, ["hash-password"], input=typed)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"ipsecd: {told}\n")
