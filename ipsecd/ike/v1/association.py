"""All that there is with one peer by IKEv1: its ISAKMP SAs, the phase 1s that lead to them, and the SAs of its traffic.

An ISAKMP SA is there to make SAs and to end them, to say so, and to see whether the peer is there. What was made by one
outlives it and is rekeyed by the next.
"""

from __future__ import annotations

from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.v1.calls import Caller, Calls
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.consequences import Consequences
from ipsecd.ike.v1.holder import Holder, Wish
from ipsecd.ike.v1.lending import Lending
from ipsecd.ike.v1.live_pair import LivePair
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.session import Session, Settings
from ipsecd.ike.v1.sessions import Sessions
from ipsecd.ike.v1.whereabouts import Whereabouts
from ipsecd.ike.v1.wishes import Wishes
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange

_PHASE_1 = (Exchange.MAIN, Exchange.AGGRESSIVE)


class Association:
    """``caller`` begins a phase 1 with the peer; None: it has to call us. All methods are parts of a turn: effects are
    left in ``core``."""

    def __init__(self, core: Core, settings: Settings, caller: Caller | None, holder: Holder) -> None:
        self._core = core
        self._settings = settings
        self._children = Children(core, settings.terms, holder, self._ask, self._tell, self._tidy)
        self._sessions = Sessions(core, self._children)
        self._wishes = Wishes(core, caller, self._children, self._sessions, holder, self._established)
        self._calls = self._wishes.calls
        self._lending = Lending(self._children, self._sessions)
        self._whereabouts = Whereabouts(self._children, self._sessions, settings.within)
        self._owner = Consequences(
            self._children, self._sessions, self._wishes, self._lending, self._whereabouts, holder
        )

    # --- what there is ---

    @property
    def isakmp_sas(self) -> tuple[IsakmpSa, ...]:
        """Those that are of use, the newest last."""
        return tuple(session.sa for session in self._sessions if session.admitted)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that aren't over, the newest last; also those that are to be of use soon."""
        return tuple(self._sessions)

    @property
    def calls(self) -> Calls:
        return self._calls

    @property
    def reachable(self) -> bool:
        """Whether there is an ISAKMP SA by which a quick mode may go, or one is to come."""
        return self._sessions.usable is not None or self._sessions.coming or self._calls.calling

    def knows(self, cookie: bytes) -> bool:
        """Whether a message with this cookie of ours may mean something here."""
        return self._calls.knows(cookie) or self._sessions.knows(cookie)

    def pursues(self, child: str) -> bool:
        """Whether SAs of this child are wanted, or being made."""
        return self._children.pursues(child)

    @property
    def pairs(self) -> tuple[LivePair, ...]:
        """Those that receive; replaced ones among them."""
        return tuple(self._children)

    @property
    def path(self) -> Path | None:
        """The last one along which the peer has proved that it's there; None if it hasn't yet."""
        return self._whereabouts.path

    @property
    def empty(self) -> bool:
        """Whether there is nothing, nothing is to come, and nothing of what was is still answered."""
        return not (self._sessions.known or self._children or self._wishes or self._calls.calling)

    # --- commands ---

    def want(self, terms: QuickTerms, ends: Ends) -> None:
        """SAs for this traffic, if it has none."""
        self._children.want(terms, ends)

    def put_down(self, child: str, reason: str) -> None:
        """No SAs for this child any more."""
        self._children.put_down(child, reason)
        self._wishes.take_back(child, reason)

    def rekey(self, child: str) -> None:
        """A quick mode now for all that this child has."""
        self._children.rekey(child)

    def renew(self) -> None:
        """A phase 1 now."""
        self._wishes.call()

    def reconfigure(self, settings: Settings) -> None:
        """What the policy says now. SAs of children that it doesn't have any more end."""
        self._settings = settings
        self._whereabouts.within = settings.within
        for session in self._sessions:
            session.reconfigure(settings)
        self._children.reconfigure(settings.terms)

    def close(self, reason: str) -> None:
        """All ends, and the peer is told once."""
        self._calls.drop()
        self._wishes.fail(reason)
        self._children.close(reason)
        for session in self._sessions:
            session.end(reason)
        self._lending.take_back()

    # --- datagrams ---

    def join(self, sa: IsakmpSa, begun: float) -> None:
        """A phase 1 that the peer has begun then is through."""
        self._calls.crossed()
        self._established(sa, begun)

    def hear(self, message: ikev1.Message, path: Path) -> Session | None:
        """A message with cookies of ours; the session by which it's authentic, if it's behind phase 1. PeerError or
        Refused with the reason why it has no effect."""
        session = self._sessions.of(message.header)
        if session is None or message.header.exchange in _PHASE_1:
            self._calls.hear(message, path)
            return None
        self._whereabouts.hears(session, path)
        session.hear(message)
        self._wishes.heard()
        return session

    def forget_before(self, begun: float, reason: str) -> None:
        """The peer has nothing of what was there then."""
        for session in self._sessions:
            if session.since < begun:
                session.forget(reason)
        self._children.cut_off(reason, before=begun)

    def woke(self) -> None:
        """This machine has slept: is the peer still there?"""
        for session in self._sessions:
            session.doubt()

    def having(self, spi: bytes) -> tuple[LivePair, ...]:
        """The pair with this inbound SPI."""
        return self._children.of((spi,))

    # --- what the data plane tells ---

    def soft_expired(self, spis: tuple[bytes, ...]) -> None:
        """The pairs with these inbound SPIs have reached a soft limit."""
        for live in self._children.of(spis):
            live.reach_soft()

    def hard_expired(self, spis: tuple[bytes, ...]) -> None:
        """The pairs with these inbound SPIs have reached a hard limit."""
        self._children.lost(spis, "its lifetime is over")

    def lost(self, spis: tuple[bytes, ...], reason: str) -> None:
        """The data plane couldn't install the pairs with these inbound SPIs, or has lost them."""
        self._children.lost(spis, reason)

    def inbound_used(self, spi: bytes) -> None:
        """The first good packet came in by this SPI."""
        for session in self._sessions:
            session.used(spi)
        self.alive((spi,))

    def alive(self, spis: tuple[bytes, ...]) -> None:
        """Authentic packets came in by these SPIs lately."""
        self._wishes.heard()
        self._children.heard(spis)
        for session in self._sessions:
            session.heard()

    def moved(self, spi: bytes, path: Path) -> None:
        """An authentic and new packet came in by this SPI, along another path than the last one."""
        self.alive((spi,))
        for live in self._children.of((spi,)):
            if live.pair.path.natt:
                self._whereabouts.heard(live.session, path)

    def used(self, spis: tuple[bytes, ...]) -> None:
        """Packets went by the pairs with these inbound SPIs lately, in one of both directions."""
        self._children.used(spis)

    # --- what phase 1s and children tell ---

    def _established(self, sa: IsakmpSa, begun: float) -> None:
        session = Session(self._core, sa, begun, self._settings, self._owner)
        self._wishes.heard()
        self._whereabouts.established(session)
        self._sessions.enter(session)
        if not session.over:
            session.begin_access()

    def _ask(self, wish: Wish) -> None:
        self._wishes.ask(wish)

    def _tell(self, live: LivePair) -> None:
        self._sessions.tell(live)

    def _tidy(self) -> None:
        """A pair has ended; whoever ended it may have more to say."""

        def tidy() -> None:
            self._sessions.end_spent()
            self._lending.take_back()

        self._core.after(0.0, tidy)
