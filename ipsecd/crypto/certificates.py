"""Certificates (RFC 5280): what one says, and whether a chain of them leads to one that is trusted.

The library reads them and builds the path. It is stricter than RFC 5280 with those of authorities, as browsers are: no
signatures by MD5 or SHA-1, no RSA keys below 2,048 bits, and no version below 3. What IPsec wants of the end's own
stands here (RFC 4945 section 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from ipsecd import limits
from ipsecd.crypto.rsa_signature import RsaPublic
from ipsecd.errors import PeerError
from ipsecd.printable import printable
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import IdType

# RFC 4945 section 5.1.3.12 lets any purpose pass; these say IKE, or what others take for it
_PURPOSES = {
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    ExtendedKeyUsageOID.IPSEC_IKE,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
    x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2"),  # iKEIntermediate, of Windows
    *(
        x509.ObjectIdentifier(f"1.3.6.1.5.5.7.3.{number}") for number in (5, 6, 7)
    ),  # of an IPsec end system, tunnel, user
}


class Certificate:
    """One certificate. PeerError("bad-certificate") for octets that aren't one in DER, and wherever something in it
    can't be read."""

    __slots__ = ("parsed",)

    def __init__(self, der: bytes) -> None:
        with _reading():
            self.parsed = x509.load_der_x509_certificate(der)

    @property
    def subject(self) -> bytes:
        """Its name in DER."""
        with _reading():
            return self.parsed.subject.public_bytes()

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Whom it is for: its subject, if that isn't empty, and its alternative names, as far as IKE can say them."""
        with _reading():
            subject = self.parsed.subject
            found = [Identity(IdType.DER_ASN1_DN, subject.public_bytes())] if subject else []
            return (*found, *map(_identity, self._alternatives()))

    def names(self, claimed: Identity) -> bool:
        """Whether it is for this identity."""
        return any(claimed.matches(identity) for identity in self.identities)

    @property
    def times(self) -> tuple[float, float]:
        """From when to when it is valid, in seconds since 1970."""
        with _reading():
            return self.parsed.not_valid_before_utc.timestamp(), self.parsed.not_valid_after_utc.timestamp()

    @property
    def key(self) -> RsaPublic:
        """PeerError("bad-certificate") unless its key is one of RSA, and large enough."""
        with _reading():
            key = self.parsed.public_key()
            if isinstance(key, RSAPublicKey):
                return RsaPublic(key)
        raise PeerError("bad-certificate", "its key isn't one of RSA, and IKEv1 signs with RSA")

    @property
    def quick(self) -> bool:
        """Whether signatures of its key are verified in a moment: the library tries a hundred for a chain that may be
        anybody's, whatever each costs."""
        try:
            key = self.parsed.public_key()
        except _UNREADABLE:  # it vouches for nothing here, and others of the chain may do
            return False
        return not isinstance(key, RSAPublicKey) or (
            key.public_numbers().e.bit_length() <= limits.MAX_RSA_EXPONENT_BITS
        )

    def check_purpose(self) -> None:
        """PeerError("untrusted-certificate") for one that isn't meant for an end of IKE, such as an authority's."""
        with _reading():
            wrong = self._wrong_purpose()
        if wrong:
            raise PeerError("untrusted-certificate", f"the certificate {wrong}")

    def _wrong_purpose(self) -> str:
        for extension in self.parsed.extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints) and value.ca:
                return "is one of an authority, not of a peer"
            if isinstance(value, x509.KeyUsage) and not (value.digital_signature or value.content_commitment):
                return "has a key that isn't for signatures"
            if isinstance(value, x509.ExtendedKeyUsage) and not _PURPOSES & set(value):
                return "is for other purposes than IKE"
        return ""

    def _alternatives(self) -> Iterator[x509.DNSName | x509.RFC822Name | x509.IPAddress]:
        for extension in self.parsed.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                for name in extension.value:
                    if isinstance(name, x509.DNSName | x509.RFC822Name | x509.IPAddress):
                        yield name

    @classmethod
    def all(cls, chain: Iterable[bytes]) -> tuple[Self, ...]:
        return tuple(map(cls, chain))


def check_path(
    certificate: Certificate, others: Iterable[Certificate], anchors: Iterable[Certificate], at: float
) -> None:
    """Whether a path leads from one of ``anchors`` to the certificate, by way of ``others``, at a time in seconds since
    1970. Nothing is asked about revocation. PeerError("untrusted-certificate")."""
    store = [anchor.parsed for anchor in anchors]
    if not store:
        raise PeerError("untrusted-certificate", "no authority is trusted")
    ca = ExtensionPolicy.webpki_defaults_ca().may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_vouch)
    ee = ExtensionPolicy.permit_all()  # check_purpose is for that
    builder = PolicyBuilder().store(Store(store)).time(datetime.fromtimestamp(at, UTC))
    builder = builder.max_chain_depth(limits.MAX_CHAIN_DEPTH)
    verifier = builder.extension_policies(ca_policy=ca, ee_policy=ee).build_client_verifier()
    with _reading():
        try:
            path = verifier.verify(certificate.parsed, [other.parsed for other in others if other.quick]).chain
        except VerificationError as error:
            reason = printable(str(error).partition(" (encountered processing")[0])
            raise PeerError(
                "untrusted-certificate", f"no trusted authority vouches for the certificate: {reason}"
            ) from None
        if any(map(_constrains_directory_names, path)):
            raise PeerError(
                "untrusted-certificate", "an authority of it is held to some subjects, which isn't judged here"
            )


# RFC 5280 section 6.1.4 (n): only if there is one; the authorities that `openssl req -x509` makes have none
def _may_vouch(_policy: Policy, _authority: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority of it mayn't sign certificates")


def unwrapped(pkcs7: bytes) -> tuple[bytes, ...]:
    """The certificates in a PKCS #7 wrapping, which is how some show a chain, each in DER; they stand in no order.
    PeerError("bad-certificate")."""
    with _reading():
        found = load_der_pkcs7_certificates(pkcs7)
    if len(found) > limits.MAX_CERTIFICATES:
        raise PeerError("bad-certificate", f"{len(found)} certificates in one wrapping")
    return tuple(each.public_bytes(Encoding.DER) for each in found)


def _constrains_directory_names(authority: x509.Certificate) -> bool:
    """The library refuses what is critical of that kind, and passes over what isn't; neither looks at subjects."""
    constraints = [each.value for each in authority.extensions if isinstance(each.value, x509.NameConstraints)]
    names = (
        name for each in constraints for name in (*(each.permitted_subtrees or ()), *(each.excluded_subtrees or ()))
    )
    return any(isinstance(name, x509.DirectoryName) for name in names)


_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@contextmanager
def _reading() -> Iterator[None]:
    """The library reads parts of a certificate only when they are asked for, and has many names for what is wrong."""
    try:
        yield
    except _UNREADABLE as error:
        raise PeerError("bad-certificate", printable(str(error))) from None


def _identity(name: x509.DNSName | x509.RFC822Name | x509.IPAddress) -> Identity:
    if isinstance(name, x509.DNSName):
        return Identity(IdType.FQDN, name.value.encode())
    if isinstance(name, x509.RFC822Name):
        return Identity(IdType.RFC822_ADDR, name.value.encode())
    address = name.value
    return Identity(IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR, address.packed)  # type: ignore[union-attr]  # no network: those are of name constraints
