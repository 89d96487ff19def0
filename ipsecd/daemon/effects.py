"""Carries out what the negotiation decides and what the roads report, in order.

The order is a promise. An inbound SA is in place, and the roads have said so, before the message that lets the peer
use it leaves; so effects stand in one queue, and while an installation isn't acknowledged the queue waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import structlog

from ipsecd.daemon import translate
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.keylog import Keys
from ipsecd.daemon.paths import Paths
from ipsecd.dataplane import messages
from ipsecd.dataplane.results import Out, OutRun, Result, ToTun, ToTunRun
from ipsecd.dataplane.sending import on_the_wire
from ipsecd.ike import effects
from ipsecd.ike.config import Endpoint, Path
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import ANY_PORT, Address, Selector

log = structlog.get_logger()

Effects = list[effects.Effect]


class Negotiation(Protocol):
    """What the roads' reports are told to."""

    def receive(self, data: bytes, path: Path, now: float) -> Effects: ...
    def acquire(self, child: str, packet: tuple[Selector, Selector] | None, now: float, *, known: bool) -> Effects: ...
    def soft_expired(self, spi: bytes, now: float) -> Effects: ...
    def hard_expired(self, spi: bytes, now: float) -> Effects: ...
    def inbound_used(self, spi: bytes, now: float) -> Effects: ...
    def peer_moved(self, spi: bytes, path: Path, now: float) -> Effects: ...
    def peer_alive(self, spis: tuple[bytes, ...], now: float) -> Effects: ...
    def pairs_used(self, spis: tuple[bytes, ...], now: float) -> Effects: ...
    def install_failed(self, spi: bytes, reason: str, now: float) -> Effects: ...
    def called(self, child: str) -> str: ...


class Roads(Protocol):
    """The data plane, in this process or elsewhere."""

    def handle(self, message: messages.ToRoads, now: float) -> list[Result]: ...
    def again(self, packet: bytes, now: float) -> list[Result]: ...


class Network(Protocol):
    """Where datagrams leave. The MTU of the link comes back if that is too narrow for ESP, else 0."""

    def send(self, data: bytes, path: Path) -> None: ...
    def keepalive(self, path: Path) -> None: ...
    def send_esp(self, out: Out | OutRun) -> int: ...


class Device(Protocol):
    """Where packets for this machine and the network behind it go."""

    def write(self, *parts: bytes | memoryview, head: bytes = ...) -> bool: ...


class Soft(Protocol):
    """Who decides about talking in clear."""

    def silent(self, key: str, remote: Address, *, heard: bool) -> None: ...
    def heard(self, remotes: Iterable[Address]) -> None: ...
    def has_heard(self, remote: Address) -> bool: ...
    def released(self, child: str, packet: bytes) -> None: ...


class Spoken(Protocol):
    """Who remembers which peers speak IKEv2."""

    def add(self, identity: str) -> None: ...


class Lent(Protocol):
    """Who puts addresses that gateways give us where they are ours."""

    def given(self, effect: effects.Given) -> None: ...
    def taken_back(self, peer: str) -> None: ...


class Responding(Protocol):
    """Who keeps the floor to what hosts have negotiated by the default response."""

    def waits(self, effect: effects.InstallInbound, then: Callable[[str, float], None]) -> bool: ...
    def gone(self, spi: bytes) -> None: ...


