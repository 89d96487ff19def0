"""What anybody can make us read of a certificate, before it's known who vouches for it and after."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from ipsecd.crypto.certificates import Certificate
from ipsecd.errors import PeerError
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire.identity import Identity
from tests.unit.crypto.authority import NOW, ROOT, key_usage
from tests.unit.crypto.vectors import octets, vectors

_SESSION = vectors("strongswan-ikev1-phase-1")["cases"]["main-rsa"]
GW, TRUST = Identity.parse("gw.example"), RawChain((ROOT.certificate,), lambda: NOW)
SAMPLES = (
    octets(_SESSION["certificate_i"]),
    octets(_SESSION["certificate_r"]),
    ROOT.end(
        "i", "gw.example", "a@example.org", "2001:db8::1", common="gw", extensions=(key_usage("content_commitment"),)
    ),
)

WRAPPED = serialize_certificates([Certificate(der).parsed for der in SAMPLES], Encoding.DER)


def read(der: bytes) -> tuple[Identity, ...]:
    certificate = Certificate(der)
    certificate.check_purpose()
    signed_by(certificate)
    return certificate.identities


def judged(der: bytes) -> None:
    """As one of those that lead to an authority, where there is a way without it."""
    TRUST.judge((SAMPLES[2], der), GW)


def signed_by(certificate: Certificate) -> None:
    """Its key is of use, for what it has and hasn't signed."""
    for signature in (b"", bytes(256)):
        try:
            certificate.key.verify(b"digest", signature)
        except PeerError as error:
            if error.reason != "wrong-signature":
                raise
