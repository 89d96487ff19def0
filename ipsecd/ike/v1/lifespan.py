"""How long an ISAKMP SA lasts: so many seconds, and so many octets that are encrypted under it, if that is agreed on
(RFC 2407 section 4.5 calls it kilobytes)."""

from __future__ import annotations

from collections.abc import Callable

from ipsecd.ike.core import Core
from ipsecd.ike.lifetimes import soft_octets, soft_seconds
from ipsecd.ike.v1.phase_1 import IsakmpSa


class Lifespan:
    """``due`` is called once, after ``soft`` seconds if not before: the next one is to be made. ``over`` is called when
    this one has to end. Neither comes in the midst of a message."""

    def __init__(self, core: Core, sa: IsakmpSa, due: Callable[[], None], over: Callable[[], None]) -> None:
        self._core = core
        self._sa = sa
        self._due = due
        self._over = over
        self._is_due = False
        fraction = core.fraction()
        self.soft = soft_seconds(sa.seconds, fraction)
        self._soft_octets = None if sa.octets is None else soft_octets(sa.octets, fraction)
        self._timers = [
            core.after(self.soft, self._reach_soft),
            core.after(sa.seconds, over),
        ]
        sa.counted = self._count

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._sa.counted = lambda: None

    def _reach_soft(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._due()

    def _count(self) -> None:
        """More has been encrypted, by one of both sides."""
        octets, soft = self._sa.octets, self._soft_octets
        if octets is None or soft is None:
            return
        if self._sa.encrypted >= octets:
            self._later(self._over)
        elif self._sa.encrypted >= soft and not self._is_due:
            self._later(self._reach_soft)

    def _later(self, action: Callable[[], None]) -> None:
        self._timers.append(self._core.after(0.0, action))
