"""The phase 1s that we begin with one peer, one at a time. What kind each is stands elsewhere, and so do those that the
peer begins: who has begun one isn't known before it is through.

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

Done = Callable[[IsakmpSa], None]
Failed = Callable[[str], None]
Established = Callable[[IsakmpSa, float], None]  # and when its phase 1 was begun


class Call(Protocol):
    """A phase 1 of ours."""

    def hear(self, message: ikev1.Message, path: Path, /) -> None:
        """Any message of it, also when it's over. PeerError or Refused with the reason why it has no effect."""

    def drop(self) -> None:
        """It isn't wanted any more, and nothing comes of it."""


class Caller(Protocol):
    """Begins a phase 1 of ours with this cookie. ``first``: we have nothing else with the peer, and tell it so."""

    def __call__(self, cookie: bytes, *, first: bool, done: Done, failed: Failed) -> Call: ...


class Calls:
    """``established`` gets each ISAKMP SA; ``failed`` why our call came to nothing."""

    def __init__(self, core: Core, caller: Caller | None, established: Established, failed: Failed) -> None:
        self._core = core
        self._caller = caller
        self._established = established
        self._failed = failed
        self._known: dict[bytes, Call] = {}  # by our cookie
        self._ours = b""  # that of our call under way
        self.answered = False  # something has come back to it
        self.begun = 0.0

    @property
    def possible(self) -> bool:
        return self._caller is not None

    @property
    def calling(self) -> bool:
        return bool(self._ours)

    def knows(self, cookie: bytes) -> bool:
        """Whether it's that of a phase 1 whose messages are still taken."""
        return cookie in self._known

    def change(self, caller: Caller | None) -> None:
        """From now on that one calls. What is under way goes on."""
        self._caller = caller

    def call(self, *, first: bool) -> None:
        """Unless we do already. Only where it's ``possible``."""
        if self._caller is None or self.calling:
            return
        spi = self._core.fresh_ike_spi()
        self._core.promised.add(spi)
        self._ours, self.answered, self.begun = spi, False, self._core.now
        begun = self._core.now

        def done(sa: IsakmpSa) -> None:
            if self._ours == spi:
                self._ours = b""
                self._core.after(limits.QUICK_MODE_KEPT, lambda: self._forget(spi))
                self._established(sa, begun)

        def failed(reason: str) -> None:
            self._forget(spi)
            if self._ours == spi:
                self._ours = b""
                self._failed(reason)

        self._known[spi] = self._caller(spi, first=first, done=done, failed=failed)

    def crossed(self) -> None:
        """One of the peer's has come through."""
        if not self.answered:
            self.drop()

    def hear(self, message: ikev1.Message, path: Path) -> None:
        """A message of a phase 1. PeerError or Refused with the reason why it has no effect."""
        spi = message.header.cookie_i
        call = self._known.get(spi)
        if call is None:
            raise PeerError("unknown-ike-spi", spi.hex())
        call.hear(message, path)
        if spi == self._ours:
            self.answered = True

    def drop(self) -> None:
        """Our call isn't wanted any more: what comes back to it has no effect."""
        if self._ours:
            self._known[self._ours].drop()
            self._forget(self._ours)
            self._ours = b""

    def _forget(self, spi: bytes) -> None:
        self._known.pop(spi, None)
        self._core.promised.discard(spi)
