"""Bent and repeated messages of IKEv1 on their way to a gateway that has SAs with an honest peer, as if from that too.

Nobody has sealed them anew, so each is anybody's: it ends in an effect or a named and counted drop, nothing is a fault
of ours, and what the honest peer has is what it was.
"""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.special import Special
from ipsecd.wire.ike import HEADER_OCTETS
from tests.exchange.gateways import A, B, child_of_a, mirrored
from tests.exchange.test_v1_desk_places import certified
from tests.exchange.v1_desks import Desks, peer_a, peer_b
from tests.exchange.v1_remote import POOL, Users, handing, user
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20080101"))
CASES = 4_000 * (LONG_FACTOR if LONG else 1)
KINDS = ("main", "aggressive", "certificates", "user")

pytestmark = pytest.mark.timeout(3_600 if LONG else 300)


def gateways(kind: str) -> Desks:
    child = child_of_a(local=(POOL,)) if kind == "user" else child_of_a()
    specials = {
        "main": (None, None),
        "aggressive": (Special(i_accept_offline_guessing=True),) * 2,
        "certificates": (certified("a.example"), certified("b.example")),
        "user": (
            Special(access=Client(user(), (4,))),
            Special(access=Gateway(Gate(Users().judge), handing())),
        ),
    }
    of_a, of_b = specials[kind]
    return Desks(
        (A, IkeConfig((peer_b(child, special=of_a, dpd=1e9),))),
        (B, IkeConfig((peer_a(mirrored(child), special=of_b, dpd=1e9),))),
        seed=kind,
    )


def talked(kind: str) -> tuple[Desks, list[bytes]]:
    """Two that have all sorts of exchanges behind them, and all that was said."""
    net = gateways(kind)
    net.want(net.a).run(5.0)
    assert net.agree(1)
    net.do(net.a, lambda desk: desk.rekey({"net"})).run(2.0)
    net.do(net.b, lambda desk: desk.rekey({"net"})).run(2.0)
    net.do(net.a, lambda desk: desk.woke()).run(2.0)
    net.do(net.a, lambda desk: desk.put_down({"net"}, "fuzz")).run(2.0)
    net.want(net.a).run(30.0)
    assert net.agree(1)
    return net, [*net.a.sent, *net.b.sent]


@pytest.mark.parametrize("kind", KINDS)
def test_what_anybody_bends_or_says_again_changes_nothing(kind: str) -> None:
    net, said = talked(kind)
    random = Random(f"{SEED} {kind}")
    before = set(net.b.inbound), set(net.b.outbound), net.b.established
    there = Path(Endpoint(ip_address(B), 500), Endpoint(ip_address(A), 500))
    paths = (
        there,
        Path(replace(there.local, port=4500), replace(there.remote, port=4500), natt=True),
        replace(there, remote=Endpoint(ip_address("203.0.113.9"), 777)),
    )
    net.alter = lambda _, data: None  # the honest peer hears nothing of it
    for _ in range(CASES):
        data = mutated(random, said) if random.random() < 0.95 else random.choice(said)
        if len(data) >= HEADER_OCTETS and random.random() < 0.8:  # else most say no more than that they are too long
            data = data[:24] + len(data).to_bytes(4, "big") + data[HEADER_OCTETS:]
        net.give(data, random.choice(paths))
        if random.random() < 0.05:
            net.run(0.2)
    assert (set(net.b.inbound), set(net.b.outbound), net.b.established) == before
    assert len(net.b.core.counters) > 15
    net.alter = lambda _, data: data
    net.run(40.0)
    net.do(net.a, lambda desk: desk.rekey({"net"})).run(5.0)
    assert net.agree(1)
