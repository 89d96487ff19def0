"""Hybrid authentication (draft-ietf-ipsec-isakmp-hybrid-auth): the gateway signs in phase 1, and the client sends the
bare hash, which anybody can make. Who the client is, its user proves by XAUTH, in which the password goes to nobody but
the gateway that has signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ipsecd.crypto.secret import equal
from ipsecd.errors import PeerError
from ipsecd.ike.v1.methods import BySignature, Certified, KeyedBySignatures, Trust, check_signature, requests_of
from ipsecd.ike.v1.rows import Admitted
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import Cert, CertReq, Hash, Signature


@dataclass(frozen=True, slots=True)
class HybridClient(KeyedBySignatures):
    """We are the client, and the gateway's signature has to be one that ``trust`` believes."""

    trust: Trust
    proof: ClassVar = Signature
    certificates: ClassVar = ()
    doubt: ClassVar = "it doesn't let us in by hybrid authentication"

    @property
    def requests(self) -> tuple[CertReq, ...]:
        return requests_of(self.trust)

    def unread(self) -> PeerError:
        return PeerError("wrong-signature", "the peer's proof can't be read")

    def prove(self, digest: bytes) -> Hash:
        return Hash(digest)

    def check(self, digest: bytes, admitted: Admitted, claimed: Identity) -> None:
        check_signature(self.trust, digest, admitted, claimed)


@dataclass(frozen=True, slots=True)
class HybridGateway(KeyedBySignatures):
    """We are the gateway: ``certified`` is how we prove it, and nobody's certificate is asked for."""

    certified: Certified
    proof: ClassVar = Hash
    requests: ClassVar = ()
    doubt: ClassVar = "it doesn't trust our certificate"

    @property
    def certificates(self) -> tuple[Cert, ...]:
        return BySignature(self.certified).certificates

    def unread(self) -> PeerError:
        return PeerError("wrong-hash", "the peer's last message of phase 1 can't be read, or isn't about this exchange")

    def prove(self, digest: bytes) -> Signature:
        return Signature(self.certified.key.sign(digest))

    def check(self, digest: bytes, admitted: Admitted, _: Identity) -> None:
        if not equal(digest, admitted.one(Hash).data):
            raise self.unread()
