"""What a child of two hosts is known by, where a rule has one for each pair of hosts (RFC 4301 section 4.4.1.2,
populate from packet: both address selectors of the SA are those of the packet that asks for it)."""

from __future__ import annotations

from ipaddress import ip_address

from ipsecd.wire.selector import Address

_MARK = "@"


def pair_id(child: str, local: Address, remote: Address) -> str:
    """The identifier of the child between two hosts; ``child`` is that of the one they are all made after."""
    return f"{child}{_MARK}{local}{_MARK}{remote}"


def pattern_id(child: str) -> str:
    """The identifier of the child that this one was made after; its own if it isn't one of two hosts."""
    return child.partition(_MARK)[0]


def hosts_of(child: str) -> tuple[Address, Address] | None:
    """The two hosts, (local, remote), of whose pair this is the identifier; None if it isn't one of two hosts."""
    _, *ends = child.split(_MARK)
    if not ends:
        return None
    local, remote = map(ip_address, ends)
    return local, remote


def pair_name(name: str, remote: Address, local: Address | None = None) -> str:
    """What people call the one of these two hosts, ``name`` being what all are made after. ``local`` is there if this
    machine has several addresses that it may be between."""
    return f"{name}{_MARK}{remote}" if local is None else f"{name}{_MARK}{remote},{local}"


def hosts_named(name: str) -> tuple[str, Address, Address | None] | None:
    """The same the other way round: (name, remote, local). None if it isn't the name of one of two hosts."""
    pattern, mark, ends = name.rpartition(_MARK)
    try:
        remote, *local = map(ip_address, ends.split(",", 1))
    except ValueError:
        return None
    return (pattern, remote, local[0] if local else None) if mark else None
