"""Certificates made for tests: an authority signs by a curve, which is fast; ends have the RSA keys of the vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509.oid import NameOID

from ipsecd.crypto.certificates import Certificate
from ipsecd.crypto.rsa_signature import RsaPrivate
from ipsecd.crypto.secret import Secret
from tests.unit.crypto.vectors import octets, vectors

_KEYS = vectors("strongswan-ikev1-phase-1")["cases"]["main-rsa"]
NOW = 1_780_000_000.0  # in 2026
_START = datetime.fromtimestamp(NOW, UTC) - timedelta(days=1)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
Extension = tuple[x509.ExtensionType, bool]


@cache
def rsa_key(side: str) -> rsa.RSAPrivateKey:
    """One of two."""
    key = load_der_private_key(octets(_KEYS[f"key_{side}"]), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def private(side: str) -> RsaPrivate:
    return RsaPrivate(Secret(octets(_KEYS[f"key_{side}"])))


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def alternatives(*names: str) -> Extension:
    found: list[x509.GeneralName] = []
    for each in names:
        try:
            found.append(x509.IPAddress(ip_address(each)))
        except ValueError:
            found.append(x509.RFC822Name(each) if "@" in each else x509.DNSName(each))
    return x509.SubjectAlternativeName(found), False


def key_usage(*usages: str) -> Extension:
    return x509.KeyUsage(**{usage: usage in usages for usage in _USAGES}), True


@dataclass
class Authority:
    """One that is its own issuer, or that another one vouches for. ``start`` is when what it issues begins to be
    valid."""

    common: str = "root"
    issuer: Authority | None = None
    extensions: tuple[Extension, ...] = (
        (x509.BasicConstraints(ca=True, path_length=None), True),
        key_usage("key_cert_sign"),
    )
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    start: datetime = _START

    def __post_init__(self) -> None:
        self.der = (self.issuer or self).issue(self.common, self.key.public_key(), *self.extensions)

    @property
    def certificate(self) -> Certificate:
        return Certificate(self.der)

    def issue(
        self,
        common: str,
        key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        *extensions: Extension,
        days: tuple[int, int] = (0, 1_000),
    ) -> bytes:
        """In DER."""
        builder = x509.CertificateBuilder(name(self.common), name(common), key, x509.random_serial_number())
        builder = builder.not_valid_before(self.start + timedelta(days=days[0]))
        builder = builder.not_valid_after(self.start + timedelta(days=days[1]))
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension, critical in ((identifier, False), *extensions):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)

    def end(self, side: str, *names: str, common: str = "", extensions: tuple[Extension, ...] = ()) -> bytes:
        """The certificate of an end with one of the two RSA keys."""
        key = rsa_key(side).public_key()
        shown = (alternatives(*names),) if names else ()
        return self.issue(common, key, *shown, *extensions)


ROOT = Authority()
