"""All quick modes of one ISAKMP SA, told apart by their message IDs (RFC 2409 section 5.5)."""

from __future__ import annotations

from collections.abc import Callable

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
from ipsecd.wire.ikev1_payloads import Notify
from ipsecd.wire.registry_v1 import NotifyType

Done = Callable[[ChildPair], None]
Failed = Callable[[str], None]


class QuickModes:
    """``done`` and ``failed`` are for what the peer begins; ``terms`` are what it may have, in order. ``say`` tells the
    peer what is refused."""

    def __init__(
        self,
        core: Core,
        sa: IsakmpSa,
        ids: MessageIds,
        terms: tuple[QuickTerms, ...],
        done: Done,
        failed: Failed,
        say: Callable[[Notify], None],
    ) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self._terms = terms
        self._done = done
        self._failed = failed
        self._say = say
        self._ours: dict[int, QuickInitiator] = {}
        self._theirs: dict[int, QuickResponder] = {}

    def __len__(self) -> int:
        """Those that aren't over."""
        return sum(not each.over for each in self._all())

    def begin(self, terms: QuickTerms, ends: Ends, done: Done, failed: Failed) -> None:
        """One of ours. ``failed`` at once if the ISAKMP SA has had all the exchanges that it may have."""
        if self._ids.exhausted:
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

    def _take(self, id_: int, message: ikev1.Message) -> None:
        def over(reason: str) -> None:
            self._theirs.pop(id_, None)
            self._failed(reason)

        def ended(pair: ChildPair) -> None:
            self._theirs.pop(id_, None)
            self._done(pair)

        quick = QuickResponder(self._core, self._sa, self._terms, message, ended, over)
        self._ids.use(id_)
        try:
            quick.answer()
        except (PeerError, Refused) as error:
            if error.notify is not None:
                self._say(quick.refusal(NotifyType(error.notify)))
            raise
        self._theirs[id_] = quick

    def refused(self, notify: Notify) -> None:
        """The peer has proved that it gives something up. PeerError("refusal-of-nothing") unless it says the SPI of a
        quick mode that isn't over, or says none and we have one that is."""
        pending = [each for each in self._all() if not each.over]
        meant = [each for each in pending if notify.spi in each.spis]
        if not meant and notify.spi in (b"", self._sa.spi):
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
