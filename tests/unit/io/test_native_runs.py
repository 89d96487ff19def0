"""Native packets are read many at once, and handed on together as long as they are alike."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

import pytest

from ipsecd import limits
from ipsecd.io import native_told
from ipsecd.io.ipv6_front import ask_for_headers
from ipsecd.io.native_runs import NativeRun, RunReceiver
from tests.unit.dataplane.apart import Kernel

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")


def packet(octets: int = 60, number: int = 1, ttl: int = 64, protocol: int = 50) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, octets, number, 0x4000, ttl, protocol, number)
    return header + THERE.packed + HERE.packed + bytes([number]) * (octets - 20)


def bent(at: int, to: int) -> bytes:
    whole = packet()
    return whole[:at] + bytes([to]) + whole[at + 1 :]


class Reading:
    """A receiver, and what it has read."""

    def __init__(self, *arrived: bytes) -> None:
        self.kernel = Kernel()
        self.kernel.send(*arrived)
        self.receiver = RunReceiver(self.kernel)  # type: ignore[arg-type]  # its descriptor is all that is used
        self.buffer = memoryview(bytearray(limits.RECEIVE_BUFFER + limits.NATIVE_BUFFER))

    def run(self, most: int = 64) -> list[bytes]:
        """The packets of the next run; none if nothing waits."""
        read = self.receiver.receive_run(self.buffer, most)
        if read is None:
            return []
        assert read[2:] == (HERE, THERE)
        return cut(self.buffer, read)


def cut(buffer: memoryview, read: NativeRun) -> list[bytes]:
    return [bytes(buffer[at : min(at + read.segment, read.octets)]) for at in range(0, read.octets, read.segment)]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
@pytest.mark.parametrize("protocol", [50, 51])
def test_packets_that_differ_in_number_ttl_and_checksum_are_one_run(count: int, protocol: int) -> None:
    packets = [packet(number=number, ttl=60 + number, protocol=protocol) for number in range(count)]
    reading = Reading(*packets)
    assert reading.run() == packets
    assert reading.receiver.drained
    assert (reading.run(), reading.receiver.holds) == ([], False)


@pytest.mark.parametrize("before", [2, 20])
@pytest.mark.parametrize(("at", "to"), [(0, 0x46), (1, 1), (6, 0), (7, 1), (9, 51), (12, 2), (15, 2), (16, 2), (19, 2)])
def test_one_with_another_header_is_held_for_a_run_of_its_own(at: int, to: int, before: int) -> None:
    """Options, TOS, DF, a fragment, another protocol, sender or receiver; few are compared otherwise than many."""
    other = bent(at, to)
    reading = Reading(*[packet()] * before, other, packet())
    assert (reading.run(), reading.receiver.holds) == ([packet()] * before, True)
    read = reading.receiver.receive_run(reading.buffer, 64)
    assert read is not None
    assert (bytes(reading.buffer[: read.octets]), read.segment, reading.receiver.holds) == (other, 60, True)
    assert (reading.run(), reading.receiver.holds) == ([packet()], False)


@pytest.mark.parametrize("many", [1, 20])
def test_the_last_may_have_less_and_none_has_more(many: int) -> None:
    full = [packet()] * many
    reading = Reading(*full, packet(), packet(50), packet(), *full, packet(61), packet(61))
    assert reading.run() == [*full, packet(), packet(50)]
    assert reading.run() == [packet(), *full]
    assert reading.run() == [packet(61), packet(61)]
    assert reading.run() == []


def test_what_is_held_is_what_was_read_although_more_came_meanwhile() -> None:
    large, small = [packet(1_440, number) for number in range(9)], [packet(70, number) for number in range(9)]
    reading = Reading(*small, *large)
    assert reading.run() == small
    reading.kernel.send(*small)
    assert (reading.run(), reading.receiver.holds) == (large, False)
    assert reading.run() == small


def test_a_run_has_no_more_than_is_asked_for_and_than_there_is_room_for() -> None:
    reading = Reading(*[packet()] * 7)
    assert [len(reading.run(3)) for _ in range(4)] == [3, 3, 1, 0]
    reading = Reading(*[packet(40_000)] * 3)
    assert [len(reading.run()) for _ in range(3)] == [2, 1, 0]
    reading = Reading(*[packet(1_440, number % 9) for number in range(64)])
    assert [len(reading.run()) for _ in range(3)] == [46, 18, 0]


def test_the_largest_packets_are_whole() -> None:
    packets = [packet(65_535, number) for number in range(3)]
    reading = Reading(*packets)
    assert [reading.run(), reading.run()] == [packets[:2], packets[2:]]


def test_all_that_waits_has_been_read_if_it_was_less_than_was_asked_for() -> None:
    reading = Reading(*[packet()] * 70)
    reading.run(64)
    assert not reading.receiver.drained
    reading.run(64)
    assert reading.receiver.drained


def test_the_addresses_of_a_run_are_the_same_objects() -> None:
    reading = Reading(packet(), packet(61))
    one, two = (reading.receiver.receive_run(reading.buffer, 64) for _ in "ab")
    assert (one, two) == (NativeRun(60, 60, HERE, THERE), NativeRun(61, 61, HERE, THERE))
    assert one is not None
    assert two is not None
    assert one.local is two.local
    assert one.remote is two.remote


def test_an_error_in_the_place_of_a_packet_is_counted_and_passed_over() -> None:
    """A real one: the peer's port is closed, and later open again."""
    with bound("127.0.0.1") as ours:
        with bound("127.0.0.1") as theirs:
            peer = theirs.getsockname()
            theirs.sendto(packet(number=1), ours.getsockname())
        ours.connect(peer)
        ours.send(b"nobody hears it")
        with bound(*peer) as theirs:
            theirs.sendto(packet(number=2), ours.getsockname())
            receiver = RunReceiver(ours)
            buffer = memoryview(bytearray(limits.RECEIVE_BUFFER + limits.NATIVE_BUFFER))
            read = receiver.receive_run(buffer, 64)
            assert read is not None
            assert cut(buffer, read) == [packet(number=1), packet(number=2)]
            assert receiver.heard == {"error-met": 1}


