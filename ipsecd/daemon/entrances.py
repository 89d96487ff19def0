"""What clients come in by, and are given: the same object as long as the daemon runs, whatever is read anew meanwhile.
So a reload forgets no password that was wrong, and lends no address twice."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ipsecd.daemon.judging import Judging
from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.v1.gate import Gate
from ipsecd.wire.mode_config import Network
from ipsecd.wire.selector import Address


class Entrances:
    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._gates: dict[str, Gate] = {}
        self._pools: dict[Network, AddressPool] = {}

    def gate(self, users: str) -> Gate:
        """For the users of this file, whoever they are now."""
        return self._gates.setdefault(users, Gate(partial(self._judging.judge, users)))

    def pool(self, network: Network, ours: Iterable[Address]) -> AddressPool:
        """``ours`` aren't lent: the addresses that this machine has when the pool is asked for first."""
        if network not in self._pools:
            self._pools[network] = AddressPool(network, ours)
        return self._pools[network]
