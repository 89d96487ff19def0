"""A credential that can't be had costs only the rules that need it."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.keyring import Keyring, Sources, gather
from ipsecd.policy.plan import Certificate, Credential, Plan
from tests.unit.crypto.authority import Authority
from tests.unit.daemon.pem_files import key_pem, pem, put


def gathered(tmp_path: Path, *credentials: Credential) -> Keyring:
    users = frozenset({0, os.getuid(), Path("/bin/echo").resolve().parent.stat().st_uid})
    return asyncio.run(gather(Plan(credentials=credentials), Sources(tmp_path, str(tmp_path / "creds"), users)))


def test_keys_come_from_files_systemd_and_commands(tmp_path: Path) -> None:
    (tmp_path / "creds").mkdir()
    (tmp_path / "creds" / "two").write_text("from systemd, long enough\n")
    (tmp_path / "one.psk").write_text("from a file, long enough\n")
    (tmp_path / "one.psk").chmod(0o600)
    ring = gathered(
        tmp_path,
        Credential("one", file="one.psk"),
        Credential("two", systemd="two"),
        Credential("three", command=("/bin/echo", "from a command, long enough")),
    )
    assert ring.keys == {
        "one": Secret(b"from a file, long enough"),
        "two": Secret(b"from systemd, long enough"),
        "three": Secret(b"from a command, long enough"),
    }
    assert ring.problems == {}


def test_what_is_missing_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "good.psk").write_text("from a file, long enough\n")
    (tmp_path / "good.psk").chmod(0o600)
    (tmp_path / "open.psk").write_text("x")
    (tmp_path / "open.psk").chmod(0o644)
    ring = gathered(tmp_path, Credential("bad", file="open.psk"), Credential("good", file="good.psk"))
    assert list(ring.keys) == ["good"]
    path = tmp_path / "open.psk"
    assert ring.problems == {"bad": f"the key file {path} is open to others (mode 0644) (chmod 600 {path})"}


def test_a_short_key_works_with_a_warning_that_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "short.psk").write_text("sesame\n")
    (tmp_path / "short.psk").chmod(0o600)
    with capture_logs() as logs:
        ring = gathered(tmp_path, Credential("short", file="short.psk"))
    assert ring.keys == {"short": Secret(b"sesame")}
    assert logs == [{"event": "short-key", "log_level": "warning", "credential": "short", "octets": 6}]


def test_a_certificate_that_is_over_is_warned_of(tmp_path: Path) -> None:
    """Peers refuse it without a word."""
    long_ago = Authority("old", start=datetime(2001, 1, 1, tzinfo=UTC))
    put(tmp_path / "gw.pem", pem(long_ago.end("i", "gw.example")))
    put(tmp_path / "gw.key", key_pem("i"))
    put(tmp_path / "ca.pem", pem(long_ago.der))
    with capture_logs() as logs:
        ring = gathered(tmp_path, Credential("gw", certificate=Certificate("gw.pem", "gw.key", ("ca.pem",))))
    assert list(ring.certificates) == ["gw"]
    doubt = "is valid from 2001-01-01 00:00 UTC to 2003-09-28 00:00 UTC"
    assert logs == [{"event": "certificate-doubtful", "log_level": "warning", "credential": "gw", "doubt": doubt}]
