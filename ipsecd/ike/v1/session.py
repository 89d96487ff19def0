"""One ISAKMP SA in use: how it comes to be of use, its exchanges, its lifetime, and how many quick modes it makes.

Until XAUTH and mode config are through, where there are any, there are no quick modes by it, and nothing that the peer
says touches what others have made.

One that has made all it may makes no more and stays for those it has made ([MS-IKEE] section 3.8.7.2). With a limit of
one each quick mode has a main mode of its own: master key PFS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Keepalive
from ipsecd.ike.keylog import log_isakmp_key
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.admission import access_of
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.exchanges import Exchanges
from ipsecd.ike.v1.lifespan import Lifespan
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_modes import Failed
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms, carried, for_addresses, not_carried
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire import ikev1, registry_v1
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.mode_config import NetworkSettings
from ipsecd.wire.registry_v1 import NotifyType
from ipsecd.wire.selector import Address, Selector

if TYPE_CHECKING:
    from ipsecd.ike.timers import Timer


@dataclass(frozen=True, slots=True)
class Settings:
    """What ISAKMP SAs with one peer are held to. ``terms`` are what it may have, in order. ``dpd``: it's asked whether
    it's there after so many seconds without a word. ``quick_modes`` that one of them makes; 0: no limit.
    ``access``: who comes in from elsewhere, if one of the two does. ``keylog``: their keys are reported for export.
    ``within``: to where a NAT may move the peer; None: anywhere."""

    terms: tuple[QuickTerms, ...]
    dpd: float = limits.DPD_IDLE
    quick_modes: int = 0
    access: Client | Gateway | None = None
    keylog: bool = False
    within: tuple[Selector, ...] | None = None


class SessionOwner(Protocol):
    """Who holds all that there is with one peer."""

    def admitted(self, session: Session) -> None:
        """It's of use now."""

    def configured(self, session: Session, settings: NetworkSettings) -> None:
        """As of ``access.Owner``."""

    def making(self, pair: ChildPair) -> None:
        """As of ``quick_modes.Granting``."""

    def made(self, session: Session, pair: ChildPair) -> None:
        """As of ``quick_modes.Granting``."""

    def withdrawn(self, session: Session, pair: ChildPair, reason: str) -> None:
        """As of ``quick_modes.Granting``."""

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        """As of ``exchanges.Owner``."""

    def alone(self, session: Session) -> None:
        """The peer has nothing of what was made before this session."""

    def over(self, session: Session, reason: str) -> None:
        """Nothing more is begun by it."""

    def gone(self, session: Session) -> None:
        """The same, as the peer doesn't answer whether it's there."""

    def due(self, session: Session) -> None:
        """Its lifetime ends soon."""

    def exhausted(self) -> None:
        """The peer wants more of a session than it makes."""

    @property
    def has_room(self) -> bool:
        """Whether the peer may have more pairs of SAs than there are."""


