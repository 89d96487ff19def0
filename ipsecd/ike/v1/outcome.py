"""What becomes of all that there is with a party: told to those who want it, to the daemon, and to operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Given, TakenBack
from ipsecd.ike.inactivity import UNUSED
from ipsecd.ike.v1 import telling
from ipsecd.ike.v1.access import Client
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.exchanges import GONE
from ipsecd.ike.v1.menu import special_of
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire.mode_config import NetworkSettings
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.ike.v1.party import Party

LIFETIME_OVER = "its lifetime is over"
PLANE_LOST = "a process of the data plane has lost it"
_EVENTS = {
    LIFETIME_OVER: ("child-expired", "warning"),
    PLANE_LOST: ("child-lost", "warning"),
    UNUSED: ("child-idle", "info"),
}
_CLOSED = ("child-closed", "info")
NOT_INSTALLED = "it couldn't be installed: "


class Outcome:
    """The holder of one association. ``look`` is called when something has ended, as nothing may be left."""

    def __init__(self, core: Core, party: Party, look: Callable[[], None]) -> None:
        self._core = core
        self._party = party
        self._look = look
        self._told = ""  # why there is no ISAKMP SA, which was told once for all that wait for one
        self._instead = False  # those have it by another version of IKE
        self._given: Given | None = None  # to us, by mode config

    @property
    def given(self) -> tuple[Address, ...]:
        """The addresses that we have by mode config."""
        return self._given.addresses if self._given is not None else ()

    # --- ISAKMP SAs ---

    def established(self, sa: IsakmpSa) -> None:
        self._told, self._instead = "", False
        again = len(self._party.association.isakmp_sas) > 1
        fields = telling.of_isakmp(self._party.first, sa) | {"exchange": self._party.mode_of(sa)}
        self._core.report("ike-rekeyed" if again else "ike-established", "info", **fields)
        self._party.established(sa)

    def configured(self, _: IsakmpSa, settings: NetworkSettings) -> None:
        if isinstance(special_of(self._party.first).access, Client):
            name = self._party.first.name
            self._given = Given(name, settings.addresses, settings.dns, settings.nbns, settings.subnets)
            self._core.emit(self._given)
            self._core.after(0.0, self._end_of_others)
        else:
            self._party.lent()

    def turned_away(self, sa: IsakmpSa, reason: str) -> None:
        self._told, self._instead = reason, False
        telling.turned_away(self._core, self._party.first, sa, reason)
        self._party.turned_away(reason)
        self._over()

    def ended(self, sa: IsakmpSa, reason: str) -> None:
        first = self._party.first
        if reason == GONE:
            reports.ike_failed(self._core, "peer-dead", first, reports.PEER, reason, version=telling.VERSION)
        else:
            self._core.report("ike-closed", "info", **telling.of_isakmp(first, sa), reason=reason)
        self._over()

    def unreached(self, reason: str) -> None:
        self._told = reason
        self._instead = self._party.unreached(reason)
        self._over()

    def _over(self) -> None:
        """What is said of it again is answered for a while."""
        self.take_back()
        self._look()
        self._core.after(limits.QUICK_MODE_KEPT + 1.0, self._look)

    def take_back(self) -> None:
        """Addresses that we have been given are ours as long as anything is left by which they were."""
        association = self._party.association
        if self._given is not None and not association.sessions and not association.pairs:
            before, self._given = self._given, None
            self._core.emit(TakenBack(before.peer))

    def _end_of_others(self) -> None:
        """SAs for an address that we had before and haven't any more: the gateway wouldn't renew them."""
        if self._given is None:
            return
        ours = self._given.addresses
        for live in self._party.association.pairs:
            local = live.pair.ends.local
            near = (each for each in ours if each.version == local.version)
            if not any(int(local.start) <= int(each) <= int(local.end) for each in near):
                self._party.association.lost(live.pair.spis, "the gateway has given us another address")

    def renamed(self) -> None:
        """By another name of the peer the addresses are taken back one day; there is no moment without them."""
        before, name = self._given, self._party.first.name
        if before is not None and before.peer != name:
            self._given = replace(before, peer=name)
            self._core.emit(self._given)
            self._core.emit(TakenBack(before.peer))

    # --- pairs of SAs ---

    def opened(self, pair: ChildPair) -> None:
        self._party.opened(pair)

    def closed(self, pair: ChildPair) -> None:
        self._party.closed(pair)

    def up(self, pair: ChildPair) -> None:
        key = pair.terms.child
        peer, child = self._party.known(key)
        reason = self._unwanted(pair)
        if reason:
            self._core.after(0.0, lambda: self._party.put_down((key,), reason))
            return
        self._core.report("child-established", "info", **telling.of_pair(peer, child, pair))
        self._party.made(pair)
        if pair.ours:
            self._core.wanted.made(child)
        else:
            self._core.wanted.granted(child)

    def _unwanted(self, pair: ChildPair) -> str:
        """Why this isn't wanted any more, which it was when it was begun; empty if it is."""
        if pair.terms.child not in self._party.children:
            return "the policy has changed"
        return "it was put down by command" if pair.ours and self._core.wanted.held(pair.terms.child) else ""

    def rekeyed(self, pair: ChildPair) -> None:
        peer, child = self._party.known(pair.terms.child)
        self._core.report("child-rekeyed", "info", **telling.of_pair(peer, child, pair))
        self._party.made(pair)

    def down(self, pair: ChildPair, reason: str) -> None:
        key = pair.terms.child
        peer, child = self._party.known(key)
        if reason.startswith(NOT_INSTALLED):
            telling.child_failed(self._core, "install-failed", peer, child, reports.ME, reason)
        else:
            event, level = _EVENTS.get(reason, _CLOSED)
            self._core.report(event, level, **telling.of_pair(peer, child, pair), reason=reason)
        # there may be thousands who have called from anywhere, and none of them is called back
        if self._party.place is None and not self._party.carries(key, None):
            self._core.wanted.ended(key)
            self._core.wanted.lost(key)
        self.take_back()
        self._look()

    def failed(self, terms: QuickTerms, ends: Ends, reason: str) -> None:
        key = terms.child
        peer, child = self._party.known(key)
        if self._party.carries(key, (ends.local, ends.remote)):
            telling.child_failed(self._core, "child-rekey-failed", peer, child, reports.PEER, reason)
            return
        if reason == self._told and self._instead:
            self._party.have_instead(key, None)
            return
        if reason != self._told:
            telling.child_failed(self._core, "child-failed", peer, child, reports.PEER, reason)
        self._core.wanted.failed(key, reason)
        self._look()
