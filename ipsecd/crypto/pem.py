"""Certificates and private keys as files hold them: base64 between two lines that say what it is (RFC 7468)."""

from __future__ import annotations

import base64
import binascii
import re

from ipsecd.crypto.secret import Secret

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
_KEYS = (b"PRIVATE KEY", b"RSA PRIVATE KEY")
_LOCKED = b"ENCRYPTED"


def certificates(text: bytes) -> tuple[bytes, ...]:
    """Those in a file, in its order, each in DER. ValueError with a sentence if there is none."""
    found = tuple(_octets(body) for what, body in _BLOCK.findall(text) if what in _CERTIFICATES)
    if not found:
        raise ValueError("there is no certificate in PEM in it")
    return found


def private_key(text: bytes) -> Secret:
    """The one in a file, in DER. ValueError with a sentence if there is none, several, or one that takes a password."""
    found = [(what, body) for what, body in _BLOCK.findall(text) if what.endswith(b"PRIVATE KEY")]
    if any(_LOCKED in what or _LOCKED in body for what, body in found):
        raise ValueError("its private key takes a password")
    if len(found) != 1:
        raise ValueError(f"there {'are several private keys' if found else 'is no private key in PEM'} in it")
    what, body = found[0]
    if what not in _KEYS:
        raise ValueError("its private key isn't one of RSA, and IKEv1 signs with RSA")
    return Secret(_octets(body))


def _octets(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise ValueError("something between its BEGIN and END lines isn't base64") from None
