"""C18: handshakes that fail leave nothing behind (CVE-2026-25075 and others), however they fail and however often.

Twelve kinds, two thousand of each: afterwards there are as many objects of ours as before the first, and every table is
empty.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike import Ike
from ipsecd.ike.config import Encapsulation, IkeConfig, Peer, SharedKey
from ipsecd.wire.payloads import Auth, Ke, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import AuthMethod, Encr, Exchange, Group, NotifyType, Prf, Protocol, TransformType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import IKE_X25519, KEY, B, Pair, peer_a, peer_b
from tests.exchange.network import Link
from tests.exchange.stranger import Stranger, notified

TIMES = 2_000
TIMERS_LEFT = 130  # of two cores
AT_ONCE = 50  # handshakes before time goes on, and those half open expire
DES = (
    Transform(TransformType.ENCR, Encr.DES),
    Transform(TransformType.PRF, Prf.HMAC_SHA1),
    Transform(TransformType.DH, Group.CURVE25519),
)
OTHER_KEY = SharedKey("other", Secret(b"not the key of this site"))
Change = Callable[[list[object]], object]


def put(place: int, payload: object) -> Change:
    return lambda payloads: payloads.__setitem__(place, payload)


def refused_first(change: Change) -> Callable[[Stranger], None]:
    """IKE_SA_INIT fails because its payloads were changed."""

    def fail(stranger: Stranger) -> None:
        payloads = list(stranger.sa_init_payloads())
        change(payloads)
        stranger.sa_init(tuple(payloads))
        assert stranger.spi_r == bytes(8)

    return fail


def refused_later(change: Change, key: SharedKey = KEY, **who: str) -> Callable[[Stranger], None]:
    """IKE_AUTH fails because of the key, the identity, or because its payloads were changed."""

    def fail(stranger: Stranger) -> None:
        stranger.sa_init()
        payloads = list(stranger.auth_payloads(key.key.reveal(), **who))
        change(payloads)
        answer = stranger.ask(Exchange.IKE_AUTH, 1, *payloads)
        assert set(notified(answer)) & {NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX}

    return fail


def half_open(stranger: Stranger) -> None:
    assert stranger.sa_init() is not None


def spoiled(stranger: Stranger) -> None:
    stranger.sa_init()
    sealed = stranger.seal(stranger.header(Exchange.IKE_AUTH, 1), stranger.auth_payloads(KEY.key.reveal()))
    assert stranger.send(sealed[:-1] + bytes([sealed[-1] ^ 1])) == []


def ended_at_once(stranger: Stranger) -> None:
    """It gets through, and says at once that it doesn't believe us (RFC 7296 section 2.21.2)."""
    stranger.connect(KEY.key.reveal())
    stranger.ask(Exchange.INFORMATIONAL, 2, Notify(NotifyType.AUTHENTICATION_FAILED))


def nothing(payloads: list[object]) -> None:
    """As it should be."""


KINDS: dict[str, Callable[[Stranger], None]] = {
    "no common proposal": refused_first(put(0, Sa((Proposal(1, Protocol.IKE, b"", DES),)))),
    "another group": refused_first(put(1, Ke(Group.ECP_256, bytes(64)))),
    "a public value that can't be one": refused_first(put(1, Ke(Group.CURVE25519, bytes(31)))),
    "no nonce": refused_first(lambda payloads: payloads.pop(2)),
    "no nat traversal": refused_first(lambda payloads: payloads.__delitem__(slice(3, 5))),
    "half open": half_open,
    "a spoiled proof": spoiled,
    "another key": refused_later(nothing, OTHER_KEY),
    "nobody's identity": refused_later(nothing, identity="x.example"),
    "no proof": refused_later(lambda payloads: payloads.pop(2)),
    "another method": refused_later(put(2, Auth(AuthMethod.RSA_SIGNATURE, bytes(32)))),
    "ended at once": ended_at_once,
}


def live() -> Counter[str]:
    """How many objects of ours there are, by type. Of timers that were cancelled a few may still lie in their heap."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    ours = Counter(kind.__name__ for kind in kinds if str(kind.__module__).startswith("ipsecd."))
    assert ours.pop("Timer", 0) <= TIMERS_LEFT
    return ours


def fail_often(ike: Ike, fail: Callable[[Stranger], None], times: int, numbers: count[int], now: float) -> float:
    for _ in range(times // AT_ONCE):
        for _ in range(AT_ONCE):
            number = next(numbers)
            fail(Stranger(ike, B, f"203.{number >> 16}.{number >> 8 & 255}.{number & 255}", now=now, seed=number))
        now += limits.HALF_OPEN_LIFETIME + limits.IKE_LINGER
        ike.timer(now)
    return now


@pytest.mark.parametrize("kind", KINDS)
def test_failed_handshakes_of_a_kind_leave_nothing(kind: str) -> None:
    peer = peer_a(remotes=(), encapsulation=Encapsulation.UDP)  # else nothing is wrong without NAT traversal
    ike = Ike(IkeConfig((peer,), cookie_threshold=1_000), SeededEntropy("b"))
    numbers = count()
    now = fail_often(ike, KINDS[kind], AT_ONCE, numbers, 1_000.0)
    before = live()
    fail_often(ike, KINDS[kind], TIMES, numbers, now)
    core = ike._core
    assert (core.ikes, core.children, core.candidates, core.promised) == ({}, {}, {}, set())
    assert (core.fragments.known.octets, core.fragments.strangers.octets) == (0, 0)
    assert len(core.timers) == 0
    assert (ike._reception._asked, ike._reception._strangers, ike._core.guard.half_open) == ({}, {}, 0)
    assert ike.counters["internal-error"] == 0
    assert live() == before


def calls(of_b: Peer, link: Link) -> Pair:
    return Pair(of_a=peer_b(), of_b=of_b, link=link)


OTHER_GROUP = replace(IKE_X25519, groups=(Group.ECP_384,))
CALLS = {
    "nobody answers": lambda: calls(peer_a(), Link(loss=1.0)),
    "no common proposal": lambda: calls(peer_a(proposals=(OTHER_GROUP,)), Link()),
    "another key": lambda: calls(peer_a(shared_keys=(OTHER_KEY,)), Link()),
}


@pytest.mark.parametrize("kind", CALLS)
def test_failed_calls_of_ours_leave_nothing(kind: str) -> None:
    pair = CALLS[kind]()
    counts = []
    for _ in range(100):
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        pair.net.run(150)
        for node in (pair.a, pair.b):  # what the harness keeps
            node.effects.clear()
            node.reports.clear()
            node.gave_up.clear()
        pair.net.sent.clear()
        assert (pair.a.ike._core.ikes, pair.b.ike._core.ikes, pair.a.ike._core.promised) == ({}, {}, set())
        if len(counts) < 2:
            counts.append(live())
    assert live() == counts[1]
