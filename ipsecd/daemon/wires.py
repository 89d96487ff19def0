"""Where descriptors become readable and time passes: the turns of the event loop.

Each turn takes a bounded number of packets from one descriptor, so that a flood on one never starves the others, and
whatever goes wrong with one packet, or in reading it, ends at the guard.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from ipsecd import limits
from ipsecd.daemon.effects import Conductor, Effects
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.paths import Paths
from ipsecd.daemon.sockets import Sockets
from ipsecd.daemon.unreached import Unreached
from ipsecd.dataplane.messages import NATIVE, Heard, Outside
from ipsecd.dataplane.results import Result
from ipsecd.errors import KernelError
from ipsecd.ike.config import Endpoint
from ipsecd.io.ah_errors import AhErrors
from ipsecd.io.native import NativeReceiver
from ipsecd.io.tun import NOTHING_LEFT, Tun, TunRead
from ipsecd.io.udp import Received, UdpSocket
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.udpencap import NON_ESP_MARKER

log = structlog.get_logger()

_REST_AFTER_FAULT = 1.0  # seconds: a timer that always fails must not keep the processor busy


class Timed(Protocol):
    """What wants to be called when time has come, and told that something didn't get there: the negotiation."""

    def deadline(self) -> float | None: ...
    def timer(self, now: float) -> Effects: ...
    def unreachable(self, remote: Endpoint, reason: str, now: float) -> Effects: ...
    def unreached(self, spi: bytes, reason: str, now: float) -> Effects: ...


class PacketRoads(Protocol):
    """The roads, as far as packets and time go."""

    @property
    def received(self) -> memoryview: ...
    def from_tun_read(self, packet: memoryview, head: bytearray, now: float) -> Iterable[Result]: ...
    def from_tun_end(self, now: float) -> Iterable[Result]: ...
    def from_udp_read(
        self, octets: int, segment: int, outside: Outside, tos: int, natt: bool, now: float
    ) -> Iterable[Result]: ...
    def from_udp_end(self, now: float) -> Iterable[Result]: ...
    def from_native_read(self, packet: bytes, outside: Outside, now: float) -> Iterable[Result]: ...
    def deadline(self) -> float | None: ...
    def timer(self, now: float) -> list[Result]: ...


