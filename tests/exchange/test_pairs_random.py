"""Three hosts of one rule without a tunnel do anything at any time, and their rule changes meanwhile.

A failure names its seed; the same seed does the same again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest

from ipsecd.ike.config import Hosts, Lifetime
from ipsecd.ike.effects import Effect
from ipsecd.wire.hostpair import pattern_id
from tests.exchange.lan import NOBODY, A, B, C, Lan, child_at, known_by, pattern, rule_at
from tests.exchange.network import Link, Node
from tests.exchange.rest import left_over, rest

LONG = os.environ.get("IPSECD_PROFILE") == "long"
RUNS = 5_000 if LONG else 200

pytestmark = pytest.mark.timeout(14_400 if LONG else 300)

Act = Callable[[Node, str, float, Random], list[Effect]]


def _spi(node: Node, chance: Random) -> bytes:
    return chance.choice(sorted(node.inbound)) if node.inbound else b"none"


ACTS: dict[str, Act] = {
    "packet": lambda node, other, now, _: node.ike.acquire(known_by(node.address, other), None, now),
    "up": lambda node, other, now, _: node.ike.up(known_by(node.address, other), now),
    "all up": lambda node, _, now, __: node.ike.up("7", now),
    "down": lambda node, other, now, _: node.ike.down(known_by(node.address, other), now),
    "all down": lambda node, _, now, __: node.ike.down("7", now),
    "peer down": lambda node, other, now, _: node.ike.down_peer(f"lan@{other}", now),
    "all peers down": lambda node, _, now, __: node.ike.down_peer("lan", now),
    "rekey": lambda node, other, now, _: node.ike.rekey(known_by(node.address, other), now),
    "all rekey": lambda node, _, now, __: node.ike.rekey("7", now),
    "ike rekey": lambda node, _, now, __: node.ike.rekey_peer("lan", now),
    "hard limit": lambda node, _, now, chance: node.ike.hard_expired(_spi(node, chance), now),
    "not installed": lambda node, _, now, chance: node.ike.install_failed(_spi(node, chance), "no memory", now),
}


def rules(address: str) -> list[Hosts]:
    """What the rule of a host may be for a while; the first is that of all in the end."""
    usual = rule_at(address)
    short = pattern(child_at(address, lifetime=Lifetime(200.0)))
    return [
        usual,
        short,
        replace(usual, responds=True),
        rule_at(address, "192.0.2.99"),
        pattern(child_at(address, remote="192.0.2.2/31")),
        rule_at("192.0.2.99"),
    ]


def agree(lan: Lan) -> list[str]:
    """What two hosts have differently, or any has left over; empty if nothing."""
    nodes = (lan.a, lan.b, lan.c)
    found = [f"{node.name}: {what}" for node in nodes for what in left_over(node)]
    for one, other in permutations(nodes, 2):
        own = {sa.spi for sa in one.inbound.values() if sa.child == known_by(one.address, other.address)}
        sent = {sa.spi for sa in other.outbound.values() if sa.child == known_by(other.address, one.address)}
        if own != sent:
            found.append(f"{one.name} and {other.name}: {len(own)} and {len(sent)} child SAs")
    for node in nodes:
        ends = [sa.remote for sa in node.ike.status() if sa.stage == "established"]
        if len(ends) > len(set(ends)):
            found.append(f"{node.name}: IKE SAs with {ends}")
        wanted, children = node.ike._core.wanted, {sa.child for sa in node.inbound.values()}
        raised = {key for key, want in wanted._wants.items() if want.raised and wanted.held(pattern_id(key))}
        if idle := [key for key in wanted._wants if key not in children | raised and not wanted.held(key)]:
            found.append(f"{node.name}: {idle} isn't forgotten")
        if stray := [sa for sa in node.inbound.values() if str(sa.remote[0]) not in (A, B, C) or len(sa.remote) > 1]:
            found.append(f"{node.name}: {stray}")
    return found


def anything(seed: int) -> None:
    chance = Random(seed)
    lan = Lan(Link(chance.choice((0.0, 0.1, 0.3)), 0.1, delay=(0.005, chance.choice((0.006, 0.1, 0.4, 3.0)))))
    nodes, story = (lan.a, lan.b, lan.c), []
    for _ in range(chance.randint(5, 25)):
        lan.net.run(chance.random() * chance.choice((0.05, 0.5, 5.0)))
        node = chance.choice(nodes)
        other = chance.choice([address for address in (A, B, C, NOBODY) if address != node.address])
        if chance.random() < 0.15:
            name = "reload"
            lan.reload(node, chance.choice(rules(node.address)))
        else:
            name = chance.choice(("packet", *sorted(ACTS)))
            lan.net.carry_out(node, ACTS[name](node, other, lan.net.now, chance))
        story.append(f"{lan.net.now - 1_000:.3f} {node.name} {name} {other}")
    for node in nodes:
        lan.reload(node, rules(node.address)[0])
    assert rest(lan.net, lambda: agree(lan)) == [], (seed, story)


def test_whatever_hosts_do_each_two_agree_when_it_is_quiet_again() -> None:
    for seed in range(RUNS):
        anything(seed)
