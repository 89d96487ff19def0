"""Desks of IKEv1 on a network in memory, each with a configuration and a data plane that it believes in."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from random import Random

from ipsecd.ike.config import Child, Endpoint, IkeConfig, IkeProposal, Path, Peer, Version
from ipsecd.ike.core import Core
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import (
    Effect,
    Report,
    Send,
)
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.v1.desk import Desk
from ipsecd.ike.versions import Versions
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Address
from tests.exchange import gateways
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import A, B
from tests.exchange.network import Link
from tests.exchange.plane import Plane

IKE_CBC = IkeProposal(((Encr.AES_CBC, 128),), (Integ.HMAC_SHA2_256_128,), (Prf.HMAC_SHA2_256,), (Group.CURVE25519,))
V1 = (Version.IKEV1,)


def peer_b(*children: Child, **changes: object) -> Peer:
    """Gateway b, as gateway a's policy has it, by IKEv1."""
    return gateways.peer_b(*children, **{"proposals": (IKE_CBC,), "versions": V1, **changes})


def peer_a(*children: Child, **changes: object) -> Peer:
    """Gateway a, as gateway b's policy has it, by IKEv1."""
    return gateways.peer_a(*children, **{"proposals": (IKE_CBC,), "versions": V1, **changes})


@dataclass
class Wishes:
    """What the desk tells of children, in place of those who want them."""

    told: list[tuple[str, str]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def made(self, child: Child) -> None:
        self.told.append(("made", child.id))

    def granted(self, child: Child) -> None:
        self.told.append(("granted", child.id))

    def failed(self, key: str, reason: str) -> None:
        self.told.append(("failed", f"{key}: {reason}"))

    def ended(self, key: str) -> None:
        self.told.append(("ended", key))

    def lost(self, key: str) -> None:
        self.told.append(("lost", key))

    def held(self, key: str) -> bool:
        return key in self.down


class End(Plane):
    """One machine."""

    def __init__(self, address: str, config: IkeConfig, seed: int | str) -> None:
        super().__init__()
        self.address = ip_address(address)
        self.core = Core(config, SeededEntropy(f"{seed} {address}"))
        self.core.now = 1_000.0
        self.wishes = Wishes()
        self.core.wanted = self.wishes  # type: ignore[assignment]  # all of it that desks know
        self.core.versions = Versions(self.core)
        self.desk = self.core.desk = Desk(self.core)
        self.effects: list[Effect] = []
        self.sent: list[bytes] = []
        self.reports: list[Report] = []

    def events(self, *names: str) -> list[Report]:
        return [report for report in self.reports if report.event in names]

    @property
    def told(self) -> list[tuple[str, str]]:
        return self.wishes.told

    @property
    def established(self) -> int:
        return sum(sa.stage == "established" for sa in self.desk.status())

    def carry_out(self, effect: Effect) -> None:
        super().carry_out(effect)
        if isinstance(effect, Report):
            self.reports.append(effect)


@dataclass
class Nat:
    """In front of machines: their ports outside, by address and port inside. Who isn't in it goes through unchanged."""

    outside: Address
    inside: frozenset[Address]
    ports: dict[Endpoint, int] = field(default_factory=dict)

    def out(self, end: Endpoint) -> Endpoint:
        if end.address not in self.inside:
            return end
        return Endpoint(self.outside, self.ports.setdefault(end, 10_000 + len(self.ports)))

    def into(self, end: Endpoint) -> Endpoint | None:
        if end.address != self.outside:
            return end
        return next((inside for inside, port in self.ports.items() if port == end.port), None)


class Desks:
    """``alter`` may change what is sent, or say None to lose it."""

    def __init__(
        self,
        *ends: tuple[str, IkeConfig],
        seed: int | str = 0,
        link: Link | None = None,
        nat: Nat | None = None,
    ) -> None:
        self.now = 1_000.0
        self.ends = [End(address, config, seed) for address, config in ends]
        self.random = Random(f"{seed} wire")
        self.link = link or Link()
        self.nat = nat
        self.alter: Callable[[End, bytes], bytes | None] = lambda _, data: data
        self._number = count()
        self._way: list[tuple[float, int, bytes, Path]] = []

    @property
    def a(self) -> End:
        return self.ends[0]

    @property
    def b(self) -> End:
        return self.ends[1]

    def do(self, end: End, what: Callable[[Desk], None]) -> Desks:
        """A turn of a command."""
        end.core.now = self.now
        end.core.guarded("a command", lambda: what(end.desk))
        self.collect()
        return self

    def want(self, end: End, packet: Packet | None = None, *, child: str = "net") -> Desks:
        """A child of the first peer that has it."""
        found = ((peer, each) for peer in end.core.config.peers for each in peer.children if each.id == child)
        peer, wanted = next(found)
        remote = peer.remotes[0] if peer.remotes else end.address
        return self.do(end, lambda desk: desk.want(peer, wanted, packet, remote))

    def reload(self, end: End, config: IkeConfig) -> Desks:
        end.core.config = config.following(end.core.config)
        return self.do(end, lambda desk: desk.configure())

    def agree(self, children: int, ends: tuple[End, End] | None = None) -> bool:
        """Whether two have the same SAs, so many that are sent by."""
        pair = ends or (self.a, self.b)
        for one, other in (pair, pair[::-1]):
            if {spi for spi, _ in one.outbound} - set(other.inbound) or len(one.outbound) != children:
                return False
        return all(len(end.inbound) >= children for end in pair)

    # --- time and the network ---

    def run(self, seconds: float = 30.0, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; True as soon as ``until`` holds."""
        over = self.now + seconds
        while not until():
            due = self._due()
            if due is None or due > over:
                self.now = over
                return until()
            self.now = max(self.now, due)
            self._step()
        return True

    def _due(self) -> float | None:
        times = [end.core.timers.deadline() for end in self.ends] + [self._way[0][0] if self._way else None]
        return min((time for time in times if time is not None), default=None)

    def _step(self) -> None:
        for end in self.ends:
            end.core.now = self.now
            for timer in end.core.timers.due(self.now):
                end.core.guarded("a timer", timer.ring)
        self.collect()
        while self._way and self._way[0][0] <= self.now:
            _, _, data, path = heapq.heappop(self._way)
            self.give(data, path)

    def give(self, data: bytes, path: Path) -> None:
        """A datagram arrives; ``path`` is as the receiver sees it."""
        end = next((end for end in self.ends if end.address == path.local.address), None)
        if end is not None:
            end.core.now = self.now
            end.core.guarded("a datagram", lambda: end.desk.receive(data, path))
            self.collect()

    def collect(self) -> None:
        """What the ends have done since goes its way."""
        for end in self.ends:
            for effect in end.core.take_effects():
                end.effects.append(effect)
                end.carry_out(effect)
                if isinstance(effect, Send):
                    end.sent.append(effect.data)
                    self._put(end, effect)
            assert end.core.counters["internal-error"] == 0, end.reports[-1]
            assert end.core.counters.keys() <= DROPS.keys(), end.core.counters.keys() - DROPS.keys()

    def _put(self, end: End, send: Send) -> None:
        data = self.alter(end, send.data)
        if data is None or self.random.random() < self.link.loss:
            return
        local = send.path.local
        local = replace(local, address=end.address) if local.address.is_unspecified else local
        source, target = local, send.path.remote
        if self.nat is not None:
            source = self.nat.out(local)
            inside = self.nat.into(target)
            if inside is None:
                return
            target = inside
        for _ in range(2 if self.random.random() < self.link.duplication else 1):
            when = self.now + self.random.uniform(*self.link.delay)
            heapq.heappush(self._way, (when, next(self._number), data, Path(target, source, send.path.natt)))


def pair(of_a: Peer | None = None, of_b: Peer | None = None, **values: object) -> Desks:
    """Gateways a and b, with one rule each unless they are given."""
    return Desks((A, IkeConfig((of_a or peer_b(),))), (B, IkeConfig((of_b or peer_a(),))), **values)  # type: ignore[arg-type]  # as there
