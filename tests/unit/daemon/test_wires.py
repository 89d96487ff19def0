"""The turns of the event loop, with everything around them made up."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.paths import Paths
from ipsecd.daemon.wires import TunPort, Wires
from ipsecd.dataplane.messages import Outside, SetLinkMtu, SetPathMtu
from ipsecd.errors import KernelError
from ipsecd.io.native import NativePacket
from ipsecd.io.tun import NOTHING_LEFT, TunRead
from ipsecd.io.udp import Received
from ipsecd.io.udp_errors import PathError
from tests.unit.daemon.test_paths import ANNA, HERE, OF_ANNA, install

NOW = 1_000.0


Later = tuple[float, Callable[[], None]]


class Handle:
    """What asyncio gives back for a timer: to cancel one that has rung does nothing."""

    def __init__(self, waiting: list[Later], timer: Later) -> None:
        self._waiting = waiting
        self._timer = timer

    def cancel(self) -> None:
        self._waiting[:] = [timer for timer in self._waiting if timer is not self._timer]


class Loop:
    """An event loop that does nothing by itself."""

    def __init__(self) -> None:
        self.readers: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}
        self.later: list[Later] = []
        self.soon: list[Callable[[], None]] = []

    def add_reader(self, file: int, call: Callable[..., None], *arguments: Any) -> None:
        self.readers[file] = (call, arguments)

    def remove_reader(self, file: int) -> None:
        del self.readers[file]

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        self.later.append((delay, call))
        return Handle(self.later, self.later[-1])

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def readable(self, file: int) -> None:
        call, arguments = self.readers[file]
        call(*arguments)


class Tun:
    """A TUN device with packets in it."""

    def __init__(self, *packets: bytes) -> None:
        self.packets = list(packets)
        self.gone = False

    def fileno(self) -> int:
        return 7

    def read(self) -> TunRead | None:
        if self.gone:
            raise KernelError("can't read from ipsecd0", errno=errno.EBADFD)
        return TunRead(memoryview(self.packets.pop(0)), bytearray(NOTHING_LEFT)) if self.packets else None

    def write(self, *parts: bytes, head: bytes) -> bool:
        if self.gone:
            raise KernelError("can't write to ipsecd0", errno=errno.EBADFD)
        self.packets.append(b"".join(parts))
        return True


class Socket:
    """A UDP socket with datagrams and errors in it."""

    port, natt = 4_500, True

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.waiting: list[PathError] = []
        self.broken = False

    def fileno(self) -> int:
        return 8

    def receive_into(self, buffer: memoryview) -> Received | None:
        if self.broken:
            raise RuntimeError("a bug in reading")
        if not self.datagrams:
            return None
        data = self.datagrams.pop(0)
        buffer[: len(data)] = data
        return Received(len(data), len(data), ANNA, 61_000, HERE, 0xB9)

    def errors(self, limit: int) -> list[PathError]:
        return [self.waiting.pop(0) for _ in range(min(limit, len(self.waiting)))]


class Raw:
    """A raw socket with packets and errors in it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.packets: list[bytes] = []
        self.waiting: list[PathError] = []

    def fileno(self) -> int:
        return self._number

    def receive(self) -> NativePacket | None:
        return NativePacket(self.packets.pop(0), HERE, ANNA) if self.packets else None

    errors = Socket.errors


