"""Secrets don't show themselves, and compare in constant time."""

from __future__ import annotations

import copy
import pickle

import pytest

from ipsecd.crypto.secret import Secret, equal


def test_a_secret_shows_only_its_length() -> None:
    secret = Secret(b"hidden octets")
    assert (repr(secret), str(secret), f"{secret}", len(secret)) == ("Secret(13)",) * 3 + (13,)
    assert "hidden" not in f"{[secret]} {secret!r}"


def test_a_secret_is_revealed_on_request_only() -> None:
    assert Secret(bytearray(b"octets")).reveal() == b"octets"
    assert Secret(memoryview(b"octets")).reveal() == b"octets"


def test_a_secret_keeps_its_own_copy_and_wipes_it() -> None:
    source = bytearray(b"octets")
    secret = Secret(source)
    source[:] = b"xxxxxx"
    assert secret.reveal() == b"octets"
    secret.wipe()
    assert secret.reveal() == bytes(6)


def test_secrets_equal_secrets_of_the_same_octets_and_nothing_else() -> None:
    assert Secret(b"one") == Secret(b"one")
    assert Secret(b"one") != Secret(b"two")
    assert Secret(b"one") != Secret(b"ones")
    assert Secret(b"one") != b"one"


def test_a_secret_cannot_be_hashed_pickled_or_deep_copied() -> None:
    with pytest.raises(TypeError):
        hash(Secret(b"x"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"x"))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(b"x"))


def test_equal_compares_any_octets() -> None:
    assert equal(b"icv", memoryview(b"icv"))
    assert equal(bytearray(b"icv"), b"icv")
    assert not equal(b"icv", b"icw")
    assert not equal(b"icv", b"ic")
