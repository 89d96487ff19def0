"""What a name means, and for how long. The system's resolver says what (/etc/hosts, whatever nsswitch.conf names, and
the DNS), but not for how long; the DNS says both."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from dns.exception import DNSException
from dns.message import ChainingResult
from dns.resolver import NXDOMAIN
from dns.resolver import Resolver as Dns

from ipsecd import limits

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """Addresses in a fixed order, none if the name has none; ``ttl``: for how many seconds that counts, None if nobody
    says so."""

    addresses: tuple[Address, ...]
    ttl: float | None = None


class NotAnswered(Exception):
    """There is no answer, neither yes nor no."""


def look_up(name: str) -> Answer:
    """The addresses of a name as the system's resolver knows them, with the TTL of the DNS where that says the same;
    blocks. Raises NotAnswered.

    The DNS is asked first: if its answer ends between the two questions, the TTL is too short for the newer addresses,
    and not the new TTL too long for the old ones.
    """
    told = _ask_dns(name)
    addresses = _ask_system(name)
    return Answer(addresses, told.ttl if told is not None and told.addresses == addresses else None)


def _ask_system(name: str) -> tuple[Address, ...]:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ()
        raise NotAnswered(error.strerror) from error
    except (OSError, UnicodeError) as error:
        raise NotAnswered(str(error)) from error
    return _ordered(str(address[4][0]) for address in answers)


def _ask_dns(name: str) -> Answer | None:
    """None if it says nothing, or if none is configured."""
    try:
        dns = Dns()  # as resolv.conf has it now
        dns.timeout = limits.RESOLVE_TTL_TIME / 2  # of one server: the next has a turn
        found = [chain for kind in ("A", "AAAA") for chain in _chains(dns, name, kind)]
    except (DNSException, OSError, ValueError):
        return None
    addresses = (data.address for chain in found for data in chain.answer or ())
    return Answer(_ordered(addresses), float(min(chain.minimum_ttl for chain in found)))


def _chains(dns: Dns, name: str, kind: str) -> Iterator[ChainingResult]:
    """From the name over its aliases to its addresses of one kind, or to none: that has a TTL too (RFC 2308)."""
    try:
        yield dns.resolve(
            name, kind, raise_on_no_answer=False, lifetime=limits.RESOLVE_TTL_TIME, search=True
        ).chaining_result
    except NXDOMAIN as error:
        responses = error.responses()  # type: ignore[no-untyped-call]  # the library gives it no types
        yield from (response.resolve_chaining() for response in responses.values())


def _ordered(texts: Iterable[str]) -> tuple[Address, ...]:
    found = {ip_address(text.partition("%")[0]) for text in texts}
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))
