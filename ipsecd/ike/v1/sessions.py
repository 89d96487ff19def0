"""The ISAKMP SAs with one peer: which one is used, what comes after one whose lifetime ends, and which isn't needed.

A new one takes the place of those that were there when its phase 1 was begun, and their children go over to it. Two
whose phase 1s have crossed both stay: each side may see the other one as the newer. So do those that have made all that
they may, for what they have made. One that isn't of use yet takes no other's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ipsecd import limits
from ipsecd.ike.core import Core
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.live_pair import LivePair
from ipsecd.ike.v1.session import Session
from ipsecd.wire import ikev1

_REASON_TOO_MANY = "there are too many with this peer"
_REASON_REPLACED = "another has taken its place"
_REASON_SPENT = "it makes no more SAs, and none of those it has made is left"


class Sessions:
    """``core`` and ``children`` are those of the association."""

    def __init__(self, core: Core, children: Children) -> None:
        self._core = core
        self._children = children
        self._by_cookies: dict[tuple[bytes, bytes], Session] = {}  # also those that have ended lately
        self._live: list[Session] = []  # the newest last

    def __iter__(self) -> Iterator[Session]:
        """Those that aren't over, the newest last."""
        return iter(tuple(self._live))

    def __bool__(self) -> bool:
        return bool(self._live)

    @property
    def known(self) -> bool:
        """Whether there is one, or has been one lately."""
        return bool(self._by_cookies)

    def knows(self, cookie: bytes) -> bool:
        """Whether it's one of ours of those."""
        return cookie in (session.cookie for session in self._by_cookies.values())

    def of(self, header: ikev1.Header) -> Session | None:
        return self._by_cookies.get((header.cookie_i, header.cookie_r))

    @property
    def usable(self) -> Session | None:
        """The newest by which a quick mode of ours may go."""
        return next((each for each in reversed(self._live) if each.usable), None)

    @property
    def newest(self) -> Session | None:
        """Of those that aren't over."""
        return next((each for each in reversed(self._live) if each.admitted and not each.over), None)

    @property
    def coming(self) -> bool:
        """Whether one is to be of use soon."""
        return any(not each.admitted and not each.over for each in self._live)

    def enter(self, new: Session) -> None:
        """Phase 1 is through."""
        others = [each for each in self._live if not each.admitted]
        self._live.append(new)
        self._by_cookies[new.sa.cookies] = new
        if len(others) >= limits.MAX_NOT_ADMITTED:
            others[0].end(_REASON_TOO_MANY)

    def admit(self, new: Session) -> None:
        """It's of use now. Those that aren't yet drive out none that is, and no new one itself."""
        others = [each for each in self._live if each.admitted and each is not new]
        if len(others) >= limits.MAX_IKE_SAS_PER_PEER:
            others[0].end(_REASON_TOO_MANY)
        for old in tuple(self._live):
            if old is not new and old.since < new.begun and not old.spent:
                self._succeed(old, new)

    def _succeed(self, old: Session, new: Session) -> None:
        """Who has made the new one ends the old one, when nothing is said by it any more."""
        for live in self._children:
            if live.session is old:
                live.session = new
        if new.sa.initiator:
            self._core.after(limits.REPLACED_ISAKMP, lambda: self._end_replaced(old))

    def _end_replaced(self, old: Session) -> None:
        if old.needed:
            self._core.after(limits.REPLACED_ISAKMP, lambda: self._end_replaced(old))
        else:
            old.end(_REASON_REPLACED)

    def leave(self, session: Session) -> None:
        """It's over. Its last words are answered for a while."""
        self._live.remove(session)
        self._core.after(limits.QUICK_MODE_KEPT, partial(self._by_cookies.__delitem__, session.sa.cookies))

    def forget_before(self, session: Session, reason: str) -> None:
        """The peer has nothing of what was there when the phase 1 of this one was begun."""
        for each in self:
            if each is not session and each.since < session.begun:
                each.forget(reason)

    def end_spent(self) -> None:
        """Those that make no more, and have nothing left."""
        used = {live.session for live in self._children}
        for session in self:
            if session.spent and not session.busy and session not in used:
                session.end(_REASON_SPENT)

    def end_others(self, session: Session, reason: str) -> None:
        """Those of use, but for this one."""
        for each in self:
            if each is not session and each.admitted:
                each.end(reason)

    def tell(self, live: LivePair) -> None:
        """The peer is told that a pair is no more, by the session that it belongs to, else by the newest."""
        session = self.newest if live.session.over else live.session
        if session is not None:
            session.delete(live.pair)
