"""Where a peer behind a NAT is now: a NAT that forgets a mapping, or starts anew, gives it another port or address, and
its next packet shows that (RFC 3947 section 7)."""

from __future__ import annotations

from ipsecd.ike.config import Path
from ipsecd.ike.narrowing import covers
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.children import Children
from ipsecd.ike.v1.phase_1 import IsakmpSa
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

    def established(self, sa: IsakmpSa) -> None:
        """By a phase 1 the peer has proved itself along its path, too."""
        self.heard(sa, sa.path)
        self.path = sa.path

    def hears(self, sa: IsakmpSa, path: Path) -> None:
        """What comes along this path, by this ISAKMP SA, counts if it's proved."""
        sa.proved = lambda: self.heard(sa, path)

    def heard(self, sa: IsakmpSa, path: Path) -> None:
        """Something authentic and new came along this path, by this ISAKMP SA or by what was made by it."""
        if path != self.path and self._follows(sa, path):
            self._move(path)

    def _follows(self, sa: IsakmpSa, path: Path) -> bool:
        if not natt.follows(sa.nat, sa.path, path):
            return False
        address = path.remote.address
        return self.within is None or covers(self.within, (Selector(address, address),))

    def _move(self, path: Path) -> None:
        self.path = path
        for session in {*self._sessions, *(live.session for live in self._children)}:
            if session.sa.path.natt:
                session.sa.path = path
        self._children.move(path)
