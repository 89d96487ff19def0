"""Headers of our own in front of AH and ESP: those of tunnels (RFC 4301 section 5.1.2), and the one that AH in UDP is
signed with, as the kernel writes the real one. That has no Identification, no options and no extension headers: only
version, lengths, protocol and the addresses count (RFC 4302 section 3.3.3)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from ipsecd.errors import LocalError
from ipsecd.wire.ip import ipv4_header, ipv6_header
from ipsecd.wire.selector import Address

TTL = 64
_PATHS = 256


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


@lru_cache(maxsize=_PATHS)
def fixed(source: Address, destination: Address) -> bytes:
    """The header of what goes in UDP."""
    return header(source, destination)
