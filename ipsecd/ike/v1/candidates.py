"""The terms that a responder may have with whoever begins a phase 1. What it knows at first is an address, which may be
that of several rules; what the initiator offers, says and proves leaves one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.v1.methods import Method
from ipsecd.ike.v1.phase_1 import Agreed, Claim, Proved, Values, agree
from ipsecd.ike.v1.rows import Row
from ipsecd.ike.v1.suites import Choice, IsakmpSuite, choose
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import CertReq, Sa
from ipsecd.wire.registry_v1 import OakleyAuth


class Candidates:
    """``terms`` are in order of preference. There may be thousands, as of those who call from anywhere, and most have
    the same suites by the same kind of credential as others: that's a *lot*, of which things are asked once."""

    def __init__(self, terms: Iterable[Terms]) -> None:
        self.terms = tuple(terms)
        self._lots = tuple(map(_lot, self.terms))
        self._first_of = dict(zip(reversed(self._lots), reversed(self.terms), strict=True))
        # whether XAUTH may follow
        self.extended = any(each.extended for each in self._first_of.values())
        # whether ESP may have to travel in UDP: the peer is told before it's known which of them it is
        self.force_udp = any(each.force_udp for each in self.terms)
        # whether long messages may be in parts
        self.fragmentation = all(each.fragmentation for each in self.terms)
        self._tried: dict[OakleyAuth, _Tried] = {}  # strangers may make us ask again and again

    @property
    def first(self) -> Candidates:
        """It alone."""
        return Candidates(self.terms[:1])

    def called(self, claim: Claim) -> Candidates:
        """Those that want this identity. Refused as from ``Claim.refusal`` if none does."""
        refusal = claim.refusal(self.terms)
        if refusal is not None:
            raise refusal
        return Candidates(each for each in self.terms if claim.refusal((each,)) is None)

    def choose(self, offered: Sa, vendor_ids: tuple[bytes, ...]) -> tuple[Choice, Candidates]:
        """The first transform offered that is one of all their suites, and those that have it. Refused as from
        ``suites.choose``."""
        return self._choose(offered, lambda terms: terms.answered(vendor_ids))

    def choose_exposed(self, offered: Sa, vendor_ids: tuple[bytes, ...]) -> tuple[Choice, Candidates]:
        """The same, of the suites that aggressive mode may have. Refused("aggressive-not-accepted") too."""
        if not any(each.exposed(each.answered(vendor_ids)) for each in self._first_of.values()):
            raise Refused("aggressive-not-accepted", "the peer wants aggressive mode, which this rule doesn't accept")
        return self._choose(offered, lambda terms: terms.exposed(terms.answered(vendor_ids)))

    def _choose(self, offered: Sa, able: Callable[[Terms], tuple[IsakmpSuite, ...]]) -> tuple[Choice, Candidates]:
        of_lots = {lot: able(self._first_of[lot]) for lot in dict.fromkeys(self._lots)}
        choice = choose(offered, tuple(dict.fromkeys(suite for suites in of_lots.values() for suite in suites)))
        having = {lot for lot, suites in of_lots.items() if choice.suite in suites}
        if len(having) == len(of_lots):
            return choice, self
        return choice, Candidates(each for each, lot in zip(self.terms, self._lots, strict=True) if lot in having)

    def agree(self, values: Values) -> Ways:
        """As ``phase_1.agree``, once for each credential that they have; for the first of those, if there are more than
        may be tried."""
        tried = self._tried.get(values.suite.method)
        if tried is None:
            tried = self._tried[values.suite.method] = _by_credential(self.terms, values.suite)
        return Ways(tuple((agree(method, values), terms) for method, terms in tried))


_Tried = tuple[tuple[Method, tuple[Terms, ...]], ...]


def _by_credential(candidates: tuple[Terms, ...], suite: IsakmpSuite) -> _Tried:
    """Anybody can have this done, so what is beyond those that may be tried isn't even compared with them."""
    tried: list[tuple[Method, list[Terms]]] = []
    known: dict[tuple[int, int, int], list[Terms]] = {}  # the same, by which objects a credential is
    for each in candidates:
        which = id(each.key), id(each.certified), id(each.trust)
        if which not in known and len(tried) < limits.MAX_CANDIDATES:
            known[which] = _with_method(tried, each.method(suite, initiator=False))
        if which in known:
            known[which].append(each)
    return tuple((method, tuple(terms)) for method, terms in tried)


def _with_method(tried: list[tuple[Method, list[Terms]]], method: Method) -> list[Terms]:
    """Those that have it, of which this may be the first one."""
    found = next((terms for other, terms in tried if other == method), None)
    if found is None:
        tried.append((method, found := []))
    return found


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
