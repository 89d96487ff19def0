"""Certificates and their key from files that nobody else can change, and what is wrong with them and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from ipsecd import limits
from ipsecd.daemon.certificate_files import Certificates, doubts, read_certificates
from ipsecd.errors import OperatorError
from ipsecd.policy.plan import Certificate
from ipsecd.wire.identity import Identity
from tests.unit.crypto.authority import NOW, ROOT, Authority, private
from tests.unit.daemon.pem_files import key_pem, pem, put, put_all

ALL = Certificate("gw.pem", "gw.key", ("ca.pem",))


def read(folder: Path, told: Certificate = ALL) -> Certificates:
    return read_certificates(told, folder, frozenset({0, os.getuid()}), lambda: NOW)


def test_a_certificate_with_its_key_and_the_authorities(tmp_path: Path) -> None:
    der = put_all(tmp_path, "i", "gw.example")
    found = read(tmp_path)
    assert (found.chain, found.authorities) == ((der,), (ROOT.der,))
    assert found.certified is not None
    assert (found.certified.chain, found.certified.trust) == ((der,), found.trust)
    assert found.certified.key.sign(b"digest") == private("i").sign(b"digest")
    assert found.trust.authorities == (ROOT.certificate.subject,)
    assert found == read(tmp_path)
    assert "PRIVATE" not in repr(found)


def test_a_key_as_openssl_wrote_it_of_old(tmp_path: Path) -> None:
    put_all(tmp_path, "i", "gw.example")
    put(tmp_path / "gw.key", key_pem("i", form=PrivateFormat.TraditionalOpenSSL))
    assert read(tmp_path).certified is not None


def test_what_peers_will_have_against_our_certificate_is_told(tmp_path: Path) -> None:
    put_all(tmp_path, "i", "gw.example", "192.0.2.1")
    found, day = read(tmp_path), 86_400.0
    ours, another = [Identity.parse("gw.example"), Identity.parse("192.0.2.1")], [Identity.parse("gw.other.example")]
    assert list(doubts(found, ours, NOW)) == []
    assert list(doubts(found, another, NOW)) == ["is for gw.example, 192.0.2.1, and we are gw.other.example"]
    times = "is valid from 2026-05-27 20:26 UTC to 2029-02-20 20:26 UTC"
    assert [list(doubts(found, ours, NOW + days * day)) for days in (-2, -1, 999, 1_000)] == [[times], [], [], [times]]
    assert list(doubts(read(tmp_path, Certificate(authorities=("ca.pem",))), another, NOW)) == []


def test_authorities_alone_are_whom_a_hybrid_client_believes(tmp_path: Path) -> None:
    put_all(tmp_path, "i", "gw.example")
    found = read(tmp_path, Certificate(authorities=("ca.pem",)))
    assert (found.chain, found.key, found.certified) == ((), None, None)
    assert len(found.trust.anchors) == 1


def test_another_file_is_another_credential(tmp_path: Path) -> None:
    put_all(tmp_path, "i", "gw.example")
    before = read(tmp_path)
    put(tmp_path / "ca.pem", pem(ROOT.der, Authority("two").der), 0o644)
    assert read(tmp_path) != before


Change = Callable[[Path], object]
REFUSED: dict[str, tuple[Change, str]] = {
    "open to others": (
        lambda folder: (folder / "gw.key").chmod(0o640),
        "the key file {folder}/gw.key is open to others (mode 0640) (chmod 600 {folder}/gw.key)",
    ),
    "others may write": (
        lambda folder: (folder / "ca.pem").chmod(0o664),
        "others may write to the file of authorities {folder}/ca.pem (mode 0664) (chmod go-w {folder}/ca.pem)",
    ),
    "missing": (
        lambda folder: (folder / "gw.pem").unlink(),
        "the certificate file {folder}/gw.pem doesn't exist",
    ),
    "of a locked key": (
        lambda folder: put(folder / "gw.key", key_pem("i", b"sesame")),
        "the key file {folder}/gw.key: its private key takes a password (openssl pkey -in KEY",
    ),
    "of another key": (
        lambda folder: put(folder / "gw.key", key_pem("r")),
        "the first certificate of {folder}/gw.pem isn't of the key {folder}/gw.key",
    ),
    "no certificate": (
        lambda folder: put(folder / "gw.pem", b"x"),
        "the certificate file {folder}/gw.pem: there is no certificate in PEM in it",
    ),
    "not one of X.509": (
        lambda folder: put(folder / "gw.pem", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
        "the certificate file {folder}/gw.pem: ",
    ),
    "an authority's": (
        lambda folder: put(folder / "gw.pem", pem(ROOT.der)),
        "the certificate file {folder}/gw.pem: the certificate is one of an authority, not of a peer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cant_be_used_is_told_with_the_next_step(case: str, tmp_path: Path) -> None:
    put_all(tmp_path, "i", "gw.example")
    change, told = REFUSED[case]
    change(tmp_path)
    with pytest.raises(OperatorError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(told.format(folder=tmp_path))
    assert caught.value.hint


def test_what_fits_into_no_message_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    der = put_all(tmp_path, "i", "gw.example")
    together = len(der) + len(ROOT.certificate.subject)
    monkeypatch.setattr(limits, "MAX_PROOF", together)
    assert read(tmp_path).certified is not None
    monkeypatch.setattr(limits, "MAX_PROOF", together - 1)
    with pytest.raises(OperatorError, match=f"have {together} octets together"):
        read(tmp_path)


def test_more_authorities_than_a_message_can_ask_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_AUTHORITIES", 1)
    put_all(tmp_path, "i", "gw.example")
    put(tmp_path / "more.pem", pem(Authority("two").der))
    with pytest.raises(OperatorError, match="2 authorities"):
        read(tmp_path, Certificate("gw.pem", "gw.key", ("ca.pem", "more.pem")))
