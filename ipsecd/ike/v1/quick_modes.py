"""All quick modes of one ISAKMP SA, told apart by their message IDs (RFC 2409 section 5.5).

A message ID begins one exchange and no more: what is recorded and sent again leads to nothing. Only the IDs of messages
that are proved are remembered, so strangers can't use them up.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_initiator import QuickInitiator
from ipsecd.ike.v1.quick_responder import QuickResponder
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire import ikev1

Done = Callable[[ChildPair], None]
Failed = Callable[[str], None]


class MessageIds:
    """Those that an ISAKMP SA has had, of all its exchanges behind phase 1 and of both sides."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._used = {0}  # phase 1

    def __contains__(self, id_: int) -> bool:
        return id_ in self._used

    @property
    def exhausted(self) -> bool:
        """The SA has to be replaced."""
        return len(self._used) > limits.MAX_MESSAGE_IDS

    def fresh(self) -> int:
        """One for an exchange of ours."""
        while (id_ := int.from_bytes(self._core.entropy.octets(4), "big")) in self._used:
            pass
        self._used.add(id_)
        return id_

    def use(self, id_: int) -> None:
        """The peer has proved a message that begins an exchange."""
        self._used.add(id_)


class QuickModes:
    """``done`` and ``failed`` are for what the peer begins; ``terms`` are what it may have, in order."""

    def __init__(
        self, core: Core, sa: IsakmpSa, ids: MessageIds, terms: tuple[QuickTerms, ...], done: Done, failed: Failed
    ) -> None:
        self._core = core
        self._sa = sa
        self._ids = ids
        self._terms = terms
        self._done = done
        self._failed = failed
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
        """A message of a quick mode. PeerError or Refused with the reason why it has no effect; a ``notify`` of theirs
        may be told to the peer."""
        if not message.header.belongs_to(self._sa.cookies):
            raise PeerError("unknown-ike-spi", "not the cookies of this ISAKMP SA")
        id_ = message.header.message_id
        known = self._ours.get(id_) or self._theirs.get(id_)
        if known is not None:
            known.hear(message)
            return
        if id_ in self._ids:
            raise PeerError("message-id-replayed", "an exchange that is over, or phase 1")
        if self._ids.exhausted or len(self._theirs) >= limits.MAX_QUICK_MODES:
            raise PeerError("too-many-exchanges", "of one ISAKMP SA")
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
        quick.answer()
        self._theirs[id_] = quick

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
