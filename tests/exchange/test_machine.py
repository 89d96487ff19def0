"""Two cores, and a network in the hands of hypothesis: it decides what arrives, when, how often and in which order.

Where a run of tests/exchange/test_random.py throws dice, this one is led by what it has seen, and a failure is cut down
to the fewest steps. Nothing may raise at any step, and whenever it gets quiet both ends agree.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ipsecd.wire.selector import Selector
from tests.exchange.gateways import Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Node
from tests.exchange.rest import settle
from tests.exchange.standing import stand

LONG = os.environ.get("IPSECD_PROFILE") == "long"
RUNS, STEPS = (10_000, 150) if LONG else (100, 50)

pytestmark = pytest.mark.timeout(14_400 if LONG else 600)

ENDS = st.sampled_from(("a", "b"))
CHILDREN = st.sampled_from(("net", "more"))
PICKS = st.integers(0, 7)  # one of the datagrams under way, the oldest first; further ones wait


class Gateways(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.flying: list[Datagram] = []

    @initialize(start=st.booleans(), standing=st.booleans())
    def begin(self, start: bool, standing: bool) -> None:
        children = (child_of_a(start=start), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
        self.pair = Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
        if standing:
            stand(self.pair)
        self.pair.net.hook = self.flying.append
        self.pair.net.start()

    def end(self, name: str) -> Node:
        return self.pair.a if name == "a" else self.pair.b

    def picked(self, pick: int) -> Datagram | None:
        return self.flying.pop(pick % min(len(self.flying), 8)) if self.flying else None

    # --- the network ---

    @rule(pick=PICKS, copies=st.sampled_from((1, 1, 1, 2)))
    def deliver(self, pick: int, copies: int) -> None:
        datagram = self.picked(pick)
        if datagram is not None:
            for _ in range(copies):
                self.pair.net.arrive(datagram)

    @rule(count=st.integers(1, 6))
    def deliver_in_order(self, count: int) -> None:
        for _ in range(count):
            self.deliver(0, 1)

    @rule(pick=PICKS)
    def drop(self, pick: int) -> None:
        self.picked(pick)

    @rule(pick=PICKS)
    def repeat_later(self, pick: int) -> None:
        if self.flying:
            self.flying.append(self.flying[pick % len(self.flying)])

    @rule(pick=PICKS, place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def bend(self, pick: int, place: float, bit: int) -> None:
        datagram = self.picked(pick)
        if datagram is not None:
            data = bytearray(datagram.data)
            data[int(place * len(data))] ^= 1 << bit
            self.pair.net.arrive(replace(datagram, data=bytes(data)))

    # --- time ---

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0, 10.0, 40.0)))
    def wait(self, seconds: float) -> None:
        self.pair.net.run(seconds)

    @rule()
    def quiet(self) -> None:
        """From here on everything arrives, what is under way first."""
        self.pair.net.hook = lambda datagram: datagram
        for datagram in self.flying:
            self.pair.net.inject(datagram)
        self.flying.clear()
        assert settle(self.pair) == []
        self.pair.net.hook = self.flying.append

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.quiet()

    # --- operators and data planes ---

    @rule(end=ENDS, child=CHILDREN)
    def up(self, end: str, child: str) -> None:
        node = self.end(end)
        self.pair.do(node, node.ike.up(child, self.pair.net.now))

    @rule(end=ENDS, child=CHILDREN)
    def acquire(self, end: str, child: str) -> None:
        node = self.end(end)
        self.pair.do(node, node.ike.acquire(child, None, self.pair.net.now))

    @rule(end=ENDS, child=CHILDREN)
    def down(self, end: str, child: str) -> None:
        node = self.end(end)
        self.pair.do(node, node.ike.down(child, self.pair.net.now))

    @rule(end=ENDS)
    def delete(self, end: str) -> None:
        node = self.end(end)
        self.pair.do(node, node.ike.down_peer("b" if end == "a" else "a", self.pair.net.now))

    @rule(end=ENDS, what=st.sampled_from(("net", "more", "peer", "peer")))
    def rekey(self, end: str, what: str) -> None:
        node = self.end(end)
        peer = "b" if end == "a" else "a"
        ask = node.ike.rekey_peer if what == "peer" else node.ike.rekey
        self.pair.do(node, ask(peer if what == "peer" else what, self.pair.net.now))

    @rule(
        end=ENDS, pick=PICKS, report=st.sampled_from(("soft_expired", "hard_expired", "install_failed", "inbound_used"))
    )
    def report(self, end: str, pick: int, report: str) -> None:
        node = self.end(end)
        if node.inbound:
            spi = sorted(node.inbound)[pick % len(node.inbound)]
            why = ("no memory",) if report == "install_failed" else ()
            self.pair.do(node, getattr(node.ike, report)(spi, *why, self.pair.net.now))


TestGateways = Gateways.TestCase
TestGateways.settings = settings(max_examples=RUNS, stateful_step_count=STEPS, derandomize=not LONG)