# --- IPv6: a socket of the loopback device tells the same beside its datagrams ---------------------------------------


class Six:
    """Datagrams in the place of what stands behind IPv6 headers."""

    def __init__(self) -> None:
        self.sending, self.opened = bound("::1"), bound("::1")
        ask_for_headers(self.opened)
        self.receiver = RunReceiver(self.opened)
        self.buffer = memoryview(bytearray(limits.RECEIVE_BUFFER + limits.NATIVE_BUFFER))

    def send(self, *bodies: bytes, traffic_class: int = 0) -> None:
        self.sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
        for body in bodies:
            self.sending.sendto(body, self.opened.getsockname())

    def run(self) -> list[bytes]:
        read = self.receiver.receive_run(self.buffer, 64)
        if read is None:
            return []
        assert read[2:] == (IPv6Address("::1"), IPv6Address("::1"))
        return cut(self.buffer, read)


@pytest.fixture
def six() -> Iterator[Six]:
    made = Six()
    yield made
    made.sending.close()
    made.opened.close()


def whole(body: bytes, traffic_class: int = 0) -> bytes:
    """The next header is that which the socket reads: here UDP's."""
    first = 6 << 28 | traffic_class << 20
    return struct.pack("!IHBB16s16s", first, len(body), 17, 64, *[IPv6Address("::1").packed] * 2) + body


@pytest.mark.parametrize("count", [1, 3, 30])
def test_each_packet_of_ipv6_has_its_header_again(six: Six, count: int) -> None:
    bodies = [bytes([number]) * 900 for number in range(count)]
    six.send(*bodies, b"shorter")
    assert without_label(six.run()) == [*map(whole, bodies), whole(b"shorter")]
    assert (six.run(), six.receiver.drained) == ([], True)


@pytest.mark.parametrize("count", [1, 30])
def test_packets_of_ipv6_are_alike_if_the_same_is_told_of_them(six: Six, count: int) -> None:
    bodies = [bytes([number]) * 90 for number in range(count)]
    six.send(*bodies)
    six.send(*bodies, traffic_class=0xB8)
    assert without_label(six.run()) == [*map(whole, bodies)]
    assert six.receiver.holds
    assert without_label(six.run()) == [whole(body, 0xB8) for body in bodies]
    assert (six.run(), six.receiver.holds) == ([], False)


def test_what_nothing_is_told_of_is_counted_and_passed_over(six: Six) -> None:
    six.send(b"told 1")
    six.opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 0)
    assert six.run() == []
    assert six.receiver.drops == {"receive-truncated": 1}
    six.send(b"told 2", b"told 3")
    six.opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    assert without_label(six.run()) == [whole(b"told 2"), whole(b"told 3")]
    assert six.receiver.drops == {"receive-truncated": 1}


@pytest.mark.parametrize(("protocol", "dropped"), [(17, {}), (51, {"unfinished-route": 3})])
def test_where_not_all_is_told_only_ah_is_dropped(
    six: Six, monkeypatch: pytest.MonkeyPatch, protocol: int, dropped: dict[str, int]
) -> None:
    """There is room for the destination, but for no more."""
    monkeypatch.setattr(native_told, "ANCILLARY", 48)
    six.receiver = RunReceiver(Opened(six.opened.fileno(), protocol))  # type: ignore[arg-type]  # all that is used
    six.send(b"one", b"two", b"six")
    told = [] if dropped else [hop_limit_unknown(whole(body)) for body in (b"one", b"two", b"six")]
    assert without_label(six.run()) == told
    assert six.receiver.drops == dropped
    assert (six.run(), six.receiver.holds) == ([], False)


def test_what_can_not_be_used_and_never_ends_ends_a_turn_all_the_same(
    six: Six, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_told, "ANCILLARY", 48)
    six.receiver = RunReceiver(Opened(six.opened.fileno(), 51))  # type: ignore[arg-type]  # likewise
    fill = six.receiver._fill
    fills = iter(range(100))

    def and_more_comes(most: int) -> int:
        next(fills)
        six.send(*[b"another"] * most)
        return fill(most)

    monkeypatch.setattr(six.receiver, "_fill", and_more_comes)
    assert six.run() == []
    assert six.receiver.drops == {"unfinished-route": 256}
    assert not six.receiver.holds


class Opened(NamedTuple):
    """A socket of another protocol."""

    descriptor: int
    proto: int
    family: int = socket.AF_INET6

    def fileno(self) -> int:
        return self.descriptor


def hop_limit_unknown(packet: bytes) -> bytes:
    return packet[:7] + b"\0" + packet[8:]


def without_label(packets: list[bytes]) -> list[bytes]:
    """The kernel gives each flow one as it likes."""
    return [each[:1] + bytes([each[1] & 0xF0, 0, 0]) + each[4:] for each in packets]


def bound(address: str, port: int = 0) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    opened.setblocking(False)
    opened.bind((address, port))
    return opened
