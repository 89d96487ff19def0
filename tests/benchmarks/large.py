"""Policies of many rules, as a hub with many branches might have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

from ipsecd.policy.load import load_policy
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan

Write = Callable[[int], str]

_HEAD = """\
assigned: hub
credentials:
  hq: {psk: {file: hq.psk}}
policies:
  hub:
    rules:
"""
_PEERS = 100
KINDS = 10  # of rules


def policy(rules: int) -> str:
    """A policy file of so many rules, of every kind in equal parts if it's a multiple of ten."""
    kinds = len(_KINDS)
    written = (f"{{name: r{number}, {_KINDS[number % kinds](number // kinds)}}}" for number in range(rules))
    return _HEAD + "".join(f"      - {rule}\n" for rule in written)


def edited(text: str, rule: int, kind: int, number: int) -> str:
    """With another rule of one of the kinds in the place of one."""
    lines = text.splitlines(keepends=True)
    lines[_HEAD.count("\n") + rule] = f"      - {{name: r{rule}, {_new(kind, number)}}}\n"
    return "".join(lines)


def inserted(text: str, kind: int, number: int) -> str:
    """With one rule more, before all others."""
    return text.replace(_HEAD, f"{_HEAD}      - {{name: new, {_new(kind, number)}}}\n", 1)


def elsewhere(text: str, number: int) -> str:
    """With other addresses of IPv4 in each rule."""
    return re.sub(r"\b(10|172|203)(?=\.\d+\.\d+\.)", lambda match: str(int(match[0]) + 1 + number % 40), text)


def _new(kind: int, number: int) -> str:
    """A rule that no policy of 1,000 rules has."""
    return _KINDS[kind](777 + number)


def planned(rules: int) -> Plan:
    """Its plan."""
    return plan_of(policy(rules))


def plan_of(text: str) -> Plan:
    """That of a policy file."""
    me = map(ip_address, ("10.1.0.1", "192.0.2.1", "fd01::1"))
    return plan(load_policy(text, "hub.yaml"), lambda _: (), tuple(me))


def _branch(number: int, source: str = "10.1.0.0/16", network: str = "10.{}.{}.0/24") -> str:
    there = network.format(100 + number // 200, number % 200)
    peer = number % _PEERS
    return (
        f"filters: [{{source: '{source}', destination: '{there}'}}], action: require-security, "
        f"tunnel: {{local: 10.1.0.1, remote: 198.51.100.{peer}}}, identity: {{remote: b{peer}.example}}, "
        "authentication: [{psk: hq}]"
    )


def _branch_of_ipv6(number: int) -> str:
    return _branch(number, "fd01::/48", "fd02:{:x}:{:x}::/48")


def _branch_of_me(number: int) -> str:
    return _branch(number, "me", "172.16.{0}.{1}")


def _clear(action: str, source: str, destination: str, more: str = "") -> str:
    return f"filters: [{{source: '{source}', destination: '{destination}'{more}}}], action: {action}"


def _hosts(number: int) -> str:
    return _clear("permit", f"10.1.{number % 250}.7", f"192.168.{number % 200}.{1 + number // 200}")


def _network(number: int) -> str:
    return _clear("block", "10.1.0.0/16", f"172.{20 + number // 200}.{number % 200}.0/24")


def _service(number: int) -> str:
    where = f"10.100.{number % 200}.{10 + number // 200}"
    return _clear("permit", "10.1.0.0/16", where, f", protocol: tcp, destination_port: {1_000 + number % 7}")


def _ports(number: int) -> str:
    where = f"10.1.{number % 200}.{20 + number // 200}"
    return _clear("block", "10.0.0.0/8", where, ", protocol: udp, destination_port: 5000-6000")


def _echo(number: int) -> str:
    return _clear(
        "permit", f"10.1.{number % 250}.0/24", f"10.100.{number % 200}.0/24", ", protocol: icmp, icmp_type: 8"
    )


def _range(number: int) -> str:
    return _clear("block", "10.1.0.0/16", f"203.0.{number % 200}.10-203.0.{number % 200}.99", ", mirrored: false")


def _anybody(number: int) -> str:
    return _clear(
        "permit", "any", f"10.1.{number % 200}.{40 + number // 200}", ", protocol: tcp, destination_port: 443"
    )


_KINDS: tuple[Write, ...] = (
    _branch,
    _hosts,
    _service,
    _branch_of_ipv6,
    _network,
    _branch_of_me,
    _ports,
    _echo,
    _range,
    _anybody,
)
