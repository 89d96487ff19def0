"""A whole negotiation by IKEv1 with a peer whose messages are bent on their way, in every state that they lead to.

Gateway b has two peers: an honest one, and a hostile one that has the keys and bends what it says before it's hashed or
encrypted; and strangers garble what they see of it. Whatever comes of it, nothing is a fault of ours, each
drop has a name, and the honest peer keeps what it has. IPSECD_FUZZ=long multiplies the cases; IPSECD_FUZZ_SEED=n tries
others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from ipsecd.crypto import isakmp_cipher
from ipsecd.ike.config import IkeConfig, Peer, Version
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.special import Special
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import AnyPayload
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import A, B, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Network, Node, endpoint
from tests.exchange.v1_desks import IKE_CBC, V1
from tests.exchange.v1_remote import Users, handing, user
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "19981101"))
CASES = 12 * (LONG_FACTOR if LONG else 1)
TURNS = 60
HONEST = "203.0.113.4"
BOTH = (Version.IKEV1, Version.IKEV2)
EXPOSED = Special(i_accept_offline_guessing=True)

pytestmark = pytest.mark.timeout(3_600 if LONG else 300)


def _plain(*_: object) -> tuple[Special | None, Special | None]:
    return None, None


def _aggressive() -> tuple[Special | None, Special | None]:
    return EXPOSED, EXPOSED


def _as_user() -> tuple[Special | None, Special | None]:
    gateway = Gateway(Gate(Users().judge), handing("10.1.0.0/24"))
    return Special(access=Client(user(), (4,))), Special(access=gateway)


def _pushed() -> tuple[Special | None, Special | None]:
    gateway = Gateway(Gate(Users().judge), handing("10.1.0.0/24", pushes=True))
    return Special(access=Client(user(), pushed=True)), Special(access=gateway)


KINDS: dict[str, Callable[[], tuple[Special | None, Special | None]]] = {
    "main mode": _plain,
    "aggressive mode": _aggressive,
    "users": _as_user,
    "pushed addresses": _pushed,
}


class Fuzzed:
    """Gateway a is the hostile one, c the honest one, and anybody sees what goes between a and b."""

    def __init__(self, seed: str, kind: str, versions: tuple[Version, ...], *, calls: bool) -> None:
        self.random = Random(seed)
        self.net = Network(seed)
        of_a, of_b = KINDS[kind]()
        v1 = {"proposals": (IKE_CBC,), "dpd": 10.0}
        self.a = self.net.add("a", A, IkeConfig((peer_b(versions=versions, special=of_a, **v1),)))
        anywhere: dict[str, object] = {} if calls else {"remotes": ()}
        hostile = peer_a(versions=versions, special=of_b, **anywhere, **v1)
        self.b = self.net.add("b", B, IkeConfig((hostile, self._honest())))
        local, remote = Identity.parse("c.example"), Identity.parse("b.example")
        mine = child_of_a("honest", local=(Selector.net("10.9.0.0/16"),))
        peer = peer_b(
            mine,
            local=ip_address(HONEST),
            local_id=local,
            remote_id=remote,
            versions=V1,
            proposals=(IKE_CBC,),
            dpd=1e9,
        )
        self.c = self.net.add("c", HONEST, IkeConfig((peer,)))
        while not self.c.outbound:  # test keys are few, and some of theirs are ours
            self.net.carry_out(self.c, self.c.ike.up("honest", self.net.now))
            self.net.run(100.0, until=lambda: bool(self.c.outbound))
        self.honest_spis = set(self.c.inbound), self.c.outbound_spis
        self.pool: list[bytes] = [b"\0" * 28]
        self.net.hook = self._bent

    @staticmethod
    def _honest() -> Peer:
        child = mirrored(child_of_a("honest", local=(Selector.net("10.9.0.0/16"),)))
        remote_id = Identity.parse("c.example")
        values = {"versions": V1, "proposals": (IKE_CBC,), "dpd": 1e9}
        return peer_a(child, name="honest", remotes=(), remote_id=remote_id, **values)

    def _bent(self, datagram: Datagram) -> Datagram:
        if str(datagram.source.address) != A and str(datagram.destination.address) != A:
            return datagram
        self.pool = [*self.pool[-40:], datagram.data]
        if self.random.random() < 0.3:
            for _ in range(self.random.randrange(1, 4)):
                self.net.inject(replace(datagram, data=self._datagram()), self.random.uniform(0.0, 0.02))
        return datagram

    def _datagram(self) -> bytes:
        """What somebody who sees all of it may say in clear, or garbled."""
        data = mutated(self.random, self.pool)
        if self.random.random() < 0.7 and len(data) >= 28:
            data = data[:24] + len(data).to_bytes(4, "big") + data[28:]
        return data

    def inside(self, octets: bytes) -> bytes:
        """What gateway a encrypts, or hashes and encrypts."""
        if self.random.random() < 0.25:
            return mutated(self.random, [octets]) or b"\0"
        return octets

    def turn(self) -> None:
        random, now = self.random, self.net.now
        node: Node = random.choice((self.a, self.a, self.b))
        match random.randrange(12):
            case 0 | 1 | 2 | 3:
                node, effects = self.a, self.a.ike.up("net", now)
            case 4 | 5:
                effects = node.ike.rekey("net", now)
            case 6:
                effects = node.ike.rekey_peer("b" if node is self.a else "a", now)
            case 7:
                effects = node.ike.down("net", now)
            case 8:
                node, effects = self.a, self.a.ike.down_peer("b", now)
            case 9 if spis := [spi for spi, sa in self.b.inbound.items() if sa.child == "net"]:
                node, effects = self.b, self.b.ike.soft_expired(random.choice(spis), now)
            case 10:
                effects = node.ike.acquire("net", (Selector.net("10.1.0.1/32"), Selector.net("10.2.0.1/32")), now)
            case _:
                effects = node.ike.woke(now)
        self.net.carry_out(node, effects)
        for _ in range(random.randrange(3)):
            self.net.inject(Datagram(self._datagram(), endpoint(A), endpoint(B), natt=False))
        self.net.run(random.choice((0.015, 0.05, 0.5, 5.0, 40.0)))
        assert (set(self.c.inbound), self.c.outbound_spis) == self.honest_spis
        assert self.honest_spis[1] <= set(self.b.inbound)
        assert self.honest_spis[0] <= self.b.outbound_spis


@contextmanager
def bending(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What gateway a says: its octets before they are hashed, or before they are encrypted."""
    hashed, seal = ikev1.encode_chain, isakmp_cipher.IvChain.seal
    turn = [fuzzed.b]

    def encode_chain(payloads: Iterable[AnyPayload]) -> tuple[int, bytes]:
        first, octets = hashed(payloads)
        return first, fuzzed.inside(octets) if turn == [fuzzed.a] else octets

    def encrypt(chain: isakmp_cipher.IvChain, octets: bytes) -> bytes:
        return seal(chain, fuzzed.inside(octets) if turn == [fuzzed.a] else octets)

    def of(name: str) -> Callable[..., object]:
        original = getattr(fuzzed.a.ike, name)

        def call(*values: object, **named: object) -> object:
            turn[:] = [fuzzed.a]
            try:
                return original(*values, **named)
            finally:
                turn[:] = [fuzzed.b]

        return call

    with monkeypatch.context() as patched:
        patched.setattr(ikev1, "encode_chain", encode_chain)
        patched.setattr(isakmp_cipher.IvChain, "seal", encrypt)
        for name in ("receive", "timer", "up", "down", "down_peer", "rekey", "rekey_peer", "acquire", "woke"):
            patched.setattr(fuzzed.a.ike, name, of(name))
        yield


