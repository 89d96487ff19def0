"""The keywords of algorithms: this room may not ask crypto, so a test does."""

from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms
from ipsecd.policy import proposals
from ipsecd.policy.complaint import Complaint

KEYWORDS = [*proposals.ENCRYPTION, *proposals.INTEGRITY, *proposals.PRF, *proposals.GROUPS]


def numbers(algorithm: algorithms.Algorithm) -> object:
    return (algorithm.id, algorithm.key_bits) if isinstance(algorithm, algorithms.Encryption) else algorithm.id


def known(word: str) -> set[object]:
    tables = (proposals.ENCRYPTION, proposals.INTEGRITY, proposals.PRF, proposals.GROUPS)
    return {table[word] for table in tables if word in table}


@pytest.mark.parametrize("word", sorted(set(KEYWORDS) - proposals.NOT_YET))
def test_a_keyword_that_is_supported_names_what_crypto_offers_by_that_name(word: str) -> None:
    # GMAC's stand for an encryption of ESP, which crypto has, and for a MAC of AH
    assert numbers(algorithms.offered()[word]) in known(word)


@pytest.mark.parametrize("word", sorted(proposals.NOT_YET))
def test_a_keyword_that_is_not_supported_yet_is_known_here_and_declined_by_crypto(word: str) -> None:
    assert word in KEYWORDS
    assert word not in algorithms.offered()


def test_whatever_crypto_offers_has_a_keyword_here() -> None:
    assert set(algorithms.offered()) <= set(KEYWORDS)


@pytest.mark.parametrize("word", sorted(set(proposals.ENCRYPTION) - proposals.NOT_YET))
def test_both_rooms_agree_on_what_brings_its_own_integrity(word: str) -> None:
    algorithm = algorithms.offered()[word]
    assert isinstance(algorithm, algorithms.Encryption)
    assert proposals.is_aead(word) == algorithm.aead


def test_ciphers_that_need_a_mac_are_told_from_those_that_have_one() -> None:
    assert [word for word in proposals.ENCRYPTION if not proposals.is_aead(word)] == [
        *("aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr"),
        *("camellia128", "camellia192", "camellia256", "3des", "des", "null"),
    ]


def test_both_rooms_agree_on_what_does_not_encrypt() -> None:
    for word in set(proposals.ENCRYPTION) - proposals.NOT_YET:
        algorithm = algorithms.offered()[word]
        assert isinstance(algorithm, algorithms.Encryption)
        assert algorithm.encrypts == (word not in proposals.UNENCRYPTED)
    assert set(proposals.ENCRYPTION) - set(proposals.IKE_ENCRYPTION) == proposals.UNENCRYPTED


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("aes128gcm15", "'aes128gcm15' isn't a keyword for encryption (did you mean 'aes128gcm16'?)"),
        ("AES-256-GCM", "'AES-256-GCM' isn't a keyword for encryption (write aes256gcm16)"),
        ("aes", "'aes' isn't a keyword for encryption (write aes128)"),
        ("qqqq", "'qqqq' isn't a keyword for encryption (such as aes128gcm16)"),
        ("group14", "'group14' isn't a keyword for encryption (such as aes128gcm16)"),
        (128, "expected a keyword for encryption (such as aes128gcm16)"),
    ],
)
def test_a_word_that_is_no_keyword_is_told_with_one_that_is(value: object, message: str) -> None:
    with pytest.raises(Complaint) as caught:
        proposals.keyword(value, proposals.ENCRYPTION, "encryption")
    [remark] = caught.value.remarks
    assert f"{remark.message} ({remark.hint})" == message


def test_the_numbers_of_groups_are_translated() -> None:
    for number, name in ((14, "modp2048"), (19, "ecp256"), (31, "x25519"), (36, "mlkem768")):
        for word in (f"group{number}", f"dh{number}"):
            with pytest.raises(Complaint) as caught:
                proposals.keyword(word, proposals.GROUPS, "a key exchange group")
            assert caught.value.remarks[0].hint == f"write {name}"
