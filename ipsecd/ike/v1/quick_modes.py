"""The quick modes of one ISAKMP SA, of which several go on at once, each with a message ID of its own (RFC 2409 section
5.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.core import Core
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_initiator import QuickInitiator
from ipsecd.ike.v1.quick_responder import QuickResponder
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Delete, Notify
from ipsecd.wire.registry_v1 import NotifyType

Done = Callable[[ChildPair], None]
Failed = Callable[[str], None]


class Granting(Protocol):
    """Who is told of what the peer begins."""

    def may_begin(self) -> bool:
        """Whether the peer may have one more by this ISAKMP SA. Refused if it may have no more at all."""

    def making(self, pair: ChildPair) -> None:
        """It leads to this if the peer goes on; ``made`` or ``withdrawn`` follows."""

    def made(self, pair: ChildPair) -> None:
        """It has led to this, whose outbound half is to be opened."""

    def withdrawn(self, pair: ChildPair, reason: str) -> None:
        """It has come to nothing."""


class QuickModes:
    """``terms`` are what the peer may have, in order. ``say`` tells it what is refused, or is no more."""

    def __init__(
        self,
        core: Core,
        sa: IsakmpSa,
        ids: MessageIds,
        terms: tuple[QuickTerms, ...],
        granting: Granting,
        say: Callable[[Notify | Delete], None],
    ) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self.terms = terms
        self._granting = granting
        self._say = say
        self._ours: dict[int, QuickInitiator] = {}
        self._theirs: dict[int, QuickResponder] = {}

    def __len__(self) -> int:
        """Those that aren't over."""
        return sum(not each.over for each in self._all())

    @property
    def exhausted(self) -> bool:
        """Whether the ISAKMP SA has had all the exchanges that it may have."""
        return self._ids.exhausted

    @property
    def kept(self) -> bool:
        """Whether there are some that aren't over, or that still say their last message again."""
        return bool(self._ours or self._theirs)

    def begin(self, terms: QuickTerms, ends: Ends, done: Done, failed: Failed) -> None:
        """One of ours. ``failed`` at once if the ISAKMP SA has had all the exchanges that it may have."""
        if self.exhausted:
            failed("the ISAKMP SA has had too many exchanges and must be replaced")
            return
        id_ = self._ids.fresh()

        def over(reason: str) -> None:
            self._ours.pop(id_, None)
            failed(reason)

        def ended(pair: ChildPair) -> None:
            self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(id_))
            done(pair)

        self._ours[id_] = QuickInitiator(self._core, self._sa, terms, ends, id_, ended, over)

    def hear(self, message: ikev1.Message) -> None:
        """A message of a quick mode. PeerError or Refused with the reason why it has no effect."""
        id_ = message.header.message_id
        known = self._ours.get(id_) or self._theirs.get(id_)
        if known is not None:
            known.hear(message)
            return
        self._ids.check(id_)
        if len(self._theirs) >= limits.MAX_QUICK_MODES:
            raise PeerError("too-many-exchanges", "of one ISAKMP SA, at once")
        self._take(id_, message)

    def awaits_word(self, id_: int) -> bool:
        """Whether an informational exchange with this message ID may be the last word of a quick mode of ours."""
        ours = self._ours.get(id_)
        return ours is not None and ours.waits_for_word

    def _take(self, id_: int, message: ikev1.Message) -> None:
        def over(pair: ChildPair, reason: str) -> None:
            self._theirs.pop(id_, None)
            self._granting.withdrawn(pair, reason)

        def ended(pair: ChildPair) -> None:
            self._theirs.pop(id_, None)
            self._granting.made(pair)

        quick = QuickResponder(self._core, self._sa, self.terms, message, ended, over, self._say)
        self._ids.use(id_)
        try:
            pair = self._granted(quick)
        except (PeerError, Refused) as error:
            if error.notify is not None:
                self._say(quick.refusal(NotifyType(error.notify)))
            raise
        self._theirs[id_] = quick
        self._granting.making(pair)

    def _granted(self, quick: QuickResponder) -> ChildPair:
        if not self._granting.may_begin():
            detail = "this ISAKMP SA makes no more SAs: the next need another"
            raise Refused("isakmp-sa-spent", detail, notify=NotifyType.NO_PROPOSAL_CHOSEN)
        return quick.answer()

    def used(self, spi: bytes) -> None:
        """A packet came in by this SPI of ours: who waits for a last message to be sure of the peer can be."""
        for each in self._all():
            if spi in each.spis:
                each.used()

    def deleted(self, spi: bytes) -> bool:
        """The peer has ended what it would receive by with this SPI; whether a quick mode was to lead to that."""
        found = [each for each in self._theirs.values() if not each.over and spi in each.spis]
        for each in found:
            each.fail("the initiator has given it up")
        return bool(found)

    def refused(self, notify: Notify) -> None:
        """The peer has proved that it gives something up. PeerError("refusal-of-nothing") unless it says the SPI of a
        quick mode that isn't over, or says none, which strongSwan writes as zeros, and we have one that is."""
        pending = [each for each in self._all() if not each.over]
        meant = [each for each in pending if notify.spi in each.spis]
        if not meant and (notify.spi == self._sa.spi or not any(notify.spi)):
            meant = [each for each in self._ours.values() if not each.over]
        if len(meant) != 1:
            raise PeerError("refusal-of-nothing", str(notify.type))
        meant[0].fail(f"the peer says {notify.type}")

    def stop(self, reason: str) -> None:
        """The ISAKMP SA is gone: what isn't over comes to nothing."""
        for each in self._all():
            each.fail(reason)
        self._ours.clear()
        self._theirs.clear()

    def _all(self) -> tuple[QuickInitiator | QuickResponder, ...]:
        return (*self._ours.values(), *self._theirs.values())

    def _forget(self, id_: int) -> None:
        self._ours.pop(id_, None)
