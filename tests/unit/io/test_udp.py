"""Sends that fail: whose error it was, and how often it is tried again."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections import deque
from ipaddress import ip_address
from typing import Any, cast

import pytest

from ipsecd import limits
from ipsecd.errors import KernelError
from ipsecd.io.outgoing import Refusal
from ipsecd.io.udp import Received, UdpSocket, pair
from ipsecd.io.udp_errors import PathError

PEER = {4: ip_address("198.51.100.1"), 6: ip_address("2001:db8::2")}
LOCAL, ICMP = 1, 2  # where an entry of the error queue comes from (linux/errqueue.h)
DISCOVER = {(0, 10), (41, 23)}  # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER
OMIT, WANT, PROBE = 5, 1, 3


def entry(number: int, origin: int, mtu: int = 0, data: bytes = b"") -> tuple[Any, ...]:
    """What recvmsg gives for an entry of the error queue (ip(7), IP_RECVERR)."""
    extended = struct.pack("=IBBBBII", number, origin, 3, 4, 0, mtu, 0) + bytes(16)
    return data, [(socket.IPPROTO_IP, 11, extended)], 0, (str(PEER[4]), 4_500)


class Kernel:
    """In the place of a socket: calls fail as a test wants."""

    def __init__(self, *_: Any) -> None:
        self.family = socket.AF_INET
        self.closed = False
        self.failures: deque[int] = deque()  # of the next sends, 0 for none
        self.always = 0
        self.queue: deque[tuple[Any, ...]] = deque()  # of errors
        self.waiting: deque[tuple[Any, ...] | int] = deque()  # datagrams, or errors that recvmsg meets
        self.sent: list[tuple[bytes, int]] = []  # with the mode each was sent in
        self.tries = self.cleared = self.mode = self.switched = 0
        self.cut: list[int] = []  # UDP_SEGMENT of the sends that had one
        self.unknown: set[tuple[int, int]] = set()  # options

    def setsockopt(self, level: int, name: int, value: int) -> None:
        if (level, name) in DISCOVER:
            self.mode = value
            self.switched += 1
        if (level, name) in self.unknown:
            raise OSError(errno.ENOPROTOOPT, "no such option")

    def getsockopt(self, level: int, name: int) -> int:
        assert (level, name) == (socket.SOL_SOCKET, socket.SO_ERROR)
        self.cleared += 1
        return 0

    def bind(self, _: Any) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 4_500

    def sendmsg(self, buffers: tuple[bytes], ancillary: list[tuple[int, int, bytes]], *_: Any) -> None:
        self.tries += 1
        number = self.failures.popleft() if self.failures else self.always
        if number:
            raise OSError(number, os.strerror(number))
        cut = [struct.unpack("=H", data)[0] for level, name, data in ancillary if (level, name) == (17, 103)]
        self.sent.append((bytes(buffers[0]), self.mode))
        self.cut += cut

    def recvmsg_into(self, buffers: tuple[memoryview], _ancillary: int) -> tuple[Any, ...]:
        data, *rest = self.recvmsg(0, 0)
        buffers[0][: len(data)] = data
        return len(data), *rest

    def recvmsg(self, _size: int, _ancillary: int, flags: int = 0) -> tuple[Any, ...]:
        queue: deque[Any] = self.queue if flags & socket.MSG_ERRQUEUE else self.waiting
        if not queue:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        if isinstance(queue[0], int):
            raise OSError(queue.popleft(), "an error of another datagram")
        found: tuple[Any, ...] = queue.popleft()
        return found


def opened(
    monkeypatch: pytest.MonkeyPatch,
    version: int = 4,
    *,
    unknown: tuple[tuple[int, int], ...] = (),
    without: tuple[str, ...] = (),
) -> tuple[UdpSocket, Kernel]:
    kernel = Kernel()
    kernel.unknown = set(unknown)
    kernel.family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_: kernel)
        return UdpSocket(ip_address({4: "0.0.0.0", 6: "::"}[version]), 4_500, 1, True, without), kernel


STALE = [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EPROTO, errno.EACCES]


@pytest.mark.parametrize("number", [*STALE, errno.EMSGSIZE])
def test_errors_that_anybody_can_make_with_icmp_keep_no_datagram_from_leaving(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kernel = opened(monkeypatch)
    kernel.failures = deque([number] * 3)
    assert one.send(b"esp", PEER[4], 4_500) is None
    assert [data for data, _ in kernel.sent] == [b"esp"]
    assert kernel.cleared == 3
    assert one.drops == {}


@pytest.mark.parametrize("number", [*STALE, errno.EMSGSIZE])
def test_but_it_is_not_tried_for_ever(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.always = number
    refusal = one.send(b"esp", PEER[4], 4_500)
    assert refusal is not None
    assert refusal.mtu == 0
    assert kernel.tries == limits.SEND_TRIES == 4
    assert one.drops == {refusal.reason: 1}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EPERM, "send-forbidden"),
        (errno.ENOBUFS, "send-full"),
        (errno.EAGAIN, "send-full"),
        (errno.EINVAL, "send-bad-source"),
        (errno.EADDRNOTAVAIL, "send-bad-source"),
        (errno.ENOMEM, "send-failed"),
    ],
)
def test_what_no_icmp_error_can_be_is_not_tried_again(
    number: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kernel = opened(monkeypatch)
    kernel.always = number
    assert one.send(b"esp", PEER[4], 4_500) == Refusal(reason)
    assert kernel.tries == 1
    assert one.drops == {reason: 1}


def test_a_datagram_that_does_not_fit_the_link_is_tried_once_and_its_error_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try puts an entry into the error queue, which has its room from the receive buffer."""
    one, kernel = opened(monkeypatch)
    kernel.always = errno.EMSGSIZE
    about = entry(errno.EHOSTUNREACH, ICMP, data=b"abcd")
    kernel.queue.extend([about, entry(errno.EMSGSIZE, LOCAL, 1_492)])
    assert one.send(bytes(1_472), PEER[4], 4_500, may_fragment=False) == Refusal("send-too-big", 1_492)
    assert (kernel.tries, len(kernel.queue)) == (1, 0)
    assert one.errors(10) == [PathError(errno.EHOSTUNREACH, True, PEER[4], 4_500, 0, b"abcd")]
    assert one.errors(10) == []