class World:
    """Wires, and all that they connect."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *packets: bytes) -> None:
        self.loop, self.tun, self.socket, self.guard = Loop(), Tun(*packets), Socket(), Guard()
        self.receivers, self.routers = [Raw(9)], [Raw(10)]
        self.told: list[Any] = []
        self.carried: list[Any] = []
        self.lost = 0
        self.due: dict[str, float | None] = {"negotiation": None, "roads": None}
        self.faulty: set[object] = set()
        self.links = {ANNA: 1_500}
        self.paths = Paths(lambda remote, local: self.links.get(remote), believe=True)
        self.port = TunPort(self._lost)
        self.port.tun = self.tun  # type: ignore[assignment]  # as good as one
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        self.wires = Wires(
            Timed(self, "negotiation"),
            Timed(self, "roads"),
            self,  # type: ignore[arg-type]  # all that is asked of a conductor
            SimpleNamespace(read_here=[self.socket], native=self),  # type: ignore[arg-type]  # all that is asked of them
            self.port,
            self.paths,
            self.guard,
            lambda: NOW,
        )
        self.wires.connect()

    def descriptors(self, *, sending: bool) -> tuple[int, ...]:
        assert not sending
        return (9, 10)

    def _lost(self) -> None:
        self.lost += 1

    def perform(self, todo: Any, now: float) -> None:
        self.told.append((todo, now))

    def results(self, results: Any, now: float) -> None:
        if results != ():
            self.told.append((results, now))

    def tell_roads(self, message: Any, now: float) -> None:
        self.told.append((message, now))


class Timed:
    """The negotiation or the roads: something that is due at a time, and takes packets."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.received = memoryview(bytearray(limits.RECEIVE_BUFFER))

    def deadline(self) -> float | None:
        return self._world.due[self._name]

    def timer(self, now: float) -> Any:
        return self._note(f"{self._name} timer")

    def from_tun_read(self, packet: memoryview, head: bytearray, now: float) -> Any:
        assert head == NOTHING_LEFT
        return self._note(bytes(packet))

    def from_tun_end(self, now: float) -> Any:
        return ()

    def from_udp_end(self, now: float) -> Any:
        return ()

    def from_udp_read(self, octets: int, *arguments: Any) -> Any:
        return self._note((bytes(self.received[:octets]), *arguments))

    def from_native_read(self, packet: bytes, *arguments: Any) -> Any:
        return self._note((packet, *arguments))

    def unreached(self, *arguments: Any) -> Any:
        return ("unreached", *arguments)

    def _note(self, what: Any) -> Any:
        if what in self._world.faulty:
            raise RuntimeError("a bug")
        self._world.carried.append(what)
        return what


def too_big(data: bytes, mtu: int = 1_400, *, reported: bool = True) -> PathError:
    return PathError(errno.EMSGSIZE, reported, ANNA, 4_500, mtu, data)


# --- the TUN ----------------------------------------------------------------------------------------------------


def test_a_turn_takes_a_bounded_number_of_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *(bytes([number]) for number in range(100)))
    world.loop.readable(7)
    assert world.carried == [bytes([number]) for number in range(limits.BURST)]
    assert world.told[0] == (b"\0", NOW)


def test_of_big_packets_it_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[bytes(60_000)] * 10)
    world.loop.readable(7)
    assert len(world.carried) == 5  # the first with which the sum is reached


def test_a_fault_with_one_packet_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, b"a", b"b", b"c")
    world.faulty = {b"b"}
    world.loop.readable(7)
    assert world.carried == [b"a", b"c"]
    assert world.guard.faults == {"a packet from the TUN": 1}


def test_a_fault_in_reading_ends_at_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tun.read = None  # type: ignore[assignment, method-assign]  # calling it is the fault
    world.socket.broken = True
    world.socket.waiting = [too_big(b"", 1_400, reported=False)]
    world.loop.readable(7)
    world.loop.readable(8)
    assert world.guard.faults == {"the TUN": 1, "a socket": 1}
    assert world.told == [(SetLinkMtu(ANNA, 1_400), NOW)]


@pytest.mark.parametrize("reading", [True, False])
def test_a_tun_that_is_gone_is_let_go_and_whoever_makes_another_is_told(
    monkeypatch: pytest.MonkeyPatch, reading: bool
) -> None:
    world = World(monkeypatch)
    world.tun.gone = True
    with capture_logs() as logs:
        if reading:
            world.loop.readable(7)
            assert 7 not in world.loop.readers
        else:
            assert not world.port.write(b"lost")
    assert [line["event"] for line in logs] == ["tun-lost"]
    assert world.port.tun is None
    assert world.lost == 1
    before = sum(world.port.drops.values())
    assert not world.port.write(b"lost")
    assert world.port.read() is None
    assert world.port.drops == {"tun-gone": before + 1}
    world.port.tun = Tun(b"x")  # type: ignore[assignment]  # as good as one
    world.wires.watch_tun()
    world.loop.readable(7)
    assert world.carried == [b"x"]


