"""The self-test passes, covers all that is offered, and notices a wrong answer, a refusal and a forgery accepted."""

from __future__ import annotations

from typing import NoReturn

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from ipsecd.crypto import algorithms, ciphers, exchange, selftest
from ipsecd.crypto.algorithms import Encryption, Integrity, PrfAlgorithm
from ipsecd.crypto.mac import Mac
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Encr

pytestmark = pytest.mark.usefixtures("nothing_withdrawn")


def test_all_that_is_offered_passes_and_stays_offered() -> None:
    before = algorithms.offered()
    assert selftest.run() == {}
    assert algorithms.offered() == before


def test_an_algorithm_without_a_known_answer_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(selftest._PRF, "prfsha384")
    monkeypatch.delitem(selftest._GCM, 192)
    reason = "has no known answer to be tested with"
    assert selftest.run() == dict.fromkeys(("aes192gcm8", "aes192gcm12", "aes192gcm16", "prfsha384"), reason)
    assert algorithms.encryption(Encr.AES_GCM_16, 192) is None
    assert algorithms.encryption(Encr.AES_GCM_16, 128) is not None


def test_a_wrong_mac_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mac, "icv", lambda self, *parts: bytes(self.octets))
    wrong = {name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, Integrity)}
    assert selftest.run() == dict.fromkeys(wrong, "gave a wrong answer")


def test_a_wrong_prf_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "prf", lambda id_, key, data: b"")
    wrong = {name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, PrfAlgorithm)}
    assert set(selftest.run()) == wrong
    assert algorithms.prf(5) is None


def test_a_wrong_cipher_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers.Cbc, "decrypt", lambda self, iv, data: bytes(len(data)))
    monkeypatch.setattr(ciphers, "_FIRST_COUNTER", bytes(4))
    wrong = {"aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr"}
    assert selftest.run() == dict.fromkeys(wrong, "gave a wrong answer")


class Careless:
    """An AEAD that takes every ciphertext."""

    def encrypt(self, nonce: object, data: object, associated: object) -> bytes:
        return b""

    def decrypt(self, nonce: object, data: object, associated: object) -> bytes:
        return b""


def test_an_aead_that_accepts_a_forgery_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "aead", lambda encryption, key: Careless())
    wrong = {
        name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, Encryption) and algorithm.aead
    }
    assert selftest.run() == dict.fromkeys(wrong, "gave a wrong answer")


@pytest.mark.parametrize("error", [UnsupportedAlgorithm("x"), ValueError("x"), LocalError("x")])
def test_an_algorithm_the_library_refuses_is_withdrawn(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: bytes, salt: bytes) -> NoReturn:
        raise error

    monkeypatch.setattr(ciphers, "Ctr", refuse)
    reason = f"failed with {type(error).__name__}"
    assert selftest.run() == dict.fromkeys(("aes128ctr", "aes192ctr", "aes256ctr"), reason)


def test_a_wrong_exchange_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: object, peer: bytes) -> Secret:
        return Secret(bytes(len(peer)))

    for pair in (exchange.EcpKeyPair, exchange.LibraryModpKeyPair):
        monkeypatch.setattr(pair, "shared", wrong)
    failed = {"ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192"}
    assert selftest.run() == dict.fromkeys(failed, "gave a wrong answer")


def test_our_own_diffie_hellman_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_DH", None)
    assert selftest.run() == {}
