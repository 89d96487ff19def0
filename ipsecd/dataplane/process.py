"""A road in a process of its own: what both have in common.

It is started with one descriptor, the channel to the control process, and gets the others through it; then it shuts
itself in, and goes on in turns: messages, packets, time. It ends with the control process, and on nothing else. What
goes wrong with one packet or message costs that one alone, and is told.
"""

from __future__ import annotations

import gc
import select
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import ceil
from typing import NoReturn, Protocol

from ipsecd import limits
from ipsecd.dataplane import codec
from ipsecd.dataplane.commands import Generations
from ipsecd.dataplane.messages import (
    AskCounters,
    Counters,
    Done,
    Fault,
    Heard,
    IkeDatagram,
    NewTun,
    OfProcesses,
    Ready,
    SetSpd,
    SpdPart,
    ToControl,
    ToProcesses,
    ToRoads,
    TunLost,
)
from ipsecd.dataplane.results import Out, OutRun, Result, ToTun, ToTunRun
from ipsecd.errors import KernelError, LocalError, WireError
from ipsecd.io.channel import Arrived, Channel
from ipsecd.io.clock import Clock
from ipsecd.io.tun import NOTHING_LEFT, TunEnd
from ipsecd.io.udp_errors import PathError
from ipsecd.ipsec.spd import Spd, SpdEntry
from ipsecd.ratelimit import RateLimit

_READABLE = select.POLLIN | select.POLLERR | select.POLLHUP
_LINES = 40  # of a traceback that are told

Turn = Callable[[float, int], None]
"""What is done when a descriptor is readable; takes the time, and what poll says of it."""


class Hears(Protocol):
    """A socket that counts the errors it heard of."""

    @property
    def heard(self) -> Counter[str]: ...


