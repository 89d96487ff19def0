"""A NAT on the network in memory: what its one inner host sends gets an outer address, and a port for each of its own.

Used as a network's ``hook``. What nobody inside has asked for doesn't come in.
"""

from __future__ import annotations

from dataclasses import replace

from ipsecd.ike.config import Endpoint
from tests.exchange.network import Datagram, endpoint


class NatBox:
    def __init__(self, inside: str, outside: str, first_port: int = 40_000) -> None:
        self.inside = inside
        self.outside = outside
        self._next = first_port
        self.ports: dict[int, int] = {}  # inner port: outer port

    def forget(self) -> None:
        """A reboot: the next datagram of each inner port gets another outer one."""
        self.ports.clear()
        self._next += 1_000

    def __call__(self, datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == self.inside:
            return replace(datagram, source=self.outer(datagram.source.port))
        if str(datagram.destination.address) == self.outside:
            inner = {outer: inner for inner, outer in self.ports.items()}.get(datagram.destination.port)
            return None if inner is None else replace(datagram, destination=endpoint(self.inside, inner))
        return datagram

    def outer(self, port: int) -> Endpoint:
        """What stands outside for an inner port."""
        if port not in self.ports:
            self.ports[port] = self._next
            self._next += 1
        return endpoint(self.outside, self.ports[port])
