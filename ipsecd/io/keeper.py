"""Keeps our kernel state against whoever changes it: what disappears is put back at once, with a warning."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.clock import Clock
from ipsecd.io.kernel_state import KernelState, Report
from ipsecd.io.watch import Change, Watch


class Keeper:
    """``new_addresses`` is called when links or addresses of this machine have changed, whether ours matter or not."""

    def __init__(
        self, state: KernelState, watch: Watch, report: Report, new_addresses: Callable[[], None], clock: Clock
    ) -> None:
        self._state = state
        self._watch = watch
        self._report = report
        self._new_addresses = new_addresses
        self._clock = clock
        self._restored: deque[float] = deque(maxlen=limits.RESTORES)

    async def run(self) -> None:
        """Until cancelled."""
        whole = True
        while True:
            try:
                async with asyncio.timeout(None if whole else limits.RESTORE_PAUSE):
                    changes = await self._watch.wait()
            except TimeoutError:
                changes = frozenset({Change.TABLE})  # what couldn't be put back is tried again
            if changes & {Change.ADDRESS, Change.LINK}:
                self._new_addresses()
            if changes - {Change.ADDRESS}:
                await self._pause()
                whole = await self.restore()

    def tun_lost(self) -> None:
        """Whoever uses the TUN finds that it is gone. The kernel doesn't always say so."""
        self._state.tun_lost()
        self._watch.notice(Change.LINK)

    async def restore(self) -> bool:
        """Put back what is missing; False if the kernel doesn't let us now."""
        try:
            restored = await self._state.restore()
        except KernelError as error:
            self._report("kernel-state-not-restored", "error", {"error": error.message, "hint": error.hint})
            return False
        if restored:
            self._restored.append(self._clock.now())
            self._report("kernel-state-restored", "warning", {"what": ", ".join(dict.fromkeys(restored))})
        return True

    async def _pause(self) -> None:
        """Against another program that takes away what we put back, again and again: slower, but never giving up."""
        if len(self._restored) == limits.RESTORES and self._clock.now() - self._restored[0] < limits.RESTORE_WITHIN:
            self._report("kernel-state-contested", "error", {"hint": "another program keeps removing what is ours"})
            await asyncio.sleep(limits.RESTORE_PAUSE)
