"""The self-test passes, covers all that is offered, and notices a wrong answer, a refusal and a forgery accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm

from ipsecd.crypto import algorithms, answers, ciphers, exchange, selftest
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
    monkeypatch.delitem(answers.PRF, "prfsha384")
    monkeypatch.delitem(answers.GCM, 192)
    reason = "has no known answer to be tested with"
    assert selftest.run() == dict.fromkeys(("aes192gcm8", "aes192gcm12", "aes192gcm16", "prfsha384"), reason)
    assert algorithms.encryption(Encr.AES_GCM_16, 192) is None
    assert algorithms.encryption(Encr.AES_GCM_16, 128) is not None


def test_a_wrong_mac_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mac, "icv", lambda self, *parts: bytes(self.octets))
    assert selftest.run() == dict.fromkeys(MACS, "gave a wrong answer")


def test_a_wrong_prf_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "prf", lambda id_, key, data: b"")
    wrong = {name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, PrfAlgorithm)}
    assert set(selftest.run()) == wrong
    assert algorithms.prf(5) is None


def test_a_wrong_cipher_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers.Cbc, "decrypt", lambda self, iv, data: bytes(len(data)))
    monkeypatch.setattr(ciphers, "_FIRST_COUNTER", bytes(4))
    wrong = {"aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr"}
    wrong |= {"camellia128", "camellia192", "camellia256", "3des", "des"}
    assert selftest.run() == dict.fromkeys(wrong, "gave a wrong answer")


AEADS = {
    name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, Encryption) and algorithm.aead
}
MACS = {name for name, algorithm in algorithms.offered().items() if isinstance(algorithm, Integrity)}


class Careless:
    """An AEAD that encrypts as it should and looks at nothing when it decrypts but the part that ``sees`` picks."""

    def __init__(self, real: ciphers.Aead, sees: Callable[[bytes, bytes], bytes]) -> None:
        self._real = real
        self._sees = sees
        self._sealed: dict[bytes, bytes] = {}

    def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        sealed = self._real.encrypt(nonce, data, associated)
        self._sealed[self._sees(sealed, associated)] = data
        return sealed

    def decrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        if self._sees(data, associated) not in self._sealed:
            raise InvalidTag
        return self._sealed[self._sees(data, associated)]


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is quick to test."""
    monkeypatch.setattr(algorithms, "_GROUP", {})


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize(
    "sees",
    [
        lambda sealed, associated: b"",
        lambda sealed, associated: sealed,
        lambda sealed, associated: sealed[:-1] + associated,
        lambda sealed, associated: sealed[1:] + associated,
        lambda sealed, associated: sealed + associated[:-1],
        lambda sealed, associated: sealed + associated[1:],
    ],
    ids=[
        "nothing",
        "no associated data",
        "not the last octet of the ICV",
        "not the first octet of the ciphertext",
        "not the last associated octet",
        "not the first associated octet",
    ],
)
def test_an_aead_that_accepts_a_forgery_is_noticed(
    sees: Callable[[bytes, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ciphers.aead
    monkeypatch.setattr(ciphers, "aead", lambda encryption, key: Careless(real(encryption, key), sees))
    assert selftest.run() == dict.fromkeys(AEADS, "gave a wrong answer")


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize("kept", [slice(0), slice(-1), slice(1, None)], ids=["nothing", "all but the last", "the rest"])
def test_a_mac_that_looks_at_a_part_of_the_icv_alone_is_noticed(kept: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mac, "verify", lambda self, icv, *parts: self.icv(*parts)[kept] == icv[kept])
    assert selftest.run() == dict.fromkeys(MACS, "gave a wrong answer")


@pytest.mark.usefixtures("no_groups")
def test_an_aead_that_leaves_out_the_associated_data_altogether_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # it agrees with itself, and with every answer that has none
    real = ciphers.aead

    class Blind:
        def __init__(self, encryption: Encryption, key: bytes) -> None:
            self._real = real(encryption, key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            return self._real.encrypt(nonce, data, b"")

        def decrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            return self._real.decrypt(nonce, data, b"")

    monkeypatch.setattr(ciphers, "aead", Blind)
    assert selftest.run().keys() == AEADS


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
    failed = {
        "ecp256",
        "ecp384",
        "ecp521",
        "ecp256bp",
        "ecp384bp",
        "ecp512bp",
        "modp768",
        "modp1024",
        "modp1536",
        "modp2048",
        "modp3072",
        "modp4096",
        "modp6144",
        "modp8192",
    }
    assert selftest.run() == dict.fromkeys(failed, "gave a wrong answer")


def test_our_own_diffie_hellman_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_DH", None)
    assert selftest.run() == {}
