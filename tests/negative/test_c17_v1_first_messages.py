"""C13, C16 and C17 in IKEv1: what a first message can make us do and say, before it's known who sent it."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Endpoint
from ipsecd.ike.guard import Guard
from ipsecd.ike.v1.terms import Terms
from tests.exchange.entropy import SeededEntropy
from tests.exchange.phase_1 import Wire, terms
from tests.exchange.test_v1_aggressive_mode import A_SIGNS, B_SIGNS, A, B

THRESHOLD = limits.COOKIE_THRESHOLD
SOMEBODY = Endpoint(ip_address("192.0.2.1"), 500)


def outcome(guard: Guard, remote: Endpoint, now: float, *, aggressive: bool) -> str:
    try:
        guard.admit_phase_1(remote, THRESHOLD, now, aggressive=aggressive)
    except PeerError as error:
        return error.reason
    return "admitted"


def endpoint(number: int) -> Endpoint:
    return Endpoint(IPv4Address(0x0A00_0000 + number), 500)


def test_spoofed_first_messages_cause_as_many_shared_secrets_as_there_may_be_half_open_and_no_more() -> None:
    guard = Guard(SeededEntropy(0))
    found = []
    for number in range(10_000):
        found.append(outcome(guard, endpoint(number), 1_000.0, aggressive=True))
        if found[-1] == "admitted":
            guard.opened(endpoint(number))
    assert found == ["admitted"] * THRESHOLD + ["phase-1-load"] * (10_000 - THRESHOLD)
    assert outcome(guard, SOMEBODY, 1_000.0, aggressive=False) == "admitted"  # main mode costs nothing yet


def test_what_came_to_nothing_counts_like_what_is_half_open() -> None:
    guard = Guard(SeededEntropy(0))
    for number in range(THRESHOLD):
        guard.failed(endpoint(number), 1_000.0)
    assert outcome(guard, SOMEBODY, 1_001.0, aggressive=True) == "phase-1-load"
    calm = 1_001.0 + limits.HALF_OPEN_LIFETIME + limits.COOKIE_CALM
    assert outcome(guard, SOMEBODY, calm, aggressive=True) == "admitted"


def test_one_address_has_its_own_share() -> None:
    guard = Guard(SeededEntropy(0))
    burst = [outcome(guard, SOMEBODY, 1_000.0, aggressive=False) for _ in range(7)]
    assert burst == ["admitted"] * limits.INIT_BURST + ["phase-1-rate"] * 2
    for _ in range(limits.MAX_HALF_OPEN_PER_ADDRESS):
        guard.opened(SOMEBODY)
    assert outcome(guard, SOMEBODY, 1_100.0, aggressive=False) == "half-open-limit"
    assert outcome(guard, SOMEBODY, 1_200.0, aggressive=True) == "phase-1-load"
    assert outcome(guard, endpoint(1), 1_300.0, aggressive=True) == "admitted"


@pytest.mark.parametrize(
    ("of_i", "of_r", "aggressive"),
    [(terms(), terms("b.example", "a.example"), False), (A, B, True), (A_SIGNS, B_SIGNS, True)],
    ids=["main", "aggressive with a key", "aggressive with signatures"],
)
def test_a_first_message_said_over_and_over_is_answered_a_few_times(of_i: Terms, of_r: Terms, aggressive: bool) -> None:
    """Nothing is ever said by the clock (CVE-2016-5361)."""
    wire = Wire(of_i, of_r, aggressive=aggressive, alter=lambda *_: None)
    for _ in range(200):
        wire.give(to_responder=True, data=wire.i.sent[0])
    assert len(wire.r.sent) == 1 + limits.MAX_V1_REPEATS
    wire.run(60.0)
    assert len(wire.r.sent) == 1 + limits.MAX_V1_REPEATS
    if not aggressive:
        assert len(wire.r.sent[0]) <= len(wire.i.sent[0])
