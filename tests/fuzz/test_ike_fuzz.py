"""Bent messages on their way into a negotiation that has two IKE SAs up, of a hostile peer and of an honest one.

Everything has an effect or a named and counted drop, nothing of it is a fault of ours, and the honest peer's IKE SA is
what it was. Clear messages come from anybody; sealed ones from the hostile peer, who bends them before or after he
seals them. IPSECD_FUZZ=long multiplies the cases; IPSECD_FUZZ_SEED=n tries others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from random import Random

import pytest

from ipsecd import limits
from ipsecd.crypto.keymat import IkeKeys
from ipsecd.crypto.secret import Secret
from ipsecd.ike import Ike
from ipsecd.ike.config import Encapsulation, Endpoint, IkeConfig, Path, Peer
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import Effect, Send
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.v2.sa_init import SaInit
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import HEADER_OCTETS
from ipsecd.wire.ikev2 import encode, encode_chain, skf_prefix
from ipsecd.wire.payloads import AnyPayload, Cp, Delete, Nonce, Notify, Unknown, VendorId
from ipsecd.wire.registry import ConfigType, Exchange, Flag, NotifyType, Protocol
from tests.exchange.answerer import Answerer
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import endpoint
from tests.exchange.stranger import Stranger
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LONG, LONG_FACTOR

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20141002"))
CASES = 20_000 * (LONG_FACTOR if LONG else 1)
KEY_A = KEY.key.reveal()
HONEST = "203.0.113.4"
PATIENT = {"dpd": 1e9}  # time passes here, and nobody answers probes
IN_UDP = {**PATIENT, "encapsulation": Encapsulation.UDP}
SUPPORTED = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)

pytestmark = pytest.mark.timeout(3_600 if LONG else 300)


def peers() -> tuple[Peer, ...]:
    of_honest = mirrored(child_of_a("honest"))
    honest = peer_a(of_honest, name="honest", remotes=(), remote_id=Identity.parse("c.example"), **IN_UDP)
    return (peer_a(**IN_UDP), honest)


class Fuzzed:
    """The gateway, the honest peer's IKE SA on it, and the hostile one's, which is made anew whenever it has ended."""

    def __init__(self, name: str, cookie_threshold: int = limits.COOKIE_THRESHOLD) -> None:
        self.ike = Ike(IkeConfig(peers(), cookie_threshold=cookie_threshold), SeededEntropy("b"))
        honest = Stranger(self.ike, B, HONEST, seed=1)
        honest.sa_init()
        honest.ask(Exchange.IKE_AUTH, 1, *honest.auth_payloads(KEY_A, identity="c.example"))
        self.hostile = Stranger(self.ike, B, A, seed=2)
        self.hostile.sa_init((*self.hostile.sa_init_payloads(), SUPPORTED))
        self.hostile.ask(Exchange.IKE_AUTH, 1, *self.hostile.auth_payloads(KEY_A))
        self.honest_sa, self.sa = self.ike._core.ikes.values()
        self.honest_before = self.frozen()
        self.random = Random(f"{SEED} {name}")
        self.reached: set[str] = set()
        self.answered = 0

    def frozen(self) -> object:
        """What must not change of the honest peer's IKE SA."""
        sa = self.honest_sa
        window = (sa.window.expected, sa.window.next_request, sa.window.idle, sa.window.response)
        return sa.stage, sa.path, window, sa.peers, sa.active, sa.secured.keys.d.reveal(), dict(sa.children)

    def renew(self) -> None:
        """Another IKE SA with the hostile peer, with the same keys and a child: quicker than a handshake."""
        core, old, hostile = self.ike._core, self.sa, self.hostile
        secured = old.secured
        octets = (hostile.sk_d, b"", b"", hostile.sk_ei, hostile.sk_er, hostile.sk_pi, hostile.sk_pr)
        keys = IkeKeys(*map(Secret, octets))
        hostile.spi_i = self.random.randbytes(8)
        self.sa = IkeSa(core, hostile.path, initiator=False, spi_i=hostile.spi_i, spi_r=core.fresh_ike_spi())
        hostile.spi_r = self.sa.spi_r
        self.sa.secure(secured.suite, keys, secured.nonces)
        self.sa.fragmentation = True
        self.sa.establish((core.config.peers[0],))
        self.sa.window.expected = 2
        hostile.ask(Exchange.CREATE_CHILD_SA, 2, *hostile.child_payloads(), Nonce(bytes(32)))

    def give(self, data: bytes, case: int, path: Path | None = None) -> list[Effect]:
        """One datagram, and all that must hold of it."""
        where = f"seed {SEED} case {case}: {data.hex()}"
        core, before = self.ike._core, self.total()
        self.hostile.now += 1.0  # what has ended is soon forgotten
        effects = self.ike.receive(data, path or self.hostile.path, self.hostile.now)
        assert self.ike.counters["internal-error"] == 0, f"{where}\n{effects}"
        assert effects or self.total() != before, where
        assert self.frozen() == self.honest_before, where
        if case % 100 == 0:
            self.ike.timer(self.hostile.now)
            assert self.ike.counters.keys() <= DROPS.keys()
            assert len(core.ikes) < 1_000
        self.answered += any(isinstance(effect, Send) for effect in effects)
        return effects

    def total(self) -> tuple[object, ...]:
        """What a datagram without effects must have changed: a counter, the fragments that are kept, or what we wait
        for."""
        memory = self.ike._core.fragments
        kept = (memory.known.octets, memory.strangers.octets)
        return sum(self.ike.counters.values()), *kept, self.sa.active, self.sa.window.idle


