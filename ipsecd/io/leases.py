"""The DHCP servers that this machine has its addresses from, where its DHCP client tells: systemd-networkd in a file
for each interface while it has a lease (cloud-init reads them too), dhclient in a list of all leases, the last of an
interface being the one that counts until it expires (dhclient.leases(5)). Of DHCPv6 neither tells an address: a client
sends to a multicast address there (RFC 8415 section 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from ipsecd import limits
from ipsecd.io.system_file import tail

NETWORKD = Path("/run/systemd/netif/leases")
DHCLIENT = (Path("/var/lib/dhcp"), Path("/var/lib/dhclient"))  # of Debian, of Red Hat

_LEASE = re.compile(r"^lease \{$(.*?)^\}$", re.DOTALL | re.MULTILINE)
_INTERFACE = re.compile(r'^\s*interface "([^"]*)";$', re.MULTILINE)
_SERVER = re.compile(r"^\s*option dhcp-server-identifier ([0-9.]+);$", re.MULTILINE)
_EXPIRES = re.compile(r"^\s*expire (?:never|epoch (\d+)|\d (\d+/\d+/\d+ \d+:\d+:\d+));", re.MULTILINE)


def dhcp_servers(now: float, networkd: Path = NETWORKD, dhclient: Iterable[Path] = DHCLIENT) -> tuple[IPv4Address, ...]:
    """Their addresses. ``now`` is in seconds since 1970. Raises KernelError for a file that can't be read."""
    texts = [*_networkd(networkd)]
    for folder in dhclient:
        for path in sorted(folder.glob("dhclient*.lease*"))[: limits.MAX_SET]:
            texts += _dhclient(tail(path), now)
    addresses = filter(None, map(_address, texts))
    return tuple(dict.fromkeys(addresses))[: limits.MAX_SET]


def _networkd(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*"))[: limits.MAX_SET]:
        for line in tail(path).splitlines():
            key, _, value = line.partition("=")
            if key == "SERVER_ADDRESS":
                yield value


def _dhclient(text: str, now: float) -> list[str]:
    """The servers of the last lease of each interface, unless it has expired."""
    last: dict[str, str] = {}
    for lease in _LEASE.findall(text):
        if interface := _INTERFACE.search(lease):
            last[interface[1]] = lease
    return [server[1] for lease in last.values() if (server := _SERVER.search(lease)) and now < _end(lease)]


def _end(lease: str) -> float:
    """When it expires; a lease that doesn't say so in a known form has."""
    expires = _EXPIRES.search(lease)
    if expires is None:
        return 0.0
    epoch, date = expires.groups()
    if epoch:
        return float(epoch)
    if not date:
        return float("inf")
    try:
        return datetime.strptime(date, "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _address(text: str) -> IPv4Address | None:
    try:
        address = IPv4Address(text)
    except ValueError:
        return None
    return None if address.is_unspecified or address.is_multicast or address.is_loopback else address
