"""What ends a TUN interface and what doesn't."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipsecd.errors import KernelError
from ipsecd.io import tun
from ipsecd.io.tun import Tun


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


def test_no_more_packets_are_read_than_asked_for(ends: tuple[Tun, socket.socket]) -> None:
    opened, kernel = ends
    for number in range(5):
        kernel.send(bytes([number]))
    assert opened.read_packets(3) == [b"\0", b"\1", b"\2"]
    assert opened.read_packets(3) == [b"\3", b"\4"]
    assert opened.read_packets(3) == []


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
    assert kernel.recv(10) == b"next"
    assert opened.drops == {drop: 1}


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EIO])
def test_a_failure_to_read_costs_nothing_that_waits(
    ends: tuple[Tun, socket.socket], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, kernel = ends
    kernel.send(b"waits")
    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", failing(number))
        assert opened.read_packets(64) == []
    assert opened.read_packets(64) == [b"waits"]
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
        opened.read_packets(1)
    assert opened.drops == {}
