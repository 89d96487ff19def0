"""What a peer allows of a child when packets need more of it (RFC 7296 section 2.9)."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.ike.contact import Call
from ipsecd.ike.narrowing import Packet, Selectors, takes
from ipsecd.ike.timers import back_off


@dataclass(slots=True)
class Less:
    """On which call, with which selectors; ``reason`` says it in words. It has answered so ``times`` in a row, and
    packets don't ask again before ``until``."""

    allowed: tuple[Call | None, Selectors, Selectors]
    reason: str
    times: int = 0
    until: float = 0.0

    def leaves_out(self, packet: Packet | None, now: float) -> bool:
        """Whether this packet has to wait."""
        _, local, remote = self.allowed
        return packet is not None and now < self.until and not takes(local, remote, packet)

    def once_more(self, now: float) -> None:
        """It has answered so again: packets ask ever more seldom."""
        self.until = now + back_off(limits.NARROWED_FIRST, limits.NARROWED_LAST, self.times)
        self.times += 1
