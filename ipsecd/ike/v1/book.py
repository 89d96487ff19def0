"""The configuration as IKEv1 asks it: who may speak to us along a path, what they may have, and what a proof opens."""

from __future__ import annotations

from ipsecd.errors import Refused
from ipsecd.ike.config import Path, Peer, Version
from ipsecd.ike.core import Core
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.menu import Menu, special_of
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.rules import Rules
from ipsecd.wire.registry_v1 import NotifyType


class Book:
    """``rules`` and ``menu`` are those of ``core.config``."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.rules = Rules(core.config)
        self.menu = Menu(core.config)

    def configure(self) -> None:
        """The configuration is new."""
        self.rules, self.menu = Rules(self._core.config), self.menu.following(self._core.config)

    def candidates(self, path: Path) -> Candidates:
        """What who begins a phase 1 along this path may have. Refused if that is nothing."""
        found = self.menu.candidates(self._answered(self.rules.strangers(path)))
        if not found.terms:
            raise self._nobody(path)
        return found

    def _nobody(self, path: Path) -> Refused:
        barred = self.barred(path)
        if barred and not self._answered(self.rules.strangers(path)):
            return Refused("never-downgraded", barred)
        detail = "no rule names this address for IKEv1"
        return Refused("no-rule-for-peer", detail, notify=NotifyType.NO_PROPOSAL_CHOSEN)

    def barred(self, path: Path) -> str:
        """Why one of the rules for this path isn't for IKEv1 any more; empty if all are."""
        versions = self._core.versions
        others = (peer for peer in self.rules.strangers(path) if not versions.answers(peer, Version.IKEV1))
        first = next(others, None)
        return versions.never_downgraded(first.remote_id) if first is not None else ""

    def opened(self, sa: IsakmpSa) -> tuple[Peer, ...]:
        """All that who is at the other end of this ISAKMP SA has proved to be."""
        found = [peer for peer in self._answered(self.rules.callers(sa.path)) if self.menu.opens(peer, sa)]
        access = special_of(found[0]).access if found else None
        return tuple(peer for peer in found if special_of(peer).access == access)

    def _answered(self, peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
        """Those of them that are spoken to by IKEv1."""
        versions = self._core.versions
        return tuple(peer for peer in peers if versions.answers(peer, Version.IKEV1))
