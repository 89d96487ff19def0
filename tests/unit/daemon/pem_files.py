"""Certificates and keys of tests, in files as an operator has them."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate

from tests.unit.crypto.authority import ROOT, rsa_key


def pem(*ders: bytes) -> bytes:
    return b"".join(load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def key_pem(side: str, password: bytes = b"", form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    return rsa_key(side).private_bytes(Encoding.PEM, form, locked)


def put(path: Path, octets: bytes, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.write_bytes(octets)
    path.chmod(mode)
    return path


def put_all(folder: Path, side: str, *names: str) -> bytes:
    """``gw.pem``, ``gw.key`` and ``ca.pem``: a certificate for these names, with the key of one of two sides; in
    DER."""
    der = ROOT.end(side, *names)
    put(folder / "gw.pem", pem(der), 0o644)
    put(folder / "gw.key", key_pem(side))
    put(folder / "ca.pem", pem(ROOT.der), 0o644)
    return der
