"""Certificates and keys in PEM, as other programs write them, and what can't be used."""

from __future__ import annotations

import base64

import pytest

from ipsecd.crypto import pem

ONE, TWO = base64.encodebytes(bytes(60)), base64.encodebytes(b"\x01" * 60)


def block(what: str, body: bytes = ONE) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (what.encode(), body, what.encode())


def test_certificates_stand_in_their_order_with_text_around_them() -> None:
    text = b"subject=CN = a\n" + block("CERTIFICATE") + block("RSA PRIVATE KEY") + b"\r\n" + block("CERTIFICATE", TWO)
    assert pem.certificates(text) == (bytes(60), b"\x01" * 60)
    assert pem.certificates(text.replace(b"\n", b"\r\n")) == (bytes(60), b"\x01" * 60)


@pytest.mark.parametrize("text", [b"", b"\x30\x82", block("PRIVATE KEY"), block("CERTIFICATE")[:-10]])
def test_a_file_without_one_is_told(text: bytes) -> None:
    with pytest.raises(ValueError, match="there is no certificate in PEM in it"):
        pem.certificates(text)


def test_what_isnt_base64_is_told_without_it() -> None:
    with pytest.raises(ValueError, match="isn't base64") as caught:
        pem.private_key(block("PRIVATE KEY", b"sesame!\n"))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("what", ["PRIVATE KEY", "RSA PRIVATE KEY"])
def test_a_private_key(what: str) -> None:
    assert pem.private_key(block("CERTIFICATE", TWO) + block(what)).reveal() == bytes(60)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (block("CERTIFICATE"), "there is no private key in PEM in it"),
        (block("PRIVATE KEY") * 2, "there are several private keys in it"),
        (block("ENCRYPTED PRIVATE KEY"), "its private key takes a password"),
        (
            block("RSA PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + ONE),
            "its private key takes a password",
        ),
        (block("EC PRIVATE KEY"), "its private key isn't one of RSA, and IKEv1 signs with RSA"),
    ],
    ids=["none", "two", "locked", "locked as of old", "of a curve"],
)
def test_a_key_that_cant_be_used_is_told(text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pem.private_key(text)
