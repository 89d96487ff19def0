"""C6 and C8 in IKEv1: every message in every state of phase 1, and no way to an ISAKMP SA around a proof."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

import pytest

from ipsecd.ike.v1.phase_1 import Agreed
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Cert, Hash, Ke, Nonce, Notify, Sa, Signature, VendorId
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, Payload
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R, Wire, same, signed, terms
from tests.exchange.test_v1_aggressive_mode import A_SIGNS, B_SIGNS, A, B

KINDS = {
    "main, key": (terms(), terms("b.example", "a.example"), False),
    "main, signatures": (signed(), signed("b.example", "a.example"), False),
    "aggressive, key": (A, B, True),
    "aggressive, signatures": (A_SIGNS, B_SIGNS, True),
}
EXCHANGES = (*Exchange, Exchange(0), Exchange(7), Exchange(240))
COOKIES = (
    (COOKIE_I, COOKIE_R),
    (COOKIE_I, bytes(8)),
    (bytes(8), COOKIE_R),
    (COOKIE_R, COOKIE_I),
    (b"another.", COOKIE_R),
)
IDS = (0, 1, 0xFFFF_FFFF)
FLAGS = tuple(Flag(number) for number in range(8))
BODIES: tuple[tuple[AnyPayload, ...], ...] = (
    (),
    (VendorId(b""),),
    (Hash(bytes(32)),),
    (Notify(NotifyType.CONNECTED, spi=COOKIE_I + COOKIE_R),),
    (Notify(NotifyType.INITIAL_CONTACT, spi=COOKIE_I + COOKIE_R), Nonce(bytes(16))),
)


def odd_messages(random: Random) -> Iterator[bytes]:
    for exchange, cookies, id_, flags in product(EXCHANGES, COOKIES, IDS, FLAGS):
        header = ikev1.Header(*cookies, exchange, flags, id_)
        if flags & Flag.ENCRYPTION:
            yield ikev1.encode_sealed(header, random.choice((Payload.ID, Payload.HASH)), random.randbytes(48))
        else:
            yield ikev1.encode(header, random.choice(BODIES))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", range(7))
def test_no_odd_message_in_any_state_does_anything(kind: str, after: int) -> None:
    """They come when so many messages have been said; then all goes on as if nothing had been."""
    of_i, of_r, aggressive = KINDS[kind]
    seen: list[bytes] = []
    stopped = False

    def alter(_: bool, data: bytes) -> bytes | None:
        if data in seen:
            return data if not stopped else None
        if len(seen) >= after or stopped:
            return None
        seen.append(data)
        return data

    wire = Wire(of_i, of_r, alter=alter, aggressive=aggressive).run(1.0)
    had = (wire.i.sa, wire.r.sa)
    keys = [end.core.entropy.key_pairs.copy() for end in (wire.i, wire.r)]  # type: ignore[attr-defined]  # of tests
    stopped = True
    for data in odd_messages(Random(f"{kind} {after}")):
        wire.give(to_responder=True, data=data)
        wire.give(to_responder=False, data=data)
    assert (wire.i.sa, wire.r.sa) == had
    assert (wire.i.failure, wire.r.failure) == (None, None)
    assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))
    assert [end.core.entropy.key_pairs for end in (wire.i, wire.r)] == keys  # type: ignore[attr-defined]  # of tests
    wire._alter = lambda _, data: data
    same(wire.run(28.0))


@pytest.mark.parametrize("kind", KINDS)
def test_no_message_can_be_left_out(kind: str) -> None:
    """Whichever doesn't come, at least one side has no SA, and it's never the one that had to hear it."""
    of_i, of_r, aggressive = KINDS[kind]
    for lost in range(3 if aggressive else 6):
        order: list[bytes] = []

        def alter(_: bool, data: bytes, order: list[bytes] = order, lost: int = lost) -> bytes | None:
            if data not in order:
                order.append(data)
            return None if order.index(data) == lost else data

        wire = Wire(of_i, of_r, alter=alter, aggressive=aggressive).run(600.0)
        hears = wire.i if lost % 2 else wire.r
        assert hears.sa is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_octet_of_a_session_can_be_changed_that_is_proved(kind: str) -> None:
    """C22: offers, values, nonces, identities, certificates and proofs; what isn't proved (vendor IDs, NAT detection,
    requests for certificates) may change what is done, but nothing goes wrong inside."""
    of_i, of_r, aggressive = KINDS[kind]
    whole = Wire(of_i, of_r, aggressive=aggressive).run(1.0)
    same(whole)
    random = Random(kind)
    for number in range(3 if aggressive else 6):
        data = (whole.r if number % 2 else whole.i).sent[number // 2]
        for at in random.sample(range(28, len(data)), 60):
            order: list[bytes] = []

            def alter(_: bool, said: bytes, at: int = at, number: int = number, order: list[bytes] = order) -> bytes:
                if said not in order:
                    order.append(said)
                if order.index(said) != number or at >= len(said):
                    return said
                return said[:at] + bytes([said[at] ^ 1 << at % 8]) + said[at + 1 :]

            wire = Wire(of_i, of_r, alter=alter, aggressive=aggressive).run(20.0)
            assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))
            if wire.i.sa and wire.r.sa:
                assert wire.i.sa.keys == wire.r.sa.keys
                assert wire.i.sa.suite == wire.r.sa.suite == whole.i.sa.suite  # type: ignore[union-attr]  # it has one
                assert at in free_octets(data, of_responder=number % 2 == 1)


def free_octets(data: bytes, *, of_responder: bool) -> set[int]:
    """Those of payloads that no proof covers, and of the headers between payloads, in a message in clear. The answer to
    an offer is such a payload (RFC 2409 section 5): what it takes is what the initiator has offered, or is refused."""
    message = ikev1.decode(data)
    assert not message.sealed
    found, at = set(range(28, len(data))), 28
    for payload, body in zip(message.chain.payloads, message.chain.bodies, strict=True):
        covered = isinstance(payload, Ke | Nonce | Id | Hash | Signature | Cert)
        if covered or (isinstance(payload, Sa) and not of_responder):
            found -= set(range(at + 4, at + 4 + len(body)))
        at += 4 + len(body)
    return found


def test_a_proof_is_asked_for_whatever_is_agreed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It's the one thing between a stranger and an SA."""
    calls: list[str] = []
    real = Agreed.proved

    def counted(self: Agreed, *args: object, **named: object) -> object:
        calls.append("asked")
        return real(self, *args, **named)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Agreed, "proved", counted)
    for of_i, of_r, aggressive in KINDS.values():
        calls.clear()
        same(Wire(of_i, of_r, aggressive=aggressive).run(1.0))
        assert calls == ["asked"] * 2
