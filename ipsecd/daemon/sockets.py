"""The UDP sockets: one for each IP version and each of the two ports, and which of them a datagram leaves by; and
beside them the raw ones.

Where the roads are in processes of their own, ESP leaves by sockets of its own, as whether its packets may be
fragmented is the socket's to say.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import chain

import structlog

from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.dataplane.results import Out, OutRun
from ipsecd.dataplane.sending import Sending
from ipsecd.errors import KernelError
from ipsecd.ike.config import Path
from ipsecd.io.udp import UdpSocket, pair
from ipsecd.wire.udpencap import KEEPALIVE, NON_ESP_MARKER

log = structlog.get_logger()


class Sockets:
    """Opens them all. Raises KernelError, but goes without IPv6 on a machine that has none. ``without`` names offloads
    that aren't used; ``apart``: ESP is received and sent by other processes. ``native`` are closed by whoever has
    opened them."""

    def __init__(
        self,
        ike_port: int,
        natt_port: int,
        mark: int,
        without: Collection[str] = (),
        *,
        native: NativeSockets,
        apart: bool = False,
    ) -> None:
        self.native = native
        self._sockets: dict[tuple[int, int], UdpSocket] = {}
        self._sending: dict[tuple[int, int], UdpSocket] = {}  # of ESP alone
        self._apart = apart
        self._esp = Sending(self._sockets, native.senders)
        self.drops: Counter[str] = Counter()  # IKE messages that there was no socket for
        try:
            for address in (IPv4Address("0.0.0.0"), IPv6Address("::")):  # noqa: S104  policy decides who is answered
                self._open(address, ike_port, natt_port, mark, without)
        except KernelError:
            self.close()
            raise

    def _open(
        self,
        address: IPv4Address | IPv6Address,
        ike_port: int,
        natt_port: int,
        mark: int,
        without: Collection[str],
    ) -> None:
        for port, natt in ((ike_port, False), (natt_port, True)):
            try:
                if natt and self._apart:
                    opened, self._sending[address.version, port] = pair(address, port, mark, without)
                else:
                    opened = UdpSocket(address, port, mark, natt, without)
            except KernelError as error:
                absent = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EAFNOSUPPORT
                if address.version == 4 or not absent:
                    raise
                log.warning("no-ipv6")
                return
            self._sockets[address.version, port] = opened

    def __iter__(self) -> Iterator[UdpSocket]:
        return chain(self._sockets.values(), self._sending.values())

    def send(self, data: bytes, path: Path) -> None:
        """One IKE message, with the marker in front where ESP shares the port (RFC 3948 section 2.2)."""
        self._send(NON_ESP_MARKER + data if path.natt else data, path)

    def keepalive(self, path: Path) -> None:
        """One octet that keeps a NAT's mapping open (RFC 3948 section 2.3)."""
        self._send(KEEPALIVE, path)

    def send_esp(self, out: Out | OutRun) -> int:
        """One ESP packet in UDP, or a run of them. The MTU of the link if the kernel says that it is too narrow, else
        0; then none of a run is sent."""
        return self._esp.send(out)

    @property
    def read_here(self) -> list[UdpSocket]:
        """Those that this process reads."""
        return [opened for opened in self._sockets.values() if not (self._apart and opened.natt)]

    def of_esp(self, *, sending: bool) -> dict[int, UdpSocket]:
        """Those of ESP, by IP version."""
        found = self._sending if sending else self._sockets
        return {version: opened for (version, _), opened in found.items() if opened.natt}

    def _send(self, data: bytes, path: Path) -> None:
        opened = self._sockets.get((path.local.address.version, path.local.port))
        if opened is None:
            self.drops["send-no-socket"] += 1
            return
        opened.send(data, path.remote.address, path.remote.port, local=path.local.address)

    def counters(self) -> Counter[str]:
        """What wasn't sent or couldn't be read, by reason, of all sockets together."""
        unread = self.native.unread()
        return sum((opened.drops for opened in self._sending.values()), self.drops + self._esp.drops() + unread)

    @property
    def offloads(self) -> frozenset[str]:
        """What the kernel does for all of them; those that only send receive nothing for it to join."""
        return frozenset.intersection(*(opened.offloads for opened in self._sockets.values()))

    def heard(self) -> Counter[str]:
        """Errors about datagrams that were sent, of all sockets together."""
        return sum((opened.heard for opened in self), self.native.heard())

    def close(self) -> None:
        for opened in self:
            opened.close()
