"""Addresses that gateways have given us by mode config: they are put on the TUN device, where they are ours like any
other, so that filters with ``me`` cover them, and taken off again. The device ends with this process, and they with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from ipsecd.daemon.guard import Guard
from ipsecd.errors import KernelError
from ipsecd.ike.effects import Given
from ipsecd.io.kernel_state import KernelState
from ipsecd.wire.selector import Address

log = structlog.get_logger()


class LentAddresses:
    """The kernel is told in a task of its own, always of what is ours then."""

    def __init__(self, kernel: KernelState, guard: Guard) -> None:
        self._kernel = kernel
        self._guard = guard
        self._given: dict[str, tuple[Address, ...]] = {}  # by the gateway
        self._told: frozenset[Address] = frozenset()
        self._telling: asyncio.Task[None] | None = None

    def given(self, effect: Given) -> None:
        """In the place of what that gateway has given before. Names and services are for the operator to use: nobody
        else is told of them."""
        self._given[effect.peer] = effect.addresses
        log.info(
            "address-given",
            peer=effect.peer,
            addresses=_listed(effect.addresses),
            dns=_listed(effect.dns),
            nbns=_listed(effect.nbns),
            subnets=_listed(effect.subnets),
        )
        self._tell()

    def taken_back(self, peer: str) -> None:
        addresses = self._given.pop(peer, ())
        if addresses:
            log.info("address-taken-back", peer=peer, addresses=_listed(addresses))
        self._tell()

    async def close(self) -> None:
        """The device is about to go."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def _tell(self) -> None:
        if self._telling is None and self._ours != self._told:
            self._telling = asyncio.get_running_loop().create_task(self._change())

    @property
    def _ours(self) -> frozenset[Address]:
        return frozenset(address for addresses in self._given.values() for address in addresses)

    async def _change(self) -> None:
        with self._guard.over("addresses that were given"):
            while (ours := self._ours) != self._told:
                self._told = ours  # what fails isn't tried again until it becomes another
                try:
                    await self._kernel.set_addresses(ours)
                except KernelError as error:
                    log.warning("address-not-put", addresses=_listed(ours), reason=str(error))
        self._telling = None


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"
