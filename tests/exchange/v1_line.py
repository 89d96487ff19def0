"""A line between two ends of IKEv1 in memory, with a network and a time of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from random import Random
from typing import Generic, Self, TypeVar

from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Effect, Send
from ipsecd.wire import ikev1
from tests.exchange.network import Link

OURS, THEIRS = Endpoint(ip_address("192.0.2.1"), 500), Endpoint(ip_address("198.51.100.1"), 500)
NAT_ADDRESS = ip_address("203.0.113.7")
NAT_PORTS = {500: 10_500, 4500: 14_500}


@dataclass
class LineEnd:
    """One side. ``sent`` are the datagrams among its ``effects``."""

    core: Core
    sent: list[bytes] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    hear: Callable[[ikev1.Message, bytes, Path], None] = lambda *_: None


_E = TypeVar("_E", bound=LineEnd)


class Line(Generic[_E]):
    """``nat`` stands in front of the initiator, and gives it ``nat_address`` and ``nat_ports``, those outside by those
    inside, which tests may change. ``alter`` may change what is sent, or say None to lose it."""

    def __init__(
        self,
        of_i: _E,
        of_r: _E,
        *,
        seed: int | str = 0,
        link: Link | None = None,
        nat: bool = False,
        alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
    ) -> None:
        self.now = 0.0
        self.i, self.r = of_i, of_r
        self._random = Random(f"{seed} wire")
        self._link = link or Link()
        self._nat = nat
        self.nat_address = NAT_ADDRESS
        self.nat_ports = dict(NAT_PORTS)
        self._alter = alter
        self._number = count()
        self._way: list[tuple[float, int, bool, bytes, Path]] = []

    def run(self, until: float = 120.0) -> Self:
        """Until nothing is to be done any more, or the time is over."""
        while (due := self._due()) is not None and due <= until:
            self.now = due
            for end in (self.i, self.r):
                end.core.now = due
                for timer in end.core.timers.due(due):
                    timer.ring()
            self.collect()
            while self._way and self._way[0][0] <= self.now:
                _, _, to_responder, data, path = heapq.heappop(self._way)
                self.give(to_responder=to_responder, data=data, path=path)
        return self

    def give(self, *, to_responder: bool, data: bytes, path: Path | None = None) -> None:
        """A datagram arrives."""
        end = self.r if to_responder else self.i
        end.core.now = self.now
        there = path or (Path(THEIRS, OURS) if to_responder else Path(OURS, THEIRS))
        end.core.guarded("datagram", lambda: end.hear(ikev1.decode(data), data, there))
        self.collect()

    def _due(self) -> float | None:
        times = [end.core.timers.deadline() for end in (self.i, self.r)] + [self._way[0][0] if self._way else None]
        return min((time for time in times if time is not None), default=None)

    def collect(self) -> None:
        """What the ends have done since goes its way."""
        for end, from_initiator in ((self.i, True), (self.r, False)):
            for effect in end.core.take_effects():
                end.effects.append(effect)
                if isinstance(effect, Send):
                    end.sent.append(effect.data)
                    self._put(from_initiator, effect)

    def _put(self, from_initiator: bool, send: Send) -> None:
        data = self._alter(from_initiator, send.data)
        if data is not None:
            self._send(from_initiator, data, send.path)

    def _send(self, from_initiator: bool, data: bytes, path: Path) -> None:
        if self._random.random() < self._link.loss:
            return
        arrived = self.seen(from_initiator, path)
        if arrived is None:
            return
        for _ in range(2 if self._random.random() < self._link.duplication else 1):
            when = self.now + self._random.uniform(*self._link.delay)
            heapq.heappush(self._way, (when, next(self._number), from_initiator, data, arrived))

    def seen(self, from_initiator: bool, path: Path) -> Path | None:
        """Where what one side sends seems to come from on the other; None if the NAT doesn't know whose it is."""
        arrived = Path(path.remote, path.local, path.natt)
        if self._nat and from_initiator:
            return replace(arrived, remote=Endpoint(self.nat_address, self.nat_ports[path.local.port]))
        if self._nat:
            inside = {Endpoint(self.nat_address, port): inner for inner, port in self.nat_ports.items()}
            if path.remote not in inside:
                return None
            return replace(arrived, local=Endpoint(OURS.address, inside[path.remote]))
        return arrived
