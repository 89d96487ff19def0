"""What ends a TUN interface and what doesn't."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipsecd.errors import KernelError
from ipsecd.io import tun
from ipsecd.io.tun import TSO, USO, Tun, TunEnd


class Device:
    """A socket in the place of the driver: one packet a write, too."""

    def __init__(self, kernel: socket.socket) -> None:
        self._kernel = kernel
        self.mtu = 0

    def fileno(self) -> int:
        return self._kernel.fileno()

    def close(self) -> None:
        self._kernel.close()


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tun, socket.socket]]:
    """A TUN, and what is at its other end."""
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(tun.pytun, "TunTapDevice", lambda **_: Device(ours))
    with kernels:
        opened = Tun("ipsecd0", 1_400)
        yield opened, kernels
        opened.close()


def failing(number: int) -> Callable[..., int]:
    def call(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_a_packet_is_read_with_what_its_virtio_header_says(ends: tuple[Tun, socket.socket]) -> None:
    opened, kernel = ends
    for number in range(2):
        kernel.send(bytes([number]) * 10 + b"packet")
    for number in range(2):
        assert opened.read() == (b"packet", bytes([number]) * 10)
    assert opened.read() is None


def test_it_is_written_in_as_many_parts_as_there_are(ends: tuple[Tun, socket.socket]) -> None:
    opened, kernel = ends
    assert opened.write(b"whole")
    assert opened.write(b"head", b"and the rest", head=bytes(range(10)))
    assert kernel.recv(100) == bytes(10) + b"whole"
    assert kernel.recv(100) == bytes(range(10)) + b"headand the rest"


@pytest.mark.parametrize(
    ("known", "without", "offloads"),
    [
        (0x67, (), {TSO, USO}),
        (0x07, (), {TSO}),  # before Linux 6.2
        (0x01, (), set()),
        (0, (), set()),
        (0x67, (USO,), {TSO}),
        (0x67, (TSO,), {USO}),
        (0x67, (TSO, USO), set()),
    ],
)
def test_it_asks_for_less_until_the_kernel_agrees(
    known: int, without: tuple[str, ...], offloads: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def ioctl(_file: int, request: int, wanted: int) -> int:
        assert request == 0x400454D0
        asked.append(wanted)
        if wanted & ~known:
            raise OSError(errno.EINVAL, "no")
        return 0

    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(tun.pytun, "TunTapDevice", lambda **_: Device(ours))
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with kernels:
        assert Tun("ipsecd0", 1_400, without).offloads == offloads
    assert not asked or asked[-1] & ~known == 0 or not offloads


@pytest.mark.parametrize(
    ("number", "drop"),
    [
        (errno.ENOMEM, "tun-failed"),
        (errno.EINTR, "tun-failed"),
        (errno.EFAULT, "tun-failed"),
        (errno.EIO, "tun-down"),
        (errno.EINVAL, "tun-invalid"),
        (errno.ENOBUFS, "tun-full"),
        (errno.EAGAIN, "tun-full"),
    ],
)
def test_a_failure_costs_one_packet(
    ends: tuple[Tun, socket.socket], number: int, drop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, kernel = ends
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", failing(number))
        assert not opened.write(b"lost")
    assert opened.write(b"next")
    assert kernel.recv(100) == bytes(10) + b"next"
    assert opened.drops == {drop: 1}


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EIO])
def test_a_failure_to_read_costs_nothing_that_waits(
    ends: tuple[Tun, socket.socket], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, kernel = ends
    kernel.send(bytes(10) + b"waits")
    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", failing(number))
        assert opened.read() is None
    assert opened.read() == (b"waits", bytes(10))
    assert opened.drops == {"tun-unreadable": 1}


@pytest.mark.parametrize("number", [errno.EBADFD, errno.EBADF, errno.ENODEV])
def test_only_an_interface_that_is_gone_is_gone(
    ends: tuple[Tun, socket.socket], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = ends
    monkeypatch.setattr(os, "writev", failing(number))
    monkeypatch.setattr(os, "readv", failing(number))
    with pytest.raises(KernelError, match="can't write to ipsecd0"):
        opened.write(b"lost")
    with pytest.raises(KernelError, match="can't read from ipsecd0"):
        opened.read()
    assert opened.drops == {}


def test_a_descriptor_that_another_process_made_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no driver is asked about it."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(tun, "pytun", None)
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EPERM))
    ours.setblocking(False)
    opened = TunEnd(ours.detach(), "ipsecd0")
    with kernel:
        assert opened.name == "ipsecd0"
        kernel.send(bytes(10) + b"packet")
        assert opened.read() == (b"packet", bytes(10))
        assert opened.read() is None
        assert opened.write(b"answer")
        assert kernel.recv(100) == bytes(10) + b"answer"
        while opened.write(bytes(60_000)):  # until it is full
            pass
        assert opened.drops == {"tun-full": 1}
        opened.close()
        with pytest.raises(KernelError, match="can't write to ipsecd0"):
            opened.write(b"lost")
