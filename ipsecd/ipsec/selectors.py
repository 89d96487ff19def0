"""Selectors compiled for matching: what they see of a packet, and tables of plain numbers to hold against it.

Ports (RFC 4301 section 4.4.1.1): a packet that doesn't show a port (a fragment other than the first, a protocol
without ports) matches ANY and OPAQUE only. ICMP and the mobility header have one such field instead of two; it
belongs to the sender's side, and the receiver's side isn't looked at (section 4.4.1.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from ipsecd.wire.ip import IpPacket
from ipsecd.wire.registry import IpProtocol
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Address, Selector

ONE_FIELD = frozenset({IpProtocol.ICMP, IpProtocol.ICMPV6, IpProtocol.MOBILITY})
UNSEEN = -1  # a port that the packet doesn't show

_ANY = (UNSEEN, 65_535)  # ANY includes OPAQUE


class Flow(NamedTuple):
    """What selectors see of a packet, as plain numbers: quick to hash, quick to compare.

    Of ICMP, ``source_port`` is type*256+code. Ports are UNSEEN where the packet doesn't show them.
    """

    version: int
    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int

    @classmethod
    def build(
        cls,
        source: Address,
        destination: Address,
        protocol: int,
        source_port: int | None = None,
        destination_port: int | None = None,
    ) -> Flow:
        """The flow between two addresses of one family. ICMP's type*256+code may stand in either port."""
        one = UNSEEN if source_port is None else source_port
        two = UNSEEN if destination_port is None else destination_port
        if protocol in ONE_FIELD:
            one, two = max(one, two), UNSEEN
        return cls(source.version, int(source), int(destination), protocol, one, two)

    @classmethod
    def of(cls, packet: IpPacket) -> Flow:
        """The flow that a packet belongs to."""
        return cls.build(
            packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port
        )

    def answer(self) -> Flow:
        """The flow of what comes back. ICMP's one field stays where it is: it is the sender's, whoever that is."""
        version, source, destination, protocol, source_port, destination_port = self
        if protocol not in ONE_FIELD:
            source_port, destination_port = destination_port, source_port
        return Flow(version, destination, source, protocol, source_port, destination_port)

    def addresses(self) -> tuple[Address, Address]:
        """Source and destination as addresses."""
        kind = IPv4Address if self.version == 4 else IPv6Address
        return kind(self.source), kind(self.destination)

    def ports(self) -> tuple[int | None, int | None]:
        """Source and destination port, None where unseen."""
        one = None if self.source_port == UNSEEN else self.source_port
        return one, None if self.destination_port == UNSEEN else self.destination_port

    def __str__(self) -> str:
        protocol = IpProtocol(self.protocol).name.lower()
        source, destination = self.addresses()
        one, two = ("" if port is None else f"[{port}]" for port in self.ports())
        return f"{protocol} {source}{one} -> {destination}{two}"


class Side(NamedTuple):
    """One selector compiled for one role, sending or receiving."""

    low: int
    high: int
    protocol: int
    port_low: int
    port_high: int


def compile_side(selector: Selector, *, sending: bool) -> Side:
    """The selector as numbers; on the receiving side of a one-field protocol its ports are not looked at."""
    if selector.ports == ANY_PORT or (not sending and selector.protocol in ONE_FIELD):
        ports = _ANY
    elif selector.ports == OPAQUE:
        ports = (UNSEEN, UNSEEN)
    else:
        ports = selector.ports
    return Side(int(selector.start), int(selector.end), selector.protocol, *ports)


def _compile(selectors: Iterable[Selector], *, sending: bool) -> dict[int, tuple[Side, ...]]:
    rows: dict[int, list[Side]] = {4: [], 6: []}
    for selector in selectors:
        rows[selector.version].append(compile_side(selector, sending=sending))
    return {version: tuple(sides) for version, sides in rows.items()}


def _any_holds(sides: tuple[Side, ...], address: int, protocol: int, port: int) -> bool:
    return any(
        low <= address <= high and wanted in (0, protocol) and first <= port <= last
        for low, high, wanted, first, last in sides
    )


class SaSelectors:
    """The negotiated selectors of one SA: a packet is inside if any selector of either end holds its side of it
    (RFC 7296 section 2.9)."""

    __slots__ = ("_from_local", "_from_remote", "_to_local", "_to_remote", "local", "remote")

    def __init__(self, local: tuple[Selector, ...], remote: tuple[Selector, ...]) -> None:
        self.local = local
        self.remote = remote
        self._from_local = _compile(local, sending=True)
        self._to_local = _compile(local, sending=False)
        self._from_remote = _compile(remote, sending=True)
        self._to_remote = _compile(remote, sending=False)

    def hold_local(self, version: int, address: int) -> bool:
        """Whether an address is one of those on our side."""
        return any(side.low <= address <= side.high for side in self._from_local[version])

    def hold_outbound(self, flow: Flow) -> bool:
        """Whether a packet going out belongs on this SA."""
        version, source, destination, protocol, source_port, destination_port = flow
        return _any_holds(self._to_remote[version], destination, protocol, destination_port) and _any_holds(
            self._from_local[version], source, protocol, source_port
        )

    def hold_inbound(self, flow: Flow) -> bool:
        """Whether a packet that came in on this SA was allowed to (RFC 4301 section 5.2 step 4)."""
        version, source, destination, protocol, source_port, destination_port = flow
        return _any_holds(self._from_remote[version], source, protocol, source_port) and _any_holds(
            self._to_local[version], destination, protocol, destination_port
        )
