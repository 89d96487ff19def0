"""One process of the data plane, as the control process has it: its start, its channel, what it owes, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.dataplane import codec
from ipsecd.dataplane.messages import Begin, OfProcesses, ToControl, ToProcesses, ToRoads
from ipsecd.errors import LocalError
from ipsecd.io.channel import Channel, channel_pair

_THIS_PROGRAM = "/proc/self/exe"  # also where its path is shut to whoever this process has become, or has another there
Heard = Callable[["Worker", ToControl | OfProcesses], None]
Died = Callable[["Worker"], None]


class Worker:
    """``road`` is out or in. ``heard`` gets what the process says, ``died`` is called once if it ends by itself.
    Made inside a running event loop."""

    def __init__(self, road: str, guard: Guard, heard: Heard, died: Died) -> None:
        self.road = road
        self.ready = asyncio.Event()  # it carries packets, or never will
        self.how = ""  # it has ended by itself
        self.owed: deque[tuple[int, int]] = deque()  # messages that aren't acknowledged: whose number, and our own
        self._oldest: tuple[int, int] | None = None  # of them, when somebody looked
        self._looks = 0  # how often it has been the same since
        self._guard = guard
        self._heard = heard
        self._died = died
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()  # what the channel had no room for
        self._ended = False
        self._process: asyncio.subprocess.Process | None = None
        ours, self._theirs = channel_pair()
        self._channel = Channel(ours, takes_descriptors=False)

    async def start(self, begin: Begin, descriptors: Sequence[int]) -> None:
        """``descriptors`` go with ``begin``. Messages may be sent from the first moment on. Raises OSError."""
        self._channel.send(codec.encode(begin), descriptors)
        self._loop.add_reader(self._channel.fileno(), self._listen)
        number = self._theirs.fileno()
        command = [sys.executable, "-P", "-m", "ipsecd.dataplane", self.road, str(number), str(os.getpid())]
        with self._theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                executable=_THIS_PROGRAM,
                pass_fds=[number],
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        self._watching = self._loop.create_task(self._watch(self._process))

    def send(self, message: ToRoads | ToProcesses, descriptors: Sequence[int] = ()) -> None:
        """Messages arrive in order, each once; unless the process ends before. LocalError for what can't be encoded."""
        data = codec.encode(message)
        if self._channel.fileno() < 0:
            return  # it is about to end, and ``died`` to be called
        if not self._waiting and self._channel.send(data, descriptors):
            return
        if not self._waiting:
            self._loop.add_writer(self._channel.fileno(), self._send_on)
        self._waiting.append((data, tuple(map(os.dup, descriptors))))  # the caller's may be closed meanwhile

    def stuck(self) -> bool:
        """To be asked every second or so: whether the process has owed the same answer each time, for too long. Seconds
        in which nobody asks don't count: this process, or the machine, has slept then."""
        oldest = self.owed[0] if self.owed else None
        self._looks = self._looks + 1 if oldest is not None and oldest == self._oldest else 0
        self._oldest = oldest
        return self._looks > limits.PLANE_LOOKS

    def kill(self) -> None:
        """End it at once; ``died`` tells when it has."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _end(self) -> None:
        """It has hung up, and should have ended by itself."""
        if not self._ended:
            self.kill()

    def hang_up(self) -> None:
        """Let it end. It isn't heard from then on, and its death is nobody's business."""
        self._ended = True
        self._hang_up()
        self._theirs.close()

    async def close(self) -> None:
        """End it, if it hasn't ended by itself, and wait until it has: it ends when its channel does."""
        self.hang_up()
        if self._process is None:
            return
        self._watching.cancel()
        try:
            async with asyncio.timeout(limits.PLANE_END):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _hang_up(self) -> None:
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.close()
        while self._waiting:
            self._sent_first()

    def _send_on(self) -> None:
        while self._waiting and self._channel.send(*self._waiting[0]):
            self._sent_first()
        if not self._waiting:
            self._loop.remove_writer(self._channel.fileno())

    def _sent_first(self) -> None:
        _, descriptors = self._waiting.popleft()
        for each in descriptors:
            os.close(each)

    def _listen(self) -> None:
        """A bounded number of messages in each turn of the event loop."""
        for _ in range(limits.BURST):
            with self._guard.over("a message of the data plane"):
                try:
                    arrived = self._channel.receive()
                except EOFError:
                    self._hang_up()
                    self._loop.call_later(limits.PLANE_END, self._end)  # nobody can tell it anything any more
                    return
                if arrived is None:
                    return
                message = codec.decode(arrived.data)
                if isinstance(message, ToRoads | ToProcesses):
                    raise LocalError(f"the data plane says {type(message).__name__}")
                self._heard(self, message)
            if self._channel.fileno() < 0:
                return

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if not self._ended:
            self._ended = True
            if self._channel.fileno() >= 0:
                self._listen()  # to what it said last
            self._hang_up()
            self.how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
            self.ready.set()
            self._died(self)


def _environment() -> dict[str, str]:
    """What Python needs to find itself, and nothing that is meant for the control process alone. numpy's linear algebra
    isn't used: no threads and no buffers for it."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LD_", "LC_", "LANG"))}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}