# --- the sockets ------------------------------------------------------------------------------------------------


def test_a_datagram_goes_to_the_roads_with_all_that_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.socket.datagrams = [b"esp"]
    world.loop.readable(8)
    assert world.carried == [(b"esp", 3, Outside(HERE, 4_500, ANNA, 61_000), 0xB9, True, NOW)]
    assert world.told == [(world.carried[0], NOW)]


def test_a_turn_takes_a_bounded_number_of_datagrams_and_reads_the_errors_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They fill the same buffer: unread, they'd leave no room for datagrams."""
    world = World(monkeypatch)
    world.socket.datagrams = [bytes([number]) for number in range(100)]
    world.socket.waiting = [PathError(errno.EHOSTUNREACH, True, ANNA, 4_500, 0, b"")] * 300
    world.loop.readable(8)
    assert len(world.carried) == limits.BURST
    assert len(world.socket.waiting) == 300 - limits.SOCKET_ERRORS == 44


def test_a_fault_with_one_datagram_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.socket.datagrams = [b"a", b"b"]
    world.faulty = {(b"a", 1, Outside(HERE, 4_500, ANNA, 61_000), 0xB9, True, NOW)}
    world.loop.readable(8)
    assert [arguments[0] for arguments in world.carried] == [b"b"]
    assert world.guard.faults == {"a datagram": 1}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (too_big(OF_ANNA), [SetPathMtu(ANNA, 1_400)]),
        (too_big(b"\x12\x34\x56\x78"), []),
        (too_big(b"", reported=False), [SetLinkMtu(ANNA, 1_400)]),
        (PathError(errno.ECONNREFUSED, True, ANNA, 4_500, 0, b"\x12\x34\x56\x78"), []),
    ],
)
def test_what_is_believed_of_a_path_is_told_to_the_roads(
    error: PathError, told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch)
    world.paths.follow(install(OF_ANNA, b"1111", ANNA))
    world.socket.waiting = [error]
    world.loop.readable(8)
    assert world.told == [(message, NOW) for message in told]


# --- raw sockets ------------------------------------------------------------------------------------------------


def test_a_native_packet_goes_to_the_roads_with_the_addresses_in_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.receivers[0].packets = [b"esp"] * (limits.BURST + 1)
    world.loop.readable(9)
    assert world.carried == [(b"esp", Outside(HERE, 0, ANNA, 0), NOW)] * limits.BURST
    assert world.told[0] == (world.carried[0], NOW)
    world.receivers[0].packets = [bytes(60_000)] * 10
    world.loop.readable(9)
    assert len(world.receivers[0].packets) == 5


def test_a_fault_with_one_native_packet_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.receivers[0].packets = [b"a", b"b"]
    world.faulty = {(b"a", Outside(HERE, 0, ANNA, 0), NOW)}
    world.loop.readable(9)
    assert [arguments[0] for arguments in world.carried] == [b"b"]
    assert world.guard.faults == {"a native packet": 1}


def hear_of_native(world: World, descriptor: int, *errors: PathError) -> None:
    """While there is an SA with Anna, the receiver (9) or the one for routers (10) has errors."""
    world.paths.follow(install(OF_ANNA, b"1111", ANNA, 0))
    (world.receivers if descriptor == 9 else world.routers)[0].waiting = [*errors]
    world.loop.readable(descriptor)


