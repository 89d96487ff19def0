"""One pair of SAs from the end of its quick mode to its own: what is installed of it, and when it's due for something.

It's rekeyed at its soft limit and ends at its hard one, or when nothing has gone by it for as long as its terms say.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ipsecd import limits
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Coming, GiveUp
from ipsecd.ike.inactivity import Inactivity
from ipsecd.ike.v1.child_pair import ChildPair

if TYPE_CHECKING:
    from ipsecd.ike.timers import Timer
    from ipsecd.ike.v1.session import Session


class Stage(Enum):
    UP = "up"  # it's sent by
    REPLACED = "replaced"  # by a successor: it only receives
    GONE = "gone"


class Keeper(Protocol):
    """Who is told what is due."""

    def soft(self, live: LivePair) -> None:
        """A successor."""

    def hard(self, live: LivePair) -> None:
        """Its end."""

    def idle(self, live: LivePair) -> None:
        """Its end, as nobody uses it."""

    def closed(self, live: LivePair) -> None:
        """No packets come in by it any more."""


class LivePair:
    """The lifetime runs from its making on. ``session`` is whose quick mode has made it, or what came after that."""

    def __init__(self, core: Core, pair: ChildPair, session: Session, keeper: Keeper) -> None:
        self._core = core
        self.pair = pair
        self.session = session
        self.stage = Stage.UP
        self.since = core.now
        self.due = False  # its soft limit is reached
        self.heard: float | None = None  # when the last packet came in by it, as far as we are told
        self.ours_to_delete = False  # if it's replaced
        self.sending = False
        self.deletion: Timer | None = None
        self._opening: Timer | None = None  # of what is to be sent by soon
        self._closing: Timer | None = None  # of what is sent by until then
        self._keeper = keeper
        soft, hard = pair.limits[-1]
        self._timers: list[Timer] = []
        for seconds, action in ((soft.seconds, self.reach_soft), (hard.seconds, lambda: keeper.hard(self))):
            if seconds is not None:
                self._timers.append(core.after(seconds, action))
        self.inactivity = Inactivity(core, pair.idle, lambda: keeper.idle(self))
        self.inactivity.start()

    # --- what is installed ---

    def open_outbound(self) -> None:
        """From now on we send by it; by one that a quick mode of ours has just made, when the peer should have made
        it too."""
        self.stage = Stage.UP
        self._cancel_deletion()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if not self.sending:
            self.sending = True
            if self.pair.ours and self._core.now < self.since + limits.QUICK_SETTLES:
                self._opening = self._core.after(limits.QUICK_SETTLES, self._open)
                self._core.emit(Coming(self.pair.terms.child))
            else:
                self._open()

    def _open(self) -> None:
        self._cancel_change()
        self.pair.open_outbound(self._core)

    def replace(self) -> None:
        """Another one is sent by, if not yet then soon."""
        self.stage = Stage.REPLACED
        if self.sending and self._opening is None:
            self._closing = self._core.after(limits.QUICK_SETTLES, self._close_outbound)
        else:
            self._close_outbound()

    def close(self, linger: float = 0.0) -> None:
        """It ends here. ``linger``: packets are taken for so long, as some may be on their way."""
        if self.stage is Stage.GONE:
            return
        self.stage = Stage.GONE
        self._cancel_deletion()
        self.inactivity.stop()
        for timer in self._timers:
            timer.cancel()
        if self._opening is not None:
            self._core.emit(GiveUp(self.pair.terms.child, "its SAs ended before anything was sent by them"))
        self._close_outbound()
        if linger:
            self._core.after(linger, self._close_inbound)
        else:
            self._close_inbound()

    def _close_outbound(self) -> None:
        if self.sending:
            self.sending = False
            if self._opening is None:
                self.pair.close_outbound(self._core)
        self._cancel_change()

    def _cancel_change(self) -> None:
        for timer in (self._opening, self._closing):
            if timer is not None:
                timer.cancel()
        self._opening = self._closing = None

    def _close_inbound(self) -> None:
        self.pair.close_inbound(self._core)
        self._core.promised.difference_update(self.pair.spis)
        self._keeper.closed(self)

    def delete_after(self, delay: float, action: Callable[[], None]) -> None:
        """It's replaced, and is deleted then, unless it's taken up again or that is due earlier."""
        if self.deletion is not None and self.deletion.when <= self._core.now + delay:
            return
        self._cancel_deletion()
        self.deletion = self._core.after(delay, action)

    def _cancel_deletion(self) -> None:
        if self.deletion is not None:
            self.deletion.cancel()
            self.deletion = None

    # --- what is due ---

    def reach_soft(self) -> None:
        """By its time, or by what has gone through it."""
        if not self.due and self.stage is not Stage.GONE:
            self.due = True
            self._keeper.soft(self)

    def hear(self) -> None:
        """Packets came in by it: the peer has it."""
        self.heard = self._core.now
        if self._opening is not None:
            self._open()
