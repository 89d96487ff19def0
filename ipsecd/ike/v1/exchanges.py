"""All that goes on behind a phase 1: quick modes, what both ends tell each other, and whether the peer is there."""

from __future__ import annotations

from typing import Protocol

from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.informational import Informational
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.presence import ANSWERS, Presence
from ipsecd.ike.v1.quick_modes import Done, Failed, QuickModes
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire import ikev1, registry_v1
from ipsecd.wire.ikev1_payloads import Delete, Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType


class Owner(Protocol):
    """Whose ISAKMP SA it is."""

    def made(self, pair: ChildPair) -> None:
        """The peer has begun a quick mode, and this is what it has led to."""

    def failed(self, reason: str) -> None:
        """The peer has begun one, which came to nothing."""

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        """The peer has ended the SAs that we send by with these SPIs, and so those that it sends by."""

    def ended(self, reason: str) -> None:
        """The ISAKMP SA is over, and nothing more is said by it."""


class Exchanges:
    """``terms`` are what the peer may have. After ``idle`` seconds without a word of the peer's it's asked whether it
    is there, if it's one that answers that (RFC 3706 section 5.1)."""

    def __init__(self, core: Core, sa: IsakmpSa, terms: tuple[QuickTerms, ...], owner: Owner, idle: float) -> None:
        self._sa = sa
        self._owner = owner
        self._over = False
        ids = MessageIds(core)
        self._told = Informational(core, sa, ids, self)
        self._modes = QuickModes(core, sa, ids, terms, owner.made, owner.failed, self._told.say)
        answers = ANSWERS.data in sa.vendor_ids
        self._presence = Presence(core, idle, self._ask, self._lost) if answers else None

    def begin(self, terms: QuickTerms, ends: Ends, done: Done, failed: Failed) -> None:
        """A quick mode of ours."""
        if self._over:
            failed("the ISAKMP SA is over")
            return
        self._modes.begin(terms, ends, done, failed)

    @property
    def begun(self) -> int:
        """Quick modes that aren't over."""
        return len(self._modes)

    def hear(self, message: ikev1.Message) -> None:
        """A message of the peer's behind phase 1. PeerError or Refused with the reason why it has no effect."""
        if not message.header.belongs_to(self._sa.cookies):
            raise PeerError("unknown-ike-spi", "not the cookies of this ISAKMP SA")
        if self._over:
            raise PeerError("isakmp-sa-over")
        if message.header.exchange == Exchange.QUICK:
            self._modes.hear(message)
        elif message.header.exchange == Exchange.INFORMATIONAL:
            self._told.hear(message)
        else:
            raise PeerError("wrong-exchange", f"{message.header.exchange} behind phase 1")
        self.heard()

    def heard(self) -> None:
        """The peer is there: a packet of its came in by an SA that was made here."""
        if self._presence is not None and not self._over:
            self._presence.heard()

    def delete(self, protocol: registry_v1.Protocol, *spis: bytes) -> None:
        """Tell the peer that SAs which it sends by, with SPIs of ours, are no more."""
        self._told.say(Delete(protocol, spis))

    def end(self, reason: str) -> None:
        """Tell the peer that the ISAKMP SA is no more, and end it."""
        if not self._over:
            self._told.say(Delete(registry_v1.Protocol.ISAKMP, (self._sa.spi,)))
            self._finish(reason)

    # --- what the peer says ---

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        self._owner.deleted(protocol, spis)

    def ended(self) -> None:
        self._finish("the peer has ended the ISAKMP SA")

    def refused(self, notify: Notify) -> None:
        self._modes.refused(notify)

    def alive(self, sequence: int) -> None:
        if self._presence is not None:
            self._presence.answered(sequence)

    # --- the end ---

    def _ask(self, sequence: int) -> None:
        self._told.about_us(NotifyType.R_U_THERE, sequence)

    def _lost(self) -> None:
        self._finish("the peer isn't there any more")

    def _finish(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        if self._presence is not None:
            self._presence.stop()
        self._modes.stop(reason)
        self._sa.keys.wipe()
        self._owner.ended(reason)
