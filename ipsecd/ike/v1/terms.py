"""What a phase 1 with one peer is held to."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.extended import Asked, is_hybrid, plain, who_is_asked
from ipsecd.ike.v1.hybrid import HybridClient, HybridGateway
from ipsecd.ike.v1.methods import BySharedKey, BySignature, Certified, Method, Trust
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.wire import vendor_ids
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry_v1 import OakleyAuth


@dataclass(frozen=True, slots=True)
class Terms:
    """In main mode ``key`` has to be found by the peer's address alone, because identities come encrypted by it
    (RFC 2409 section 5.4). ``certified`` is for suites with signatures, and for gateways in hybrid ones; ``trust`` for
    clients in hybrid ones, which have no certificate. ``first``: we have no other SA with this peer,
    and tell it so. ``force_udp``: ESP has to travel in UDP. ``octets`` limit what the ISAKMP SA encrypts.
    ``fragmentation``: long messages may be sent in parts.

    Aggressive mode shows both identities to whoever listens, and with a pre-shared key everyone who asks for it gets a
    hash to try keys by, as many as he likes. It's had only with suites for whose method that is accepted here.
    """

    suites: tuple[IsakmpSuite, ...]
    key: Secret
    local_id: Identity
    remote_id: Identity
    seconds: int
    first: bool = False
    force_udp: bool = False
    octets: int | None = None
    fragmentation: bool = True
    certified: Certified | None = None
    trust: Trust | None = None
    i_accept_names_in_clear: bool = False  # of aggressive mode with signatures
    i_accept_offline_guessing: bool = False  # of aggressive mode with a pre-shared key, and names in clear as well

    def __post_init__(self) -> None:
        for suite in self.suites:
            if not self._able(suite, initiator=True) and not self._able(suite, initiator=False):
                raise LocalError(f"{suite} by {suite.method}: there is no credential for that")

    @property
    def lifetime(self) -> Lifetime:
        return Lifetime(self.seconds, self.octets)

    def method(self, suite: IsakmpSuite, *, initiator: bool) -> Method:
        """How both sides prove themselves, by what was agreed on. ``initiator``: we are. LocalError if there is no
        credential for that."""
        found = self._method(suite, initiator=initiator)
        if found is None:
            raise LocalError(f"{suite} by {suite.method}: there is no credential for that")
        return found

    @property
    def offered(self) -> tuple[IsakmpSuite, ...]:
        """The suites that we can have as initiator."""
        return tuple(suite for suite in self.suites if self._able(suite, initiator=True))

    def answered(self, said: tuple[bytes, ...]) -> tuple[IsakmpSuite, ...]:
        """The suites that we can have as responder with a peer that sends these vendor IDs. XAUTH's numbers mean
        something else to those that don't say that they know it."""
        knows = vendor_ids.XAUTH in said
        able = (suite for suite in self.suites if self._able(suite, initiator=False))
        return tuple(suite for suite in able if knows or who_is_asked(suite.method) is None)

    def exposed(self, suites: tuple[IsakmpSuite, ...]) -> tuple[IsakmpSuite, ...]:
        """Those of these suites that aggressive mode may have."""
        accepted = {
            OakleyAuth.PSK: self.i_accept_offline_guessing,
            OakleyAuth.RSA_SIGNATURE: self.i_accept_names_in_clear,
        }
        return tuple(suite for suite in suites if accepted[plain(suite.method)])

    @property
    def extended(self) -> bool:
        """Whether XAUTH may follow, which the peer is told that we know."""
        return any(who_is_asked(suite.method) is not None for suite in self.suites)

    def _able(self, suite: IsakmpSuite, *, initiator: bool) -> bool:
        return self._method(suite, initiator=initiator) is not None

    def _method(self, suite: IsakmpSuite, *, initiator: bool) -> Method | None:
        by, asked = plain(suite.method), who_is_asked(suite.method)
        if by == OakleyAuth.PSK:
            return BySharedKey(self.key)
        if by != OakleyAuth.RSA_SIGNATURE:
            return None
        if not is_hybrid(suite.method):
            return BySignature(self.certified) if self.certified is not None else None
        if (asked is Asked.INITIATOR) == initiator:
            return HybridClient(self.trust) if self.trust is not None else None
        return HybridGateway(self.certified) if self.certified is not None else None
