"""Headers of our own in front of AH and ESP: those of tunnels (RFC 4301 section 5.1.2), and the one that AH in UDP is
signed with, as the kernel writes the real one. That has no Identification, no options and no extension headers: only
version, lengths, protocol and the addresses count (RFC 4302 section 3.3.3)."""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import LocalError
from ipsecd.wire.checksum import ones_sum
from ipsecd.wire.ip import ipv4_header, ipv6_header
from ipsecd.wire.selector import Address

TTL = 64
_PATHS = 256
IDENTIFICATIONS = 0xFFFF  # there are, without 0: the kernel would write another in its place
_V4 = struct.Struct("!2sHH4sH8s")  # to the TOS, length, Identification, to the protocol, checksum, addresses
_V6 = struct.Struct("!4sH2s32s")  # to the flow label, length, to the hop limit, addresses


def header(
    source: Address, destination: Address, *, tos: int = 0, identification: int = 0, dont_fragment: bool = False
) -> bytes:
    """A header without protocol and payload: ``transport.headed`` says those. IPv6 has neither of the last two. Raises
    LocalError for addresses of two families."""
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        return ipv4_header(
            source,
            destination,
            0,
            0,
            ttl=TTL,
            dscp_ecn=tos,
            identification=identification,
            dont_fragment=dont_fragment,
        )
    if isinstance(source, IPv6Address) and isinstance(destination, IPv6Address):
        return ipv6_header(source, destination, 0, 0, hop_limit=TTL, dscp_ecn=tos)
    raise LocalError(f"no packet goes from {source} to {destination}")


class Front:
    """The headers of packets between two hosts and of one protocol, of which each has a length and a number of its own:
    those of a tunnel, and what is made anew in transport mode, for what came in UDP. The number is an IPv4
    Identification, so that packets in a row have those that the kernel gives where it takes a big one apart."""

    __slots__ = ("_base", "_middle", "_start", "ends", "octets")

    def __init__(
        self, source: Address, destination: Address, protocol: int, tos: int, *, dont_fragment: bool = False
    ) -> None:
        made = bytearray(header(source, destination, tos=tos, dont_fragment=dont_fragment))
        self.octets = len(made)
        self.ends = source.packed + destination.packed
        self._base = 0  # the sum of an IPv4 header but for length, Identification and checksum
        if source.version == 4:
            made[2:4] = made[10:12] = bytes(2)
            made[9] = protocol
            self._start, self._middle, self._base = bytes(made[:2]), bytes(made[6:10]), ones_sum(bytes(made))
        else:
            made[6] = protocol
            self._start, self._middle = bytes(made[:4]), bytes(made[6:8])

    def of(self, octets: int, number: int) -> bytes:
        """The header in front of so many octets."""
        base = self._base
        if not base:
            return _V6.pack(self._start, octets, self._middle, self.ends)
        total, identification = octets + self.octets, number & 0xFFFF
        check = 0xFFFF ^ ((base + total + identification) % 0xFFFF or 0xFFFF)
        return _V4.pack(self._start, total, identification, self._middle, check, self.ends)


front = lru_cache(maxsize=_PATHS)(Front)


def identification(number: int) -> int:
    """The Identification of a packet with this sequence number."""
    return number % IDENTIFICATIONS + 1


@lru_cache(maxsize=_PATHS)
def fixed(source: Address, destination: Address) -> bytes:
    """The header of what goes in UDP."""
    return header(source, destination)
