"""What both sides of a phase 1 share: its terms, what is agreed on the way, and the ISAKMP SA it ends with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.crypto.isakmp_cipher import IsakmpCipher, IvChain
from ipsecd.crypto.keymat_v1 import IsakmpKeys, derive_isakmp, phase_1_hash, skeyid_of_psk
from ipsecd.crypto.secret import Secret, equal
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.natt import Revision
from ipsecd.ike.v1.rows import Admitted, Row
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.registry_v1 import Exchange, NotifyType

WRONG_PROOF = "the peer's proof can't be read or is wrong: the pre-shared keys differ"
_PHASE_1_PORTS = (0, 500, 4500)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a phase 1 with one peer is held to. In main mode ``key`` has to be found by the peer's address alone,
    because identities come encrypted by it (RFC 2409 section 5.4). ``first``: we have no other SA with this peer, and
    tell it so. ``force_udp``: ESP has to travel in UDP."""

    suites: tuple[IsakmpSuite, ...]
    key: Secret
    local_id: Identity
    remote_id: Identity
    seconds: int
    first: bool = False
    force_udp: bool = False


@dataclass(slots=True)
class Agreed:
    """After the values are exchanged. Pairs are (initiator's, responder's); ``sa_body`` is the initiator's SA payload
    as it was sent. ``nat`` and ``revision`` are None if one of the two can't traverse NATs."""

    suite: IsakmpSuite
    cookies: tuple[bytes, bytes]
    sa_body: bytes
    publics: tuple[bytes, bytes]
    keys: IsakmpKeys
    cipher: IsakmpCipher
    chain: IvChain
    revision: Revision | None
    nat: Nat | None

    def proof(self, whose: Id, *, of_initiator: bool) -> bytes:
        """HASH_I or HASH_R."""
        return self._hash(whose.encode(), of_initiator=of_initiator)

    def proved(self, message: ikev1.Message, row: Row, terms: Terms, *, of_initiator: bool) -> Admitted:
        """What is in the message by which the peer says who it is. PeerError("wrong-key") if that can't be read, as
        with a key that isn't ours, or its hash proves nothing; Refused("wrong-remote-identity" | "bad-identity-port")
        if it does, but not what we want."""
        try:
            admitted = row.admit(ikev1.decode_chain(message.first, self.chain.open(message.sealed)))
            self._check(admitted, terms, of_initiator=of_initiator)
        except PeerError as error:
            raise PeerError("wrong-key", error.detail or error.reason) from error
        self.chain.accept(message.sealed)
        return admitted

    def _check(self, admitted: Admitted, terms: Terms, *, of_initiator: bool) -> None:
        # an empty key would let everybody in
        expected = self._hash(admitted.body(Id), of_initiator=of_initiator)
        if not len(terms.key) or not equal(expected, admitted.one(Hash).data):
            raise PeerError("wrong-key", "the pre-shared keys differ")
        claimed = admitted.one(Id)
        if not terms.remote_id.matches(claimed.identity):
            raise Refused(
                "wrong-remote-identity",
                f"the peer is {claimed.identity}; we want {terms.remote_id}",
                notify=NotifyType.INVALID_ID_INFORMATION,
            )
        # RFC 2407 section 4.6.2
        if claimed.protocol not in (0, IpProtocol.UDP) or claimed.port not in _PHASE_1_PORTS:
            raise Refused(
                "bad-identity-port",
                f"an identity for protocol {claimed.protocol} and port {claimed.port} isn't one of a host",
                notify=NotifyType.INVALID_ID_INFORMATION,
            )

    def seal(self, payloads: Iterable[AnyPayload]) -> bytes:
        """An encrypted message of ours."""
        first, octets = ikev1.encode_chain(payloads)
        return ikev1.encode_sealed(ikev1.Header(*self.cookies, Exchange.MAIN), first, self.chain.seal(octets))

    def _hash(self, id_body: bytes, *, of_initiator: bool) -> bytes:
        publics, cookies = (_own_first(pair, of_initiator=of_initiator) for pair in (self.publics, self.cookies))
        return phase_1_hash(self.suite.prf.id, self.keys.skeyid, publics, cookies, self.sa_body, id_body)


def _own_first(pair: tuple[bytes, bytes], *, of_initiator: bool) -> tuple[bytes, bytes]:
    return pair if of_initiator else (pair[1], pair[0])


def agree(
    suite: IsakmpSuite,
    terms: Terms,
    cookies: tuple[bytes, bytes],
    sa_body: bytes,
    publics: tuple[bytes, bytes],
    nonces: tuple[bytes, bytes],
    shared: Secret,
    traversal: tuple[Revision | None, Nat | None],
) -> Agreed:
    """Keys and cipher, once both public values are known. PeerError("reflected") if both are the same: whoever sent the
    other one has only sent ours back."""
    if publics[0] == publics[1]:
        raise PeerError("reflected", "the peer's public value is ours")
    prf_id = suite.prf.id
    skeyid = skeyid_of_psk(prf_id, terms.key, *nonces)
    keys = derive_isakmp(prf_id, suite.encryption, skeyid, shared, *cookies)
    cipher = IsakmpCipher(prf_id, suite.encryption, keys.cipher)
    return Agreed(suite, cookies, sa_body, publics, keys, cipher, cipher.phase_1(*publics), *traversal)


@dataclass(frozen=True, slots=True)
class IsakmpSa:
    """An established ISAKMP SA. ``chain`` has come to the end of phase 1, and each later exchange begins there.
    ``seconds`` is the shorter of both sides' lifetimes that are known. ``alone``: the peer says that it has no other SA
    with us (INITIAL-CONTACT)."""

    initiator: bool
    cookies: tuple[bytes, bytes]
    suite: IsakmpSuite
    keys: IsakmpKeys
    cipher: IsakmpCipher
    chain: IvChain
    remote_id: Identity
    seconds: int
    revision: Revision | None
    nat: Nat | None
    path: Path
    vendor_ids: tuple[bytes, ...]
    alone: bool

    @property
    def spi(self) -> bytes:
        """What notifies and deletes call it by: both cookies (RFC 2407 section 4.6.3)."""
        return b"".join(self.cookies)


def established(
    agreed: Agreed, admitted: Admitted, *, initiator: bool, seconds: int, path: Path, vendor_ids: tuple[bytes, ...]
) -> IsakmpSa:
    """What a phase 1 ends with. ``admitted`` is the message that the peer proved itself in."""
    return IsakmpSa(
        initiator=initiator,
        cookies=agreed.cookies,
        suite=agreed.suite,
        keys=agreed.keys,
        cipher=agreed.cipher,
        chain=agreed.chain,
        remote_id=admitted.one(Id).identity,
        seconds=seconds,
        revision=agreed.revision,
        nat=agreed.nat,
        path=path,
        vendor_ids=vendor_ids,
        alone=admitted.notify(NotifyType.INITIAL_CONTACT) is not None,
    )
