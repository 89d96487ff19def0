"""The DNS servers of this machine: those that resolv.conf(5) names, or those behind a forwarder on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from ipsecd import limits
from ipsecd.io.system_file import tail

Address = IPv4Address | IPv6Address

RESOLV_CONF = Path("/etc/resolv.conf")
# Where programs that put a forwarder on this machine say whom it asks: systemd-resolved, NetworkManager
BEHIND = (Path("/run/systemd/resolve/resolv.conf"), Path("/run/NetworkManager/no-stub-resolv.conf"))


def nameservers(configured: Path = RESOLV_CONF, behind: Iterable[Path] = BEHIND) -> tuple[Address, ...]:
    """Their addresses; none of this machine itself. Raises KernelError for a file that can't be read."""
    servers = _servers(configured)
    if any(server.is_loopback for server in servers):
        servers += next(filter(None, map(_servers, behind)), [])
    others = (server for server in servers if not (server.is_loopback or server.is_unspecified or server.is_multicast))
    return tuple(dict.fromkeys(others))[: limits.MAX_SET]


def _servers(path: Path) -> list[Address]:
    lines = (line.split() for line in tail(path).splitlines())
    found = (_address(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver")
    return [address for address in found if address is not None]


def _address(text: str) -> Address | None:
    """None for what isn't one. Which link a link-local one is on (fe80::1%eth0) is left out: no packet says so."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
