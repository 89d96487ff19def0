"""C22 and C24 in IKEv1: nothing of a quick mode can be changed, read back to who said it, or said again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from ipsecd.crypto import keymat_v1
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.protected import Protected
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash, Ke, Nonce, Sa
from ipsecd.wire.registry import Group
from ipsecd.wire.registry_v1 import Exchange, Flag, IdType, Payload
from ipsecd.wire.selector import Selector
from tests.exchange.phase_2 import LEFT, QuickLine, line, mirrored, terms
from tests.exchange.v1_suites import esp
from tests.fuzz.mutate import mutated

UNTIL = 20.0  # three repeats are enough to see that nothing comes of it
TERMS = terms()


def nothing(wire: QuickLine, *, at_responder: bool) -> None:
    end = wire.r if at_responder else wire.i
    assert (end.pairs, end.outbound) == ([], [])
    assert all(each.core.counters["internal-error"] == 0 for each in (wire.i, wire.r))


@pytest.mark.parametrize("message", range(3))
def test_no_octet_can_be_changed(message: int) -> None:
    """Of the second message the initiator is the judge, of the others the responder. Other flags than that of
    encryption mean nothing."""
    sent = line(TERMS).run(1.0)
    data = (sent.i.sent[0], sent.r.sent[0], sent.i.sent[1])[message]
    for at in range(len(data)):
        if at == 19:
            continue
        wire = QuickLine((), (mirrored(TERMS),), alter=lambda *_: None).begin(TERMS)
        if message == 2:
            wire.give(to_responder=True, data=sent.i.sent[0])
        wire.give(to_responder=message != 1, data=data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        nothing(wire, at_responder=message != 1)
        assert (len(wire.r.inbound), wire.i.inbound) == (int(message == 2), [])


def test_another_message_id_begins_nothing() -> None:
    data = line(TERMS).i.sent[0]
    wire = QuickLine((), (mirrored(TERMS),))
    for id_ in (b"\0\0\0\0", b"\1\2\3\4", data[20:23] + bytes([data[23] ^ 1])):
        wire.give(to_responder=True, data=data[:20] + id_ + data[24:])
    nothing(wire, at_responder=True)
    assert wire.r.effects == []


def test_garbage_neither_ends_nor_begins_anything() -> None:
    sent = line(TERMS).run(1.0)
    wire = QuickLine((), (mirrored(TERMS),)).begin(TERMS)
    random = Random(22)
    for _ in range(300):
        for data in (*sent.i.sent, *sent.r.sent):
            for to_responder in (True, False):
                wire.give(to_responder=to_responder, data=mutated(random, [data]))
    wire.run(60.0)
    assert (len(wire.i.pairs), len(wire.r.pairs)) == (1, 1)
    assert [end.core.counters["internal-error"] for end in (wire.i, wire.r)] == [0, 0]


def test_a_session_that_is_heard_again_leads_to_nothing() -> None:
    wire = line(TERMS).run(1.0)
    before = (len(wire.i.effects), len(wire.r.effects))
    for data in (wire.i.sent[0], wire.i.sent[1], wire.i.sent[0]):
        wire.give(to_responder=True, data=data)
    assert wire.r.core.counters["message-id-replayed"] == 3
    wire.run(1_000.0)
    wire.give(to_responder=False, data=wire.r.sent[0])
    assert wire.i.core.counters["message-id-replayed"] == 1
    assert (len(wire.i.effects), len(wire.r.effects)) == before


def test_what_has_come_to_nothing_can_not_be_begun_again() -> None:
    wire = line(TERMS, alter=lambda from_i, data: data if from_i else None).run(600.0)
    assert wire.r.failures == ["the initiator didn't go on"]
    count = len(wire.r.sent)
    wire.give(to_responder=True, data=wire.i.sent[0])
    assert (wire.r.core.counters["message-id-replayed"], len(wire.r.sent)) == (1, count)


def test_our_own_messages_sent_back_to_us_are_nothing() -> None:
    wire = line(TERMS, alter=lambda *_: None)
    wire.give(to_responder=False, data=wire.i.sent[0])
    nothing(wire, at_responder=False)
    assert wire.i.pending == 1
    wire.give(to_responder=True, data=wire.i.sent[0])
    wire.give(to_responder=True, data=wire.r.sent[0])
    nothing(wire, at_responder=True)


def test_the_peer_can_not_take_an_exchange_of_ours_for_one_of_its_own() -> None:
    wire = line(TERMS, alter=lambda *_: None)
    first = crafted(wire, ikev1.decode(wire.i.sent[0]).header.message_id)
    wire.give(to_responder=False, data=first)
    assert (wire.i.inbound, wire.i.pending) == ([], 1)


def crafted(
    wire: QuickLine,
    id_: int = 7,
    change: Callable[[list[AnyPayload]], list[AnyPayload]] = lambda payloads: payloads,
    hash_of: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A first message of somebody who has the keys, changed, with the right hash if no other one is given."""
    sa = wire.i.sa
    own = ikev1.decode(line(TERMS).i.sent[0])
    plain = sa.cipher.phase_2(sa.chain, own.header.message_id).open(own.sealed)
    payloads = change(list(ikev1.decode_chain(own.first, plain).payloads[1:]))
    exchange = Protected(sa, Exchange.QUICK, id_)
    return exchange.seal(payloads, hash_of or (lambda tail: hash_1(wire, id_, tail)))