@pytest.mark.parametrize("descriptor", [9, 10])
def test_what_routers_say_of_native_packets_is_judged_by_their_spi(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    world = World(monkeypatch)
    hear_of_native(world, descriptor, PathError(errno.EMSGSIZE, True, ANNA, 0, 1_300, OF_ANNA))
    assert world.told == [(SetPathMtu(ANNA, 1_300), NOW)]


@pytest.mark.parametrize("descriptor", [9, 10])
def test_that_a_native_packet_does_not_get_there_is_told_to_the_negotiation(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    world = World(monkeypatch)
    error = PathError(errno.ENETUNREACH, True, ANNA, 0, 0, OF_ANNA)
    hear_of_native(world, descriptor, error, error)
    told = ("unreached", b"1111", "ESP doesn't get to 198.51.100.1, says an ICMP error: Network is unreachable", NOW)
    assert world.told == [(told, NOW)]


def test_that_a_native_packet_does_not_get_there_is_nothing_to_tell_of_ike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if what is quoted looks like the marker of an IKE message."""
    world = World(monkeypatch)
    world.receivers[0].waiting = [PathError(errno.ECONNREFUSED, True, ANNA, 0, 0, bytes(8))]
    world.loop.readable(9)
    assert world.told == []


# --- links ------------------------------------------------------------------------------------------------------


def test_links_that_have_changed_are_told_a_few_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    peers = [ip_address(f"198.51.100.{number}") for number in range(100)]
    for number, peer in enumerate(peers):
        world.paths.follow(install(OF_ANNA, number.to_bytes(4, "big"), peer))
    world.links = dict.fromkeys(peers, 1_300)
    world.wires.look_at_links()
    assert [message for message, _ in world.told] == [SetLinkMtu(peer, 1_300) for peer in peers[:64]]
    world.loop.soon.pop()()
    assert [message for message, _ in world.told] == [SetLinkMtu(peer, 1_300) for peer in peers]
    assert world.loop.soon == []


def test_after_the_end_no_link_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    for number in range(65):
        peer = ip_address(f"198.51.100.{number}")
        world.links[peer] = 1_300
        world.paths.follow(install(OF_ANNA, number.to_bytes(4, "big"), peer))
    world.links = {}
    world.wires.look_at_links()
    world.wires.disconnect()
    world.links = {ip_address("198.51.100.64"): 1_200}
    world.loop.soon.pop()()
    assert world.told == []
    assert world.loop.readers == {}


# --- time -------------------------------------------------------------------------------------------------------


def test_after_the_end_no_time_passes_whatever_the_data_plane_still_says(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.wires.connect()
    world.due = {"negotiation": NOW + 5.0, "roads": None}
    world.wires.rearm()
    world.wires.disconnect()
    world.wires.rearm()  # the roads have told what they leave undone
    assert world.loop.later == []


def test_the_timer_runs_when_the_first_of_both_is_due_and_runs_both(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.due = {"negotiation": NOW + 5.0, "roads": NOW + 2.0}
    world.wires.rearm()
    ((delay, call),) = world.loop.later
    assert delay == 2.0
    world.loop.later.clear()
    world.due = {"negotiation": NOW + 3.0, "roads": None}
    call()
    assert world.carried == ["negotiation timer", "roads timer"]
    assert [delay for delay, _ in world.loop.later] == [3.0]


def test_an_earlier_moment_takes_the_place_of_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.due["roads"] = NOW + 5.0
    world.wires.rearm()
    world.wires.rearm()
    assert [delay for delay, _ in world.loop.later] == [5.0]
    world.due["negotiation"] = NOW + 1.0
    world.wires.rearm()
    assert [delay for delay, _ in world.loop.later] == [1.0]
    world.due = dict.fromkeys(world.due)
    world.wires.rearm()
    assert world.loop.later == []


@pytest.mark.parametrize("faulty", ["negotiation timer", "roads timer"])
def test_a_timer_that_always_fails_neither_stops_the_other_nor_keeps_the_processor_busy(
    monkeypatch: pytest.MonkeyPatch, faulty: str
) -> None:
    world = World(monkeypatch)
    world.faulty = {faulty}
    world.due["negotiation"] = NOW - 1.0
    world.wires.rearm()
    ((delay, call),) = world.loop.later
    world.loop.later.clear()
    assert delay <= 0.0
    call()
    assert world.carried == [each for each in ("negotiation timer", "roads timer") if each != faulty]
    assert [delay for delay, _ in world.loop.later] == [1.0]


def test_a_turn_carries_out_what_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.wires.turn(lambda now: ["an effect", now])  # type: ignore[list-item]  # whatever it is
    assert world.told == [(["an effect", NOW], NOW)]
