"""Where descriptors become readable and time passes: the turns of the event loop.

Each turn takes a bounded number of packets from one descriptor, so that a flood on one never starves the others, and
whatever goes wrong with one packet ends at the guard.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

import structlog

from ipsecd import limits
from ipsecd.daemon.effects import Conductor, Effects
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.sockets import Sockets
from ipsecd.dataplane.messages import SetPathMtu
from ipsecd.dataplane.results import Result
from ipsecd.errors import KernelError
from ipsecd.ike.config import Endpoint
from ipsecd.io.tun import Tun
from ipsecd.io.udp import Datagram, PathError, UdpSocket
from ipsecd.wire.selector import Address
from ipsecd.wire.udpencap import NON_ESP_MARKER

log = structlog.get_logger()

_REST_AFTER_FAULT = 1.0  # seconds: a timer that always fails must not keep the processor busy
_ERRORS = 8  # entries of a socket's error queue taken in one turn


class Timed(Protocol):
    """What wants to be called when time has come: the negotiation."""

    def deadline(self) -> float | None: ...
    def timer(self, now: float) -> Effects: ...


class PacketRoads(Protocol):
    """The roads, as far as packets and time go."""

    def from_tun(self, packets: tuple[bytes, ...], now: float) -> list[Result]: ...
    def from_udp(
        self, datagram: bytes, source: tuple[Address, int], local: tuple[Address, int], natt: bool, now: float, tos: int
    ) -> list[Result]: ...
    def deadline(self) -> float | None: ...
    def timer(self, now: float) -> list[Result]: ...


class TunPort:
    """The TUN device of the moment: it can vanish, and whoever keeps the kernel's state makes another."""

    def __init__(self) -> None:
        self.tun: Tun | None = None

    def write(self, packet: bytes) -> bool:
        """Hand one packet to the kernel, if there is a device."""
        if self.tun is None:
            return False
        try:
            return self.tun.write(packet)
        except KernelError as error:
            self._lost(error)
            return False

    def read(self) -> list[bytes]:
        """Some of the packets that wait."""
        if self.tun is None:
            return []
        try:
            return self.tun.read_packets(limits.BURST)
        except KernelError as error:
            self._lost(error)
            return []

    def _lost(self, error: KernelError) -> None:
        log.warning("tun-lost", reason=str(error))
        self.tun = None


class Wires:
    """Connects the descriptors and the clock with the negotiation and the roads. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        negotiation: Timed,
        roads: PacketRoads,
        conductor: Conductor,
        sockets: Sockets,
        port: TunPort,
        guard: Guard,
        clock: Callable[[], float],
    ) -> None:
        self._negotiation = negotiation
        self._roads = roads
        self._conductor = conductor
        self._sockets = sockets
        self._port = port
        self._guard = guard
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._reading: int | None = None  # the TUN descriptor that the loop watches

    def connect(self) -> None:
        """Begin to read."""
        for opened in self._sockets:
            self._loop.add_reader(opened.fileno(), self._from_socket, opened)
        self.watch_tun()
        self.rearm()

    def watch_tun(self) -> None:
        """Read from the TUN device that ``port`` has now."""
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            self._reading = None
        if self._port.tun is not None:
            self._reading = self._port.tun.fileno()
            self._loop.add_reader(self._reading, self._from_tun)

    def disconnect(self) -> None:
        """Read no more, and let no more time pass."""
        for opened in self._sockets:
            self._loop.remove_reader(opened.fileno())
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            self._reading = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None

    def turn(self, work: Callable[[float], Effects]) -> None:
        """One turn of the negotiation, whose effects are carried out before this returns."""
        now = self._clock()
        self._conductor.perform(work(now), now)
        self.rearm()

    def rearm(self, rest: float = 0.0) -> None:
        """Wake up when the next timer is due, in ``rest`` seconds at the soonest."""
        moments = [moment for moment in (self._negotiation.deadline(), self._roads.deadline()) if moment is not None]
        due = min(moments, default=None)
        if due == self._due and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due is None else self._loop.call_later(max(rest, due - self._clock()), self._time)

    def _time(self) -> None:
        self._timer = self._due = None
        with self._guard.over("a timer") as watch:
            now = self._clock()
            self._conductor.perform(self._negotiation.timer(now), now)
            self._conductor.results(self._roads.timer(now), now)
        self.rearm(0.0 if watch.error is None else _REST_AFTER_FAULT)

    def _from_tun(self) -> None:
        packets = self._port.read()
        if not packets and self._port.tun is None:
            self.watch_tun()
            return
        now = self._clock()
        for packet in packets:
            with self._guard.over("a packet from the TUN"):
                self._conductor.results(self._roads.from_tun((packet,), now), now)
        self.rearm()

    def _from_socket(self, opened: UdpSocket) -> None:
        datagrams = opened.receive(limits.BURST)
        now = self._clock()
        for datagram in datagrams:
            with self._guard.over("a datagram", remote=datagram.remote, port=datagram.remote_port):
                self._receive(opened, datagram, now)
        if len(datagrams) < limits.BURST:
            for error in opened.errors(_ERRORS):
                with self._guard.over("an error of a path", remote=error.remote):
                    self._path_error(opened, error, now)
        self.rearm()

    def _receive(self, opened: UdpSocket, datagram: Datagram, now: float) -> None:
        results = self._roads.from_udp(
            datagram.data,
            (datagram.remote, datagram.remote_port),
            (datagram.local, opened.port),
            opened.natt,
            now,
            datagram.traffic_class,
        )
        self._conductor.results(results, now)

    def _path_error(self, opened: UdpSocket, error: PathError, now: float) -> None:
        """RFC 4301 section 8.2.1: believed only about a packet that names an SA we send with. RFC 7296 section 2.4: no
        reason to give up, but worth telling about IKE, of which little is sent."""
        if error.mtu:
            if self._conductor.sends_with(error.data[:4]):
                self._conductor.tell_roads(SetPathMtu(error.remote, error.mtu), now)
        elif not opened.natt or error.data.startswith(NON_ESP_MARKER):
            remote = Endpoint(error.remote, error.remote_port)
            log.warning("ike-unreachable", remote=str(remote), reason=os.strerror(error.errno))
