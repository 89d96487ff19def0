"""The TUN interface: what the kernel routes to us, and what we hand back to it.

A read or write is one packet, or one that stands for many of a TCP or UDP flow: the kernel leaves the cutting and the
checksums to us as far as it may (TUNSETOFFLOAD), and takes them from us. What is asked of it is given up bit by bit on
kernels that don't know it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import pytun

from ipsecd.errors import KernelError
from ipsecd.limits import MAX_UDP_DATAGRAM

# linux/if_tun.h
TUNSETOFFLOAD = 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
_TSO, _USO = TUN_F_TSO4 | TUN_F_TSO6, TUN_F_USO4 | TUN_F_USO6
TSO, USO = "tun-tso", "tun-uso"
NOTHING_LEFT = bytes(10)  # the virtio header of a packet that is just itself
_HEAD = len(NOTHING_LEFT)

_HINTS = {
    errno.ENOENT: "modprobe tun; in a container, pass it the device /dev/net/tun",
    errno.EPERM: "ipsecd needs CAP_NET_ADMIN",
    errno.EACCES: "ipsecd needs read and write access to /dev/net/tun",
    errno.EBUSY: "another program holds an interface of that name; set another name in the policy's settings",
}
_REFUSALS = {errno.EIO: "tun-down", errno.EINVAL: "tun-invalid", errno.ENOBUFS: "tun-full", errno.EAGAIN: "tun-full"}
DROPS = {
    "tun-down": "the TUN interface is down",
    "tun-invalid": "the kernel takes what came out of the tunnel for no IP packet",
    "tun-full": "the kernel has no room left for what came out of the tunnel",
    "tun-failed": "the kernel didn't take what came out of the tunnel, for another reason",
    "tun-unreadable": "it couldn't be read from the TUN interface",
}
_GONE = frozenset({errno.EBADFD, errno.EBADF, errno.ENODEV})  # the interface; whatever else it is, it passes


class TunRead(NamedTuple):
    """What one read gave, in buffers that the next read uses again: a packet, and the virtio header that says what is
    left to do with it (struct virtio_net_hdr of linux/virtio_net.h)."""

    packet: memoryview
    head: bytearray


class TunEnd:
    """The descriptor of such an interface, whoever opened it: all that goes without any right, and without any call
    that a worker doesn't have once it is shut in. Reading and writing never wait.

    Packets are whole IPv4 or IPv6 packets without a frame around them. The descriptor ``file`` is this object's from
    now on; ``name`` is what errors call the interface.
    """

    def __init__(self, file: int, name: str) -> None:
        self.name = name
        self.drops: Counter[str] = Counter()  # packets the kernel didn't take, by reason
        self._file = file
        self._head, self._body = bytearray(_HEAD), memoryview(bytearray(MAX_UDP_DATAGRAM + 1))
        self._buffers = (self._head, self._body)

    def fileno(self) -> int:
        """For the event loop: readable when a packet waits; and for handing it on. Below 0 once it is closed."""
        return self._file

    def read(self) -> TunRead | None:
        """What waits, None if nothing does; KernelError once the interface is gone. Other failures are counted in
        ``drops``."""
        try:
            octets = os.readv(self._file, self._buffers)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _GONE:
                raise _failed(f"can't read from {self.name}", error) from error
            self.drops["tun-unreadable"] += 1
            return None
        return TunRead(self._body[: octets - _HEAD], self._head)

    def write(self, *parts: bytes | bytearray | memoryview, head: bytes = NOTHING_LEFT) -> bool:
        """Hand one packet to the kernel, in one or more parts, or many of a flow as one, as its virtio header says.
        What the kernel refuses is counted in ``drops`` and False; KernelError once the interface is gone."""
        try:
            os.writev(self._file, (head, *parts))
        except OSError as error:
            if error.errno in _GONE:
                raise _failed(f"can't write to {self.name}", error) from error
            self.drops[_REFUSALS.get(error.errno or 0, "tun-failed")] += 1
            return False
        return True

    def close(self) -> None:
        """The kernel removes the interface, and the routes through it, with its last descriptor."""
        file, self._file = self._file, -1
        os.close(file)


class Tun(TunEnd):
    """An interface that exists as long as this object is open. It is made down: ``up`` starts it.

    ``offloads`` names what it does for us: ``TSO``, ``USO``; ``without`` what it isn't asked for.
    """

    def __init__(self, name: str, mtu: int, without: Collection[str] = ()) -> None:
        """Raises KernelError if there is no such driver, no right to it, or an interface of that name already."""
        flags = pytun.IFF_TUN | pytun.IFF_NO_PI | pytun.IFF_TUN_EXCL | pytun.IFF_VNET_HDR
        try:
            self._device = pytun.TunTapDevice(name=name, flags=flags)
        except OSError as error:
            raise _failed(f"can't make the TUN interface {name}", error) from error
        file: int = self._device.fileno()
        os.set_blocking(file, False)
        super().__init__(file, name)
        self.offloads = _ask(file, [part for part in (TSO, USO) if part not in without])
        try:
            self.set_mtu(mtu)
        except KernelError:
            self.close()
            raise

    def set_mtu(self, mtu: int) -> None:
        """The largest packet the kernel may hand us. Raises KernelError."""
        try:
            self._device.mtu = mtu
        except OSError as error:
            raise _failed(f"can't give {self.name} an MTU of {mtu}", error) from error

    def up(self) -> None:
        """Let packets in. Whoever configures the interface does it before, so that none meets it half made."""
        try:
            self._device.up()
        except OSError as error:
            raise _failed(f"can't bring {self.name} up", error) from error

    def down(self) -> None:
        """Let no packet in; the kernel drops the routes through it."""
        try:
            self._device.down()
        except OSError as error:
            raise _failed(f"can't bring {self.name} down", error) from error

    def close(self) -> None:
        self._file = -1
        self._device.close()


def _ask(file: int, parts: list[str]) -> frozenset[str]:
    """Ask for these, and for less until the kernel agrees: USO came with Linux 6.2."""
    while parts:
        wanted = TUN_F_CSUM | (_TSO if TSO in parts else 0) | (_USO if USO in parts else 0)
        try:
            fcntl.ioctl(file, TUNSETOFFLOAD, wanted)
        except OSError:
            parts.pop()
        else:
            return frozenset(parts)
    return frozenset()


def _failed(what: str, error: OSError) -> KernelError:
    number = error.errno or (error.args[0] if error.args else 0)  # pytun.Error keeps its number in args
    number = number if isinstance(number, int) else 0
    return KernelError(f"{what}: {os.strerror(number) if number else error}", _HINTS.get(number, ""), errno=number)
