"""A table of nftables that nobody but this process can change, and that outlives it: flags owner and persist, Linux
6.9.

The owner is a netlink socket. While it is open the kernel refuses changes of the table by anybody else, and leaves it
out where somebody removes all tables. When it goes, with the process or before, the table stays and is nobody's;
whoever comes next puts one of his own into its place, in one transaction. nft can't be an owner: it has a socket for
each run, and 1.0.6 doesn't know ``persist``.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Sequence
from itertools import count

from ipsecd.errors import KernelError
from ipsecd.io.compiled import DELETE_TABLE, NEW_TABLE, Message
from ipsecd.io.netlink_parts import HEADER, NETFILTER, NFTABLES, attribute, message
from ipsecd.limits import NFT_TIME

_INET = 1  # linux/netfilter/nfnetlink.h: NFPROTO_INET
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _ACK, _CREATE = 0x001, 0x004, 0x400  # linux/netlink.h
_ERROR = 2
_SOL_NETLINK, _SHORT_ANSWERS = 270, 10  # NETLINK_CAP_ACK: without the message that they answer
_DESTROY_TABLE = 0x0A1A  # linux/netfilter/nf_tables.h: delete it if there is one; Linux 6.3
_NAME, _FLAGS, _OWNER_PERSIST = 1, 2, 2 | 4
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_GENERIC = struct.Struct("!BBH")
_CODE = struct.Struct("=i")
_ANSWER = 65_536


class Owner:
    """Of the table ``inet <table>`` in the network namespace this process is in when it begins to be one."""

    def __init__(self, table: str) -> None:
        self._name = table.encode() + b"\0"
        self._socket: socket.socket | None = None
        self._numbers = count(1)
        self._able: bool | None = None
        self._sending = threading.Lock()  # a transaction goes on though nobody waits for it any more

    def able(self) -> bool:
        """Whether the kernel has such tables. Raises KernelError."""
        if self._able is None:
            self._able = self._tried()
        return self._able

    def _tried(self) -> bool:
        """Asked with a transaction that isn't brought to its end."""
        name = attribute(_NAME, self._name[:-1] + b"_try\0")
        wanted = [Message(_DESTROY_TABLE, _REQUEST, _body(name)), Message(NEW_TABLE, _CREATING, _body(name + _LASTING))]
        code = self._answered(wanted, end=False)
        if code in {0, errno.EOPNOTSUPP, errno.EINVAL}:
            return not code
        raise KernelError(f"can't ask for a table with an owner: {os.strerror(code)}", "ipsecd needs CAP_NET_ADMIN")

    def send(self, messages: Sequence[Message]) -> None:
        """Send one transaction. A table that it makes is ours from then on, in the place of whatever has its name.
        Raises KernelError, and then nothing has changed."""
        kinds = [message.kind for message in messages]
        name = attribute(_NAME, self._name)
        ours = [message for message in messages if message.kind not in {NEW_TABLE, DELETE_TABLE}]
        if DELETE_TABLE in kinds:
            made = [Message(NEW_TABLE, _CREATING, _body(name + _LASTING))] if kinds[-1] != DELETE_TABLE else []
            ours = [Message(_DESTROY_TABLE, _REQUEST, _body(name)), *made, *ours]
        if not ours:
            return
        if code := self._answered(ours, end=True):
            raise KernelError(f"the kernel refused the table: {os.strerror(code)}")

    def release(self) -> None:
        """Let others change the table."""
        with self._sending:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _answered(self, messages: Sequence[Message], *, end: bool) -> int:
        """The number of the first error, or 0."""
        with self._sending:
            if self._socket is None:
                self._socket = _open()
            return self._exchanged(self._socket, messages, end=end)

    def _exchanged(self, opened: socket.socket, messages: Sequence[Message], *, end: bool) -> int:
        number = next(self._numbers)
        batch = [_framed(Message(_BATCH_BEGIN, _REQUEST, _GENERIC.pack(0, 0, NFTABLES)), number)]
        batch += [_framed(message, number) for message in messages[:-1]]
        batch += [_framed(message._replace(flags=message.flags | _ACK), number) for message in messages[-1:]]
        if end:
            batch.append(_framed(Message(_BATCH_END, _REQUEST, _GENERIC.pack(0, 0, NFTABLES)), number))
        data = b"".join(batch)
        try:
            _forget_answers(opened)
            opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, len(data) + _ANSWER)
            opened.send(data)
            return _answer(opened, number)
        except OSError as error:
            raise KernelError(f"can't change nftables: {error.strerror or error}") from error


def _answer(opened: socket.socket, number: int) -> int:
    """What the kernel says first of the transaction of this number."""
    while True:
        data = opened.recv(_ANSWER)
        _, kind, _, answered, _ = HEADER.unpack_from(data)
        if (kind, answered) == (_ERROR, number):
            (code,) = _CODE.unpack_from(data, HEADER.size)
            return -int(code)


def _forget_answers(opened: socket.socket) -> None:
    """The kernel says of each message what is wrong with it, and only the first of that was read."""
    opened.setblocking(False)
    while True:
        try:
            opened.recv(1)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # some were forgotten already
                raise
    opened.settimeout(NFT_TIME)


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    opened.setsockopt(_SOL_NETLINK, _SHORT_ANSWERS, 1)
    opened.bind((0, 0))
    return opened


def _framed(sent: Message, number: int) -> bytes:
    return message(sent.kind, sent.flags, number, sent.body)


def _body(attributes: bytes) -> bytes:
    return _GENERIC.pack(_INET, 0, 0) + attributes


_CREATING = _REQUEST | _CREATE
_LASTING = attribute(_FLAGS, struct.pack("!I", _OWNER_PERSIST))
