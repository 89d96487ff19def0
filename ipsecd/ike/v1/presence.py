"""Whether the peer is still there (RFC 3706): a question when nothing has come from it for a while, and again, each
with a number of its own. Its answer to any of them will do, and so will everything else that it proves."""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.timers import Timer
from ipsecd.wire import vendor_ids
from ipsecd.wire.ikev1_payloads import VendorId

ANSWERS = VendorId(vendor_ids.DPD)  # in phase 1: whoever says so answers, and no other is asked (section 5.1)
_NUMBERS = 1 << 31  # the highest bit of the first is 0 (section 5.2), so that they never start over


class Presence:
    """``ask`` sends a question with a number; ``lost`` is called once, when nothing has answered."""

    def __init__(self, core: Core, idle: float, ask: Callable[[int], None], lost: Callable[[], None]) -> None:
        self._core = core
        self._idle = idle
        self._ask = ask
        self._lost = lost
        self._next = int.from_bytes(core.entropy.octets(4), "big") % _NUMBERS
        self._open: list[int] = []
        self._repeats: Repeats | None = None
        self._timer: Timer = core.after(idle, self._doubt)

    def heard(self) -> None:
        """Something has come from the peer that it alone can have sent, by the ISAKMP SA or by others with it."""
        self.stop()
        self._timer = self._core.after(self._idle, self._doubt)

    def doubt(self) -> None:
        """It's asked now, unless it is already."""
        if self._repeats is None:
            self.stop()
            self._doubt()

    def answered(self, sequence: int) -> None:
        """PeerError("unasked") unless it's the number of a question that is open."""
        if sequence not in self._open:
            raise PeerError("unasked", "an answer to no question of ours")
        self.heard()

    def stop(self) -> None:
        self._timer.cancel()
        self._open.clear()
        if self._repeats is not None:
            self._repeats.stop()
            self._repeats = None

    def _doubt(self) -> None:
        self._say()
        self._repeats = Repeats(self._core, limits.DPD_TRIES, self._say, self._gave_up)

    def _say(self) -> None:
        self._open.append(self._next)
        self._ask(self._next)
        self._next += 1

    def _gave_up(self) -> None:
        self.stop()
        self._lost()
