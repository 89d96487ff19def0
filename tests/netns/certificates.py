"""An authority, and the files of those it vouches for: daemons judge certificates by the clock of this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)
_OTHER_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


def files_of(identity: str) -> dict[str, str]:
    """``gw.pem``, ``gw.key`` and ``ca.pem`` for who is called so."""
    key = rsa.generate_private_key(65_537, 2_048)
    names = x509.SubjectAlternativeName([x509.DNSName(identity)])
    own = _signed(identity, key.public_key(), _authority()[0], names)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"gw.pem": _pem(own), "gw.key": private, "ca.pem": _pem(_authority()[1])}


@cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = dict.fromkeys(("key_cert_sign", "crl_sign"), True) | dict.fromkeys(_OTHER_USAGES, False)
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return key, _signed("an authority", key.public_key(), key, constraints, x509.KeyUsage(**usage))


def _signed(
    common: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    by: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("an authority", common)]
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    builder = x509.CertificateBuilder(names[0], names[1], key, x509.random_serial_number(), now - _DAY, now + _DAY)
    for extension in (identifier, *extensions):
        builder = builder.add_extension(extension, isinstance(extension, x509.BasicConstraints | x509.KeyUsage))
    return builder.sign(by, SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
