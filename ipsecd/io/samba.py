"""The WINS servers that Samba on this machine asks (smb.conf(5), ``wins server``), those of them that are addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from ipsecd import limits
from ipsecd.io.leases import server_address
from ipsecd.io.system_file import tail

# Debian's DHCP client writes what it has learnt into the second one, which older versions of smb.conf include
CONFIGURATIONS = (Path("/etc/samba/smb.conf"), Path("/etc/samba/dhcp.conf"))


def samba_wins_servers(configurations: tuple[Path, ...] = CONFIGURATIONS) -> tuple[IPv4Address, ...]:
    """Their addresses. Raises KernelError for a file that can't be read."""
    words = (word for path in configurations for word in _wins_server(tail(path)))
    found = (server_address(word.rpartition(":")[2]) for word in words)  # perhaps with a tag before it
    return tuple(dict.fromkeys(filter(None, found)))[: limits.MAX_SET]


def _wins_server(text: str) -> list[str]:
    """The words of the last such line of the global section, where a file begins. Neither case nor spaces count in the
    names of sections and parameters; a backslash goes on in the next line."""
    section, found = "global", ""
    for line in _lines(text):
        name, is_set, value = line.partition("=")
        name = "".join(name.split()).lower()
        if line.startswith("["):
            section = name.strip("[]")
        elif is_set and section == "global" and name == "winsserver":
            found = value
    return found.replace(",", " ").split()


def _lines(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return (line for line in lines if line[:1] not in ("#", ";"))
