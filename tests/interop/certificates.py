"""Certificates for both sides, valid today: an authority that both trust, and one that stands far below it."""

from __future__ import annotations

from base64 import encodebytes
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.unit.crypto.authority import Authority, rsa_key

START = datetime.now(UTC) - timedelta(days=1)
ROOT = Authority("root", start=START)
STRANGER = Authority("stranger", start=START)  # whom neither side trusts
OURS, THEIRS = "i", "r"  # the keys of each
X509 = "CERTIFICATE"


def below(authority: Authority, count: int) -> list[Authority]:
    """So many authorities, each vouched for by the one before."""
    found = []
    for number in range(count):
        authority = Authority(f"below {number}", authority, start=START)
        found.append(authority)
    return found


def end(issuer: Authority, side: str, identity: str) -> bytes:
    """The certificate of one side, for this identity."""
    common = identity.removeprefix("CN=")
    return issuer.end(side, common=common) if common != identity else issuer.end(side, identity)


def pem(*certificates: bytes) -> str:
    return "".join(f"-----BEGIN {X509}-----\n{encodebytes(der).decode()}-----END {X509}-----\n" for der in certificates)


def key_pem(side: str) -> str:
    return rsa_key(side).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def key_der(side: str) -> bytes:
    return rsa_key(side).private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