def test_a_forged_too_big_is_none_of_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.failures = deque([errno.EMSGSIZE])
    kernel.queue.append(entry(errno.EMSGSIZE, ICMP, 576, b"spi."))
    assert one.send(bytes(1_400), PEER[4], 4_500, may_fragment=False) is None
    assert [error.mtu for error in one.errors(10)] == [576]


def test_a_flood_of_errors_ends_the_search_and_keeps_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.always = errno.EMSGSIZE
    kernel.queue.extend([entry(errno.EHOSTUNREACH, ICMP)] * 5_000)
    assert one.send(bytes(1_472), PEER[4], 4_500, may_fragment=False) == Refusal("send-too-big")
    unread = len(kernel.queue)
    assert unread == 5_000 - 4 * limits.SOCKET_ERRORS
    assert len(one.errors(10_000)) == unread + limits.SOCKET_ERRORS


def test_no_more_errors_are_read_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.queue.extend([entry(errno.EHOSTUNREACH, ICMP)] * 5)
    assert len(one.errors(3)) == 3
    assert len(kernel.queue) == 2
    assert one.heard == {"error-read": 3}


def test_an_error_met_while_reading_is_no_lost_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    told = [(socket.IPPROTO_IP, 8, struct.pack("=I4s4s", 1, bytes(4), bytes(4))), (socket.IPPROTO_IP, 1, b"\xb9")]
    kernel.waiting.extend([errno.ECONNREFUSED, (b"data", told, 0, (str(PEER[4]), 4_500))])
    buffer = memoryview(bytearray(100))
    read = one.receive_into(buffer)
    assert read == Received(4, 4, PEER[4], 4_500, ip_address("0.0.0.0"), 0xB9)
    assert buffer[:4] == b"data"
    assert one.receive_into(buffer) is None
    assert one.drops == {}
    assert one.heard == {"error-met": 1}


