"""What both sides of a phase 1 share: what is agreed on the way, and the ISAKMP SA it ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.crypto.isakmp_cipher import IsakmpCipher, IvChain
from ipsecd.crypto.keymat_v1 import IsakmpKeys, derive_isakmp, phase_1_hash
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.config import Lifetime, Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.methods import Method
from ipsecd.ike.v1.natt import Revision
from ipsecd.ike.v1.rows import Admitted, Row
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash, Signature
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.registry_v1 import Exchange, NotifyType

_PHASE_1_PORTS = (0, 500, 4500)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the peer says it is: its ID payload, and the body of it as it was sent."""

    id: Id
    body: bytes

    @classmethod
    def of(cls, admitted: Admitted) -> Claim:
        return cls(admitted.one(Id), admitted.body(Id))

    def refusal(self, terms: tuple[Terms, ...]) -> Refused | None:
        """Refused("wrong-remote-identity" | "bad-identity-port") for another than all those that we want."""
        if not any(each.remote_id.matches(self.id.identity) for each in terms):
            wanted = dict.fromkeys(str(each.remote_id) for each in terms)
            return Refused(
                "wrong-remote-identity",
                f"the peer is {self.id.identity}; we want {' or '.join(wanted)}",
                notify=NotifyType.INVALID_ID_INFORMATION,
            )
        # RFC 2407 section 4.6.2
        if self.id.protocol not in (0, IpProtocol.UDP) or self.id.port not in _PHASE_1_PORTS:
            return Refused(
                "bad-identity-port",
                f"an identity for protocol {self.id.protocol} and port {self.id.port} isn't one of a host",
                notify=NotifyType.INVALID_ID_INFORMATION,
            )
        return None


@dataclass(frozen=True, slots=True)
class Proved:
    """Who the peer says that it is, by a credential that fits, and what else it has said. ``alone``: that it has no
    other SA with us (INITIAL-CONTACT)."""

    claim: Claim
    alone: bool
    admitted: Admitted


@dataclass(slots=True)
class Agreed:
    """After the values are exchanged. Pairs are (initiator's, responder's); ``sa_body`` is the initiator's SA payload
    as it was sent. ``nat`` and ``revision`` are None if one of the two can't traverse NATs."""

    suite: IsakmpSuite
    method: Method
    cookies: tuple[bytes, bytes]
    sa_body: bytes
    publics: tuple[bytes, bytes]
    keys: IsakmpKeys
    cipher: IsakmpCipher
    chain: IvChain
    revision: Revision | None
    nat: Nat | None
    tries: int = 0  # proofs of the peer's that were looked at

    def in_udp(self, *, bent: bool) -> bool:
        """Whether ESP travels in UDP, as far as we know: there is a NAT, or, ``bent``, the peer believes us that there
        is one. Without either there's no use in that, whatever the ports (RFC 3947 section 5.1)."""
        return self.nat is not None and (self.nat.found or bent)

    def proof(self, whose: Id, *, of_initiator: bool) -> Hash | Signature:
        """Ours: HASH_I or HASH_R, or one of them signed."""
        return self.method.prove(self._hash(whose.encode(), of_initiator=of_initiator))

    def proved(self, message: ikev1.Message, row: Row, *, of_initiator: bool, claim: Claim | None = None) -> Proved:
        """Who has sent the message by which the peer proves itself; ``claim`` if it has said so before. Whether that is
        who we want is another question. ``accept`` it if all is right. PeerError if it proves nothing, of which the
        detail is for people."""
        admitted = self._read(message, row)
        # who can be read knows what both have agreed on, and may make us look at certificates as often as it likes
        if self.tries == limits.MAX_V1_PROOFS:
            raise PeerError("too-many-answers")  # what was wrong with the others is known
        self.tries += 1
        claim = claim or Claim.of(admitted)
        self.method.check(self._hash(claim.body, of_initiator=of_initiator), admitted, claim.id.identity)
        # the proof doesn't cover it, so that in clear it is anybody's
        alone = bool(message.sealed) and admitted.notify(NotifyType.INITIAL_CONTACT) is not None
        return Proved(claim, alone, admitted)

    def accept(self, message: ikev1.Message) -> None:
        """Behind this message of the peer's, which is proved, the next one is encrypted."""
        if message.sealed:
            self.chain.accept(message.sealed)

    def _read(self, message: ikev1.Message, row: Row) -> Admitted:
        """PeerError("wrong-key" | "wrong-signature") if it can't be read, as with a key that isn't ours."""
        try:
            octets = self.chain.open(message.sealed) if message.sealed else b""
            chain = ikev1.decode_chain(message.first, octets) if message.sealed else message.chain
            return row.admit(chain, self.method.proof)
        except PeerError as error:
            raise self.method.unread() from error

    def seal(self, exchange: Exchange, payloads: Iterable[AnyPayload]) -> bytes:
        """An encrypted message of ours."""
        first, octets = ikev1.encode_chain(payloads)
        return ikev1.encode_sealed(ikev1.Header(*self.cookies, exchange), first, self.chain.seal(octets))

    def _hash(self, id_body: bytes, *, of_initiator: bool) -> bytes:
        publics, cookies = (_own_first(pair, of_initiator=of_initiator) for pair in (self.publics, self.cookies))
        return phase_1_hash(self.suite.prf.id, self.keys.skeyid, publics, cookies, self.sa_body, id_body)


