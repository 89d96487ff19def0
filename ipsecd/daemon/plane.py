"""The data plane of a policy in force: in processes of its own, started again when they die, or in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from ipsecd import limits
from ipsecd.crypto.entropy import SystemEntropy
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.processes import IN, OUT, Descriptors, Processes
from ipsecd.daemon.sockets import Sockets
from ipsecd.dataplane.commands import together
from ipsecd.dataplane.messages import Begin, Counters, Heard
from ipsecd.dataplane.results import Result
from ipsecd.errors import KernelError
from ipsecd.io.tun import TSO, USO, Tun
from ipsecd.wire.registry import IpProtocol

if TYPE_CHECKING:
    from ipsecd.dataplane.inline import InlineRoads

log = structlog.get_logger()

_JOINED = {TSO: IpProtocol.TCP, USO: IpProtocol.UDP}  # what the TUN takes joined if it hands it over joined


@dataclass(frozen=True, slots=True)
class Measures:
    """What the roads are made with: the MTU of the TUN device, and for how many seconds a path MTU counts."""

    tun_mtu: int
    pmtu_age: float


class Owner(Protocol):
    """The protection that a data plane belongs to. ``plane_again``: it is empty, and has to be told everything."""

    def results(self, results: Iterable[Result], now: float) -> None: ...
    def path_heard(self, heard: Heard) -> None: ...
    def tun_lost(self, reason: str) -> None: ...
    def plane_again(self) -> None: ...
    def plane_failed(self, reason: str) -> None: ...


class Inline:
    """Both roads in this process."""

    name = "inline"
    apart = False

    def __init__(self, measures: Measures, tun: Tun) -> None:
        self.roads = self.front = inline_roads(measures, tun)

    async def start(self, tun: Tun, sockets: Sockets) -> None:
        """They are there already."""

    async def stop(self) -> None:
        """They hold nothing."""

    async def counters(self) -> Counters:
        """What the roads have counted."""
        return self.roads.counters()

    def new_tun(self, tun: Tun) -> None:
        """Whoever reads and writes it knows."""

    def pids(self) -> dict[str, int | None]:
        """There are none."""
        return {}

    def look_after(self) -> None:
        """They can't be stuck while this is called."""


class Apart:
    """Each road in a process of its own. ``roads`` takes the messages for them, ``front`` the datagrams that don't come
    where ESP is spoken."""

    name = "processes"
    apart = True

    def __init__(self, measures: Measures, tun: Tun, owner: Owner, guard: Guard, clock: Callable[[], float]) -> None:
        self.front = inline_roads(measures, tun)
        self.roads = Processes(self, guard, clock)
        self._measures = measures
        self._owner = owner
        self._guard = guard
        self._clock = clock
        self._deaths: deque[float] = deque(maxlen=limits.PLANE_DEATHS)
        self._again: asyncio.Task[None] | None = None
        self._replaced = asyncio.Event()  # the TUN device, by another
        self.results, self.path_heard, self.tun_lost = owner.results, owner.path_heard, owner.tun_lost

    async def start(self, tun: Tun, sockets: Sockets) -> None:
        """Raises KernelError."""
        self._tun, self._sockets = tun, sockets
        receiving, sending = sockets.of_esp(sending=False), sockets.of_esp(sending=True)
        begin = Begin(
            tun.name,
            self._measures.tun_mtu,
            tuple(receiving),
            next(iter(receiving.values())).port,
            tuple(sorted(sockets.offloads)),
            self._measures.pmtu_age,
            _joins(tun),
            sockets.native.versions,
        )
        native = sockets.native.descriptors
        descriptors = {
            OUT: Descriptors(
                tun.fileno(), (*(sending[version].fileno() for version in receiving), *native(sending=True))
            ),
            IN: Descriptors(
                tun.fileno(), (*(opened.fileno() for opened in receiving.values()), *native(sending=False))
            ),
        }
        await self.roads.start(begin, descriptors)
        if self._tun is not tun:  # another has taken its place meanwhile
            self.roads.new_tun(self._tun.fileno())

    async def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        await self.roads.stop()

    async def counters(self) -> Counters:
        """What the processes have counted, and what came where no ESP is spoken."""
        return together([await self.roads.counters(), self.front.counters()])

    def new_tun(self, tun: Tun) -> None:
        """The processes use this device from now on."""
        self._tun = tun
        self._replaced.set()
        self.roads.new_tun(tun.fileno())

    def pids(self) -> dict[str, int | None]:
        """The number of each road's process."""
        return self.roads.pids()

    def look_after(self) -> None:
        """See that neither of them is stuck."""
        self.roads.look_after()

    # --- what the processes bring about -------------------------------------------------------------------------

    def plane_died(self, road: str, how: str) -> None:
        """One has ended by itself: end both, and start again, later and later; at last give up."""
        if self._again is not None and not self._again.done():
            return
        log.error("plane-died", road=road, how=how)
        self._again = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        reason = "the processes of the data plane die again and again"
        while (pause := self._pause()) is not None:
            with self._guard.over("the end of the data plane"):
                await self.roads.stop()
            await asyncio.sleep(pause)
            while self._tun.fileno() < 0:  # it is being made anew
                self._replaced.clear()
                await self._replaced.wait()
            try:
                await self.start(self._tun, self._sockets)
            except KernelError as error:
                reason = str(error)
                log.warning("plane-not-again", reason=reason)
            else:
                log.warning("plane-again")
                self._owner.plane_again()
                return
        self._owner.plane_failed(reason)

    def _pause(self) -> float | None:
        """Seconds until the next start: as many as there were others lately; None after too many."""
        now = self._clock()
        recent = sum(now - death < limits.PLANE_DEATHS_WITHIN for death in self._deaths)
        self._deaths.append(now)
        return None if recent == limits.PLANE_DEATHS else float(recent)


Plane = Inline | Apart


def inline_roads(measures: Measures, tun: Tun) -> InlineRoads:
    """Imported only here: the roads need numpy, which a control process beside roads of their own can start without."""
    from ipsecd.dataplane.inline import InlineRoads  # noqa: PLC0415 - see above

    octets = SystemEntropy().octets
    return InlineRoads(octets, tun_mtu=measures.tun_mtu, pmtu_age=measures.pmtu_age, joins=_joins(tun))


def _joins(tun: Tun) -> tuple[int, ...]:
    return tuple(protocol for offload, protocol in _JOINED.items() if offload in tun.offloads)
