"""What follows from what the sessions with one peer tell, for all else that there is with it."""

from __future__ import annotations

from ipsecd import limits
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.exchanges import GONE
from ipsecd.ike.v1.holder import Holder
from ipsecd.ike.v1.lending import Lending
from ipsecd.ike.v1.session import Session
from ipsecd.ike.v1.sessions import Sessions
from ipsecd.ike.v1.whereabouts import Whereabouts
from ipsecd.ike.v1.wishes import Wishes
from ipsecd.wire import registry_v1
from ipsecd.wire.mode_config import NetworkSettings


class Consequences:
    """The owner of sessions: each method as of ``session.SessionOwner``."""

    def __init__(
        self,
        children: Children,
        sessions: Sessions,
        wishes: Wishes,
        lending: Lending,
        whereabouts: Whereabouts,
        holder: Holder,
    ) -> None:
        self._children = children
        self._sessions = sessions
        self._wishes = wishes
        self._lending = lending
        self._whereabouts = whereabouts
        self._holder = holder
        self._user: str | None = None  # who has come in last

    def admitted(self, session: Session) -> None:
        self._wishes.reached()
        self._whereabouts.admitted(session)
        if self._user is not None and self._user != session.sa.user:
            reason = "another user has come in"  # nothing of one is another's
            self._children.cut_off(reason)
            self._sessions.end_others(session, reason)
        self._user = session.sa.user
        self._sessions.admit(session)
        self._holder.established(session.sa)
        self._lending.take_back()
        if session.peer_alone:
            self.alone(session)
        if session.sa.initiator:
            self._see_whether_they_are_there(session)
        self._wishes.serve()

    def _see_whether_they_are_there(self, session: Session) -> None:
        """SAs without an ISAKMP SA, as the peer has ended it: it may have ended them, too, in a message that was lost.
        That is seen by having them anew."""
        for live in tuple(self._children):
            if live.session.over:
                live.session = session
                live.reach_soft()

    def configured(self, session: Session, settings: NetworkSettings) -> None:
        self._holder.configured(session.sa, settings)

    def making(self, pair: ChildPair) -> None:
        self._children.making(pair)

    def made(self, session: Session, pair: ChildPair) -> None:
        self._children.made(session, pair)

    def withdrawn(self, session: Session, pair: ChildPair, reason: str) -> None:
        newest = self._sessions.newest
        if session.over and newest is not None:  # which the peer has perhaps ended before it knew that this isn't made
            newest.delete(pair)
        self._holder.failed(pair.terms, pair.ends, reason)
        self._children.withdrawn(pair)

    def deleted(self, protocol: registry_v1.Protocol, spis: tuple[bytes, ...]) -> None:
        self._children.deleted(protocol, spis)

    def alone(self, session: Session) -> None:
        """What was made while its phase 1 went on isn't what the peer has forgotten."""
        reason = "the peer has begun anew"
        self._sessions.forget_before(session, reason)
        self._children.cut_off(reason, before=session.begun)

    def over(self, session: Session, reason: str) -> None:
        self._leave(session, reason)
        if session.admitted:
            self._wishes.lost_one()

    def gone(self, session: Session) -> None:
        self._leave(session, GONE)
        if not self._sessions:
            self._children.cut_off(GONE)

    def _leave(self, session: Session, reason: str) -> None:
        self._sessions.leave(session)
        self._lending.lend(session)
        if session.admitted:
            self._holder.ended(session.sa, reason)
        else:
            self._holder.turned_away(session.sa, reason)
            self._wishes.turned_away(reason)

    def due(self, session: Session) -> None:
        self._wishes.renew(session)

    def exhausted(self) -> None:
        self._wishes.exhausted()

    @property
    def has_room(self) -> bool:
        return self._children.count < limits.MAX_REKEYED_PER_IKE_SA