class RoadProcess(ABC):
    """``channel`` leads to the control process; ``tun`` is the device of the moment."""

    def __init__(self, channel: Channel, tun: TunEnd) -> None:
        self._channel = channel
        self._tun: TunEnd | None = tun
        self._tun_name = tun.name
        self._device = 0  # how many there were before it
        self._clock = Clock()
        self._poll = select.poll()
        self._turns: dict[int, Turn] = {}
        self._watch(channel.fileno(), self._listen)
        self._waiting: deque[bytes] = deque()  # reports that the channel had no room for
        self._handled = 0
        self._generations = Generations()
        self._entries: list[SpdEntry] = []  # of the next SPD
        self._faults = RateLimit(limits.PLANE_FAULTS, limits.PLANE_FAULTS)
        self.drops: Counter[str] = Counter()  # what is lost here, beside the road

    # --- what each road does ------------------------------------------------------------------------------------

    @abstractmethod
    def carry_out(self, results: Iterable[Result], now: float) -> None:
        """Do what the road has handed back, each before the next is taken."""

    @abstractmethod
    def tell(self, message: ToRoads, now: float, spd: Spd | None) -> list[Result]:
        """Hand the road a message. LocalError if it can't be done."""

    @abstractmethod
    def counters(self) -> Counters:
        """All that is counted in this process."""

    @abstractmethod
    def use_tun(self, tun: TunEnd) -> None:
        """Another device has taken the place of a lost one."""

    @abstractmethod
    def timer(self, now: float) -> list[Result]:
        """What time alone has brought about."""

    @abstractmethod
    def deadline(self) -> float | None:
        """When ``timer`` has something to do next."""

    # --- turns --------------------------------------------------------------------------------------------------

    def run(self, missing: Iterable[str]) -> NoReturn:
        """Until the control process is gone. ``missing`` is told it. Raises EOFError then."""
        gc.collect()
        gc.freeze()  # what lives now lives as long as the process
        gc.disable()  # and hardly anything that packets need is ever part of a cycle
        self.say(Ready(tuple(missing)))
        poll, turns, clock = self._poll.poll, self._turns, self._clock.now
        now = collected = clock()
        while True:
            due = self.deadline()
            patience = limits.COLLECT_EVERY if due is None else min(limits.COLLECT_EVERY, max(0.0, due - now))
            events = poll(ceil(patience * 1_000))
            now = clock()
            for descriptor, event in events:
                if (turn := turns.get(descriptor)) is not None:
                    turn(now, event)
            if self._waiting:
                self._say_on()
            if due is not None and now >= due:
                self.guarded("a timer of the data plane", self._ring, now)
            if now - collected >= (limits.COLLECT_BUSY if events else limits.COLLECT_EVERY):
                collected = now
                gc.collect()

    def _ring(self, now: float) -> None:
        self.carry_out(self.timer(now), now)

    def _watch(self, descriptor: int, turn: Turn) -> None:
        self._poll.register(descriptor, _READABLE)
        self._turns[descriptor] = turn

    def _forget(self, descriptor: int) -> None:
        if self._turns.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def guarded(self, what: str, work: Callable[..., object], *arguments: object) -> None:
        """Do it; a bug of ours that it meets ends here, and is told."""
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is, it costs this one thing
            told = self._faults.take(self._clock.now())
            lines = "".join(traceback.format_exception(error)).splitlines()[-_LINES:] if told else []
            self.say(Fault(what, repr(error)[: limits.LOGGED_REASON], tuple(lines)))

    def common(self, result: Result) -> None:
        """What both roads may hand back: a packet for the TUN device, or a report."""
        match result:
            case ToTun(packet):
                self.write(packet)
            case ToTunRun(head, header, payloads):
                self.write(header, *payloads, head=head)
            case Out() | OutRun():
                raise LocalError("the road in sends nothing")
            case _:
                self.say(result)

    def write(self, *parts: bytes | bytearray | memoryview, head: bytes = NOTHING_LEFT) -> None:
        """Hand one packet to the TUN device, or many as one, if there is a device."""
        if self._tun is None:
            self.drops["tun-gone"] += 1
            return
        try:
            self._tun.write(*parts, head=head)
        except KernelError as error:
            self.drops["tun-gone"] += 1
            self.tun_lost(error)

    # --- the control process ------------------------------------------------------------------------------------

    def say(self, message: ToControl | OfProcesses) -> None:
        """Tell the control process. If it has no time, what strangers bring about is lost, as on any full link, and
        the rest waits a little; answers always do, as they are counted, and as many as were asked for."""
        data = codec.encode(message)
        if not self._waiting and self._channel.send(data):
            return
        strange = isinstance(message, IkeDatagram) or (isinstance(message, Heard) and message.reported)
        full = len(self._waiting) >= limits.CHANNEL_WAITING and not isinstance(message, Done | Counters)
        if strange or full:
            self.drops["control-full"] += 1
            return
        if not self._waiting:
            self._poll.modify(self._channel.fileno(), _READABLE | select.POLLOUT)
        self._waiting.append(data)

    def _say_on(self) -> None:
        while self._waiting and self._channel.send(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._poll.modify(self._channel.fileno(), _READABLE)

    def _listen(self, now: float, _: int) -> None:
        """A bounded number of messages, so that packets have their turn."""
        for _ in range(limits.BURST):
            arrived = self._channel.receive()
            if arrived is None:
                return
            self.guarded("a message to the data plane", self._obey, arrived, now)

    def _obey(self, arrived: Arrived, now: float) -> None:
        message = read(arrived)
        if isinstance(message, NewTun):
            (descriptor,) = arrived.descriptors
            self._take_tun(TunEnd(descriptor, self._tun_name))
            return
        if isinstance(message, SpdPart):
            self._entries += message.entries
            return
        if not isinstance(message, ToRoads):
            raise LocalError("the data plane has begun already")
        self._handled += 1
        if isinstance(message, AskCounters):
            self.say(self.counters())
            return
        try:
            spd = None
            if isinstance(message, SetSpd):
                entries, self._entries = (*self._entries, *message.entries), []
                self._generations.take(message.generation)
                spd = Spd(entries)
            self.carry_out(self.tell(message, now, spd), now)
        except LocalError as error:
            self.say(Done(self._handled, str(error)))
        except Exception as error:
            self.say(Done(self._handled, repr(error)))  # else what others wait for would be taken for this one's answer
            raise
        else:
            self.say(Done(self._handled))

    def with_ours(self, counted: Counters, sockets: Iterable[Hears], unsent: Mapping[str, int]) -> Counters:
        """What the road has counted, and what was lost around it."""
        drops = Counter(counted.drops)
        drops.update(self.drops)
        drops.update(unsent)
        if self._tun is not None:
            drops.update(self._tun.drops)
        paths = Counter(counted.paths)
        for opened in sockets:
            paths.update(opened.heard)
        return replace(counted, drops=dict(drops), paths=dict(paths))

    # --- the TUN device -----------------------------------------------------------------------------------------

    def _take_tun(self, tun: TunEnd) -> None:
        before, self._tun = self._tun, tun
        self._device += 1
        if before is not None:
            self._forget(before.fileno())
            before.close()
        self.use_tun(tun)

    def tun_lost(self, error: KernelError) -> None:
        """Nothing can be read from the device any more, or written to it."""
        if self._tun is not None:
            self._forget(self._tun.fileno())
            self.drops += self._tun.drops
            self._tun.close()
            self._tun = None
            self.say(TunLost(self._device, str(error)))


def heard(port: int, error: PathError) -> Heard:
    """What to tell the control process of an error about a datagram that left by ``port``, or is ``NATIVE``."""
    return Heard(port, error.errno, error.reported, error.remote, error.remote_port, error.mtu, error.data)


def read(arrived: Arrived) -> ToRoads | ToProcesses:
    """The message from the control process. LocalError if it isn't one."""
    try:
        message = codec.decode(arrived.data)
    except WireError as error:
        raise LocalError(f"what the control process said can't be read: {error}") from None
    if not isinstance(message, ToRoads | ToProcesses):
        raise LocalError(f"{type(message).__name__} is no message to the data plane")
    return message