class TunPort:
    """The TUN device of the moment: it can vanish, and ``lost`` tells whoever keeps the kernel's state to make
    another."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.tun: Tun | None = None
        self.drops: Counter[str] = Counter()  # packets that there was no device for
        self._tell_lost = lost

    def write(self, *parts: bytes | memoryview, head: bytes = NOTHING_LEFT) -> bool:
        """Hand one packet to the kernel, or many as one, if there is a device."""
        if self.tun is None:
            self.drops["tun-gone"] += 1
            return False
        try:
            return self.tun.write(*parts, head=head)
        except KernelError as error:
            self.drops["tun-gone"] += 1
            self.lost(str(error))
            return False

    def read(self) -> TunRead | None:
        """What waits."""
        if self.tun is None:
            return None
        try:
            return self.tun.read()
        except KernelError as error:
            self.lost(str(error))
            return None

    def lost(self, reason: str) -> None:
        """Whoever uses the device finds that it is gone."""
        if self.tun is not None:
            log.warning("tun-lost", reason=reason)
            self.tun = None
            self._tell_lost()


class Wires:
    """Connects the descriptors and the clock with the negotiation and the roads. ``clock`` gives monotonic seconds.
    ``apart``: other processes read the TUN device and the sockets of ESP, and ``roads`` get what is left."""

    def __init__(
        self,
        negotiation: Timed,
        roads: PacketRoads,
        conductor: Conductor,
        sockets: Sockets,
        port: TunPort,
        paths: Paths,
        guard: Guard,
        clock: Callable[[], float],
        *,
        apart: bool = False,
    ) -> None:
        self._apart = apart
        self._negotiation = negotiation
        self._roads = roads
        self._conductor = conductor
        self._sockets = sockets
        self._port = port
        self._paths = paths
        self._unreached = Unreached(paths)
        self._guard = guard
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._to_look: deque[Outside] = deque()
        self._reading: int | None = None  # the TUN descriptor that the loop watches
        self._over = False

    def connect(self) -> None:
        """Begin to read."""
        for opened in self._sockets.read_here:
            self._loop.add_reader(opened.fileno(), self._from_socket, opened)
        if not self._apart:
            for receiver in self._sockets.native.receivers:
                self._loop.add_reader(receiver.fileno(), self._from_native, receiver)
            for router in self._sockets.native.routers:
                self._loop.add_reader(router.fileno(), self._errors_of, router, NATIVE)
        self.watch_tun()
        self.rearm()

    def watch_tun(self) -> None:
        """Read from the TUN device that ``port`` has now."""
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            self._reading = None
        if self._port.tun is not None and not self._apart:
            self._reading = self._port.tun.fileno()
            self._loop.add_reader(self._reading, self._from_tun)

    def disconnect(self) -> None:
        """Read no more, and let no more time pass, whatever the data plane still has to say."""
        self._over = True
        for opened in self._sockets.read_here:
            self._loop.remove_reader(opened.fileno())
        if not self._apart:
            for descriptor in self._sockets.native.descriptors(sending=False):
                self._loop.remove_reader(descriptor)
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            self._reading = None
        self._to_look.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None

    def turn(self, work: Callable[[float], Effects]) -> None:
        """One turn of the negotiation, whose effects are carried out before this returns."""
        now = self._clock()
        self._conductor.perform(work(now), now)
        self.rearm()

    def look_at_links(self, *, anew: bool = False) -> None:
        """Links may have changed: ask again what they carry, about a few peers in each turn. ``anew``: the roads know
        nothing of what they were told."""
        if anew:
            self._paths.forget()
        self._to_look = deque(self._paths.ways())
        self._look_on()

    def _look_on(self) -> None:
        now = self._clock()
        with self._guard.over("the MTU of a link"):
            for _ in range(min(limits.BURST, len(self._to_look))):
                for message in self._paths.ask(self._to_look.popleft()):
                    self._conductor.tell_roads(message, now)
        if self._to_look:
            self._loop.call_soon(self._look_on)

    def wake(self) -> None:
        """The machine has slept, and the event loop's timers with it: what was due meanwhile is done now."""
        self._time()

    def rearm(self, rest: float = 0.0) -> None:
        """Wake up when the next timer is due, in ``rest`` seconds at the soonest."""
        if self._over:
            return
        moments = [moment for moment in (self._negotiation.deadline(), self._roads.deadline()) if moment is not None]
        due = min(moments, default=None)
        if due == self._due and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due is None else self._loop.call_later(max(rest, due - self._clock()), self._time)

    def _time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        now = self._clock()
        with self._guard.over("a timer") as negotiating:
            self._conductor.perform(self._negotiation.timer(now), now)
        with self._guard.over("a timer of the data plane") as carrying:
            self._conductor.results(self._roads.timer(now), now)
        self.rearm(0.0 if negotiating.error is carrying.error is None else _REST_AFTER_FAULT)

    def _from_tun(self) -> None:
        now, left = self._clock(), limits.BURST_OCTETS
        with self._guard.over("the TUN"):
            for _ in range(limits.BURST):
                if left <= 0 or (read := self._port.read()) is None:
                    break
                left -= len(read.packet)
                with self._guard.over("a packet from the TUN"):
                    self._conductor.results(self._roads.from_tun_read(*read, now), now)
        with self._guard.over("packets from the TUN"):
            self._conductor.results(self._roads.from_tun_end(now), now)
        if self._port.tun is None:
            self.watch_tun()
        self.rearm()

    def _from_socket(self, opened: UdpSocket) -> None:
        """Errors are read in every turn, however many datagrams there are: they fill the same buffer."""
        now, left = self._clock(), limits.BURST_OCTETS
        with self._guard.over("a socket"):
            for _ in range(limits.BURST):
                if left <= 0 or (read := opened.receive_into(self._roads.received)) is None:
                    break
                left -= read.octets
                with self._guard.over("a datagram", remote=read.remote, port=read.remote_port):
                    self._receive(opened, read, now)
        with self._guard.over("datagrams"):
            self._conductor.results(self._roads.from_udp_end(now), now)
        self._errors_of(opened, opened.port, natt=opened.natt)

    def _from_native(self, receiver: NativeReceiver) -> None:
        now, left = self._clock(), limits.BURST_OCTETS
        with self._guard.over("a raw socket"):
            for _ in range(limits.BURST):
                if left <= 0 or (read := receiver.receive()) is None:
                    break
                left -= len(read.packet)
                with self._guard.over("a native packet", remote=read.remote):
                    outside = Outside(read.local, NATIVE, read.remote, NATIVE)
                    self._conductor.results(self._roads.from_native_read(read.packet, outside, now), now)
        self._errors_of(receiver, NATIVE)

    def _errors_of(self, opened: UdpSocket | NativeReceiver | AhErrors, port: int, *, natt: bool = True) -> None:
        with self._guard.over("the errors of a socket"):
            now = self._clock()
            for error in opened.errors(limits.SOCKET_ERRORS):
                with self._guard.over("an error of a path", remote=error.remote):
                    self._path_error(error, port, now, natt=natt)
        self.rearm()

    def heard(self, heard: Heard) -> None:
        """Another process of ours has heard of an error about a datagram, or a native packet; ESP shares the port it
        left by."""
        error = PathError(heard.errno, heard.reported, heard.remote, heard.remote_port, heard.mtu, heard.data)
        with self._guard.over("an error of a path", remote=error.remote):
            self._path_error(error, heard.port, self._clock(), natt=True)
        self.rearm()

    def _receive(self, opened: UdpSocket, read: Received, now: float) -> None:
        outside = Outside(read.local, opened.port, read.remote, read.remote_port)
        results = self._roads.from_udp_read(read.octets, read.segment, outside, read.traffic_class, opened.natt, now)
        self._conductor.results(results, now)

    def _path_error(self, error: PathError, port: int, now: float, *, natt: bool) -> None:
        """What isn't about a path's MTU is no reason to give up (RFC 7296 section 2.4), but worth telling."""
        if (message := self._paths.judge(error, port)) is not None:
            self._conductor.tell_roads(message, now)
        elif error.mtu:
            return
        elif (found := self._unreached.about(error, port, now)) is not None:
            self._conductor.perform(self._negotiation.unreached(*found, now), now)
        elif port != NATIVE and (not natt or error.data.startswith(NON_ESP_MARKER)):
            remote, reason = Endpoint(error.remote, error.remote_port), os.strerror(error.errno)
            todo = self._negotiation.unreachable(remote, f"IKE doesn't get there: {reason}", now)
            self._conductor.perform(todo, now)
