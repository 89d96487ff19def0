"""Two or more IKE cores in memory, on a network with its own time: loss, duplicates, reordering and delay, all seeded.

::

    gateway a 192.0.2.1 (10.1.0.0/16) ---- network ---- gateway b 198.51.100.1 (10.2.0.0/16)

A core's effects are carried out as the daemon would: datagrams travel, SAs stand in tables that tests compare.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from random import Random

from ipsecd import limits
from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.drops import DROPS
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
from ipsecd.ike.stage import Stage
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
    used: set[bytes] = field(default_factory=set)  # inbound SPIs that a packet has come by
    packets: Counter[bytes] = field(default_factory=Counter)  # sent, by outbound SPI
    alive_at: float = 0.0  # when the core was last told that the peer's packets come in

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
        ikes = self.ike._core.ikes.values()  # not status(), which says much more and takes longer
        return sorted(f"{sa.spi_i.hex()} {sa.spi_r.hex()}" for sa in ikes if sa.stage is Stage.ESTABLISHED)


@dataclass(frozen=True, slots=True)
class Datagram:
    """``source`` and ``destination`` as the network sees them."""

    data: bytes
    source: Endpoint
    destination: Endpoint
    natt: bool


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a child's traffic under way: the SPI it was sealed for."""

    spi: bytes
    sent: float
    sender: Node
    receiver: Node


class Network:
    def __init__(self, seed: int | str = 0, link: Link | None = None) -> None:
        self.random = Random(f"network {seed}")
        self.seed = seed
        self.link = link or Link()
        self.now = 1_000.0
        self.nodes: dict[str, Node] = {}
        self.sent: list[tuple[float, Datagram]] = []
        self.after_step: Callable[[], None] = lambda: None
        self.hook: Callable[[Datagram], Datagram | None] = lambda datagram: datagram
        self._packets: tuple[Node, Node, str, float, float] | None = None
        self._next_packet = 0.0
        self.lost_packets: list[str] = []
        self._flying: list[tuple[float, int, Datagram | Packet]] = []
        self._number = count()

    # --- nodes ---

    def add(self, name: str, address: str, config: IkeConfig, spoken: tuple[str, ...] = ()) -> Node:
        entropy = SeededEntropy(f"{name} {self.seed}")
        node = Node(name, address, Ike(config, entropy, spoken), entropy)
        self.nodes[address] = node
        return node

    def start(self) -> None:
        for node in self.nodes.values():
            self.carry_out(node, node.ike.start(self.now))

    def carry_out(self, node: Node, effects: list[Effect]) -> None:
        """Do what a core wants done, in order."""
        assert node.ike.counters["internal-error"] == 0, effects
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

    def arrive(self, datagram: Datagram) -> None:
        node = self.nodes.get(str(datagram.destination.address))
        if node is not None:
            path = Path(datagram.destination, datagram.source, datagram.natt)
            self.carry_out(node, node.ike.receive(datagram.data, path, self.now))
            assert node.ike.counters["internal-error"] == 0, node.reports[-1]
            assert node.ike.counters.keys() <= DROPS.keys()

    # --- traffic ---

    def exchange_packets(self, one: Node, two: Node, child: str, every: float, until: float) -> None:
        """From now on both send packets of a child, which the network delays but never drops."""
        self._packets = (one, two, child, every, until)
        self._next_packet = self.now

    def _send_packets(self) -> None:
        assert self._packets is not None
        one, two, child, every, until = self._packets
        for sender, receiver in ((one, two), (two, one)):
            ours = [installed for installed in sender.outbound.values() if installed.child == child]
            if ours:  # the newest one installed
                packet = Packet(ours[-1].spi, self.now, sender, receiver)
                if ours[-1].watched:
                    self.carry_out(sender, sender.ike.pairs_used((ours[-1].inbound,), self.now))
                sender.packets[packet.spi] += 1
                heapq.heappush(
                    self._flying, (self.now + self.random.uniform(*self.link.delay), next(self._number), packet)
                )
            else:
                self.lost_packets.append(f"{self.now:.3f} {sender.name} has no outbound SA")
        self._next_packet = self.now + every
        if self._next_packet > until:
            self._packets = None

    def _receive_packet(self, packet: Packet) -> None:
        node = packet.receiver
        if packet.spi not in node.inbound:
            self.lost_packets.append(f"{packet.sent:.3f} from {packet.sender.name} by {packet.spi.hex()}")
            return
        if packet.spi not in node.used:
            node.used.add(packet.spi)
            self.carry_out(node, node.ike.inbound_used(packet.spi, self.now))
        if node.inbound[packet.spi].watched:
            self.carry_out(node, node.ike.pairs_used((packet.spi,), self.now))
        if self.now >= node.alive_at + limits.PEER_ALIVE_EVERY:
            node.alive_at = self.now
            self.carry_out(node, node.ike.peer_alive((packet.spi,), self.now))

    # --- time ---

    def step(self) -> bool:
        """The next thing that happens; False if nothing will."""
        deadlines = [(deadline, node) for node in self.nodes.values() if (deadline := node.ike.deadline()) is not None]
        due, late = min(deadlines, key=lambda entry: entry[0], default=(None, None))
        flying = self._flying[0][0] if self._flying else float("inf")
        if self._packets is not None and self._next_packet <= min(flying, due or float("inf")):
            self.now = max(self.now, self._next_packet)
            self._send_packets()
            return True
        if self._flying and (due is None or flying <= due):
            when, _, thing = heapq.heappop(self._flying)
            self.now = max(self.now, when)
            if isinstance(thing, Packet):
                self._receive_packet(thing)
            else:
                self.arrive(thing)
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
            self.after_step()
        return True

    def _next(self) -> float:
        times = [deadline for node in self.nodes.values() if (deadline := node.ike.deadline()) is not None]
        if self._flying:
            times.append(self._flying[0][0])
        if self._packets is not None:
            times.append(self._next_packet)
        return min(times, default=float("inf"))


def endpoint(address: str, port: int = 500) -> Endpoint:
    return Endpoint(ip_address(address), port)
