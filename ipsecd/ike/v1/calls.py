"""The phase 1s with one peer: the one that we have begun, and those that it has. What kind each is stands elsewhere.

When both ends call at once, ours is dropped if the peer's comes through before anything has come back to it: the peer
hasn't taken it up then. Else both come through, and both ISAKMP SAs are of use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Path
from ipsecd.ike.core import Core
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire import ikev1

Hear = Callable[[ikev1.Message, bytes, Path], None]
Done = Callable[[IsakmpSa], None]
Failed = Callable[[str], None]
Established = Callable[[IsakmpSa, float], None]  # and when its phase 1 was begun


class Caller(Protocol):
    """Begins a phase 1 of ours with this cookie. ``first``: we have nothing else with the peer, and tell it so. What it
    gives back takes all messages of that phase 1, also when it's over."""

    def __call__(self, cookie: bytes, *, first: bool, done: Done, failed: Failed) -> Hear: ...


class Answerer(Protocol):
    """The same of one that the peer begins: its first message is given to what comes back."""

    def __call__(self, cookie: bytes, *, done: Done, failed: Failed) -> Hear: ...


class Calls:
    """``established`` gets each ISAKMP SA; ``failed`` why our call came to nothing."""

    def __init__(self, core: Core, caller: Caller | None, established: Established, failed: Failed) -> None:
        self._core = core
        self._caller = caller
        self._established = established
        self._failed = failed
        self._known: dict[bytes, Hear] = {}  # by the initiator's cookie
        self._ours = b""  # the cookie of our call under way
        self._answered = False  # something has come back to it
        self._answering: set[bytes] = set()  # cookies of the peer's that aren't through
        self.begun = 0.0

    @property
    def possible(self) -> bool:
        return self._caller is not None

    @property
    def calling(self) -> bool:
        return bool(self._ours)

    def call(self, *, first: bool) -> None:
        """Unless we do already. Only where it's ``possible``."""
        if self._caller is None or self.calling:
            return
        spi = self._core.fresh_ike_spi()
        self._core.promised.add(spi)
        self._ours, self._answered, self.begun = spi, False, self._core.now
        begun = self._core.now

        def done(sa: IsakmpSa) -> None:
            if self._ours == spi:
                self._ours = b""
                self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(spi, spi))
                self._established(sa, begun)

        def failed(reason: str) -> None:
            self._forget(spi, spi)
            if self._ours == spi:
                self._ours = b""
                self._failed(reason)

        self._known[spi] = self._caller(spi, first=first, done=done, failed=failed)

    def answer(self, begin: Answerer, message: ikev1.Message, data: bytes, path: Path) -> None:
        """The first message of a phase 1 of the peer's, or that again. PeerError or Refused with the reason why it has
        no effect."""
        theirs = message.header.cookie_i
        if theirs in self._known:
            self.hear(message, data, path)
            return
        if len(self._answering) >= limits.MAX_ANSWERING:
            raise PeerError("half-open-limit", "of one peer")
        spi, begun = self._core.fresh_ike_spi(), self._core.now

        def done(sa: IsakmpSa) -> None:
            self._answering.discard(theirs)
            self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(theirs, spi))
            if not self._answered:
                self.drop()
            self._established(sa, begun)

        def failed(_: str) -> None:
            if self._known.get(theirs) is hear:  # else its first message was refused
                self._answering.discard(theirs)
                self._forget(theirs, spi)

        hear = begin(spi, done=done, failed=failed)
        hear(message, data, path)
        self._core.promised.add(spi)
        self._known[theirs] = hear
        self._answering.add(theirs)

    def hear(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        """A message of a phase 1. PeerError or Refused with the reason why it has no effect."""
        spi = message.header.cookie_i
        hear = self._known.get(spi)
        if hear is None:
            raise PeerError("unknown-ike-spi", spi.hex())
        hear(message, data, path)
        if spi == self._ours:
            self._answered = True

    def drop(self) -> None:
        """Our call isn't wanted any more: what comes back to it has no effect."""
        if self._ours:
            self._forget(self._ours, self._ours)
            self._ours = b""

    def _forget(self, cookie_i: bytes, ours: bytes) -> None:
        self._known.pop(cookie_i, None)
        self._core.promised.discard(ours)
