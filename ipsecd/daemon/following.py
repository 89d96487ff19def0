"""What a policy depends on besides its file changes: addresses and ways out, DNS names, well-known sets. Each has a
loop of its own, so that none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.resolver import Resolver
from ipsecd.daemon.wellknown import WellKnown
from ipsecd.io.clock import Clock


class Following:
    """``moved`` says that this machine's addresses or its ways out may have changed; ``sets`` are the well-known sets
    of the policy in force; ``follow`` puts in force what the same policy is now."""

    def __init__(
        self,
        moved: asyncio.Event,
        resolver: Resolver,
        well_known: WellKnown,
        sets: Callable[[], frozenset[str]],
        follow: Callable[[], Awaitable[None]],
        guard: Guard,
        clock: Clock,
    ) -> None:
        self._moved = moved
        self._resolver = resolver
        self._well_known = well_known
        self._sets = sets
        self._follow = follow
        self._guard = guard
        self._clock = clock

    def works(self) -> tuple[Coroutine[None, None, None], ...]:
        """All that is to be done, until cancelled."""
        return self._addresses(), self._names(), self._known_sets()

    async def _addresses(self) -> None:
        """At once, and without a word to the DNS: only the rest that comes after may make the next change wait. Every
        now and then without a reason, too: nobody tells of each route that leads to a peer, nor may a change have been
        followed to its end."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.LOOK_AGAIN):
                    await self._moved.wait()
            self._moved.clear()
            with self._guard.over("new addresses"):
                await self._follow()
            await asyncio.sleep(limits.ADDRESS_REST)

    async def _names(self) -> None:
        while True:
            with self._guard.over("DNS names"):
                await self._resolver.follow()
                await self._follow()
            await asyncio.sleep(limits.RESOLVE_REST)

    async def _known_sets(self) -> None:
        """Nobody tells when the files change that name them."""
        while True:
            rest, before = limits.SETS_AGAIN, self._clock.now()
            with self._guard.over("well-known sets"):
                changed = await self._well_known.look(self._sets())
                rest = max(rest, limits.SETS_SHARE * (self._clock.now() - before))
                if changed:
                    await self._follow()
            await asyncio.sleep(rest)
