"""Sends that fail: whose error it was, and how often it is tried again."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from ipaddress import ip_address
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.io.udp import PathError, Refusal, UdpSocket

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
        self.failures: deque[int] = deque()  # of the next sends, 0 for none
        self.always = 0
        self.queue: deque[tuple[Any, ...]] = deque()  # of errors
        self.waiting: deque[tuple[Any, ...] | int] = deque()  # datagrams, or errors that recvmsg meets
        self.sent: list[tuple[bytes, int]] = []  # with the mode each was sent in
        self.tries = self.cleared = self.mode = 0

    def setsockopt(self, level: int, name: int, value: int) -> None:
        if (level, name) in DISCOVER:
            self.mode = value

    def getsockopt(self, level: int, name: int) -> int:
        assert (level, name) == (socket.SOL_SOCKET, socket.SO_ERROR)
        self.cleared += 1
        return 0

    def bind(self, _: Any) -> None:
        pass

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 4_500

    def sendmsg(self, buffers: tuple[bytes], *_: Any) -> None:
        self.tries += 1
        number = self.failures.popleft() if self.failures else self.always
        if number:
            raise OSError(number, os.strerror(number))
        self.sent.append((buffers[0], self.mode))

    def recvmsg(self, _size: int, _ancillary: int, flags: int = 0) -> tuple[Any, ...]:
        queue: deque[Any] = self.queue if flags & socket.MSG_ERRQUEUE else self.waiting
        if not queue:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        if isinstance(queue[0], int):
            raise OSError(queue.popleft(), "an error of another datagram")
        found: tuple[Any, ...] = queue.popleft()
        return found


def opened(monkeypatch: pytest.MonkeyPatch, version: int = 4) -> tuple[UdpSocket, Kernel]:
    kernel = Kernel()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_: kernel)
        return UdpSocket(ip_address({4: "0.0.0.0", 6: "::"}[version]), 4_500, 1, True), kernel


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
    (datagram,) = one.receive(10)
    assert (datagram.data, datagram.traffic_class) == (b"data", 0xB9)
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
