"""Passwords as scrypt keeps them (RFC 7914)."""

from __future__ import annotations

import pytest

from ipsecd.crypto.scrypt_hash import Cost, PasswordHash
from ipsecd.crypto.secret import Secret

# RFC 7914 section 12, the third: "pleaseletmein", "SodiumChloride", N = 16384, r = 8, p = 1; the first 32 octets of 64
RFC_7914 = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
SALT = b"sixteen octets.."
LEAST = Cost(14)


def test_it_is_scrypt() -> None:
    made = PasswordHash.of(Secret(b"pleaseletmein"), b"SodiumChloride", LEAST)
    assert made.octets == RFC_7914
    assert made.verify(Secret(b"pleaseletmein"))
    assert not made.verify(Secret(b"pleaseletmeout"))


def test_what_is_written_is_read() -> None:
    made = PasswordHash.of(Secret(b"hunter2"), SALT, LEAST)
    assert str(made).startswith("$scrypt$ln=14,r=8,p=1$c2l4dGVlbiBvY3RldHMuLg$")
    assert PasswordHash.parse(str(made)) == made


def test_the_default_takes_32_mib() -> None:
    assert Cost() == Cost(15, 8, 1)
    assert Cost().memory == 33_555_456


def test_it_does_not_show_itself() -> None:
    assert RFC_7914.hex() not in repr(PasswordHash(LEAST, SALT, RFC_7914))
    assert repr(RFC_7914)[2:-1] not in repr(PasswordHash(LEAST, SALT, RFC_7914))


GOOD_SALT, GOOD_HASH = "c2l4dGVlbiBvY3RldHMuLg", "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hunter2", "a hash reads"),
        (f"$scrypt$ln=14,r=8,p=1${GOOD_SALT}", "a hash reads"),
        (f"$scrypt$ln=14,r=8,p=1${GOOD_SALT}${GOOD_HASH}$", "a hash reads"),
        (f"$scrypt$ln=13,r=8,p=1${GOOD_SALT}${GOOD_HASH}", "its cost isn't between ln=14,r=8,p=1 and 128 MiB"),
        (f"$scrypt$ln=14,r=7,p=1${GOOD_SALT}${GOOD_HASH}", "its cost"),
        (f"$scrypt$ln=14,r=8,p=0${GOOD_SALT}${GOOD_HASH}", "its cost"),
        (f"$scrypt$ln=17,r=8,p=1${GOOD_SALT}${GOOD_HASH}", "its cost"),
        (f"$scrypt$ln=99,r=99,p=99${GOOD_SALT}${GOOD_HASH}", "its cost"),
        (f"$scrypt$ln=14,r=8,p=1$c2FsdA${GOOD_HASH}", "a salt of at least 16 octets"),
        (f"$scrypt$ln=14,r=8,p=1${GOOD_SALT}$c2FsdA", "a hash of 32"),
        (f"$scrypt$ln=14,r=8,p=1$c2l4d${GOOD_HASH}", "isn't base64"),
    ],
)
def test_what_is_none_or_costs_too_little_or_too_much_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        PasswordHash.parse(text)


def test_the_dearest_that_is_borne_works() -> None:
    assert Cost(16).bearable
    assert PasswordHash.of(Secret(b"x"), SALT, Cost(16)).verify(Secret(b"x"))
