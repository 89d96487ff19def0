"""A road in a process of its own, for tests: with a real channel, and stand-ins for the TUN device and the socket."""

from __future__ import annotations

import errno
import select
import socket
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from ipsecd.dataplane import codec
from ipsecd.dataplane import messages as m
from ipsecd.dataplane.codec import Message
from ipsecd.dataplane.process import RoadProcess
from ipsecd.dataplane.process_in import InboundProcess
from ipsecd.dataplane.process_out import OutboundProcess
from ipsecd.dataplane.results import Out
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.errors import KernelError
from ipsecd.io.channel import Channel, channel_pair
from ipsecd.io.native_runs import NativeRun, RunReceiver
from ipsecd.io.outgoing import Refusal
from ipsecd.io.tun import NOTHING_LEFT, TunEnd, TunRead
from ipsecd.io.udp import Received
from ipsecd.io.udp_errors import PathError
from ipsecd.wire.selector import Address
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, TUN_MTU, End, only, protect, tunnel
from tests.unit.ipsec.pairs import fixed_iv, keys

V4 = ("10.1.0.1", "10.2.0.1")
PORT, PEER = 4_500, ip_address("198.51.100.1")
NEAR = m.Outside(ip_address("192.0.2.1"), PORT, PEER, PORT)
SPD = m.SetSpd(1, (protect(*zip(NEAR_NETS, FAR_NETS, strict=True)),))
INBOUND = m.InstallInbound(0x1111, "child", keys(), NEAR_NETS, FAR_NETS, NEAR, m.Limits(), 1_024)
OUTBOUND = m.InstallOutbound(0x2222, 0x1111, "child", keys(), NEAR_NETS, FAR_NETS, NEAR, m.Limits())
TOLD = PathError(errno.ECONNREFUSED, True, PEER, PORT, 0, b"\x00\x00\x22\x22")
USED = m.InboundUsed(7)
NATIVE = m.Outside(NEAR.local, 0, PEER, 0)
IKE = m.IkeDatagram(b"\x00" * 60_000, NEAR.local, PORT, PEER, PORT, True)


class Device(TunEnd):
    """One end of a pair, as the process has it; the test has the other. ``gone`` is what every call meets."""

    def __init__(self) -> None:
        self.kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self.kernel, ours):
            each.setblocking(False)
        super().__init__(ours.detach(), "ipsec0")
        self.gone = self.closed = False

    def read(self) -> TunRead | None:
        self._fail()
        return super().read()

    def write(self, *parts: bytes | bytearray | memoryview, head: bytes = NOTHING_LEFT) -> bool:
        self._fail()
        return super().write(*parts, head=head)

    def _fail(self) -> None:
        if self.gone:
            raise KernelError("can't use ipsec0: it's gone", errno=errno.EBADFD)

    def route(self, *packets: bytes) -> None:
        """The kernel has packets for the tunnel."""
        for packet in packets:
            self.kernel.send(NOTHING_LEFT + packet)

    def written(self) -> list[bytes]:
        """What the process has written to the device."""
        found: list[bytes] = []
        with suppress(BlockingIOError):
            while read := self.kernel.recv(70_000):
                found.append(read[len(NOTHING_LEFT) :])
        return found

    def close(self) -> None:
        super().close()
        self.closed = True


class Socket:
    """A socket whose datagrams and errors a test makes up. ``link`` is the MTU of the link it sends to."""

    port = PORT

    def __init__(self, number: int) -> None:
        self._number = number
        self.arrived: deque[bytes] = deque()
        self.told: list[PathError] = []
        self.sent: list[bytes] = []
        self.drops: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self.link = 9_000

    def fileno(self) -> int:
        return self._number

    def receive_into(self, buffer: memoryview) -> Received | None:
        if not self.arrived:
            return None
        data = self.arrived.popleft()
        buffer[: len(data)] = data
        return Received(len(data), len(data), PEER, PORT, NEAR.local, 0)

    def errors(self, limit: int) -> list[PathError]:
        found, self.told = self.told[:limit], self.told[limit:]
        return found

    def repeat(self, *_: Any, **__: Any) -> None:
        """Each call has something to decide."""

    def send(self, data: bytes | memoryview, *_: Any, segment: int = 0, **__: Any) -> Refusal | None:
        if 28 + (segment or len(data)) > self.link:
            self.drops["send-too-big"] += 1
            return Refusal("send-too-big", self.link)
        size = segment or len(data)
        self.sent += [bytes(data[at : at + size]) for at in range(0, len(data), size)]
        return None


