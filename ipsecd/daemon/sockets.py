"""The UDP sockets: one for each IP version and each of the two ports, and which of them a datagram leaves by."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address

import structlog

from ipsecd.dataplane.results import Out, OutRun
from ipsecd.errors import KernelError
from ipsecd.ike.config import Path
from ipsecd.io.udp import UdpSocket
from ipsecd.wire.udpencap import KEEPALIVE, NON_ESP_MARKER

log = structlog.get_logger()


class Sockets:
    """Opens them all. Raises KernelError, but goes without IPv6 on a machine that has none. ``without`` names offloads
    that aren't used."""

    def __init__(self, ike_port: int, natt_port: int, mark: int, without: Collection[str] = ()) -> None:
        self._sockets: dict[tuple[int, int], UdpSocket] = {}
        self.drops: Counter[str] = Counter()  # what there was no socket for
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
                opened = UdpSocket(address, port, mark, natt, without)
            except KernelError as error:
                absent = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EAFNOSUPPORT
                if address.version == 4 or not absent:
                    raise
                log.warning("no-ipv6")
                return
            self._sockets[address.version, port] = opened

    def __iter__(self) -> Iterator[UdpSocket]:
        return iter(self._sockets.values())

    def send(self, data: bytes, path: Path) -> None:
        """One IKE message, with the marker in front where ESP shares the port (RFC 3948 section 2.2)."""
        self._send(NON_ESP_MARKER + data if path.natt else data, path)

    def keepalive(self, path: Path) -> None:
        """One octet that keeps a NAT's mapping open (RFC 3948 section 2.3)."""
        self._send(KEEPALIVE, path)

    def send_esp(self, out: Out | OutRun) -> int:
        """One ESP packet in UDP, or a run of them. The MTU of the link if the kernel says that it is too narrow, else
        0; then none of a run is sent."""
        outside = out.outside
        data, segment = (out.datagrams, out.octets) if isinstance(out, OutRun) else (out.datagram, 0)
        opened = self._sockets.get((outside.local.version, outside.local_port))
        if opened is None:
            self.drops["send-no-socket"] += -(-len(data) // out.octets)
            return 0
        refusal = opened.send(
            data,
            outside.remote,
            outside.remote_port,
            local=outside.local,
            traffic_class=out.tos,
            may_fragment=not out.df,
            segment=segment,
        )
        return 0 if refusal is None else refusal.mtu

    def _send(self, data: bytes, path: Path) -> None:
        opened = self._sockets.get((path.local.address.version, path.local.port))
        if opened is None:
            self.drops["send-no-socket"] += 1
            return
        opened.send(data, path.remote.address, path.remote.port, local=path.local.address)

    def counters(self) -> Counter[str]:
        """What wasn't sent or couldn't be read, by reason, of all sockets together."""
        total = Counter(self.drops)
        for opened in self:
            total += opened.drops
        return total

    @property
    def offloads(self) -> frozenset[str]:
        """What the kernel does for all of them."""
        return frozenset.intersection(*(opened.offloads for opened in self))

    def heard(self) -> Counter[str]:
        """Errors about datagrams that were sent, of all sockets together."""
        return sum((opened.heard for opened in self), Counter())

    def close(self) -> None:
        for opened in self:
            opened.close()
