"""A pair of sockets between two processes of ours: whole messages, in order, and descriptors with them."""

from __future__ import annotations

import array
import errno
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ipsecd.errors import KernelError
from ipsecd.limits import CHANNEL_BUFFER, CHANNEL_DESCRIPTORS, MAX_CONTROL_FRAME

SO_SNDBUFFORCE = 32  # asm-generic/socket.h; Python's socket module doesn't name it
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class Arrived(NamedTuple):
    """One message, in a buffer that the next one uses again, and the descriptors that came with it."""

    data: memoryview
    descriptors: tuple[int, ...]


class Channel:
    """One end. Nothing here waits."""

    def __init__(self, opened: socket.socket, *, takes_descriptors: bool = True) -> None:
        """Without ``takes_descriptors`` those that are sent are closed by the kernel: whoever asks for none mustn't be
        filled with them."""
        self._socket = opened
        self._descriptors = CHANNEL_DESCRIPTORS if takes_descriptors else 0
        self._socket.setblocking(False)
        self._buffer = memoryview(bytearray(MAX_CONTROL_FRAME))

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send one message, and copies of these descriptors; False if there is no room for it now. What nobody will
        read any more is sent into nothing: ``receive`` tells. Raises KernelError."""
        attached = array.array("i", descriptors)
        with_it = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, attached)] if descriptors else []
        try:
            self._socket.sendmsg((data,), with_it)
        except OSError as error:
            if error.errno in _FULL:
                return False
            if error.errno not in _GONE:
                raise KernelError(f"can't send to another process of ipsecd: {error.strerror}") from error
        return True

    def receive(self) -> Arrived | None:
        """The next message, None if none waits. Raises EOFError once the other end is gone, or KernelError."""
        space = socket.CMSG_SPACE(self._descriptors * array.array("i").itemsize) if self._descriptors else 0
        try:
            octets, ancillary, _, _ = self._socket.recvmsg_into((self._buffer,), space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _GONE:
                raise EOFError from None
            raise KernelError(f"can't receive from another process of ipsecd: {error.strerror}") from error
        if not octets:
            raise EOFError
        found = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        return Arrived(self._buffer[:octets], tuple(found))

    def wait(self) -> None:
        """Until a message waits, or the other end is gone."""
        select.select((self._socket,), (), ())

    def close(self) -> None:
        self._socket.close()


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends, each with room for the largest message. Raises KernelError."""
    try:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise KernelError(f"can't open a channel between processes: {error.strerror}") from error
    for end in pair:
        with suppress(OSError):  # without the right to more there is what everybody gets
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, CHANNEL_BUFFER)
    return pair
