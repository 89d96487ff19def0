"""Native packets that are alike, in one system call: read together and put one behind the other, so that they can be
opened together, and sent together.

The kernel gives a raw socket one packet in each message. What they have in common must be all that is told of them: so
here the packets of a run have the same headers but for lengths, and in IPv4 for Identification, TTL and checksum.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ipsecd.io.ipv6_front import in_front_of
from ipsecd.io.many import MANY
from ipsecd.io.many_out import ManyOut, ends_to
from ipsecd.io.native import Address, NativeReceiver, NativeSender
from ipsecd.io.native_told import Common, Key, ToldV4, ToldV6
from ipsecd.limits import NATIVE_BUFFER, SOCKET_ERRORS

_ROWS = 5  # packets that one by one would take longer to put where they are wanted
_IN_VAIN = SOCKET_ERRORS // MANY  # calls in a row that may give nothing but what can't be used: anybody can send that


class NativeRun(NamedTuple):
    """``octets`` of whole IP packets, ``segment`` each but for the last, which may have less, and their addresses: the
    same objects while they are the same."""

    octets: int
    segment: int
    local: Address
    remote: Address


class RunReceiver(NativeReceiver):
    """Around a socket of ``native_open.open_receiving``, for whoever takes many."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        self._told: ToldV4 | ToldV6
        if opened.family == socket.AF_INET:
            self._told = ToldV4(opened.fileno())
        else:
            self._told = ToldV6(opened.fileno(), self._usable)
        self._many = self._told.many
        self._sizes: list[int] = []  # octets in each slot that was filled
        self._keys: Sequence[Key] = ()  # of many: equal for those that are alike
        self._next = 0  # of these slots
        self._segment = 1  # octets of each packet of the last run
        self.drained = False  # whether the last call to the kernel read all that waited

    @property
    def holds(self) -> bool:
        """Whether packets are held that weren't like those before them: the next runs, of which no event tells."""
        return self._next < len(self._sizes)

    def receive_run(self, buffer: memoryview, most: int) -> NativeRun | None:
        """The next packets, ``most`` at most, as long as they are alike; None if none waits, or if many in a row can't
        be used. ``buffer`` has room for NATIVE_BUFFER octets or more. The rest as in ``receive``."""
        for _ in range(_IN_VAIN):
            if not self.holds and not self._fill(min(most, _room(buffer, self._segment))):
                break
            while self.holds:
                first = self._next
                common = self._told.common(first)
                if common is not None:
                    return self._run(buffer, most, first, common)
                self._next += 1
        return None

    def _fill(self, most: int) -> int:
        """Fill slots anew: how many."""
        count = 0
        for _ in range(SOCKET_ERRORS):
            try:
                count = self._many.read(most)
                break
            except OSError:  # as in ``receive``
                self.heard["error-met"] += 1
        self._sizes, self._next = self._many.octets[:count].tolist(), 0
        self.drained = count < min(most, MANY)
        if count > 1:
            self._keys = self._told.keys(count)
        return count

    def _run(self, buffer: memoryview, most: int, first: int, common: Common) -> NativeRun:
        """Put the ``first`` into the buffer, and those behind it that are like it."""
        size, headers = self._sizes[first], common.headers
        segment = self._segment = len(headers) + size
        count = 1 if first + 1 == len(self._sizes) else self._alike(first, min(most, _room(buffer, segment)))
        end = self._next = first + count
        full = count if self._sizes[end - 1] == size else count - 1
        octets = full * segment
        if full >= _ROWS:
            self._put_all(buffer, first, full, headers)
        else:
            for number in range(full):
                self._put(buffer[number * segment :], first + number, headers)
        if full < count:
            octets += self._put(buffer[octets:], end - 1, headers)
        return NativeRun(octets, segment, common.local, common.remote)

    def _alike(self, first: int, most: int) -> int:
        """How many make a run, from the ``first`` on."""
        keys, sizes = self._keys[first : first + most], self._sizes[first : first + most]
        key, size, count = keys[0], sizes[0], len(sizes)
        if sizes.count(size) == count == keys.count(key):
            return count
        for at in range(1, count):
            if keys[at] != key or sizes[at] > size:
                return at
            if sizes[at] < size:
                return at + 1
        return count

    def _put(self, buffer: memoryview, slot: int, headers: bytes) -> int:
        """Put one packet into the buffer; how many octets it has."""
        size, ahead = self._sizes[slot], len(headers)
        if headers:
            buffer[:ahead] = in_front_of(size, headers)
        buffer[ahead : ahead + size] = self._many.packets[slot][:size]
        return ahead + size

    def _put_all(self, buffer: memoryview, first: int, count: int, headers: bytes) -> None:
        """Put so many packets of one size into it."""
        size, ahead = self._sizes[first], len(headers)
        segment = ahead + size
        rows = np.frombuffer(buffer, np.uint8, count * segment).reshape(count, segment)
        rows[:, ahead:] = self._many.slots[first : first + count, :size]
        if headers:
            rows[:, :ahead] = np.frombuffer(in_front_of(size, headers), np.uint8)


class RunSender(NativeSender):
    """Around a socket of ``native_open.open_sending``, for whoever sends many."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        self._many = ManyOut(opened.fileno())

    def repeat(self, local: Address, remote: Address, *, segment: int = 0) -> Callable[[bytes | memoryview], bool]:
        """As there."""
        again = super().repeat(local, remote, segment=segment)
        many, ends = self._many.send, ends_to(self._version, int(local), int(remote))

        def all_again(packets: bytes | memoryview) -> bool:
            if len(packets) <= segment:
                return again(packets)
            sent = many(packets, segment, ends) * segment
            if 0 < sent < len(packets):
                self._send_rest(packets, segment, local, remote, sent)
            return sent > 0

        return all_again if segment else again

    def _send_rest(self, packets: bytes | memoryview, segment: int, local: Address, remote: Address, sent: int) -> None:
        """As many as the kernel takes together, and one by one what it stops at."""
        ends = ends_to(self._version, int(local), int(remote))
        while sent < len(packets) and (more := self._many.send(packets[sent:], segment, ends)):
            sent += more * segment
        super()._send_rest(packets, segment, local, remote, sent)


def _room(buffer: memoryview, segment: int) -> int:
    """How many packets it has room for, if all but the last are so large at most."""
    return (len(buffer) - NATIVE_BUFFER) // segment + 1
