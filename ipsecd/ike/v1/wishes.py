"""What waits for an ISAKMP SA, and the calls that lead to one: if something is wanted, before the last one ends, and if
it has ended while SAs are left, as only by one is it known whether the peer has them too."""

from __future__ import annotations

from collections import deque

from ipsecd import limits
from ipsecd.ike.core import Core
from ipsecd.ike.timers import back_off
from ipsecd.ike.v1.calls import Caller, Calls, Established
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.holder import Holder, Wish
from ipsecd.ike.v1.session import Session
from ipsecd.ike.v1.sessions import Sessions


class Wishes:
    """Of one peer, as all that it's given. ``calls`` are all phase 1s with it."""

    def __init__(
        self,
        core: Core,
        caller: Caller | None,
        children: Children,
        sessions: Sessions,
        holder: Holder,
        established: Established,
    ) -> None:
        self._core = core
        self._children = children
        self._sessions = sessions
        self._holder = holder
        self.calls = Calls(core, caller, established, self._unreached)
        self._open: deque[Wish] = deque()
        self._failures = 0
        self._heard = core.now

    def __bool__(self) -> bool:
        return bool(self._open)

    def ask(self, wish: Wish) -> None:
        self._open.append(wish)
        self.serve()

    def serve(self) -> None:
        """As far as there is an ISAKMP SA for it, or can be one."""
        while self._open and (session := self._sessions.usable) is not None:
            wish = self._open.popleft()
            session.begin(wish.terms, wish.ends, wish.done, wish.failed)
        if self._sessions.coming:
            return
        if self._open and self.calls.possible:
            self.call()
        elif self._open:
            self.fail("the peer has to call us")

    def fail(self, reason: str) -> None:
        wishes, self._open = self._open, deque()
        for wish in wishes:
            wish.failed(reason)

    def take_back(self, child: str, reason: str) -> None:
        """Those for this child aren't wanted any more, nor a call for them alone."""
        meant = [wish for wish in self._open if wish.terms.child == child]
        self._open = deque(wish for wish in self._open if wish.terms.child != child)
        for wish in meant:
            wish.failed(reason)
        if meant and not (self._open or self._sessions or self._children):
            self.calls.drop()

    def turned_away(self, reason: str) -> None:
        """What the peer doesn't let in once, it won't a moment later: who wants SAs has to want them again."""
        if self._sessions.usable is None and not self._sessions.coming and not self.calls.calling:
            self.fail(reason)

    # --- calls ---

    def heard(self) -> None:
        """Something authentic has come from the peer."""
        self._heard = self._core.now

    def reached(self) -> None:
        """An ISAKMP SA is of use."""
        self._failures = 0

    def call(self) -> None:
        """A phase 1 now, unless what one has led to is to be of use in a moment."""
        if not self._sessions.coming:
            self.calls.call(first=not (self._sessions or self._children))

    def _unreached(self, reason: str) -> None:
        """What was made stays as long as the peer is heard by it."""
        self._failures += 1
        self._holder.unreached(reason)
        self.fail(reason)
        if self._children and not self._sessions:
            if self._heard < self.calls.begun:
                self._children.cut_off(reason)
            else:
                self._call_later()

    def lost_one(self) -> None:
        """An ISAKMP SA that was of use is over."""
        if self._children and not self._sessions and self.calls.possible:
            self._call_later()

    def renew(self, session: Session) -> None:
        """The next one, unless there is one or it's spent; until it's there, again and again."""
        if self._sessions.newest is session and not session.spent and self.calls.possible:
            self.call()
            self._core.after(self._core.jittered(limits.TEMPORARY_FAILURE_LAST, 0.5), lambda: self.renew(session))

    def exhausted(self) -> None:
        """The peer wants more of an ISAKMP SA than it makes."""
        if self._sessions.usable is None:
            self.call()

    def _call_later(self) -> None:
        """There are SAs, and nothing to end them by."""

        def call() -> None:
            if self._children and not self._sessions:
                self.call()

        delay = back_off(limits.RECONNECT_FIRST, limits.RECONNECT_LAST, self._failures)
        self._core.after(self._core.jittered(delay, 0.5), call)
