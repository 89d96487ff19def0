"""Addresses of a peer whose ISAKMP SA has ended: they are lent to it for as long as anything of it is left."""

from __future__ import annotations

from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.session import Session
from ipsecd.ike.v1.sessions import Sessions


class Lending:
    """``children`` and ``sessions`` are all that there is with the peer."""

    def __init__(self, children: Children, sessions: Sessions) -> None:
        self._children = children
        self._sessions = sessions
        self._ended: list[Session] = []

    def lend(self, ended: Session) -> None:
        """What this one has been given."""
        self._ended.append(ended)
        self.take_back()

    def take_back(self) -> None:
        """If nothing of the peer is left, or another ISAKMP SA has the addresses."""
        left = self._sessions or self._children
        if not left or any(session.leased for session in self._sessions):
            ended, self._ended = self._ended, []
            for session in ended:
                session.release()
