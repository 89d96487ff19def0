"""What a party is wanted to have and can't be begun yet: children of a client that has no address so far, or one that
isn't this machine's yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.config import Child
from ipsecd.ike.core import Core
from ipsecd.ike.effects import GiveUp
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.v1 import telling
from ipsecd.ike.v1.access import Client
from ipsecd.ike.v1.menu import special_of
from ipsecd.ike.v1.traffic import CannotBeSaid, NotOurs, as_of, ends_of

if TYPE_CHECKING:
    from ipsecd.ike.v1.party import Party


class Waiting:
    """By the identifiers of children; with the packet that wants one, if it is one."""

    def __init__(self, core: Core, party: Party) -> None:
        self._core = core
        self._party = party
        self._open: dict[str, Packet | None] = {}
        self._told: dict[str, str] = {}  # why there can be no quick mode for a child, as long as that is no news

    def __bool__(self) -> bool:
        return bool(self._open)

    def __contains__(self, key: str) -> bool:
        return key in self._open

    def want(self, child: Child, packet: Packet | None) -> None:
        """SAs for it, as soon as they can be."""
        if not self._lacks_address:
            self._begin(child, packet)
            return
        self._open[child.id] = packet
        if not self._party.association.reachable:
            self._party.association.renew()

    @property
    def _lacks_address(self) -> bool:
        access = special_of(self._party.first).access
        return isinstance(access, Client) and bool(access.versions or access.pushed) and not self._party.given_to_us

    def _begin(self, child: Child, packet: Packet | None) -> None:
        if packet is not None and not self._party.carries(child.id, None):
            # Whose sender has chosen its address before there was one from the gateway: it can't go by these SAs, but
            # those behind it will.
            packet = as_of(packet, self._party.given_to_us)
        try:
            found = ends_of(child, packet, self._party.given_to_us, self._party.leased)
        except NotOurs:
            self._open[child.id] = packet
            self._core.after(limits.GIVEN_ADDRESS, lambda: self._never_ours(child))
        except CannotBeSaid as why:
            self._cannot(child, str(why))
        else:
            self._party.begin(child.id, found)

    def _cannot(self, child: Child, reason: str) -> None:
        if self._told.get(child.id) != reason:
            self._told[child.id] = reason
            peer, _ = self._party.known(child.id)
            telling.child_failed(self._core, "child-failed", peer, child, reports.ME, reason)
        self._core.wanted.failed(child.id, reason)

    def _never_ours(self, child: Child) -> None:
        """An address that we were given hasn't become one of the rule's."""
        if child.id in self._open and child.id in self._party.children:
            packet = self._open.pop(child.id)
            try:
                ends_of(child, packet, self._party.given_to_us, self._party.leased)
            except CannotBeSaid as why:
                self._cannot(child, str(why))

    def go_on(self) -> None:
        """There may be an address now."""
        waiting, self._open = self._open, {}
        for key, packet in waiting.items():
            if key in self._party.children:
                self.want(self._party.children[key][1], packet)

    def change(self) -> None:
        """The configuration is new."""
        self._told.clear()
        self.go_on()

    def put_down(self, key: str, reason: str) -> None:
        if key in self._open:
            del self._open[key]
            self._core.emit(GiveUp(key, reason))

    def fail(self, reason: str) -> None:
        """None of them can be had."""
        for key in self.hand_in():
            self._core.wanted.failed(key, reason)

    def hand_in(self) -> dict[str, Packet | None]:
        """All of them, which somebody else has now."""
        waiting, self._open = self._open, {}
        return waiting
