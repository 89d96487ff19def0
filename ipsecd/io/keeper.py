"""Keeps our kernel state against whoever changes it: what disappears is put back at once, with a warning.

The floor has a loop of its own, which waits for nothing but news of the table: what is put back a moment later has
let that moment's packets out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.clock import Clock
from ipsecd.io.kernel_state import KernelState, Report
from ipsecd.io.watch import Change, RoutingWatch, TableWatch

Restore = Callable[[], Awaitable[tuple[str, ...]]]


class Keeper:
    """``new_addresses`` is called when links, addresses or default routes of this machine have changed, ``new_routes``
    when other routes or routing rules have, whether they matter or not. Busy routers change routes all the time."""

    def __init__(
        self,
        state: KernelState,
        table: TableWatch,
        routing: RoutingWatch,
        report: Report,
        new_addresses: Callable[[], None],
        new_routes: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._state = state
        self._table = table
        self._routing = routing
        self._report = report
        self._new_addresses = new_addresses
        self._new_routes = new_routes
        self._clock = clock
        self._restored: deque[float] = deque(maxlen=limits.RESTORES)
        self._complained = float("-inf")

    async def restore(self) -> bool:
        """Put back all that is missing; False if the kernel doesn't let us now."""
        return await self._put_back(self._state.restore_floor) and await self._put_back(self._state.restore)

    async def keep_floor(self) -> None:
        """Until cancelled. Never with a pause: however often the floor is taken away, it is put back."""
        whole = True
        while True:
            gone = False  # what couldn't be put back is tried again
            try:
                async with asyncio.timeout(None if whole else limits.RESTORE_PAUSE):
                    gone = await self._table.wait()
            except TimeoutError:
                pass
            whole = await self._put_back(partial(self._state.restore_floor, gone=gone))

    async def keep_rest(self) -> None:
        """Until cancelled, the TUN, its routes and our rules."""
        whole = True
        while True:
            changes = frozenset({Change.RULE})
            try:
                async with asyncio.timeout(None if whole else limits.RESTORE_PAUSE):
                    changes = await self._routing.wait()
            except TimeoutError:
                pass
            if changes & {Change.ADDRESS, Change.LINK, Change.UPLINK}:
                self._new_addresses()
            elif changes & {Change.ELSEWHERE, Change.RULE}:
                self._new_routes()
            if changes - {Change.ADDRESS, Change.UPLINK, Change.ELSEWHERE}:
                if self._contested():
                    await asyncio.sleep(limits.RESTORE_PAUSE)  # what is steered meets the floor meanwhile
                whole = await self._put_back(self._state.restore)

    def tun_lost(self) -> None:
        """Whoever uses the TUN finds that it is gone. The kernel doesn't always say so."""
        self._state.tun_lost()
        self._routing.notice(Change.LINK)

    async def _put_back(self, restore: Restore) -> bool:
        try:
            restored = await restore()
        except KernelError as error:
            self._report("kernel-state-not-restored", "error", {"error": error.message, "hint": error.hint})
            return False
        if restored:
            self._tell(restored)
        return True

    def _tell(self, restored: tuple[str, ...]) -> None:
        """Against another program that takes away what we put back, again and again, one line a minute is enough."""
        now, contested = self._clock.now(), self._contested()
        self._restored.append(now)
        if not contested:
            self._report("kernel-state-restored", "warning", {"what": ", ".join(dict.fromkeys(restored))})
        elif now - self._complained >= limits.RESTORE_WITHIN:
            self._complained = now
            self._report("kernel-state-contested", "error", {"hint": "another program keeps removing what is ours"})

    def _contested(self) -> bool:
        full = len(self._restored) == limits.RESTORES
        return full and self._clock.now() - self._restored[0] < limits.RESTORE_WITHIN
