"""Routing rules, routes and interfaces as values, and how they are read from what rtnetlink tells."""

from __future__ import annotations

from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from typing import Any

from ipsecd.io.link_settings import ADDRESS_GENERATION_NONE

_VERSION = {AF_INET: 4, AF_INET6: 6}
_RULE_ACTIONS = {1: "table", 2: "goto", 3: "nop", 7: "unreachable"}
_ROUTE_KINDS = {1: "unicast", 7: "unreachable"}
_INVERT = 2  # FIB_RULE_INVERT; the kernel sets the other flags by itself
_COMPARED = {
    "FRA_TABLE",
    "FRA_PRIORITY",
    "FRA_FWMARK",
    "FRA_FWMASK",
    "FRA_IIFNAME",
    "FRA_GOTO",
    "FRA_PROTOCOL",
    "FRA_SUPPRESS_PREFIXLEN",
}
_SUPPRESSES_NOTHING = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the routing policy database. ``action`` is table, goto, nop or unreachable; ``target`` the table's
    number or the preference to go to. ``interface`` is the one a packet came in by. Routes whose prefix isn't longer
    than ``suppressed`` are passed over; None: no such. ``other`` names what else a rule says that the kernel shows us;
    ours say nothing else."""

    version: int
    preference: int
    action: str
    target: int = 0
    mark: int = 0
    mask: int = 0
    interface: str = ""
    suppressed: int | None = None
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A route of ours, ``kind`` unicast or unreachable. ``link`` is the index of the interface, ``source`` the address
    that packets have by it which nobody has given one; empty: any."""

    version: int
    table: int
    kind: str
    link: int = 0
    metric: int = 0
    destination: str = "default"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. ``reverse_mark``: the reverse path check of IPv4 goes by the mark (src_valid_mark);
    ``generates``: the kernel gives it IPv6 addresses by itself; ``group``: its interface group, 0 unless somebody sets
    another; ``master``: the index of the bridge it is part of, or of another such, or 0; ``kept``: the IP versions of
    which nothing that comes in by it is forwarded, as far as the kernel says."""

    index: int
    name: str
    kind: str
    mtu: int
    up: bool
    reverse_mark: bool
    generates: bool
    group: int
    master: int
    kept: tuple[int, ...]


def rule_of(message: Any) -> Rule:
    """``message`` is the library's own type."""
    action = _RULE_ACTIONS.get(message["action"], str(message["action"]))
    target = message.get_attr("FRA_TABLE") if action == "table" else message.get_attr("FRA_GOTO")
    suppressed = message.get_attr("FRA_SUPPRESS_PREFIXLEN")
    other = [name for name, value in message["attrs"] if name not in _COMPARED and not _is_default(name, value)]
    other += [key for key in ("src_len", "dst_len", "tos") if message[key]]
    other += ["not"] if message["flags"] & _INVERT else []
    return Rule(
        version=_VERSION[message["family"]],
        preference=message.get_attr("FRA_PRIORITY") or 0,
        action=action,
        target=target or 0,
        mark=message.get_attr("FRA_FWMARK") or 0,
        mask=message.get_attr("FRA_FWMASK") or 0,
        interface=message.get_attr("FRA_IIFNAME") or "",
        suppressed=None if suppressed in {None, _SUPPRESSES_NOTHING} else suppressed,
        other=tuple(other),
    )


def _is_default(name: str, value: object) -> bool:
    return name == "FRA_SUPPRESS_IFGROUP" and value == _SUPPRESSES_NOTHING


def route_of(message: Any) -> Route:
    """``message`` is the library's own type."""
    kind = _ROUTE_KINDS.get(message["type"], str(message["type"]))
    version = _VERSION[message["family"]]
    metric = message.get_attr("RTA_PRIORITY") or 0
    destination = message.get_attr("RTA_DST")
    return Route(
        version=version,
        table=message.get_attr("RTA_TABLE"),
        kind=kind,
        link=(message.get_attr("RTA_OIF") or 0) if kind == "unicast" else 0,  # IPv6 shows lo for the others
        metric=0 if (version, kind, metric) == (6, "unicast", 1_024) else metric,  # what IPv6 makes of none
        destination=f"{destination}/{message['dst_len']}" if destination else "default",
        source=message.get_attr("RTA_PREFSRC") or "",
    )


def link_of(message: Any) -> Link:
    """``message`` is the library's own type."""
    families = message.get_attr("IFLA_AF_SPEC")
    inet = families.get_attr("AF_INET") if families is not None else None
    inet6 = families.get_attr("AF_INET6") if families is not None else None
    settings = {4: inet, 6: inet6.get_attr("IFLA_INET6_CONF") if inet6 is not None else None}
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & 1),
        reverse_mark=bool(inet is not None and inet["src_vmark"]),
        generates=bool(inet6 is not None and inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE") != ADDRESS_GENERATION_NONE),
        group=message.get_attr("IFLA_GROUP") or 0,
        master=message.get_attr("IFLA_MASTER") or 0,
        kept=tuple(version for version, said in settings.items() if said is not None and not said["forwarding"]),
    )