class Raw:
    """A raw socket, likewise, for both roads."""

    holds = False

    def __init__(self, number: int) -> None:
        self._number = number
        self.arrived: deque[bytes] = deque()
        self.told: list[PathError] = []
        self.sent: list[tuple[bytes, Address, Address]] = []
        self.drops: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self.link = 9_000

    def fileno(self) -> int:
        return self._number

    @property
    def drained(self) -> bool:
        return not self.arrived

    def receive_run(self, buffer: memoryview, _most: int) -> NativeRun | None:
        """Always of one."""
        if not self.arrived:
            return None
        packet = self.arrived.popleft()
        buffer[: len(packet)] = packet
        return NativeRun(len(packet), len(packet), NEAR.local, PEER)

    def errors(self, limit: int) -> list[PathError]:
        found, self.told = self.told[:limit], self.told[limit:]
        return found

    def repeat(self, *_: Any, **__: Any) -> Callable[[bytes], bool]:
        return lambda _: False

    def send(self, packets: bytes | memoryview, local: Address, remote: Address, *, segment: int = 0) -> Refusal | None:
        size = segment or len(packets)
        if size > self.link:
            self.drops["send-too-big"] += 1
            return Refusal("send-too-big", self.link)
        self.sent += [(bytes(packets[at : at + size]), local, remote) for at in range(0, len(packets), size)]
        return None


class Kernel:
    """The descriptor of a raw socket for ESP over IPv4, to which a test sends whole packets."""

    family, proto = socket.AF_INET, 50

    def __init__(self) -> None:
        self._sending, self._opened = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for each in (self._sending, self._opened):
            each.setblocking(False)

    def fileno(self) -> int:
        return self._opened.fileno()

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self._sending.send(packet)

    def close(self) -> None:
        self._sending.close()
        self._opened.close()


class World:
    """One process, and the control process's end of its channel."""

    def __init__(self, road: str) -> None:
        self.ends = channel_pair()
        self.control = Channel(self.ends[0])
        self.tun, self.socket = Device(), Socket(900)
        self.raw, self.router, self.esp = Raw(901), Raw(902), Kernel()
        channel, sockets = Channel(self.ends[1]), {(4, PORT): self.socket}
        self.process: RoadProcess
        if road == "out":
            made = RunsOut(fixed_iv, tun_mtu=TUN_MTU)
            senders: Any = {4: self.raw}
            self.process = OutboundProcess(channel, self.tun, made, sockets, senders)  # type: ignore[arg-type]  # stood in for
        else:
            into = RunsIn(tun_mtu=TUN_MTU)
            read: Any = [self.raw, RunReceiver(self.esp)], [self.router]  # type: ignore[arg-type]  # likewise
            self.process = InboundProcess(channel, self.tun, into, sockets, *read)  # type: ignore[arg-type]

    def tell(self, *messages: Message) -> list[Message]:
        """Say these in the place of the control process, and what it hears then."""
        for message in messages:
            assert self.control.send(codec.encode(message))
        self.turn(self.ends[1].fileno())
        return self.heard()

    def heard(self) -> list[Message]:
        found: list[Message] = []
        while (arrived := self.control.receive()) is not None:
            found.append(codec.decode(arrived.data))
        return found

    def turn(self, descriptor: int, event: int = select.POLLIN) -> None:
        self.process._turns[descriptor](1.0, event)

    def watches(self, descriptor: int) -> bool:
        return descriptor in self.process._turns

    def carry(self, *packets: bytes) -> None:
        """These come from the TUN device."""
        self.tun.route(*packets)
        self.turn(self.tun.fileno())

    def receive(self, *datagrams: bytes) -> list[bytes]:
        """These come from the peer; what is written to the TUN device."""
        self.socket.arrived.extend(datagrams)
        self.turn(self.socket.fileno())
        return self.tun.written()

    def counters(self) -> m.Counters:
        (counters,) = self.tell(m.AskCounters())
        assert isinstance(counters, m.Counters)
        return counters

    def drops(self) -> Counter[str]:
        self.heard()
        return +Counter(self.counters().drops)

    def fill(self) -> None:
        """Leave no room in the channel."""
        while not self.process.drops["control-full"]:
            self.process.say(IKE)
        self.process.drops.clear()

    def close(self) -> None:
        for each in (*self.ends, self.tun.kernel, self.esp):
            each.close()
        if not self.tun.closed:
            self.tun.close()


def from_far(*packets: bytes) -> list[bytes]:
    """Datagrams of the peer with these inside."""
    _, far = tunnel()
    return [out.datagram for out in only(far.send(*packets), Out)]


def opened(datagrams: list[bytes]) -> list[bytes]:
    """What the peer finds in them."""
    far = End(near=False)
    far.policy()
    far.install_inbound()
    return [result.packet for datagram in datagrams for result in far.receive(datagram) if hasattr(result, "packet")]
