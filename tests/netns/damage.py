"""What somebody else does to the routing that ipsecd needs in ga."""

from __future__ import annotations

from collections.abc import Iterable

from tests.netns.places import GB_WAN
from tests.netns.sites import Sites

TABLE = 4500  # ipsecd's, if its settings don't say otherwise


def delete_tun(sites: Sites) -> None:
    sites.run("ga", ["ip", "link", "del", "ipsecd0"])


def flush_rules(sites: Sites) -> None:
    """All routing rules are gone, and then the main table has one again."""
    for version in (4, 6):
        sites.run("ga", ["ip", f"-{version}", "rule", "flush"])
        sites.run("ga", ["ip", f"-{version}", "rule", "add", "pref", "32766", "lookup", "main"])


def flush_routes(sites: Sites) -> None:
    """ipsecd's routing table is empty, if it was there."""
    for version in (4, 6):
        sites.run("ga", ["ip", f"-{version}", "route", "flush", "table", str(TABLE)], check=False)


def more_specific_routes(hosts: Iterable[str], near: Iterable[str] = ()) -> list[str]:
    """Routes to hosts, and to those ``near`` on the wire itself, past the TUN, in the main table and in ipsecd's
    (TunnelVision, CVE-2024-3661): words for ``ip route add`` and ``del``."""
    ways = [f"{host} via {GB_WAN[6 if ':' in host else 4]}" for host in hosts]
    ways += [f"{host} dev wan0" for host in near]
    return [f"{way} table {table}" for way in ways for table in ("main", TABLE)]
