"""Where a peer behind a NAT is now: a NAT that forgets a mapping, or starts anew, gives it another port or address, and
its next packet shows that (RFC 3947 section 7)."""

from __future__ import annotations

from ipsecd.ike.config import Path
from ipsecd.ike.narrowing import covers
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.session import Session
from ipsecd.ike.v1.sessions import Sessions
from ipsecd.wire.selector import Selector


class Whereabouts:
    """Of one peer. All that it has in UDP goes by one mapping, and moves as one. ``path`` is the last one known; None:
    there has been none. ``within``: where it may be; None: anywhere."""

    def __init__(self, children: Children, sessions: Sessions, within: tuple[Selector, ...] | None) -> None:
        self._children = children
        self._sessions = sessions
        self.within = within
        self.path: Path | None = None

    def established(self, session: Session) -> None:
        """The first one says where the peer is, even before it's let in; no other does."""
        self.path = self.path or session.sa.path

    def admitted(self, session: Session) -> None:
        """By it the peer has proved itself along its path, too."""
        self.heard(session, session.sa.path)
        self.path = session.sa.path

    def hears(self, session: Session, path: Path) -> None:
        """What comes along this path, by this ISAKMP SA, counts if it's proved."""
        session.sa.proved = lambda: self.heard(session, path)

    def heard(self, session: Session, path: Path) -> None:
        """Something authentic and new came along this path, by this ISAKMP SA or by what was made by it. Who isn't let
        in yet moves nothing else."""
        if path == session.sa.path == self.path or not self._follows(session.sa, path):
            return
        if session.admitted:
            self._move(path)
        else:
            session.sa.path = path

    def _follows(self, sa: IsakmpSa, path: Path) -> bool:
        if not natt.follows(sa.nat, sa.path, path):
            return False
        address = path.remote.address
        return self.within is None or covers(self.within, (Selector(address, address),))

    def _move(self, path: Path) -> None:
        self.path = path
        for session in {*self._sessions, *(live.session for live in self._children)}:
            if session.admitted and session.sa.path.natt:
                session.sa.path = path
        self._children.move(path)
