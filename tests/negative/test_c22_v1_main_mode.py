"""C22 in IKEv1: whoever changes anything of main mode under way, that both ends prove, gets no SA established, and
public values that give the secret away are refused (CVE-2015-4000, RFC 6989)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd.crypto import modp
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Ke, Nonce, Sa
from ipsecd.wire.registry import Encr, Group
from tests.exchange.phase_1 import Wire, suite, terms

A, B = terms(), terms("b.example", "a.example")
UNTIL = 20.0  # three repeats are enough to see that nothing comes of it


def tampered(message: int, change: Callable[[bytes], bytes]) -> Wire:
    """``message`` counts from 1; each copy of it is changed."""
    changed: dict[bytes, bytes] = {}
    order: list[bytes] = []

    def alter(_: bool, data: bytes) -> bytes:
        if data not in order:
            order.append(data)
        if order.index(data) == message - 1:
            changed.setdefault(data, change(data))
        return changed.get(data, data)

    wire = Wire(A, B, alter=alter).run(UNTIL)
    assert changed
    assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))
    return wire


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def places(message: int, *kinds: type) -> list[int]:
    """The octets of these payloads' bodies in one of the first four messages."""
    wire = Wire(A, B).run(1.0)
    data = (wire.r if message % 2 == 0 else wire.i).sent[(message - 1) // 2]
    chain = ikev1.decode(data).chain
    found: list[int] = []
    for payload, body in zip(chain.payloads, chain.bodies, strict=True):
        if isinstance(payload, kinds):
            start = data.index(body)
            found += range(start, start + len(body))
    return found


@pytest.mark.parametrize(
    ("message", "kinds"), [(1, (Sa,)), (3, (Ke, Nonce)), (4, (Ke, Nonce))], ids=["offer", "initiator's", "responder's"]
)
def test_what_is_proved_can_not_be_changed(message: int, kinds: tuple[type, ...]) -> None:
    for at in places(message, *kinds):
        assert tampered(message, flipped(at)).i.sa is None


@pytest.mark.parametrize("message", range(1, 7))
def test_cookies_can_not_be_changed(message: int) -> None:
    for at in range(16):
        assert tampered(message, flipped(at)).i.sa is None


@pytest.mark.parametrize("message", [5, 6])
def test_no_octet_of_a_proof_can_be_changed(message: int) -> None:
    wire = Wire(A, B).run(1.0)
    size = len((wire.i if message == 5 else wire.r).sent[2])
    for at in range(28, size):
        found = tampered(message, flipped(at))
        assert (found.r if message == 5 else found.i).sa is None


def test_an_offer_without_its_strongest_suite_leads_to_nothing() -> None:
    """The responder takes what is left, and the initiator's proof covers what it has offered."""
    strong, weak = suite(bits=256), suite(Encr.TRIPLE_DES, None)

    def strike(from_initiator: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        payloads = message.chain.payloads
        if not from_initiator or not payloads or not isinstance(payloads[0], Sa):
            return data
        (proposal,) = payloads[0].proposals
        weaker = Sa((replace(proposal, transforms=proposal.transforms[1:]),))
        return ikev1.encode(message.header, [weaker, *payloads[1:]])

    both = (strong, weak)
    wire = Wire(replace(A, suites=both), replace(B, suites=both), alter=strike).run(UNTIL)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.r.core.counters["wrong-key"] > 0


MODP = modp.prime(Group.MODP_2048)
WEAK = {
    Group.MODP_2048: [
        *(value.to_bytes(256, "big") for value in (0, 1, MODP - 1, MODP, MODP + 5)), b"\x02", bytes(255), bytes(257)
    ],
    Group.ECP_256: [bytes(64), b"\x01" * 64, bytes(63), bytes(65), b"\x04" + b"\x01" * 64, b"\x02" + bytes(32)],
    Group.CURVE25519: [bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33)],
}  # fmt: skip


@pytest.mark.parametrize("group", WEAK, ids=str)
@pytest.mark.parametrize("of_initiator", [True, False])
def test_public_values_that_can_not_be_are_refused(group: Group, of_initiator: bool) -> None:
    for value in WEAK[group]:

        def alter(from_initiator: bool, data: bytes, value: bytes = value) -> bytes:
            message = ikev1.decode(data)
            if from_initiator != of_initiator or not any(isinstance(each, Ke) for each in message.chain.payloads):
                return data
            payloads = [Ke(value) if isinstance(each, Ke) else each for each in message.chain.payloads]
            return ikev1.encode(message.header, payloads)

        suites = (suite(group=group),)
        wire = Wire(replace(A, suites=suites), replace(B, suites=suites), alter=alter).run(UNTIL)
        receiver = wire.r if of_initiator else wire.i
        assert receiver.core.counters["bad-public-value"] > 0
        assert (wire.i.sa, wire.r.sa) == (None, None)
