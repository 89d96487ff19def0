"""All that goes on behind a phase 1: XAUTH and mode config, quick modes, what both ends tell each other, and whether
the peer is there."""

from __future__ import annotations

from typing import Protocol

from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.v1.informational import Informational
from ipsecd.ike.v1.message_ids import MessageIds
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.presence import ANSWERS, Presence
from ipsecd.ike.v1.quick_modes import Done, Failed, Granting, QuickModes
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.transactions import Answer, Transactions
from ipsecd.ike.v1.transactions import Done as TransactionDone
from ipsecd.wire import ikev1, registry_v1
from ipsecd.wire.ikev1_payloads import Attributes, Delete, Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType

GONE = "the peer isn't there any more"


class Owner(Granting, Protocol):
    """Whose ISAKMP SA it is."""

    @property
    def admitted(self) -> bool:
        """Whether there may be quick modes: XAUTH and mode config are through."""

    def take(self, said: Attributes) -> Answer:
        """As of ``transactions.Take``."""

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        """The peer has ended the SAs that we send by with these SPIs, and so those that it sends by."""

    def alone(self) -> None:
        """The peer has nothing of what was made with it before this ISAKMP SA."""

    def ended(self, reason: str) -> None:
        """The ISAKMP SA is over, and nothing more is begun by it."""

    def lost(self) -> None:
        """The same, as the peer doesn't answer whether it's there."""


class Exchanges:
    """``terms`` are what the peer may have. After ``idle`` seconds without a word of the peer's it's asked whether it
    is there, if it's one that answers that (RFC 3706 section 5.1)."""

    def __init__(self, core: Core, sa: IsakmpSa, terms: tuple[QuickTerms, ...], owner: Owner, idle: float) -> None:
        self._sa = sa
        self._owner = owner
        self.over = False
        self._farewell = False  # the peer isn't told yet that it's over
        ids = MessageIds(core)
        self._told = Informational(core, sa, ids, self)
        self._modes = QuickModes(core, sa, ids, terms, owner, self._tell)
        self._transactions = Transactions(core, sa, ids, owner.take)
        answers = ANSWERS.data in sa.vendor_ids
        self._presence = Presence(core, idle, self._ask, self._lost) if answers else None

    def begin(self, terms: QuickTerms, ends: Ends, done: Done, failed: Failed) -> None:
        """A quick mode of ours."""
        if self.over:
            failed("the ISAKMP SA is over")
            return
        self._modes.begin(terms, ends, done, failed)

    def transact(self, said: Attributes, done: TransactionDone, failed: Failed) -> None:
        """A REQUEST or a SET of ours."""
        if not self.over:
            self._transactions.begin(said, done, failed)

    @property
    def begun(self) -> int:
        """Quick modes that aren't over."""
        return len(self._modes)

    @property
    def exhausted(self) -> bool:
        """Whether there have been as many as there may be."""
        return self._modes.exhausted

    @property
    def answering(self) -> bool:
        """Whether there are quick modes that aren't over, or whose last message may be asked for again."""
        return self._modes.kept

    def allow(self, terms: tuple[QuickTerms, ...]) -> None:
        """What the peer may have from now on."""
        self._modes.terms = terms

    def hear(self, message: ikev1.Message) -> None:
        """A message of the peer's behind phase 1. PeerError or Refused with the reason why it has no effect."""
        if not message.header.belongs_to(self._sa.cookies):
            raise PeerError("unknown-ike-spi", "not the cookies of this ISAKMP SA")
        told = message.header.exchange == Exchange.INFORMATIONAL
        if self.over:
            self._hear_last(message, told=told)
        elif message.header.exchange == Exchange.TRANSACTION:
            self._transactions.hear(message)
        elif message.header.exchange == Exchange.QUICK and not self._owner.admitted:
            raise PeerError("not-through", "a quick mode before XAUTH or mode config is through")
        elif message.header.exchange == Exchange.QUICK or (told and self._modes.awaits_word(message.header.message_id)):
            self._modes.hear(message)
        elif told:
            self._told.hear(message)
        else:
            raise PeerError("wrong-exchange", f"{message.header.exchange} behind phase 1")
        self.heard()

    def _hear_last(self, message: ikev1.Message, *, told: bool) -> None:
        """Deletes alone are answered and waited for beyond the end."""
        deletes = self._told.deletes
        if told and deletes.awaits(message.header.message_id):
            deletes.hear(message)
            return
        if told:
            deletes.repeat(message)
        raise PeerError("isakmp-sa-over")

    def heard(self) -> None:
        """The peer is there: a packet of its came in by an SA that was made here."""
        if self._presence is not None and not self.over:
            self._presence.heard()

    def doubt(self) -> None:
        """Whether the peer is there isn't sure any more."""
        if self._presence is not None and not self.over:
            self._presence.doubt()

    def used(self, spi: bytes) -> None:
        """The first packet came in by this SPI of ours."""
        self._modes.used(spi)

    def delete(self, *deletes: Delete) -> None:
        """Tell the peer that SAs which it sends by, with SPIs of ours, are no more."""
        self._told.delete(*deletes)

    def end(self, reason: str) -> None:
        """Tell the peer that the ISAKMP SA is no more, and end it. Windows is told when it has answered what was told
        before."""
        if not self.over:
            self._farewell = True
            self._finish(reason)
            self._owner.ended(reason)

    def forget(self, reason: str) -> None:
        """End it without a word: the peer knows it no more."""
        if not self.over:
            self._told.deletes.stop()
            self._finish(reason)
            self._owner.ended(reason)

    # --- what the peer says ---

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        left = tuple(spi for spi in dict.fromkeys(spis) if not self._modes.deleted(spi))
        if left:
            self._owner.deleted(protocol, left)

    def ended(self) -> None:
        self.forget("the peer has ended the ISAKMP SA")

    def refused(self, notify: Notify) -> None:
        self._modes.refused(notify)

    def alone(self) -> None:
        self._owner.alone()

    def alive(self, sequence: int) -> None:
        if self._presence is not None:
            self._presence.answered(sequence)

    def settled(self) -> None:
        if self.over:
            self._leave()

    # --- the end ---

    def _tell(self, what: Notify | Delete) -> None:
        if isinstance(what, Delete):
            self._told.delete(what)
        else:
            self._told.say(what)

    def _ask(self, sequence: int) -> None:
        self._told.about_us(NotifyType.R_U_THERE, sequence)

    def _lost(self) -> None:
        self._told.deletes.stop()
        self._finish(GONE)
        self._owner.lost()

    def _finish(self, reason: str) -> None:
        self.over = True
        if self._presence is not None:
            self._presence.stop()
        self._modes.stop(reason)
        self._transactions.stop()
        self._leave()

    def _leave(self) -> None:
        """Keys are kept as long as an answer is waited for."""
        if self._told.deletes.open:
            return
        if self._farewell:
            self._farewell = False
            self._told.delete(Delete(registry_v1.Protocol.ISAKMP, (self._sa.spi,)))
            if self._told.deletes.open:
                return
        self._sa.keys.wipe()