def _own_first(pair: tuple[bytes, bytes], *, of_initiator: bool) -> tuple[bytes, bytes]:
    return pair if of_initiator else (pair[1], pair[0])


@dataclass(frozen=True, slots=True)
class Values:
    """What both sides have sent and computed by then, whoever they are. Pairs are (initiator's, responder's);
    ``sa_body`` is the initiator's SA payload as it was sent. ``revision`` and ``nat`` as of ``Agreed``."""

    suite: IsakmpSuite
    cookies: tuple[bytes, bytes]
    sa_body: bytes
    publics: tuple[bytes, bytes]
    nonces: tuple[bytes, bytes]
    shared: Secret
    revision: Revision | None
    nat: Nat | None


def agree(method: Method, values: Values) -> Agreed:
    """Keys and cipher, once both public values are known. PeerError("reflected") if both are the same: whoever sent the
    other one has only sent ours back."""
    suite, cookies, publics, shared = values.suite, values.cookies, values.publics, values.shared
    if publics[0] == publics[1]:
        raise PeerError("reflected", "the peer's public value is ours")
    prf_id = suite.prf.id
    skeyid = method.skeyid(prf_id, shared, values.nonces)
    keys = derive_isakmp(prf_id, suite.encryption, skeyid, shared, *cookies)
    cipher = IsakmpCipher(prf_id, suite.encryption, keys.cipher)
    chain = cipher.phase_1(*publics)
    return Agreed(suite, method, cookies, values.sa_body, publics, keys, cipher, chain, values.revision, values.nat)


def _ignored() -> None:
    """Nobody cares."""


@dataclass(slots=True)
class IsakmpSa:
    """An established ISAKMP SA. ``chain`` has come to the end of phase 1, and each later exchange begins there.
    ``seconds``, and the ``octets`` that it may encrypt, are the shorter of both sides' lifetimes that are known.
    ``in_udp``: ESP travels so. ``alone``: the peer says that it has no other SA with us (INITIAL-CONTACT). It was made
    by ``terms``.

    Some things change: ``path``, when a NAT gives the peer another port; ``user``, who uses the peer, once XAUTH has
    shown that; and how many octets both sides have ``encrypted`` behind phase 1, after which ``counted`` is called.
    ``proved`` is called when something that the peer says by it is proved and new, before it acts."""

    terms: Terms
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
    in_udp: bool
    vendor_ids: tuple[bytes, ...]
    alone: bool
    octets: int | None = None
    user: str = ""
    encrypted: int = 0
    counted: Callable[[], None] = field(default=_ignored, repr=False, compare=False)
    proved: Callable[[], None] = field(default=_ignored, repr=False, compare=False)

    def count(self, sealed: bytes) -> None:
        """This has been encrypted, here or there."""
        self.encrypted += len(sealed)
        self.counted()

    @property
    def spi(self) -> bytes:
        """What notifies and deletes call it by: both cookies (RFC 2407 section 4.6.3)."""
        return b"".join(self.cookies)


def established(
    terms: Terms,
    agreed: Agreed,
    peer: Proved,
    *,
    initiator: bool,
    lifetime: Lifetime,
    path: Path,
    in_udp: bool,
    vendor_ids: tuple[bytes, ...],
) -> IsakmpSa:
    """What a phase 1 ends with. ``lifetime`` has seconds."""
    return IsakmpSa(
        terms=terms,
        initiator=initiator,
        cookies=agreed.cookies,
        suite=agreed.suite,
        keys=agreed.keys,
        cipher=agreed.cipher,
        chain=agreed.chain,
        remote_id=peer.claim.id.identity,
        seconds=int(lifetime.seconds or 0),
        revision=agreed.revision,
        nat=agreed.nat,
        path=path,
        in_udp=in_udp,
        vendor_ids=vendor_ids,
        alone=peer.alone,
        octets=lifetime.octets,
    )
