"""What the well-known sets are on this machine: its DNS, DHCP and WINS servers, its default gateways. To know them
nobody else is asked, so where a policy permits nothing but ``dns``, the DNS is reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from ipsecd.daemon.meanings import Addresses, Meanings
from ipsecd.errors import KernelError
from ipsecd.io.gateways import gateways
from ipsecd.io.leases import dhcp_servers, wins_servers
from ipsecd.io.nameservers import nameservers
from ipsecd.io.samba import samba_wins_servers
from ipsecd.io.state_file import StateFile
from ipsecd.policy.expand import Sets

log = structlog.get_logger()

Look = Callable[[], Awaitable[Addresses]]


async def _dns() -> Addresses:
    return nameservers()


async def _dhcp() -> Addresses:
    return dhcp_servers(time.time())


async def _wins() -> Addresses:
    return (*wins_servers(time.time()), *samba_wins_servers())


SOURCES: Final[Mapping[str, Look]] = {"dns": _dns, "dhcp": _dhcp, "wins": _wins, "default-gateway": gateways}


class WellKnown:
    """What the sets of the policy in force mean. ``kept`` outlives the process; ``sources`` say what each set is now,
    or raise KernelError."""

    def __init__(self, kept: StateFile, sources: Mapping[str, Look] = SOURCES) -> None:
        self._meanings = Meanings(kept, "the set ")
        self.sources = sources
        self._looking = asyncio.Lock()  # what was seen first is learnt first
        self._unseen: set[str] = set()  # sets that couldn't be looked at, which has been told

    @property
    def sets(self) -> Sets:
        """What they were when they were last looked at."""
        return Sets(dict(self._meanings.known), self._meanings.gone)

    def retain(self, names: frozenset[str]) -> None:
        """These are the sets of the policy in force."""
        self._unseen &= names

    async def look(self, names: frozenset[str]) -> bool:
        """See what these are now; whether any means something else. One that can't be looked at stays what it was."""
        async with self._looking:
            changes = [await self._one(name) for name in sorted(names)]
        self._meanings.save()
        return any(changes)

    async def _one(self, name: str) -> bool:
        try:
            found = await self.sources[name]()
        except KernelError as error:
            if name not in self._unseen:
                log.warning("set-unseen", name=name, reason=str(error))
            self._unseen.add(name)
            return False
        self._unseen.discard(name)
        return self._meanings.learn(name, found)
