"""The terms that a responder may have with whoever begins a phase 1. What it knows at first is an address, which may be
that of several rules; what the initiator offers, says and proves leaves one of them."""

from __future__ import annotations

from collections.abc import Callable
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

    @property
    def extended(self) -> bool:
        """Whether XAUTH may follow."""
        return any(each.extended for each in self.terms)

    @property
    def force_udp(self) -> bool:
        """Whether ESP may have to travel in UDP: the peer is told before it's known which of them it is."""
        return any(each.force_udp for each in self.terms)

    @property
    def fragmentation(self) -> bool:
        """Whether long messages may be in parts, by all of them."""
        return all(each.fragmentation for each in self.terms)

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
        return self._choose(offered, lambda terms: terms.answered(vendor_ids))

    def choose_exposed(self, offered: Sa, vendor_ids: tuple[bytes, ...]) -> tuple[Choice, Candidates]:
        """The same, of the suites that aggressive mode may have. Refused("aggressive-not-accepted") too."""
        if not any(each.exposed(each.answered(vendor_ids)) for each in self.terms):
            raise Refused("aggressive-not-accepted", "the peer wants aggressive mode, which this rule doesn't accept")
        return self._choose(offered, lambda terms: terms.exposed(terms.answered(vendor_ids)))

    def _choose(self, offered: Sa, able: Callable[[Terms], tuple[IsakmpSuite, ...]]) -> tuple[Choice, Candidates]:
        """Many rules have the same suites as a rule, so each lot of them is looked at once."""
        lots: dict[_Lot, tuple[IsakmpSuite, ...]] = {}
        for each in self.terms:
            if (lot := _lot(each)) not in lots:
                lots[lot] = able(each)
        choice = choose(offered, tuple(dict.fromkeys(suite for suites in lots.values() for suite in suites)))
        having = {lot for lot, suites in lots.items() if choice.suite in suites}
        return choice, Candidates(tuple(each for each in self.terms if _lot(each) in having))

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
        """As ``phase_1.agree``, once for each credential that they have; for the first of those, if there are more than
        may be tried."""
        by_method: list[tuple[Method, list[Terms]]] = []
        for each in self.terms:
            method = each.method(suite, initiator=False)
            known = next((terms for other, terms in by_method if other == method), None)
            if known is not None:
                known.append(each)
            elif len(by_method) < limits.MAX_CANDIDATES:
                by_method.append((method, [each]))
        values = cookies, sa_body, publics, nonces, shared, traversal
        return Ways(tuple((agree(suite, method, *values), tuple(terms)) for method, terms in by_method))


_Lot = tuple[int, bool, bool, bool, bool]


def _lot(terms: Terms) -> _Lot:
    """What decides which suites they may have: the very same suites, and what there is for them."""
    accepted = terms.i_accept_names_in_clear, terms.i_accept_offline_guessing
    return id(terms.suites), terms.certified is None, terms.trust is None, *accepted


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