class Session:
    """``begun`` is when its phase 1 was."""

    def __init__(self, core: Core, sa: IsakmpSa, begun: float, settings: Settings, owner: SessionOwner) -> None:
        self._core = core
        self._owner = owner
        self.sa = sa
        self.begun = begun
        self.since = core.now
        self.settings = settings
        self._retired = False
        self._heard = core.now
        self._hearing = False
        self._made = 0
        self.peer_alone = sa.alone
        self._exchanges = Exchanges(core, sa, self._carried(settings.terms), self, settings.dpd)
        self._access = access_of(core, sa, settings.access, self._exchanges.transact, self)
        if settings.keylog:
            log_isakmp_key(core, sa.cookies[0], sa.keys.cipher)
        self._lifespan = Lifespan(core, sa, lambda: owner.due(self), lambda: self.end("its lifetime is over"))
        self._keepalive: Timer | None = None
        if sa.nat is not None and sa.nat.here and sa.path.natt:
            self._keepalive = core.after(limits.NAT_KEEPALIVE, self._keep_alive)

    def begin_access(self) -> None:
        """XAUTH and mode config, if there are any; ``admitted`` or ``over`` of the owner follows, perhaps at once."""
        self._access.begin()

    @property
    def cookie(self) -> bytes:
        """Ours."""
        return self.sa.cookies[0 if self.sa.initiator else 1]

    @property
    def soft(self) -> float:
        """After how many seconds it's renewed."""
        return self._lifespan.soft

    @property
    def over(self) -> bool:
        return self._exchanges.over

    @property
    def admitted(self) -> bool:
        """Whether XAUTH and mode config are through."""
        return self._access.is_through

    @property
    def leased(self) -> tuple[Address, ...]:
        """The addresses that the peer has been given, and that aren't free yet."""
        return self._access.leased

    def release(self) -> None:
        """They are free."""
        self._access.release()

    @property
    def spent(self) -> bool:
        """Whether it has made, or is about to, all that it may."""
        return 0 < self.settings.quick_modes <= self._made + self._exchanges.begun

    @property
    def usable(self) -> bool:
        """Whether a quick mode of ours may go by it."""
        return self.admitted and not (self.over or self._retired or self.spent or self._exchanges.exhausted)

    @property
    def busy(self) -> bool:
        """Whether a quick mode goes on."""
        return self._exchanges.begun > 0

    @property
    def needed(self) -> bool:
        """Whether a quick mode goes on, or its last message may be asked for again."""
        return self._exchanges.answering

    def reconfigure(self, settings: Settings) -> None:
        self.settings = settings
        self._allow()

    def _allow(self) -> None:
        """Whoever has been given an address has SAs for it alone."""
        leased, terms = self.leased, self._carried(self.settings.terms)
        self._exchanges.allow(for_addresses(terms, leased) if leased else terms)

    def _carried(self, terms: tuple[QuickTerms, ...]) -> tuple[QuickTerms, ...]:
        able = (carried(self.sa, each) for each in terms)
        return tuple(each for each in able if each.suites)

    # --- what goes on ---

    def begin(self, terms: QuickTerms, ends: Ends, done: Callable[[Session, ChildPair], None], failed: Failed) -> None:
        """A quick mode of ours. A session by which nothing is heard all the time until it fails isn't used for another:
        the peer has perhaps forgotten it."""
        begun = self._core.now

        def made(pair: ChildPair) -> None:
            self._made += 1
            done(self, pair)

        def over(reason: str) -> None:
            if not self._hearing and self._core.now > begun >= self._heard:
                self._retired = True
            failed(reason)

        able = carried(self.sa, terms)
        if able.suites:
            self._exchanges.begin(able, ends, made, over)
        else:
            failed(not_carried(self.sa, terms))

    def hear(self, message: ikev1.Message) -> None:
        """PeerError or Refused as of ``Exchanges.hear``."""
        self._hearing = True
        try:
            self._exchanges.hear(message)
            self._heard = self._core.now
        finally:
            self._hearing = False

    def heard(self) -> None:
        """Packets of the peer's came in by SAs that were made with it."""
        self._exchanges.heard()

    def doubt(self) -> None:
        """The peer is asked now whether it's there."""
        self._exchanges.doubt()

    def used(self, spi: bytes) -> None:
        """The first packet came in by this SPI of ours."""
        self._exchanges.used(spi)

    def delete(self, pair: ChildPair) -> None:
        """Tell the peer that it is no more."""
        self._exchanges.delete(*pair.deletes())

    def end(self, reason: str) -> None:
        """Tell the peer, and end it."""
        self._exchanges.end(reason)

    def forget(self, reason: str) -> None:
        """End it without a word: the peer knows it no more."""
        self._exchanges.forget(reason)

    def _keep_alive(self) -> None:
        self._core.emit(Keepalive(self.sa.path))
        self._keepalive = self._core.after(limits.NAT_KEEPALIVE, self._keep_alive)

    # --- what its exchanges tell ---

    def take(self, said: Attributes) -> Answer:
        return self._access.take(said)

    def through(self) -> None:
        self.sa.user = self._access.user
        self._owner.admitted(self)

    def configured(self, settings: NetworkSettings) -> None:
        self._allow()
        self._owner.configured(self, settings)

    def refused(self, reason: str) -> None:
        self.end(reason)

    def may_begin(self) -> bool:
        if not self._owner.has_room:
            detail = "this peer has all the SAs it may have"
            raise Refused("too-many-children", detail, notify=NotifyType.NO_PROPOSAL_CHOSEN)
        if self.spent:
            self._owner.exhausted()
        return self.admitted and not self.spent

    def making(self, pair: ChildPair) -> None:
        self._owner.making(pair)

    def made(self, pair: ChildPair) -> None:
        self._made += 1
        self._owner.made(self, pair)

    def withdrawn(self, pair: ChildPair, reason: str) -> None:
        self._owner.withdrawn(self, pair, reason)

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        if not self.admitted:
            raise PeerError("not-through", "a delete before XAUTH or mode config is through")
        self._owner.deleted(protocol, spis)

    def alone(self) -> None:
        """What it says before it's through counts afterwards."""
        self.peer_alone = True
        if self.admitted:
            self._owner.alone(self)

    def ended(self, reason: str) -> None:
        self._stop()
        self._owner.over(self, self._access.complaint or reason)

    def lost(self) -> None:
        self._stop()
        self._owner.gone(self)

    def _stop(self) -> None:
        self._access.stop()
        self._lifespan.stop()
        if self._keepalive is not None:
            self._keepalive.cancel()
