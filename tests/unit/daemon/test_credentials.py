"""Keys come from private places alone, and what can't be had is told with the next step."""

import asyncio
import errno
import os
import pwd
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.daemon.credentials import read_file, read_systemd, run_command
from ipsecd.errors import OperatorError

RESTART = "then systemctl restart ipsecd, as a reload reads no new credentials"
ME = frozenset({0, os.getuid()})


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "hq.psk"
    path.write_bytes(b"correct horse battery staple\n")
    path.chmod(0o600)
    return path


def refusal(read: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(OperatorError) as caught:
        read()
    return caught.value.message, caught.value.hint


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_private_file_gives_its_octets_without_the_newline_at_the_end(key: Path) -> None:
    assert read_file(key, ME) == b"correct horse battery staple"


@pytest.mark.parametrize(
    ("octets", "found"),
    [(b"a", b"a"), (b"a\r\n", b"a"), (b"a\n\n", b"a\n"), (b" a \n", b" a "), (b"\x00\xff\n", b"\x00\xff")],
)
def test_only_one_newline_is_taken_away(key: Path, octets: bytes, found: bytes) -> None:
    key.write_bytes(octets)
    assert read_file(key, ME) == found


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_open_to_others_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    message = f"the key file {key} is open to others (mode {mode:04o})"
    assert refusal(lambda: read_file(key, ME)) == (message, f"chmod 600 {key}")


def test_a_file_of_somebody_else_is_refused(key: Path) -> None:
    strangers = frozenset({folder.stat().st_uid for folder in key.parents})
    if os.getuid() == 0:
        os.chown(key, 4_242, -1)
    else:
        strangers -= {os.getuid()}
    message, hint = refusal(lambda: read_file(key, strangers))
    assert "can be exchanged by user" in message or "belongs to user" in message
    assert "chown " in hint


def test_a_folder_of_somebody_else_is_refused_by_name(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65_534)
    folder, owner = key.parent, pwd.getpwuid(key.parent.stat().st_uid).pw_name
    assert refusal(lambda: read_file(key, frozenset({65_534}))) == (
        f"{key} can be exchanged by user {owner}, whose folder {folder} is; ipsecd runs as nobody",
        f"run ipsecd as {owner}, or chown nobody {folder}",
    )


def test_a_symbolic_link_is_refused(key: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(key)
    message = f"the key file {link} is a symbolic link"
    assert refusal(lambda: read_file(link, ME)) == (message, "name the file it leads to")


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    path = shared / "key"
    path.write_bytes(b"x")
    path.chmod(0o600)
    message, hint = refusal(lambda: read_file(path, ME))
    assert message == f"{path} can be exchanged by others: they may write to {shared}"
    assert hint == f"chmod go-w {shared}"


def test_a_link_on_the_way_to_a_safe_folder_is_followed(key: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(key.parent)
    assert read_file(tmp_path / "way" / "hq.psk", ME) == b"correct horse battery staple"


@pytest.mark.parametrize(
    ("user", "owner"),
    [(0, ""), (65_534, "-o nobody "), (4_000_000_000, "-o 4000000000 ")],
    ids=["root", "name", "none"],
)
def test_a_missing_file_tells_how_to_put_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, owner: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    first = "to make a first one: head -c 32 /dev/urandom | base64 > KEY"
    path = tmp_path / "none"
    assert refusal(lambda: read_file(path, ME)) == (
        f"the key file {path} doesn't exist",
        f"the same key as the peer's: install {owner}-m 600 KEY {path}; {first}",
    )
    path = tmp_path / "no" / "folder" / "hq.psk"
    folder = f"install -d {owner}-m 700 {path.parent}"
    assert refusal(lambda: read_file(path, ME)) == (
        f"the key file {path} doesn't exist",
        f"the same key as the peer's: {folder}; install {owner}-m 600 KEY {path}; {first}",
    )


def test_a_file_that_may_not_be_read_says_whose_it_should_be(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "geteuid", lambda: 65_534)
    monkeypatch.setattr(os, "open", refuse)
    assert refusal(lambda: read_file(key, ME)) == (
        f"ipsecd may not read the key file {key}",
        f"chown nobody {key}, and see that nobody may enter its folder",
    )


def test_a_missing_folder_hides_no_folder_above_it_that_others_may_write_to(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    message, _ = refusal(lambda: read_file(tmp_path / "shared" / "no" / "hq.psk", ME))
    assert message.endswith(f"they may write to {tmp_path / 'shared'}")


@pytest.mark.parametrize("octets", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_refused(key: Path, octets: bytes) -> None:
    key.write_bytes(octets)
    assert refusal(lambda: read_file(key, ME))[0] == f"the key file {key} is empty"


def test_a_file_beyond_the_limit_is_refused(key: Path) -> None:
    key.write_bytes(b"x" * limits.CREDENTIAL_OCTETS)
    assert len(read_file(key, ME)) == 65_536
    key.write_bytes(b"x" * (limits.CREDENTIAL_OCTETS + 1))
    assert refusal(lambda: read_file(key, ME))[0] == f"the key file {key} has more than 65536 octets"


def test_what_is_not_a_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    pipe, folder, sock = tmp_path / "pipe", tmp_path / "folder", tmp_path / "socket"
    os.mkfifo(pipe, 0o600)
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sock))
        for path in (pipe, folder):
            assert refusal(lambda path=path: read_file(path, ME))[0] == f"the key file {path} isn't a regular file"  # type: ignore[misc]  # a lambda with a default has no type
        assert refusal(lambda: read_file(sock, ME))[0].startswith(f"the key file {sock} can't be opened")


# --- systemd --------------------------------------------------------------------------------------------------------


def test_a_systemd_credential_is_read_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "hq.psk").write_bytes(b"from systemd\n")
    assert read_systemd("hq.psk", str(tmp_path)) == b"from systemd"


@pytest.mark.parametrize("directory", [None, ""])
def test_without_systemd_the_lines_of_a_drop_in_are_named(directory: str | None) -> None:
    assert refusal(lambda: read_systemd("hq", directory)) == (
        "there is no systemd credential 'hq': ipsecd wasn't given any",
        f"systemctl edit ipsecd, and there, below [Service], LoadCredential=hq:/path/of/the/key; {RESTART}",
    )


def test_the_credential_that_the_unit_hands_over_needs_no_drop_in(tmp_path: Path) -> None:
    assert refusal(lambda: read_systemd("ipsecd.psk", str(tmp_path))) == (
        "systemd credential 'ipsecd.psk': No such file or directory",
        f"put the key into /etc/credstore/ipsecd.psk; {RESTART}",
    )
    unit = Path(__file__).parents[3] / "systemd" / "ipsecd.service"
    assert "LoadCredential=ipsecd.psk" in unit.read_text().splitlines()


@pytest.mark.parametrize("name", ["../hq", "", ".", "..", "a/b", "/etc/shadow"])
def test_a_name_never_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    assert "can't be the name" in refusal(lambda: read_systemd(name, str(tmp_path)))[0]


def test_a_credential_that_was_not_handed_over_is_named(tmp_path: Path) -> None:
    assert refusal(lambda: read_systemd("hq", str(tmp_path)))[0] == "systemd credential 'hq': No such file or directory"


# --- commands -------------------------------------------------------------------------------------------------------


def command(*words: str) -> bytes:
    return asyncio.run(run_command(words, ME | {path.stat().st_uid for path in Path(words[0]).resolve().parents}))


def test_a_command_prints_the_key() -> None:
    assert command("/bin/echo", "sesame $HOME; ls") == b"sesame $HOME; ls"


def test_a_command_sees_no_environment_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    script = "import os, sys; print(sys.stdin.read(), 'SECRET' in os.environ)"
    assert command(sys.executable, "-c", script) == b" False"


def test_a_failing_command_is_told_with_its_exit_code() -> None:
    assert refusal(lambda: command("/bin/false"))[0] == "the credential command /bin/false ended with exit code 1"


def test_a_command_that_prints_nothing_gives_no_key() -> None:
    assert refusal(lambda: command("/bin/true"))[0] == "the output of the credential command /bin/true is empty"


def test_a_command_must_be_an_absolute_path_that_exists(tmp_path: Path) -> None:
    assert refusal(lambda: command("echo", "x"))[0] == "the credential command echo isn't an absolute path"
    missing = str(tmp_path / "none")
    assert (
        refusal(lambda: command(missing))[0]
        == f"the credential command {missing} can't be run: No such file or directory"
    )


def test_a_command_that_does_not_end_is_killed_with_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDENTIAL_COMMAND_TIME", 0.2)
    message = "the credential command /bin/sh took longer than 0.2 seconds"
    assert refusal(lambda: command("/bin/sh", "-c", "echo key; sleep 1000 & sleep 1000"))[0] == message


def test_endless_output_is_cut_off() -> None:
    assert "has more than 65536 octets" in refusal(lambda: command("/usr/bin/yes"))[0]
