"""What a peer may have, as terms: of phase 1 by its proposals for IKE and its credentials, and of quick modes.

IKEv1 knows ciphers in CBC mode with the HMAC of a hash and no key encapsulation, so of proposals it takes what is that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce
from itertools import product

from ipsecd import limits
from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.ike import carriage
from ipsecd.ike.config import Child, ChildProposal, IkeConfig, IkeProposal, Lifetime, Peer
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1 import durations
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.child_menu import suites_of
from ipsecd.ike.v1.extended import plain
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import QuickTerms
from ipsecd.ike.v1.special import Special
from ipsecd.ike.v1.suites import IsakmpSuite, can_be_said
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire.registry_v1 import OakleyAuth

_NOTHING_SPECIAL = Special()
_NO_KEY = Secret(b"")
_PSK, _RSA = OakleyAuth.PSK, OakleyAuth.RSA_SIGNATURE
# by what it is within phase 1, and whether it's the initiator whose user is asked
_EXTENDED = {
    (_PSK, True): OakleyAuth.XAUTH_INIT_PSK,
    (_PSK, False): OakleyAuth.XAUTH_RESP_PSK,
    (_RSA, True): OakleyAuth.XAUTH_INIT_RSA,
    (_RSA, False): OakleyAuth.XAUTH_RESP_RSA,
}


def special_of(peer: Peer) -> Special:
    return peer.special or _NOTHING_SPECIAL


class Menu:
    """Of one configuration. Suites of the same proposals are made once. ``turns`` of pre-shared keys are kept by peer:
    those of the configuration before may be right for this one."""

    def __init__(self, config: IkeConfig, turns: dict[str, int] | None = None) -> None:
        self._config = config
        self._turns = turns or {}
        self._last: tuple[tuple[int, ...], tuple[Peer, ...], Candidates] | None = None
        self._child_suites: dict[tuple[ChildProposal, ...], tuple[ChildSuite, ...]] = {}
        self._answers: dict[str, tuple[Peer, tuple[Terms, ...]]] = {}
        self._made: dict[tuple[tuple[IkeProposal, ...], tuple[OakleyAuth, ...]], tuple[IsakmpSuite, ...]] = {}

    def suites(self, peer: Peer, *, initiator: bool) -> tuple[IsakmpSuite, ...]:
        """All that it may have, by all its methods. ``initiator``: we are."""
        return self._suites(peer.proposals, methods(peer, initiator=initiator))

    def following(self, config: IkeConfig) -> Menu:
        """That of the next configuration."""
        return Menu(config, self._turns)

    def refused(self, peer: Peer) -> None:
        """The peer has perhaps refused our pre-shared key: it's another one's turn."""
        if len(peer.shared_keys) > 1:
            self._turns[peer.name] = self._turns.pop(peer.name, 0) + 1
            if len(self._turns) > limits.MAX_IKE_SAS:
                del self._turns[next(iter(self._turns))]

    def to_call(self, peer: Peer) -> Terms | None:
        """With the pre-shared key whose turn it is; None if the peer has nothing that IKEv1 can say."""
        by = methods(peer, initiator=True)
        suites, turn = self._offered(peer.proposals, by), self._turns.get(peer.name, 0)
        key = peer.shared_keys[turn % len(peer.shared_keys)].key if peer.shared_keys else _NO_KEY
        return self._terms(peer, suites, key) if suites else None

    def to_answer(self, peer: Peer) -> tuple[Terms, ...]:
        """One for each credential, in order. Those of rules are made once; pairs of hosts may be many."""
        if peer.pattern:
            return self._to_answer(peer)
        known, terms = self._answers.get(peer.name, (None, ()))
        if known is not peer:
            terms = self._to_answer(peer)
            self._answers[peer.name] = peer, terms
        return terms

    def candidates(self, peers: tuple[Peer, ...]) -> Candidates:
        """Of all these. As a rule strangers may be the same ones as the stranger before."""
        meant = tuple(map(id, peers))
        if self._last is None or self._last[0] != meant:
            found = Candidates(each for peer in peers for each in self.to_answer(peer))
            self._last = meant, peers, found
        return self._last[2]

    def _to_answer(self, peer: Peer) -> tuple[Terms, ...]:
        found: list[Terms] = []
        for method in methods(peer, initiator=False):
            suites = self._suites(peer.proposals, (method,))
            if suites and plain(method) == _PSK:
                found += [self._terms(peer, suites, each.key) for each in peer.shared_keys]
            elif suites:
                found.append(self._terms(peer, suites, _NO_KEY))
        return tuple(found)

    def opens(self, peer: Peer, sa: IsakmpSa) -> bool:
        """Whether who is at the other end of this ISAKMP SA has proved to be this peer, by a credential of this peer's
        and by a suite that it may have."""
        if peer.local_id != sa.terms.local_id or not peer.remote_id.matches(sa.remote_id):
            return False
        if sa.suite not in self.suites(peer, initiator=sa.initiator):
            return False
        if plain(sa.suite.method) == _PSK:
            return any(each.key == sa.terms.key for each in peer.shared_keys)
        special = special_of(peer)
        return (special.certified, special.trust) == (sa.terms.certified, sa.terms.trust)

    def opens_too(self, called: Peer, other: Peer) -> bool:
        """Whether who proves to be the one, when called, has proved to be the other, too, whatever suite there will
        be."""
        first = self.to_call(called)
        special, too = special_of(called), special_of(other)
        alike = called.local_id == other.local_id and other.remote_id.matches(called.remote_id)
        if first is None or not alike or special.access != too.access:
            return False
        if not set(first.suites) <= set(self.suites(other, initiator=True)):
            return False
        by_key = any(plain(suite.method) == _PSK for suite in first.suites)
        same_key = not by_key or any(each.key == first.key for each in other.shared_keys)
        return same_key and (special.certified, special.trust) == (too.certified, too.trust)

    def quick_terms(self, peer: Peer, child: Child) -> QuickTerms:
        """What quick modes for this child are held to."""
        suites = self._child_suites.get(child.proposals)
        if suites is None:
            suites = self._child_suites[child.proposals] = suites_of(child.proposals)
        how = carriage.Terms.of((peer,))
        return QuickTerms(
            child.id,
            peer.name,
            suites,
            child.local,
            child.remote,
            _lifetime(child),
            transport=child.transport,
            keylog=peer.keylog,
            idle=child.idle,
            tfc=child.tfc,
            udp=how.udp,
            native=how.native and self._config.native,
        )

    def _terms(self, peer: Peer, suites: tuple[IsakmpSuite, ...], key: Secret) -> Terms:
        special, how = special_of(peer), carriage.Terms.of((peer,))
        return Terms(
            suites,
            key,
            peer.local_id,
            peer.remote_id,
            int(peer.lifetime.seconds or limits.IKE_LIFETIME),
            force_udp=how.bent or (how.udp and not self._config.native),
            octets=peer.lifetime.octets,
            fragmentation=peer.fragmentation,
            certified=special.certified,
            trust=special.trust,
            i_accept_names_in_clear=special.i_accept_names_in_clear,
            i_accept_offline_guessing=special.i_accept_offline_guessing,
        )

    def _offered(self, proposals: tuple[IkeProposal, ...], by: tuple[OakleyAuth, ...]) -> tuple[IsakmpSuite, ...]:
        """As many of each method as an offer has room for."""
        each = limits.MAX_V1_OFFERED // max(1, len(by))
        return tuple(suite for method in by for suite in self._suites(proposals, (method,))[:each])

    def _suites(self, proposals: tuple[IkeProposal, ...], by: tuple[OakleyAuth, ...]) -> tuple[IsakmpSuite, ...]:
        known = self._made.get((proposals, by))
        if known is None:
            known = self._made[proposals, by] = tuple(dict.fromkeys(_combined(proposals, by)))
        return known


def _lifetime(child: Child) -> Lifetime:
    """There is one for all that is offered: the shortest."""
    return reduce(durations.shorter, (each.lifetime or child.lifetime for each in child.proposals), child.lifetime)


def methods(peer: Peer, *, initiator: bool) -> tuple[OakleyAuth, ...]:
    """How it and we may prove ourselves, in order."""
    special = special_of(peer)
    asked = who_is_asked_by(special, initiator=initiator)
    if special.hybrid:
        if asked is None:
            return ()
        return (OakleyAuth.HYBRID_INIT_RSA if asked else OakleyAuth.HYBRID_RESP_RSA,)
    by = [_PSK] if special.shared_key and peer.shared_keys else []
    if special.certified is not None:
        by = [_RSA, *by] if special.certified_first else [*by, _RSA]
    return tuple(each if asked is None else _EXTENDED[each, asked] for each in by)


def who_is_asked_by(special: Special, *, initiator: bool) -> bool | None:
    """Whether it's the initiator's user that XAUTH asks for; None: nobody's. ``initiator``: we are."""
    match special.access:
        case Client(user=user) if user is not None:
            return initiator
        case Gateway(gate=gate) if gate is not None:
            return not initiator
    return None


def called(terms: Terms, *, first: bool) -> Terms:
    """``first``: we have nothing else with this peer, and tell it so."""
    return replace(terms, first=first)


def _combined(proposals: Iterable[IkeProposal], by: tuple[OakleyAuth, ...]) -> Iterator[IsakmpSuite]:
    for method, proposal in product(by, proposals):
        for (encr, bits), prf_id, group_id in product(proposal.encryption, proposal.prf, proposal.groups):
            encryption, prf = algorithms.encryption(encr, bits), algorithms.prf(prf_id)
            group = algorithms.group(group_id)
            if encryption is not None and prf is not None and group is not None and can_be_said(encryption, prf):
                yield IsakmpSuite(encryption, prf, group, method)
