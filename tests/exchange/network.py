"""Two or more IKE cores in memory, on a network with its own time: loss, duplicates, reordering and delay, all seeded.

::

    gateway a 192.0.2.1 (10.1.0.0/16) ---- network ---- gateway b 198.51.100.1 (10.2.0.0/16)

A core's effects are carried out as the daemon would: datagrams travel, SAs stand in tables that tests compare.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from random import Random

from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.effects import (
    Effect,
    GiveUp,
    InstallInbound,
    InstallOutbound,
    Keepalive,
    KeyLog,
    MovePath,
    RemoveInbound,
    RemoveOutbound,
    Report,
    Send,
)
from tests.exchange.entropy import SeededEntropy


@dataclass(slots=True)
class Link:
    """What the network does to a datagram. Delays are seconds, the others parts of one."""

    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    delay: tuple[float, float] = (0.01, 0.01)  # shortest and longest: different ones reorder


@dataclass
class Node:
    """One core and the data plane it believes in."""

    name: str
    address: str
    ike: Ike
    entropy: SeededEntropy
    inbound: dict[bytes, InstallInbound] = field(default_factory=dict)
    outbound: dict[tuple[bytes, bytes], InstallOutbound] = field(default_factory=dict)  # by (SPI, inbound SPI)
    reports: list[Report] = field(default_factory=list)
    gave_up: list[GiveUp] = field(default_factory=list)
    keepalives: list[Path] = field(default_factory=list)
    moves: list[MovePath] = field(default_factory=list)
    keys: list[KeyLog] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def events(self, event: str) -> list[Report]:
        return [report for report in self.reports if report.event == event]

    @property
    def inbound_spis(self) -> set[bytes]:
        return set(self.inbound)

    @property
    def outbound_spis(self) -> set[bytes]:
        return {spi for spi, _ in self.outbound}

    @property
    def established(self) -> list[str]:
        """Our and the peer's SPI of each IKE SA that stands."""
        return sorted(f"{sa.spi_i} {sa.spi_r}" for sa in self.ike.status() if sa.stage == "established")


@dataclass(frozen=True, slots=True)
class Datagram:
    """``source`` and ``destination`` as the network sees them."""

    data: bytes
    source: Endpoint
    destination: Endpoint
    natt: bool


class Network:
    def __init__(self, seed: int | str = 0, link: Link | None = None) -> None:
        self.random = Random(f"network {seed}")
        self.seed = seed
        self.link = link or Link()
        self.now = 1_000.0
        self.nodes: dict[str, Node] = {}
        self.sent: list[tuple[float, Datagram]] = []
        self.hook: Callable[[Datagram], Datagram | None] = lambda datagram: datagram
        self._flying: list[tuple[float, int, Datagram]] = []
        self._number = count()

    # --- nodes ---

    def add(self, name: str, address: str, config: IkeConfig) -> Node:
        entropy = SeededEntropy(f"{name} {self.seed}")
        node = Node(name, address, Ike(config, entropy), entropy)
        self.nodes[address] = node
        return node

    def start(self) -> None:
        for node in self.nodes.values():
            self.carry_out(node, node.ike.start(self.now))

    def carry_out(self, node: Node, effects: list[Effect]) -> None:
        """Do what a core wants done, in order."""
        for effect in effects:
            node.effects.append(effect)
            match effect:
                case Send(data, path):
                    self._send(Datagram(data, path.local, path.remote, path.natt))
                case InstallInbound():
                    assert effect.spi not in node.inbound
                    node.inbound[effect.spi] = effect
                case InstallOutbound():
                    assert effect.inbound in node.inbound
                    node.outbound[effect.spi, effect.inbound] = effect
                case RemoveInbound(spi):
                    del node.inbound[spi]
                case RemoveOutbound(spi, inbound):
                    del node.outbound[spi, inbound]
                case MovePath():
                    assert set(effect.inbound) <= set(node.inbound)
                    node.moves.append(effect)
                case Keepalive(path):
                    node.keepalives.append(path)
                case GiveUp():
                    node.gave_up.append(effect)
                case KeyLog():
                    node.keys.append(effect)
                case Report():
                    node.reports.append(effect)

    # --- datagrams ---

    def _send(self, datagram: Datagram) -> None:
        self.sent.append((self.now, datagram))
        passed = self.hook(datagram)
        if passed is None:
            return
        copies = 1 + (self.random.random() < self.link.duplication)
        for _ in range(copies):
            if self.random.random() >= self.link.loss:
                delay = self.random.uniform(*self.link.delay)
                heapq.heappush(self._flying, (self.now + delay, next(self._number), self._spoiled(passed)))

    def _spoiled(self, datagram: Datagram) -> Datagram:
        if self.random.random() >= self.link.corruption:
            return datagram
        data = bytearray(datagram.data)
        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return Datagram(bytes(data), datagram.source, datagram.destination, datagram.natt)

    def inject(self, datagram: Datagram, delay: float = 0.0) -> None:
        """A datagram that no node has sent."""
        heapq.heappush(self._flying, (self.now + delay, next(self._number), datagram))

    def _arrive(self, datagram: Datagram) -> None:
        node = self.nodes.get(str(datagram.destination.address))
        if node is not None:
            path = Path(datagram.destination, datagram.source, datagram.natt)
            self.carry_out(node, node.ike.receive(datagram.data, path, self.now))
            assert node.ike.counters["internal-error"] == 0, node.reports[-1]

    # --- time ---

    def step(self) -> bool:
        """The next thing that happens; False if nothing will."""
        deadlines = [(deadline, node) for node in self.nodes.values() if (deadline := node.ike.deadline()) is not None]
        due, late = min(deadlines, key=lambda entry: entry[0], default=(None, None))
        if self._flying and (due is None or self._flying[0][0] <= due):
            when, _, datagram = heapq.heappop(self._flying)
            self.now = max(self.now, when)
            self._arrive(datagram)
            return True
        if late is None or due is None:
            return False
        self.now = max(self.now, due)
        self.carry_out(late, late.ike.timer(self.now))
        return True

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; True as soon as ``until`` holds."""
        end = self.now + seconds
        while not until():
            if self._next() > end:
                self.now = end
                return until()
            self.step()
        return True

    def _next(self) -> float:
        times = [deadline for node in self.nodes.values() if (deadline := node.ike.deadline()) is not None]
        if self._flying:
            times.append(self._flying[0][0])
        return min(times, default=float("inf"))


def endpoint(address: str, port: int = 500) -> Endpoint:
    return Endpoint(ip_address(address), port)
