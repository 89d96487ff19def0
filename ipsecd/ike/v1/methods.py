"""How the two ends of a phase 1 prove who they are: by a key that both have, or by signatures (RFC 2409 section 5.1 and
5.4). Either way it's about HASH_I and HASH_R, which cover the exchange and the identity of the side that proves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from ipsecd.crypto.certificates import unwrapped
from ipsecd.crypto.keymat_v1 import skeyid_of_psk, skeyid_of_signatures
from ipsecd.crypto.secret import Secret, equal
from ipsecd.errors import PeerError
from ipsecd.ike.v1.rows import Admitted
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import Cert, CertReq, Hash, Signature
from ipsecd.wire.registry import Prf
from ipsecd.wire.registry_v1 import CertEncoding

_X509 = CertEncoding.X509_SIGNATURE


class Signer(Protocol):
    """A private key of ours."""

    def sign(self, digest: bytes, /) -> bytes: ...


class Verifier(Protocol):
    """A public key of the peer's."""

    def verify(self, digest: bytes, signature: bytes, /) -> None:
        """PeerError("wrong-signature") unless the signature is one over these octets."""


class Trust(Protocol):
    """Whose certificates are believed."""

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """Names in DER, which the peer is told, so that it shows the right certificate."""

    def judge(self, chain: tuple[bytes, ...], claimed: Identity, /) -> Verifier:
        """The key of ``claimed``, by the certificates in DER that the peer shows: its own, usually first, and others
        that lead to an authority; or none at all. PeerError with a sentence unless its own is believed."""


@dataclass(frozen=True, slots=True)
class Certified:
    """What signatures take: our key, its certificate and those that lead to an authority, in DER and in this order; and
    whom we trust."""

    chain: tuple[bytes, ...]
    key: Signer
    trust: Trust


class Method(Protocol):
    """``certificates`` are shown with our proof, and ``requests`` ask for the peer's. ``doubt`` is what may be wrong if
    the peer says nothing to our proof, for people."""

    @property
    def proof(self) -> type[Hash | Signature]:
        """The payload that proves."""

    @property
    def certificates(self) -> tuple[Cert, ...]: ...

    @property
    def requests(self) -> tuple[CertReq, ...]: ...

    @property
    def doubt(self) -> str: ...

    def unread(self) -> PeerError:
        """What it is that the peer's proof can't even be read."""

    def skeyid(self, prf_id: Prf, shared: Secret, nonces: tuple[bytes, bytes]) -> Secret: ...

    def prove(self, digest: bytes) -> Hash | Signature:
        """Ours."""

    def check(self, digest: bytes, admitted: Admitted, claimed: Identity) -> None:
        """The peer's, in ``admitted``, against the hash as it has to be. PeerError unless it proves ``claimed``."""


@dataclass(frozen=True, slots=True)
class BySharedKey:
    """RFC 2409 section 5.4."""

    key: Secret
    proof: ClassVar = Hash
    certificates: ClassVar = ()
    requests: ClassVar = ()
    doubt: ClassVar = "the pre-shared keys differ"

    def unread(self) -> PeerError:
        return PeerError("wrong-key", "the peer's proof can't be read or is wrong: the pre-shared keys differ")

    def skeyid(self, prf_id: Prf, _: Secret, nonces: tuple[bytes, bytes]) -> Secret:
        return skeyid_of_psk(prf_id, self.key, *nonces)

    def prove(self, digest: bytes) -> Hash:
        return Hash(digest)

    def check(self, digest: bytes, admitted: Admitted, _: Identity) -> None:
        # an empty key would let everybody in
        if not len(self.key) or not equal(digest, admitted.one(Hash).data):
            raise self.unread()


class KeyedBySignatures:
    """SKEYID as RFC 2409 section 5 has it with signatures."""

    __slots__ = ()

    def skeyid(self, prf_id: Prf, shared: Secret, nonces: tuple[bytes, bytes]) -> Secret:
        return skeyid_of_signatures(prf_id, shared, *nonces)


@dataclass(frozen=True, slots=True)
class BySignature(KeyedBySignatures):
    """RFC 2409 section 5.1, with RSA."""

    certified: Certified
    proof: ClassVar = Signature
    doubt: ClassVar = "it doesn't trust our certificate"

    def unread(self) -> PeerError:
        return PeerError("wrong-signature", "the peer's proof can't be read")

    @property
    def certificates(self) -> tuple[Cert, ...]:
        return tuple(Cert(_X509, der) for der in self.certified.chain)

    @property
    def requests(self) -> tuple[CertReq, ...]:
        return requests_of(self.certified.trust)

    def prove(self, digest: bytes) -> Signature:
        return Signature(self.certified.key.sign(digest))

    def check(self, digest: bytes, admitted: Admitted, claimed: Identity) -> None:
        check_signature(self.certified.trust, digest, admitted, claimed)


def requests_of(trust: Trust) -> tuple[CertReq, ...]:
    """One for any authority, if we know none by name (RFC 2408 section 3.10)."""
    return tuple(CertReq(_X509, name) for name in trust.authorities or (b"",))


def check_signature(trust: Trust, digest: bytes, admitted: Admitted, claimed: Identity) -> None:
    """PeerError unless the peer has signed this hash by a key that is believed to be of ``claimed``."""
    chain = tuple(der for cert in admitted.all(Cert) for der in _certificates(cert))
    trust.judge(chain, claimed).verify(digest, admitted.one(Signature).data)


def _certificates(shown: Cert) -> tuple[bytes, ...]:
    """Those in one payload; none in one of a kind that is of no use here, such as a list of those revoked."""
    if shown.encoding == CertEncoding.PKCS7:
        return unwrapped(shown.data)
    return (shown.data,) if shown.encoding == _X509 else ()
