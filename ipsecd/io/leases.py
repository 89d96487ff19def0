"""What this machine's DHCP client tells of its leases: systemd-networkd in a file for each interface while it has a
lease (cloud-init reads them too), dhclient in a list of all leases, the last of an interface being the one that counts
until it expires (dhclient.leases(5)). Of DHCPv6 neither tells the server's address: a client sends to a multicast
address there (RFC 8415 section 7.1). Of WINS servers only dhclient tells."""

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
_NAME_SERVERS = re.compile(r"^\s*option netbios-name-servers ([0-9., ]+);$", re.MULTILINE)  # RFC 2132 section 8.5
_EXPIRES = re.compile(r"^\s*expire (?:never|epoch (\d+)|\d (\d+/\d+/\d+ \d+:\d+:\d+));", re.MULTILINE)


def dhcp_servers(now: float, networkd: Path = NETWORKD, dhclient: Iterable[Path] = DHCLIENT) -> tuple[IPv4Address, ...]:
    """The servers that have given leases. ``now`` is in seconds since 1970. Raises KernelError for a file that can't be
    read."""
    return _addresses([*_networkd(networkd), *_options(_SERVER, now, dhclient)])


def wins_servers(now: float, dhclient: Iterable[Path] = DHCLIENT) -> tuple[IPv4Address, ...]:
    """The WINS servers that the leases name, likewise."""
    lists = _options(_NAME_SERVERS, now, dhclient)
    return _addresses(each.strip() for servers in lists for each in servers.split(","))


def _addresses(texts: Iterable[str]) -> tuple[IPv4Address, ...]:
    return tuple(dict.fromkeys(filter(None, map(server_address, texts))))[: limits.MAX_SET]


def _networkd(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*"))[: limits.MAX_SET]:
        for line in tail(path).splitlines():
            key, _, value = line.partition("=")
            if key == "SERVER_ADDRESS":
                yield value


def _options(option: re.Pattern[str], now: float, folders: Iterable[Path]) -> Iterator[str]:
    """What this option is in the leases of dhclient."""
    for folder in folders:
        for path in sorted(folder.glob("dhclient*.lease*"))[: limits.MAX_SET]:
            yield from (found[1] for lease in _valid(tail(path), now) if (found := option.search(lease)))


def _valid(text: str, now: float) -> list[str]:
    """The last lease of each interface, unless it has expired."""
    last: dict[str, str] = {}
    for lease in _LEASE.findall(text):
        if interface := _INTERFACE.search(lease):
            last[interface[1]] = lease
    return [lease for lease in last.values() if now < _end(lease)]


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


def server_address(text: str) -> IPv4Address | None:
    """None for what isn't the address of a server on the network."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return None
    return None if address.is_unspecified or address.is_multicast or address.is_loopback else address