@pytest.mark.parametrize(
    ("version", "octets", "may_fragment", "mode"),
    [
        (4, 100, True, OMIT),
        (4, 3_000, True, OMIT),
        (4, 100, False, PROBE),
        (6, 1_232, True, PROBE),
        (6, 1_233, True, WANT),  # by the path's MTU: no router fragments IPv6
        (6, 1_233, False, PROBE),
    ],
)
def test_who_may_fragment_and_by_which_mtu(
    version: int, octets: int, may_fragment: bool, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kernel = opened(monkeypatch, version)
    resting = kernel.mode
    assert one.send(bytes(octets), PEER[version], 4_500, may_fragment=may_fragment) is None
    assert [found for _, found in kernel.sent] == [mode]
    assert kernel.mode == resting == {4: OMIT, 6: PROBE}[version]


# --- runs -----------------------------------------------------------------------------------------------------------

RUN = memoryview(b"a" * 1_400 + b"b" * 1_400 + b"c" * 100)
PIECES = [b"a" * 1_400, b"b" * 1_400, b"c" * 100]


def send_run(one: UdpSocket, *, df: bool = True) -> Refusal | None:
    return one.send(RUN, PEER[4], 4_500, local=ip_address("192.0.2.1"), may_fragment=not df, segment=1_400)


def test_a_run_leaves_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    assert send_run(one) is None
    assert (kernel.sent, kernel.cut, kernel.mode) == ([(bytes(RUN), PROBE)], [1_400], OMIT)
    assert send_run(one, df=False) is None
    assert kernel.sent[1:] == [(bytes(RUN), OMIT)]
    assert one.drops == {}


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP])
def test_what_the_kernel_cannot_cut_leaves_one_by_one(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.failures = deque([number] * limits.SEND_TRIES if number in (errno.EMSGSIZE, errno.EOPNOTSUPP) else [number])
    assert send_run(one) is None
    assert [data for data, _ in kernel.sent] == PIECES
    assert (kernel.cut, one.drops) == ([], {})


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EPERM, "send-forbidden"), (errno.ENOBUFS, "send-full"), (errno.ENETUNREACH, "send-unreachable")],
)
def test_what_would_fail_one_by_one_too_is_counted_by_datagrams(
    number: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kernel = opened(monkeypatch)
    kernel.always = number
    assert send_run(one) is None
    assert kernel.tries <= limits.SEND_TRIES
    assert one.drops == {reason: 3}


def test_a_run_that_does_not_fit_the_link_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.always = errno.EMSGSIZE
    kernel.queue.extend([entry(errno.EMSGSIZE, LOCAL, 1_300)] * 2)
    assert send_run(one) == Refusal("send-too-big", 1_300)
    assert kernel.sent == []
    assert one.drops == {"send-too-big": 1}


@pytest.mark.parametrize("forbidden", [True, False])
def test_without_segmentation_a_run_leaves_one_by_one(forbidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    without = ("udp-segment",) if forbidden else ()
    one, kernel = opened(monkeypatch, unknown=() if forbidden else ((17, 103),), without=without)
    assert one.offloads == {"udp-gro"}
    kernel.failures = deque([0, errno.ENOBUFS, 0])
    assert send_run(one) is None
    assert [data for data, _ in kernel.sent] == [PIECES[0], PIECES[2]]
    assert (kernel.cut, one.drops) == ([], {"send-full": 1})


def test_a_run_is_received_with_the_size_of_its_datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    told = [(socket.IPPROTO_IP, 8, bytes(12)), (17, 104, struct.pack("=i", 1_400))]
    kernel.waiting.append((bytes(RUN), told, 0, (str(PEER[4]), 4_500)))
    read = one.receive_into(memoryview(bytearray(limits.RECEIVE_BUFFER)))
    assert read is not None
    assert (read.octets, read.segment) == (2_900, 1_400)


def test_errors_in_the_place_of_datagrams_end_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)
    kernel.waiting.extend([errno.ECONNREFUSED] * 1_000)
    assert one.receive_into(memoryview(bytearray(10))) is None
    assert len(kernel.waiting) == 1_000 - limits.SOCKET_ERRORS


# --- one that only sends --------------------------------------------------------------------------------------------


def sender(version: int = 4) -> tuple[UdpSocket, Kernel]:
    kernel = Kernel()
    kernel.family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
    kernel.mode = WANT  # whoever had it before
    offloads = frozenset({"udp-segment"})
    return UdpSocket.adopt(cast("socket.socket", kernel), natt=True, offloads=offloads, sending=True), kernel


@pytest.mark.parametrize("version", [4, 6])
def test_one_that_only_sends_changes_its_mode_only_when_a_datagram_wants_another(version: int) -> None:
    one, kernel = sender(version)
    assert (one.port, one.natt, one.offloads) == (4_500, True, {"udp-segment"})
    assert (kernel.mode, kernel.switched) == ({4: OMIT, 6: PROBE}[version], 1)
    wishes = [False, False, True, True, False, False]
    for may_fragment in wishes:
        assert one.send(bytes(1_300), PEER[version], 4_500, may_fragment=may_fragment) is None
    cut = {4: OMIT, 6: WANT}[version]
    assert [mode for _, mode in kernel.sent] == [cut if may else PROBE for may in wishes]
    assert kernel.switched == {4: 1 + 3, 6: 1 + 2}[version]


def test_its_mode_stays_whatever_becomes_of_the_datagram() -> None:
    one, kernel = sender()
    kernel.failures = deque([errno.ENOBUFS, errno.ECONNREFUSED])
    for _ in range(2):
        one.send(b"esp", PEER[4], 4_500, may_fragment=False)
    assert one.send(RUN, PEER[4], 4_500, may_fragment=False, segment=1_400) is None
    assert [mode for _, mode in kernel.sent] == [PROBE, PROBE]
    assert (kernel.switched, kernel.cut, one.drops) == (2, [1_400], {"send-full": 1})


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("call", ["setsockopt", "bind"])
def test_of_two_that_are_opened_none_stays_if_one_fails(
    failing: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = [Kernel(), Kernel()]

    def refuse(*_: Any) -> None:
        raise OSError(errno.EADDRINUSE, "no")

    monkeypatch.setattr(kernels[failing], call, refuse)
    left = iter(kernels)
    monkeypatch.setattr(socket, "socket", lambda *_: next(left))
    with pytest.raises(KernelError, match="can't open UDP port 4500: Address already in use"):
        pair(ip_address("0.0.0.0"), 4_500, 1)
    assert [kernel.closed for kernel in kernels] == [True, failing == 1]


# --- what is kept of earlier datagrams ------------------------------------------------------------------------------


def test_datagrams_are_told_apart_by_all_that_is_told_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch)

    def arriving(remote: str, port: int, local: int, tos: int, segment: int) -> Received:
        told = [(0, 8, struct.pack("=I4s4s", 1, bytes(4), bytes([10, 0, 0, local]))), (0, 1, bytes([tos]))]
        told += [(17, 104, struct.pack("=i", segment))] if segment else []
        kernel.waiting.append((bytes(100), told, 0, (remote, port)))
        read = one.receive_into(memoryview(bytearray(100)))
        assert read == (100, segment or 100, ip_address(remote), port, ip_address(f"10.0.0.{local}"), tos)
        return read

    for _ in range(2):
        for different in itertools.product(("198.51.100.1", "198.51.100.2"), (1, 2), (1, 2), (0, 3), (0, 50)):
            arriving(*different)


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_are_sent_as_asked_whatever_was_sent_before(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, kernel = opened(monkeypatch, version)
    kept: list[tuple[Any, ...]] = []
    monkeypatch.setattr(kernel, "sendmsg", lambda _, ancillary, __, target: kept.append((*ancillary, target)))
    other = {4: ip_address("203.0.113.9"), 6: ip_address("2001:db8::99")}[version]
    asked = list(
        itertools.product((PEER[version], other), (4_500, 500), (None, PEER[version], other), (0, 3), (0, 50, 60))
    )
    for remote, port, local, tos, segment in asked * 2:
        one.send(bytes(100), remote, port, local=local, traffic_class=tos, segment=segment)

    def expected(remote: Any, port: int, local: Any, tos: int, segment: int) -> tuple[Any, ...]:
        said: list[Any] = [((0, 1) if version == 4 else (41, 67)) + (struct.pack("=i", tos),)]
        if local is not None and version == 4:
            said.append((0, 8, bytes(4) + local.packed + bytes(4)))
        elif local is not None:
            said.append((41, 50, local.packed + bytes(4)))
        said += [(17, 103, struct.pack("=H", segment))] if segment else []
        return (*said, (str(remote), port))

    assert kept == [expected(*one) for one in asked * 2]
