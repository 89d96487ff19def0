"""The data plane as two processes, one for each road, behind the messages that inline roads take as calls.

What a message does isn't known when ``handle`` returns, but when its Done comes: a message to both roads is done when
both have said so. When one process ends by itself, the other is ended too: what they carried is negotiated again, as a
lost sequence number would mean a nonce used twice, and a lost window replay.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import structlog

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.worker import Worker
from ipsecd.dataplane.commands import INBOUND_ALONE, OUTBOUND_ALONE, together
from ipsecd.dataplane.messages import (
    Acquire,
    AskCounters,
    Begin,
    Counters,
    Done,
    Fault,
    Heard,
    IkeDatagram,
    InboundUsed,
    NewTun,
    OfProcesses,
    PeerAlive,
    PeerMoved,
    Probe,
    Ready,
    Released,
    SetSpd,
    SpdPart,
    ToControl,
    ToRoads,
    TunLost,
)
from ipsecd.dataplane.results import Result
from ipsecd.errors import KernelError, LocalError

log = structlog.get_logger()

OUT, IN = "out", "in"
_BOTH = (OUT, IN)
_NO_START = "the processes of the data plane don't start"
_NOT_OF = {
    OUT: (IkeDatagram, InboundUsed, PeerMoved, PeerAlive),
    IN: (Acquire, Released),
}  # what each has no business to say
_NOBODYS = 0  # the number of a message that nobody waits for


class Told(Protocol):
    """Who is told what the processes say."""

    def results(self, results: Iterable[Result], now: float) -> None: ...
    def path_heard(self, heard: Heard) -> None: ...
    def tun_lost(self, reason: str) -> None: ...
    def plane_died(self, road: str, how: str) -> None: ...


class Descriptors(NamedTuple):
    """What a process gets: the TUN device, and its sockets, as Begin has them."""

    tun: int
    sockets: tuple[int, ...]


@dataclass(slots=True)
class _Owed:
    """A message that isn't done: by how many processes, and what the first that couldn't do it said."""

    missing: int
    error: str = ""


class Processes:
    """``clock`` gives seconds. Made inside a running event loop."""

    def __init__(self, told: Told, guard: Guard, clock: Callable[[], float]) -> None:
        self._told = told
        self._guard = guard
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._running = False  # both carry packets, as far as is known
        self._handled = self._sent = 0
        self._probed = clock()
        self._device = 0  # how many TUN devices have taken the place of the one that they began with
        self._owed: dict[int, _Owed] = {}
        self._counted: dict[str, Counters] = {}
        self._asked: dict[str, deque[asyncio.Future[Counters]]] = {}
        self._before = Counters((), {}, {}, {})  # what processes that have ended had counted

    async def start(self, begin: Begin, descriptors: dict[str, Descriptors]) -> None:
        """Start both, and wait until they carry packets; messages can't be handled before. Raises KernelError."""
        self._workers = {road: Worker(road, self._guard, self._heard, self._died) for road in _BOTH}
        self._asked = {road: deque() for road in _BOTH}
        self._device = 0
        try:
            for road, worker in self._workers.items():
                await worker.start(begin, [descriptors[road].tun, *descriptors[road].sockets])
            async with asyncio.timeout(limits.PLANE_START):
                for worker in self._workers.values():
                    await worker.ready.wait()
            dead = [
                f"process {worker.road} has ended ({worker.how})" for worker in self._workers.values() if worker.how
            ]
            if dead:
                raise KernelError(f"{_NO_START}: {', '.join(dead)}")
            self._running = True
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "they took too long"
            raise KernelError(f"{_NO_START}: {reason}") from error
        finally:
            if not self._running:
                await self.stop()

    async def stop(self) -> None:
        """End both. What they owe is done, in vain."""
        workers, self._workers, self._running = self._workers, {}, False
        for worker in workers.values():
            worker.hang_up()  # so that they end, also if nobody waits for it any more
        await asyncio.gather(*(worker.close() for worker in workers.values()))
        self._before = together([_without_sas(self._before), *(_without_sas(each) for each in self._counted.values())])
        self._counted.clear()
        for waiting in self._asked.values():
            for future in waiting:
                future.cancel()
        self._asked.clear()
        owed, self._owed = self._owed, {}
        lost = [Done(number, "the data plane has ended") for number in owed]
        self._told.results(lost, self._clock())

    def pids(self) -> dict[str, int | None]:
        """The number of each road's process."""
        return {road: worker.pid for road, worker in self._workers.items()}

    # --- messages to the roads ----------------------------------------------------------------------------------

    def handle(self, message: ToRoads, now: float) -> list[Result]:  # noqa: ARG002  as inline roads, which need it
        """Send the message on its way; its Done comes later, unless there is nobody to do it."""
        self._handled += 1
        roads = _roads(message)
        if not self._running:
            return [Done(self._handled, "the data plane is not running")]
        for road in roads:
            self._send(road, message, self._handled)
        self._owed[self._handled] = _Owed(len(roads))
        return []

    def again(self, packet: bytes, now: float) -> list[Result]:
        """The road out sends again by itself what didn't fit."""
        raise LocalError(f"{len(packet)} octets come back at {now}, but the road out is in another process")

    def new_tun(self, descriptor: int) -> None:
        """Another device takes the place of a lost one. Those that are being started have to be told afterwards."""
        if not self._running:
            return
        self._device += 1
        for worker in self._workers.values():
            worker.send(NewTun(), [descriptor])

    async def counters(self) -> Counters:
        """What both have counted until now, and those before them; of one that doesn't answer, what it said last."""
        futures: Sequence[asyncio.Future[Counters]] = [self._ask(road) for road in self._workers if self._running]
        if futures:
            await asyncio.wait(futures, timeout=limits.PLANE_ANSWER)
        return together([self._before, *self._counted.values()])

    def look_after(self) -> None:
        """End what is stuck, so that it can be started again; to be called every now and then."""
        now = self._clock()
        if not self._running:
            return
        for road, worker in self._workers.items():
            if worker.stuck():
                log.error("plane-stuck", road=road)
                worker.owed.clear()
                worker.kill()
        if now - self._probed >= limits.PLANE_PROBE:
            self._probed = now
            for road, worker in self._workers.items():
                if not worker.owed:
                    self._send(road, Probe(), _NOBODYS)

    def _ask(self, road: str) -> asyncio.Future[Counters]:
        future: asyncio.Future[Counters] = asyncio.get_running_loop().create_future()
        self._asked[road].append(future)
        self._workers[road].send(AskCounters())
        return future

    def _send(self, road: str, message: ToRoads, number: int) -> None:
        worker = self._workers[road]
        if isinstance(message, SetSpd):
            entries, most = message.entries, limits.SPD_PART
            for start in range(0, len(entries) - most, most):
                worker.send(SpdPart(entries[start : start + most]))
            message = replace(message, entries=entries[(len(entries) - 1) // most * most :])
        worker.send(message)
        self._sent += 1
        worker.owed.append((number, self._sent))  # if it could be sent

    # --- what the processes say ---------------------------------------------------------------------------------

    def _heard(self, worker: Worker, message: ToControl | OfProcesses) -> None:
        if isinstance(message, _NOT_OF[worker.road]):
            raise LocalError(f"the road {worker.road} says {type(message).__name__}")
        match message:
            case Done(_, error):
                self._done(worker, error)
            case Counters():
                self._counted[worker.road] = message
                if (waiting := self._asked[worker.road]) and not (future := waiting.popleft()).done():
                    future.set_result(message)
            case Ready(missing):
                if missing:
                    log.warning("plane-open", road=worker.road, missing=", ".join(missing))
                worker.ready.set()
            case Heard():
                self._told.path_heard(message)
            case TunLost(device, reason):
                if device == self._device:
                    self._told.tun_lost(reason)
            case Fault(what, error, traceback):
                self._guard.told(what, error, traceback)
            case _:
                self._told.results([message], self._clock())

    def _done(self, worker: Worker, error: str) -> None:
        """Each process answers in the order in which it was told."""
        if not worker.owed:
            raise LocalError("the data plane has done what it wasn't told")
        number, _ = worker.owed.popleft()
        if number == _NOBODYS:
            return
        owed = self._owed[number]
        owed.missing -= 1
        owed.error = owed.error or error
        if not owed.missing:
            del self._owed[number]
            self._told.results([Done(number, owed.error)], self._clock())

    def _died(self, worker: Worker) -> None:
        if self._running and self._workers.get(worker.road) is worker:
            self._told.plane_died(worker.road, worker.how)


def _roads(message: ToRoads) -> tuple[str, ...]:
    if isinstance(message, OUTBOUND_ALONE):
        return (OUT,)
    return (IN,) if isinstance(message, INBOUND_ALONE) else _BOTH


def _without_sas(counters: Counters) -> Counters:
    """What isn't bound to SAs that have ended with a process, nor to packets that waited in it."""
    paths = Counter({name: count for name, count in counters.paths.items() if name not in {"waiting", "held"}})
    return Counters((), counters.drops, dict(paths), counters.entries)