def hash_1(wire: QuickLine, id_: int, tail: bytes) -> bytes:
    return keymat_v1.hash_1(wire.i.sa.suite.prf.id, wire.i.sa.keys.a, id_, tail)


def test_a_wrong_hash_is_told_from_a_right_one() -> None:
    wire = QuickLine((), (mirrored(TERMS),))
    wire.give(to_responder=True, data=crafted(wire, hash_of=lambda tail: bytes(32)))
    wire.give(to_responder=True, data=crafted(wire, hash_of=lambda tail: hash_1(wire, 7, tail)[:16]))
    assert (wire.r.core.counters["wrong-hash"], wire.r.effects) == (2, [])
    wire.give(to_responder=True, data=crafted(wire))  # the ID isn't used up by what wasn't proved
    assert len(wire.r.inbound) == 1


NAME = Id(IdType.FQDN, b"b.example")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: [each for each in found if not isinstance(each, Sa)], "payload-missing"),
        (lambda found: [each for each in found if not isinstance(each, Nonce)], "payload-missing"),
        (lambda found: [*found, Nonce(b"another nonce...")], "payload-repeated"),
        (lambda found: [*found, Hash(bytes(32))], "payload-repeated"),
        (lambda found: found[:-1], "bad-identities"),
        (lambda found: [*found, found[-1]], "bad-identities"),
        (lambda found: [*found[:-1], NAME], "bad-identities"),
        (lambda found: found[:-2], "no-such-traffic"),
        (lambda found: [*found[:-2], *reversed(found[-2:])], "no-such-traffic"),
        (lambda found: [*found, Ke(b"k" * 32)], "bad-key-exchange"),
    ],
)
def test_what_is_proved_but_makes_no_sense_leads_to_nothing(
    change: Callable[[list[AnyPayload]], list[AnyPayload]], reason: str
) -> None:
    wire = QuickLine((), (mirrored(TERMS),))
    wire.give(to_responder=True, data=crafted(wire, change=change))
    assert (wire.r.core.counters[reason], wire.r.inbound, wire.r.pending) == (1, [], 0)
    assert wire.r.core.counters["internal-error"] == 0


def test_a_hash_covers_what_stands_behind_it() -> None:
    """Something in front of it is covered by nothing."""
    wire = QuickLine((), (mirrored(TERMS),))
    sa, good = wire.i.sa, ikev1.decode(crafted(wire))
    plain = sa.cipher.phase_2(sa.chain, 7).open(good.sealed)
    in_front = bytes([Payload.HASH, 0, 0, 8]) + b"vndr" + plain
    sealed = sa.cipher.phase_2(sa.chain, 7).seal(in_front)
    wire.give(to_responder=True, data=ikev1.encode_sealed(good.header, Payload.VENDOR_ID, sealed))
    assert (wire.r.core.counters["hash-not-first"], wire.r.effects) == (1, [])


