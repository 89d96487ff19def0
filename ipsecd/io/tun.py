"""The TUN interface: what the kernel routes to us, and what we hand back to it. One packet is one read or write."""

from __future__ import annotations

import errno
import os
from collections import Counter

import pytun

from ipsecd.errors import KernelError
from ipsecd.limits import MAX_UDP_DATAGRAM

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


class Tun:
    """An interface that exists as long as this object is open. It is made down: ``up`` starts it.

    Packets are whole IPv4 or IPv6 packets without a frame around them. Reading and writing never wait.
    """

    def __init__(self, name: str, mtu: int) -> None:
        """Raises KernelError if there is no such driver, no right to it, or an interface of that name already."""
        try:
            self._device = pytun.TunTapDevice(name=name, flags=pytun.IFF_TUN | pytun.IFF_NO_PI | pytun.IFF_TUN_EXCL)
        except OSError as error:
            raise _failed(f"can't make the TUN interface {name}", error) from error
        self.name = name
        self.drops: Counter[str] = Counter()  # packets the kernel didn't take, by reason
        self._file: int = self._device.fileno()
        self._buffer = bytearray(MAX_UDP_DATAGRAM + 1)
        os.set_blocking(self._file, False)
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

    def fileno(self) -> int:
        """For the event loop: readable when a packet waits."""
        return self._file

    def read_packets(self, limit: int) -> list[bytes]:
        """At most ``limit`` waiting packets; KernelError once the interface is gone. Other failures are counted in
        ``drops``."""
        packets: list[bytes] = []
        for _ in range(limit):
            try:
                octets = os.readv(self._file, (self._buffer,))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _GONE:
                    raise _failed(f"can't read from {self.name}", error) from error
                self.drops["tun-unreadable"] += 1
                break
            packets.append(bytes(self._buffer[:octets]))
        return packets

    def write(self, packet: bytes | bytearray | memoryview) -> bool:
        """Hand one packet to the kernel. What it refuses is counted in ``drops`` and False; KernelError once the
        interface is gone."""
        try:
            os.writev(self._file, (packet,))
        except OSError as error:
            if error.errno in _GONE:
                raise _failed(f"can't write to {self.name}", error) from error
            self.drops[_REFUSALS.get(error.errno or 0, "tun-failed")] += 1
            return False
        return True

    def close(self) -> None:
        """The kernel removes the interface, and the routes through it, with its last descriptor."""
        self._device.close()


def _failed(what: str, error: OSError) -> KernelError:
    number = error.errno or (error.args[0] if error.args else 0)  # pytun.Error keeps its number in args
    number = number if isinstance(number, int) else 0
    return KernelError(f"{what}: {os.strerror(number) if number else error}", _HINTS.get(number, ""), errno=number)
