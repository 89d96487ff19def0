"""Policy texts for tests: a small one that is right, and what is said of any other."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.load import load_policy
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan
from ipsecd.wire.selector import Address

ME = ("192.0.2.1", "10.1.0.1", "2001:db8::1")
NAMES = {
    "one.example": ("198.51.100.7",),
    "both.example": ("2001:db8::7", "198.51.100.8", "198.51.100.7"),
    "six.example": ("2001:db8::9",),
}
TUNNEL = """\
  action: require-security
  tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
  authentication: [{psk: hq}]
"""
HOSTS = """\
  action: require-security
  authentication: [{psk: hq}]
"""


def with_rules(rules: str, more: str = "") -> str:
    """A policy file whose one policy, assigned, has these rules; ``more`` are further keys of the file."""
    head = dedent(
        """\
        assigned: p
        credentials: {hq: {psk: {file: hq.psk}}}
        policies:
          p:
            rules:
        """
    )
    return head + indent(dedent(rules), "      ") + dedent(more)


def with_filters(*filters: str, rule: str = TUNNEL) -> str:
    """A policy file with one rule, called r, that has these filters."""
    lines = "".join(f"    - {each}\n" for each in filters)
    return with_rules("- name: r\n  filters:\n" + lines + rule)


def load(text: str) -> PolicyFile:
    """The policy file with this text, indented as the test likes."""
    return load_policy(dedent(text), "p.yaml")


def mistakes(text: str) -> list[str]:
    """What is wrong with this text, a line each, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    return [str(mistake).removeprefix("p.yaml:") for mistake in caught.value.mistakes]


def resolve(name: str) -> tuple[Address, ...]:
    """A resolver that knows a few names."""
    return tuple(ip_address(text) for text in NAMES.get(name, ()))


def planned(text: str, me: tuple[str, ...] = ME) -> Plan:
    """The plan of this text, on a machine with these addresses."""
    return plan(load(text), resolve, tuple(ip_address(text) for text in me))


def blocks(name: str) -> list[tuple[str, list[str]]]:
    """The texts in a file of this folder, each with the lines expected of it."""
    found = []
    for block in Path(__file__).with_name(name).read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("# ")]
        text = "".join(f"{line}\n" for line in lines if not line.startswith("=> "))
        if text:
            found.append((text, [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]))
    return found