def requests(stranger: Stranger) -> list[tuple[AnyPayload, ...]]:
    """What a peer may ask for inside an IKE SA."""
    nonce = Nonce(bytes(range(32)))
    return [
        (),
        (*stranger.child_payloads(), nonce),
        (Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, stranger.child_spi), *stranger.child_payloads(), nonce),
        stranger.sa_init_payloads(),
        stranger.auth_payloads(KEY_A),
        (Delete(Protocol.ESP, (stranger.child_spi, b"none")),),
        (Delete(Protocol.IKE),),
        (Notify(NotifyType.INITIAL_CONTACT), Notify(NotifyType.INVALID_SELECTORS, bytes(40))),
        (Cp(ConfigType.REQUEST, ((1, b""), (8, bytes(17)))), VendorId(b"somebody"), Unknown(200, True, b"?")),
        (Notify(NotifyType.AUTHENTICATION_FAILED),),
    ]


def with_right_length(data: bytes) -> bytes:
    return data[:24] + len(data).to_bytes(4, "big") + data[28:] if len(data) >= HEADER_OCTETS else data


@pytest.mark.parametrize("from_anywhere", [False, True], ids=["from one address", "from anywhere"])
def test_clear_messages_bent(from_anywhere: bool) -> None:
    fuzzed = Fuzzed("clear", 10**9 if from_anywhere else limits.COOKIE_THRESHOLD)
    random = fuzzed.random
    stranger = Stranger(fuzzed.ike, B, A, seed=3)
    payloads = stranger.sa_init_payloads()
    header = stranger.header(Exchange.IKE_SA_INIT, 0)
    pool = [
        encode(header, payloads),
        encode(header, (Notify(NotifyType.COOKIE, b"\1" * 17), *payloads, SUPPORTED, VendorId(b"ipsecd-1"))),
        encode(replace(header, flags=Flag.RESPONSE, spi_r=b"response"), payloads),
        encode(replace(header, exchange=Exchange.INFORMATIONAL, spi_r=b"unknown!"), (Delete(Protocol.IKE),)),
        encode(replace(header, spi_i=fuzzed.sa.spi_i, spi_r=fuzzed.sa.spi_r, message_id=2), payloads),
        encode(replace(header, spi_i=fuzzed.honest_sa.spi_i, spi_r=fuzzed.honest_sa.spi_r), (Delete(Protocol.IKE),)),
    ]
    for case in range(CASES // 2):
        data = mutated(random, pool)
        if case % 2:
            data = with_right_length(data)
        if case % 3 == 0 and len(data) > 8:
            data = random.randbytes(8) + data[8:]
        address = IPv4Address(random.randrange(1 << 28)) if from_anywhere else ip_address(A)
        fuzzed.give(data, case, Path(endpoint(B), Endpoint(address, 500)))
    reached = {"unknown-ike-spi", "not-sealed", "major-version", "bad-length"}
    if from_anywhere:
        reached |= {"no-proposal-chosen", "payload-missing", "half-open-expired", "no-nat-traversal"}
    else:
        reached |= {"cookie-asked"}
    assert reached <= set(fuzzed.ike.counters)
    assert fuzzed.answered > CASES / 100


def test_sealed_messages_bent_before_they_are_sealed() -> None:
    fuzzed = Fuzzed("before")
    random, hostile = fuzzed.random, fuzzed.hostile
    exchanges = (Exchange.CREATE_CHILD_SA, Exchange.INFORMATIONAL, Exchange.IKE_AUTH, Exchange(240))
    renewed = 0
    pool = _chains(requests(hostile))
    for case in range(CASES // 2):
        if not fuzzed.sa.live:
            renewed += 1
            fuzzed.renew()
            if case % 2:
                ask, name = random.choice(((fuzzed.ike.rekey, "net"), (fuzzed.ike.rekey_peer, "a")))
                ask(name, hostile.now)  # something to answer
            pool = _chains(requests(hostile))
        chain = random.choice(pool) if random.random() < 0.2 else mutated(random, pool) or b"\0"
        header = hostile.header(random.choices(exchanges, (5, 5, 1, 1))[0], fuzzed.sa.window.expected)
        if fuzzed.sa.active is not None and random.random() < 0.5:
            answered = fuzzed.sa.window.next_request - 1
            header = replace(header, flags=Flag.INITIATOR | Flag.RESPONSE, message_id=answered)
        fuzzed.give(hostile.seal_octets(header, chain[0], chain[1:], random.choice((b"\0", b"\0", b"\0", b"\5"))), case)
    assert renewed > 100
    reached = {"truncated", "trailing-octets", "payload-missing", "unknown-critical-payload"}
    reached |= {"selectors-unacceptable", "no-proposal-chosen", "bad-padding", "wrong-exchange", "bad-proposal-answer"}
    assert reached <= set(fuzzed.ike.counters)
    assert fuzzed.answered > CASES / 8


def _chains(pool: Sequence[tuple[AnyPayload, ...]]) -> list[bytes]:
    """The octets of each, behind the type of its first payload."""
    encoded = [encode_chain(payloads) for payloads in pool]
    return [bytes([first]) + octets for first, octets in encoded]


def test_sealed_messages_bent_after_they_are_sealed() -> None:
    fuzzed = Fuzzed("after")
    random, hostile = fuzzed.random, fuzzed.hostile
    pool = [
        hostile.seal(hostile.header(exchange, 2), payloads)
        for payloads in requests(hostile)
        for exchange in (Exchange.CREATE_CHILD_SA, Exchange.INFORMATIONAL)
    ]
    iv = bytes(8)
    for number in (1, 2, 3):
        prefix = skf_prefix(hostile.header(Exchange.INFORMATIONAL, 2), 0, number, 3, 8 + 40 + 16)
        pool.append(prefix + iv + random.randbytes(40 + 16))
    authentic = set(pool)
    before = (fuzzed.sa.window.expected, dict(fuzzed.sa.children))
    for case in range(CASES):
        data = mutated(random, pool)
        if case % 2:
            data = with_right_length(data)
        if data in authentic:
            continue
        effects = fuzzed.give(data, case)
        assert all(isinstance(effect, Send) for effect in effects)
    # nothing of it was taken as authentic
    assert (fuzzed.sa.window.expected, dict(fuzzed.sa.children)) == before
    assert {"bad-icv", "message-id", "unknown-ike-spi", "sealed-not-last"} <= set(fuzzed.ike.counters)


def test_answers_to_our_ike_sa_init_bent() -> None:
    """In clear, from anybody, to an attempt of ours that is under way beside an IKE SA that stands."""
    random = Random(f"{SEED} answers")
    other = replace(peer_b(child_of_a("other"), name="other", **PATIENT), remote_id=Identity.parse("c.example"))
    answerer = Answerer(Ike(IkeConfig((peer_b(**PATIENT), other)), SeededEntropy("a")), KEY_A)
    answerer.connect()
    ike = answerer.ike
    (standing,) = ike._core.ikes.values()
    begun = 0
    pool: list[bytes] = []
    for case in range(CASES // 2):
        if not any(sa is not standing for sa in ike._core.ikes.values()):
            begun += 1
            (request,) = [effect.data for effect in ike.up("other", answerer.now) if isinstance(effect, Send)]
            pool = _answers(request)
        answerer.now += 0.05
        data = mutated(random, pool)
        if case % 2:
            data = with_right_length(data)
        where = f"seed {SEED} case {case}: {data.hex()}"
        before = sum(ike.counters.values()), _followed(ike)
        effects = ike.receive(data, answerer._path, answerer.now)
        assert ike.counters["internal-error"] == 0, where
        assert effects or (sum(ike.counters.values()), _followed(ike)) != before, where
        ike.timer(answerer.now)
        assert standing.stage.value == "established"
        assert len(standing.children) == 1
    assert begun > 1
    assert ike.counters.keys() <= DROPS.keys()
    assert {"cookie-ignored", "unauthenticated-error", "bad-proposal-answer"} <= set(ike.counters)
    assert len(ike._core.candidates) <= 24


def _followed(ike: Ike) -> int:
    """How many answers to IKE_SA_INIT are followed up or wait for that."""
    attempts = [sa.active for sa in ike._core.ikes.values() if isinstance(sa.active, SaInit)]
    return sum(len(attempt._candidates._seen) for attempt in attempts)


def _answers(request: bytes) -> list[bytes]:
    """What may be answered to a request: all of it, a cookie, another group, an error."""
    responder = Ike(IkeConfig((peer_a(),)), SeededEntropy("b"))
    stranger = Stranger(responder, B, A)
    (full,) = stranger.send(request)
    header = replace(stranger.header(Exchange.IKE_SA_INIT, 0), spi_i=request[:8], flags=Flag.RESPONSE)
    kinds = ((NotifyType.COOKIE, b"c" * 17), (NotifyType.INVALID_KE_PAYLOAD, b"\0\x13"))
    errors = ((NotifyType.NO_PROPOSAL_CHOSEN, b""), (NotifyType.INVALID_SYNTAX, b""))
    return [full, *(encode(header, (Notify(kind, data),)) for kind, data in (*kinds, *errors))]
