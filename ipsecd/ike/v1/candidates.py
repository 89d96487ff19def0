"""The terms that a responder may have with whoever begins a phase 1. What it knows at first is an address, which may be
that of several rules; what the initiator offers, says and proves leaves one of them."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.methods import Method
from ipsecd.ike.v1.natt import Revision
from ipsecd.ike.v1.phase_1 import Agreed, Claim, Proved, agree
from ipsecd.ike.v1.rows import Row
from ipsecd.ike.v1.suites import Choice, IsakmpSuite, choose
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import CertReq, Sa


@dataclass(frozen=True, slots=True)
class Candidates:
    """``terms`` are in order of preference."""

    terms: tuple[Terms, ...]

    @classmethod
    def of(cls, terms: tuple[Terms, ...]) -> Candidates:
        """The first of them, if there are more than may be tried."""
        return cls(terms[: limits.MAX_CANDIDATES])

    @property
    def extended(self) -> bool:
        """Whether XAUTH may follow."""
        return any(each.extended for each in self.terms)

    @property
    def force_udp(self) -> bool:
        """Whether ESP may have to travel in UDP: the peer is told before it's known which of them it is."""
        return any(each.force_udp for each in self.terms)

    @property
    def first(self) -> Candidates:
        """It alone."""
        return Candidates(self.terms[:1])

    def called(self, claim: Claim) -> Candidates:
        """Those that want this identity. Refused as from ``Claim.refusal`` if none does."""
        refusal = claim.refusal(self.terms)
        if refusal is not None:
            raise refusal
        return Candidates(tuple(each for each in self.terms if claim.refusal((each,)) is None))

    def choose(self, offered: Sa, vendor_ids: tuple[bytes, ...]) -> tuple[Choice, Candidates]:
        """The first transform offered that is one of all their suites, and those that have it. Refused as from
        ``suites.choose``."""
        return _choose(offered, [(each, each.answered(vendor_ids)) for each in self.terms])

    def choose_exposed(self, offered: Sa, vendor_ids: tuple[bytes, ...]) -> tuple[Choice, Candidates]:
        """The same, of the suites that aggressive mode may have. Refused("aggressive-not-accepted") too."""
        able = [(each, each.exposed(each.answered(vendor_ids))) for each in self.terms]
        if not any(suites for _, suites in able):
            raise Refused("aggressive-not-accepted", "the peer wants aggressive mode, which this rule doesn't accept")
        return _choose(offered, able)

    def agree(
        self,
        suite: IsakmpSuite,
        cookies: tuple[bytes, bytes],
        sa_body: bytes,
        publics: tuple[bytes, bytes],
        nonces: tuple[bytes, bytes],
        shared: Secret,
        traversal: tuple[Revision | None, Nat | None],
    ) -> Ways:
        """As ``phase_1.agree``, once for each credential that they have."""
        by_method: list[tuple[Method, list[Terms]]] = []
        for each in self.terms:
            method = each.method(suite, initiator=False)
            known = next((terms for other, terms in by_method if other == method), None)
            if known is None:
                by_method.append((method, [each]))
            else:
                known.append(each)
        values = cookies, sa_body, publics, nonces, shared, traversal
        return Ways(tuple((agree(suite, method, *values), tuple(terms)) for method, terms in by_method))


def _choose(offered: Sa, able: list[tuple[Terms, tuple[IsakmpSuite, ...]]]) -> tuple[Choice, Candidates]:
    choice = choose(offered, tuple(dict.fromkeys(suite for _, suites in able for suite in suites)))
    return choice, Candidates(tuple(each for each, suites in able if choice.suite in suites))


@dataclass(frozen=True, slots=True)
class Ways:
    """What one exchange of values has led to by each credential, and the candidates that have it."""

    all: tuple[tuple[Agreed, tuple[Terms, ...]], ...]

    @property
    def requests(self) -> tuple[CertReq, ...]:
        """For the certificates that any of them takes."""
        return tuple(dict.fromkeys(request for agreed, _ in self.all for request in agreed.method.requests))

    def proved(self, message: ikev1.Message, row: Row, claim: Claim | None = None) -> tuple[Agreed, Terms, Proved]:
        """Whose credential the initiator's proof fits, and who it is. PeerError if it fits none of them; Refused as
        from ``Claim.refusal`` if it does, but nobody who has that credential is wanted by this name."""
        refusals: list[Refused] = []
        errors: list[PeerError] = []
        for agreed, candidates in self.all:
            try:
                peer = agreed.proved(message, row, of_initiator=True, claim=claim)
            except PeerError as error:
                errors.append(error)
                continue
            refusal = peer.claim.refusal(candidates)
            if refusal is None:
                return agreed, next(each for each in candidates if peer.claim.refusal((each,)) is None), peer
            refusals.append(refusal)
        raise (*refusals, *errors)[0]

    def wipe(self, but: Agreed | None = None) -> None:
        """Keys that nothing has come of."""
        for agreed, _ in self.all:
            if agreed is not but:
                agreed.keys.wipe()
