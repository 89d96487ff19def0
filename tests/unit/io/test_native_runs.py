"""Native packets with ESP are read together as long as they are alike."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.io.native_runs import NativeRun, RunReceiver
from tests.unit.dataplane.apart import Kernel

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")


def packet(octets: int = 60, number: int = 1, ttl: int = 64) -> bytes:
    header = b"\x45\0" + octets.to_bytes(2, "big") + number.to_bytes(2, "big") + b"\x40\0" + bytes([ttl, 50, 0, 0])
    return header + THERE.packed + HERE.packed + bytes([number]) * (octets - 20)


def bent(at: int, to: int) -> bytes:
    whole = packet()
    return whole[:at] + bytes([to]) + whole[at + 1 :]


class Reading:
    """A receiver, and what it has read."""

    def __init__(self, *arrived: bytes | OSError) -> None:
        self.kernel = Kernel(900)
        self.kernel.arrived.extend(arrived)
        self.receiver = RunReceiver(self.kernel)  # type: ignore[arg-type]  # stood in for
        self.buffer = memoryview(bytearray(limits.RECEIVE_BUFFER + limits.NATIVE_BUFFER))

    def run(self, most: int = 64) -> list[bytes]:
        """The packets of the next run; none if nothing waits."""
        read = self.receiver.receive_run(self.buffer, most)
        if read is None:
            return []
        assert read[2:] == (HERE, THERE)
        return [
            bytes(self.buffer[at : min(at + read.segment, read.octets)]) for at in range(0, read.octets, read.segment)
        ]


def test_packets_that_differ_in_number_and_ttl_are_one_run() -> None:
    packets = [packet(number=number, ttl=60 + number) for number in range(5)]
    reading = Reading(*packets)
    assert reading.run() == packets
    assert (reading.run(), reading.receiver.holds) == ([], False)


@pytest.mark.parametrize(("at", "to"), [(0, 0x46), (1, 1), (6, 0), (7, 1), (9, 51), (15, 2), (19, 2)])
def test_one_with_another_header_is_held_for_a_run_of_its_own(at: int, to: int) -> None:
    """Options, TOS, DF, a fragment, another protocol, sender or receiver."""
    other = bent(at, to)
    reading = Reading(packet(), packet(), other, packet())
    assert (reading.run(), reading.receiver.holds) == ([packet()] * 2, True)
    read = reading.receiver.receive_run(reading.buffer, 64)
    assert read is not None
    assert (bytes(reading.buffer[: read.octets]), read.segment) == (other, 60)
    assert (reading.run(), reading.receiver.holds) == ([packet()], False)


def test_the_last_may_have_less_and_none_has_more() -> None:
    reading = Reading(packet(), packet(), packet(50), packet(), packet(61), packet(61))
    assert reading.run() == [packet(), packet(), packet(50)]
    assert reading.run() == [packet()]
    assert reading.run() == [packet(61)]
    assert reading.run() == [packet(61)]


def test_a_run_has_no_more_than_is_asked_for_and_than_there_is_room_for() -> None:
    reading = Reading(*[packet()] * 7)
    assert [len(reading.run(3)) for _ in range(4)] == [3, 3, 1, 0]
    reading = Reading(*[packet(40_000)] * 3)
    assert [len(reading.run()) for _ in range(3)] == [2, 1, 0]


def test_an_error_in_the_place_of_a_packet_is_counted_and_passed_over() -> None:
    reading = Reading(OSError(errno.ECONNREFUSED, ""), packet(), OSError(errno.EHOSTUNREACH, ""), packet())
    assert [reading.run(), reading.run()] == [[packet()] * 2, []]
    assert reading.receiver.heard == {"error-met": 2}


def test_the_addresses_of_a_run_are_the_same_objects() -> None:
    reading = Reading(packet(), packet(61))
    one, two = (reading.receiver.receive_run(reading.buffer, 64) for _ in "ab")
    assert (one, two) == (NativeRun(60, 60, HERE, THERE), NativeRun(61, 61, HERE, THERE))
    assert one is not None
    assert two is not None
    assert one.local is two.local
    assert one.remote is two.remote