@pytest.mark.parametrize("versions", [V1, BOTH], ids=["IKEv1 alone", "both versions"])
@pytest.mark.parametrize("kind", KINDS)
def test_bent_messages_in_every_state(
    kind: str, versions: tuple[Version, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: set[str] = set()
    for case in range(CASES):
        seed = f"{SEED} {kind} {len(versions)} {case}"
        fuzzed = Fuzzed(seed, kind, versions, calls=case % 2 == 0)
        try:
            with bending(fuzzed, monkeypatch):
                for _ in range(TURNS):
                    fuzzed.turn()
        except AssertionError as error:
            raise AssertionError(f"seed {seed!r}: {error}") from error
        fuzzed.net.carry_out(fuzzed.b, fuzzed.b.ike.shutdown("enough", fuzzed.net.now))
        fuzzed.net.run(300.0)
        assert (fuzzed.b.inbound, fuzzed.b.outbound) == ({}, {}), seed
        assert fuzzed.b.ike._core.promised == set(), seed
        assert len(fuzzed.b.ike._core.desk._parties) == 0, seed
        reached |= set(fuzzed.b.ike.counters)
    expected = {"unknown-ike-spi", "wrong-hash", "wrong-key", "message-id-replayed", "isakmp-sa-over", "bad-doi"}
    assert expected <= reached