def test_a_message_in_clear_is_none() -> None:
    wire = QuickLine((), (mirrored(TERMS),)).begin(TERMS)
    header = ikev1.decode(wire.i.sent[0]).header
    for to_responder in (True, False):
        for id_ in (7, header.message_id):
            clear = replace(header, flags=Flag.NONE, message_id=id_)
            wire.give(to_responder=to_responder, data=ikev1.encode(clear, [Hash(bytes(32)), Nonce(bytes(16))]))
    assert wire.i.core.counters["not-sealed"] + wire.r.core.counters["not-sealed"] == 4
    assert len(wire.run(10.0).r.pairs) == 1


# --- an answer ----------------------------------------------------------------------------------------------------


def answered(change: Callable[[list[AnyPayload]], list[AnyPayload]], of_i: object = TERMS) -> QuickLine:
    """The responder has the keys and says something else in its answer."""
    assert isinstance(of_i, type(TERMS))
    held: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if from_initiator:
            return data
        held.append(data)
        return None

    wire = QuickLine((), (mirrored(of_i),), alter=alter).begin(of_i).run(1.0)
    sa, first, second = wire.i.sa, ikev1.decode(wire.i.sent[0]), ikev1.decode(held[0])
    id_ = first.header.message_id
    chain = sa.cipher.phase_2(sa.chain, id_)
    nonce = next(
        each for each in ikev1.decode_chain(first.first, chain.open(first.sealed)).payloads if isinstance(each, Nonce)
    )
    chain.accept(first.sealed)
    payloads = change(list(ikev1.decode_chain(second.first, chain.open(second.sealed)).payloads[1:]))
    octets = ikev1.encode_hashed(
        payloads, lambda tail: keymat_v1.hash_2(sa.suite.prf.id, sa.keys.a, id_, nonce.data, tail)
    )
    wire.give(to_responder=False, data=ikev1.encode_sealed(second.header, Payload.HASH, chain.seal(octets)))
    return wire


@pytest.mark.parametrize(
    ("change", "reason", "failure"),
    [
        (
            lambda found: [*found[:-1], Id.selecting(Selector.net("10.2.0.0/16"))],
            "other-identities",
            "the answer is for 10.1.0.0/24 = 10.2.0.0/16",
        ),
        (
            lambda found: [*found[:-2], Id.selecting(LEFT), Id.selecting(LEFT)],
            "other-identities",
            "the answer is for 10.1.0.0/24 = 10.1.0.0/24",
        ),
        (lambda found: [*found, Ke(b"k" * 32)], "bad-key-exchange", "1 public values in the answer"),
        (
            lambda found: [Sa((replace(found[0].proposals[0], number=2),)), *found[1:]],
            "bad-proposal-answer",
            "it takes aes128-sha256-noesn in TUNNEL, which we didn't offer",
        ),
    ],
)
def test_an_answer_that_does_not_fit_ends_the_attempt(
    change: Callable[[list[AnyPayload]], list[AnyPayload]], reason: str, failure: str
) -> None:
    wire = answered(change)
    assert (wire.i.core.counters[reason], wire.i.failures) == (1, [failure])
    nothing(wire, at_responder=False)
    assert wire.i.inbound == []


def test_with_pfs_an_answer_has_a_public_value() -> None:
    of_i = terms(esp(group=Group.CURVE25519))
    wire = answered(lambda found: [each for each in found if not isinstance(each, Ke)], of_i)
    assert wire.i.failures == ["0 public values in the answer"]
    wire = answered(lambda found: [Ke(bytes(32)) if isinstance(each, Ke) else each for each in found], of_i)
    assert (len(wire.i.failures), wire.i.pairs, wire.i.core.counters["internal-error"]) == (1, [], 0)


def test_an_answer_that_fits_is_taken_even_from_there() -> None:
    """So it's not the making of the answers that the others fail by. Some peers leave identities out."""
    for change in (lambda found: found, lambda found: found[:-2]):
        wire = answered(change)
        assert (len(wire.i.pairs), wire.i.failures) == (1, [])
        assert wire.i.pairs[0].limits[0][1].seconds == Lifetime(3_600).seconds