class Conductor:
    """Takes effects and results, each with the time of the turn they belong to. ``on_report`` sees every report. A
    fault in one of them ends at the guard, and costs none of the others."""

    def __init__(
        self,
        negotiation: Negotiation,
        roads: Roads,
        network: Network,
        device: Device,
        keys: Keys,
        paths: Paths,
        soft: Soft,
        responding: Responding,
        spoken: Spoken,
        lent: Lent,
        guard: Guard,
        *,
        window: int,
        on_report: Callable[[effects.Report], None],
    ) -> None:
        self._negotiation = negotiation
        self._roads = roads
        self._network = network
        self._device = device
        self._keys = keys
        self._paths = paths
        self._soft = soft
        self._responding = responding
        self._spoken = spoken
        self._lent = lent
        self._guard = guard
        self._window = window
        self._on_report = on_report
        self._queue: deque[effects.Effect] = deque()
        self._pumping = False
        self._sent = 0  # messages to the roads so far: the number of the last one
        self._installing: tuple[int, bytes] | None = None  # the message that is waited for, and the SPI it installs
        self._floorless = False  # whether the floor is waited for, before an SA is installed

    def perform(self, todo: Iterable[effects.Effect], now: float) -> None:
        """Carry these out behind those that still wait."""
        self._queue.extend(todo)
        if self._pumping:  # called from inside: the loop below goes on with them
            return
        self._pumping = True
        try:
            while self._queue and self._installing is None and not self._floorless:
                with self._guard.over("an effect of the negotiation"):
                    self._one(self._queue.popleft(), now)
        finally:
            self._pumping = False

    def results(self, results: Iterable[Result], now: float) -> None:
        """Carry out what the roads handed back."""
        for result in results:
            with self._guard.over("a result of the data plane"):
                self._result(result, now)

    def tell_roads(self, message: messages.ToRoads, now: float) -> None:
        """Hand the data plane a message that isn't an effect of the negotiation."""
        self._sent += 1
        self.results(self._roads.handle(message, now), now)

    def _result(self, result: Result, now: float) -> None:
        match result:
            case Out() | OutRun():
                if mtu := self._network.send_esp(result):
                    self._too_big(result, mtu, now)
            case ToTun(packet):
                self._device.write(packet)
            case ToTunRun(head, header, payloads):
                self._device.write(header, *payloads, head=head)
            case messages.Done(sequence, error):
                self._done(sequence, error, now)
            case messages.Released(child, released):
                self._soft.released(child, released)
            case _:
                self.perform(self._tell(result, now), now)

    def _too_big(self, out: Out | OutRun, mtu: int, now: float) -> None:
        """The kernel knows the link better than we did. Once the roads know too, they cut what was inside, or tell its
        sender; what they make of it is smaller, so this ends."""
        remote, packets = out.outside.remote, out.packets()
        self.tell_roads(self._paths.refused(remote, mtu), now)
        if on_the_wire(out) > mtu:
            for packet in packets:
                self.results(self._roads.again(packet, now), now)

    def _one(self, effect: effects.Effect, now: float) -> None:
        match effect:
            case effects.Send(data, path):
                self._network.send(data, path)
            case effects.Keepalive(path):
                self._network.keepalive(path)
            case effects.Report(event, level, fields):
                getattr(log, level)(event, **fields)
                self._on_report(effect)
            case effects.KeyLog():
                self._keys.keep(effect)
            case effects.Silent(child, remote, heard):
                self._soft.silent(child, remote, heard=heard)
            case effects.Heard(remotes):
                self._soft.heard(remotes)
            case effects.SpeaksV2(identity):
                self._spoken.add(identity)
            case effects.Given():
                self._lent.given(effect)
            case effects.TakenBack(peer):
                self._lent.taken_back(peer)
            case effects.InstallInbound() if self._responding.waits(effect, partial(self._floor_stands, effect)):
                self._floorless = True
            case _:
                self._change(effect, now)

    def _floor_stands(self, effect: effects.InstallInbound, refusal: str, now: float) -> None:
        """The floor does what an SA needs that is to be installed, or can't."""
        self._floorless = False
        if not refusal:
            self._queue.appendleft(effect)
        self.perform(self._negotiation.install_failed(effect.spi, refusal, now) if refusal else [], now)

    def _change(self, effect: translate.SaEffect, now: float) -> None:
        for message in self._paths.follow(effect):
            self.tell_roads(message, now)
        match effect:
            case effects.InstallInbound(spi) | effects.InstallOutbound(_, spi):
                self._installing = (self._sent + 1, spi)
            case effects.RemoveInbound(spi):
                self._responding.gone(spi)
            case _:
                pass
        try:
            self.tell_roads(translate.message(effect, self._window), now)
        except BaseException:
            self._installing = None  # nobody will acknowledge it
            raise

    def _done(self, sequence: int, error: str, now: float) -> None:
        """The roads have carried out a message, or say why they couldn't."""
        installing = self._installing
        if installing is None or sequence != installing[0]:
            if error:
                log.error("roads-refuse", reason=error)
            return
        self._installing = None
        self.perform(self._negotiation.install_failed(installing[1], error, now) if error else [], now)

    def _tell(self, result: messages.ToControl, now: float) -> Effects:
        """The negotiation's answer to a report of the roads."""
        negotiation = self._negotiation
        todo: Effects = []
        match result:
            case messages.IkeDatagram(data, local, local_port, remote, remote_port, natt):
                path = Path(Endpoint(local, local_port), Endpoint(remote, remote_port), natt)
                todo = negotiation.receive(data, path, now)
            case messages.Acquire():
                known = self._soft.has_heard(result.destination)
                todo = negotiation.acquire(result.child, _selectors(result), now, known=known)
                if not all(isinstance(effect, effects.GiveUp) for effect in todo):
                    _tell_wanted(result, negotiation.called(result.child))
            case messages.InboundUsed(spi):
                todo = negotiation.inbound_used(translate.octets(spi), now)
            case messages.SoftExpired(spi):
                todo = negotiation.soft_expired(translate.octets(spi), now)
            case messages.HardExpired(spi):
                todo = negotiation.hard_expired(translate.octets(spi), now)
            case messages.PeerMoved(spi, outside):
                todo = negotiation.peer_moved(translate.octets(spi), translate.path(outside), now)
            case messages.PeerAlive(spis):
                todo = negotiation.peer_alive(tuple(translate.octets(spi) for spi in spis), now)
            case messages.PairsUsed(spis):
                todo = negotiation.pairs_used(tuple(translate.octets(spi) for spi in spis), now)
            case _:  # Done has no business here: results() deals with it
                pass
        return todo


def _tell_wanted(packet: messages.Acquire, child: str) -> None:
    """Only of the packet that begins something: those behind it wait silently."""
    log.info(
        "child-wanted",
        child=child,
        source=packet.source,
        destination=packet.destination,
        protocol=IpProtocol(packet.protocol).name.lower(),
    )


def _selectors(packet: messages.Acquire) -> tuple[Selector, Selector]:
    """The packet that asks for a child, as the first selectors of TSi and TSr (RFC 7296 section 2.9)."""
    return (
        _exactly(packet.source, packet.protocol, packet.source_port),
        _exactly(packet.destination, packet.protocol, packet.destination_port),
    )


def _exactly(address: Address, protocol: int, port: int | None) -> Selector:
    return Selector(address, address, protocol, ANY_PORT if port is None else (port, port))
