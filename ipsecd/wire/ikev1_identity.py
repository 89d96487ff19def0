"""Identification payloads of IKEv1 (RFC 2407 section 4.6.2): names in phase 1, addresses of the traffic in phase 2.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |    ID Type    |  Protocol ID  |             Port              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    ~   name; address; network and mask; first and last address     ~
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire import registry
from ipsecd.wire.identity import Identity
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import IdType
from ipsecd.wire.selector import ANY_PORT, Address, Selector

_HEADER_OCTETS = 4
_ADDRESS_OCTETS = {4: 4, 6: 16}
_SINGLE = {4: IdType.IPV4_ADDR, 6: IdType.IPV6_ADDR}
_SUBNET = {4: IdType.IPV4_ADDR_SUBNET, 6: IdType.IPV6_ADDR_SUBNET}
_RANGE = {4: IdType.IPV4_ADDR_RANGE, 6: IdType.IPV6_ADDR_RANGE}


@dataclass(frozen=True, slots=True)
class Id:
    """``protocol`` and ``port`` are 0 for any. In phase 1 both must be 0, or UDP and 500."""

    type: IdType
    data: bytes
    protocol: int = 0
    port: int = 0

    @classmethod
    def of(cls, identity: Identity) -> Id:
        """Who we are, in phase 1."""
        return cls(IdType(identity.type), identity.data)

    @classmethod
    def selecting(cls, selector: Selector) -> Id:
        """What a quick mode is for, in the least general form that says it. ValueError for a range of ports, which
        IKEv1 can't say."""
        first, last = selector.ports
        if first != last and selector.ports != ANY_PORT:
            raise ValueError(f"IKEv1 can't negotiate the port range of {selector}")
        port = 0 if selector.ports == ANY_PORT else first
        return cls(*_addresses(selector), selector.protocol, port)

    @property
    def identity(self) -> Identity:
        """Who the peer says it is, in phase 1: names and addresses have the same numbers in both versions of IKE."""
        return Identity(registry.IdType(self.type), self.data)

    @property
    def selector(self) -> Selector | None:
        """What a quick mode is for; None for a name, which selects no packets."""
        read = _SELECTED.get(self.type)
        if read is None:
            return None
        half = len(self.data) // 2
        start, end = read(self.data, half)
        return Selector(start, end, self.protocol, (self.port, self.port) if self.port else ANY_PORT)

    def encode(self) -> bytes:
        """The payload's body. Raises struct.error for what doesn't fit its field."""
        return struct.pack("!BBH", self.type, self.protocol, self.port) + self.data


def decode_id(r: Reader) -> Id:
    """Raises WireError: those of ``Identity.decode``; ``bad-identity-length`` for a subnet or range of the wrong size;
    ``bad-subnet-mask`` for a mask with holes; ``bad-range`` for a range that ends before it starts."""
    start = r.offset
    body = r.bounded(_HEADER_OCTETS + limits.MAX_IDENTITY, "bad-identity-length", least=_HEADER_OCTETS)
    kind, protocol, port = struct.unpack("!BBH", body[:_HEADER_OCTETS])
    found = Id(IdType(kind), body[_HEADER_OCTETS:], protocol, port)
    if found.type in _PAIRS:
        _check_pair(found, start + _HEADER_OCTETS)
    else:
        Identity.decode(body)
    return found


def _check_pair(found: Id, offset: int) -> None:
    half = _ADDRESS_OCTETS[_PAIRS[found.type]]
    if len(found.data) != 2 * half:
        raise WireError("bad-identity-length", f"{len(found.data)} octets of {found.type}", offset=offset)
    first, second = (int.from_bytes(part, "big") for part in (found.data[:half], found.data[half:]))
    if found.type in _SUBNET.values():
        outside = (1 << 8 * half) - 1 - second
        if outside & (outside + 1):
            raise WireError("bad-subnet-mask", found.data[half:].hex(), offset=offset)
    elif first > second:
        raise WireError("bad-range", found.data.hex(), offset=offset)


def _addresses(selector: Selector) -> tuple[IdType, bytes]:
    start, end, version = selector.start, selector.end, selector.version
    size = int(end) - int(start) + 1
    if size == 1:
        return _SINGLE[version], start.packed
    if size & (size - 1) == 0 and int(start) % size == 0:
        octets = _ADDRESS_OCTETS[version]
        return _SUBNET[version], start.packed + ((1 << 8 * octets) - size).to_bytes(octets, "big")
    return _RANGE[version], start.packed + end.packed


def _single(data: bytes, _: int) -> tuple[Address, Address]:
    address = ip_address(data)
    return address, address


def _range(data: bytes, half: int) -> tuple[Address, Address]:
    return ip_address(data[:half]), ip_address(data[half:])


def _subnet(data: bytes, half: int) -> tuple[Address, Address]:
    """Some peers leave the host's bits in the address of the network."""
    mask = int.from_bytes(data[half:], "big")
    first = int.from_bytes(data[:half], "big") & mask
    last = first | ((1 << 8 * half) - 1) ^ mask
    return ip_address(first.to_bytes(half, "big")), ip_address(last.to_bytes(half, "big"))


_PAIRS = {kind: version for kinds in (_SUBNET, _RANGE) for version, kind in kinds.items()}
_SELECTED: dict[IdType, Callable[[bytes, int], tuple[Address, Address]]] = {
    kind: read for kinds, read in ((_SINGLE, _single), (_SUBNET, _subnet), (_RANGE, _range)) for kind in kinds.values()
}
