"""Aggressive mode of IKEv1 with both methods: both ends, in virtual time, on good networks and bad ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError
from ipsecd.ike.config import Endpoint, Path
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.aggressive_initiator import AggressiveInitiator
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Hash, Ke, Nonce, Notify, VendorId
from ipsecd.wire.registry import Group
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, OakleyAuth, Payload
from tests.exchange.network import Link
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R, Wire, described, same, sas, signed, suite, terms
from tests.exchange.v1_line import NAT_ADDRESS, OURS, THEIRS
from tests.fuzz.mutate import mutated


def shown(of: Terms) -> Terms:
    return replace(of, i_accept_names_in_clear=True, i_accept_offline_guessing=True)


A, B = shown(terms()), shown(terms("b.example", "a.example"))
A_SIGNS, B_SIGNS = shown(signed()), shown(signed("b.example", "a.example"))
each_method = pytest.mark.parametrize(("of_i", "of_r"), [(A, B), (A_SIGNS, B_SIGNS)], ids=["PSK", "RSA"])
Alter = Callable[[bool, bytes], bytes | None]


def run(of_i: Terms = A, of_r: Terms = B, until: float = 600.0, *, alter: Alter = lambda _, data: data) -> Wire:
    """Until all is over; nothing went wrong inside."""
    wire = Wire(of_i, of_r, alter=alter, aggressive=True).run(until)
    assert all(end.core.counters["internal-error"] == 0 for end in (wire.i, wire.r))
    return wire


def initiator(wire: Wire) -> AggressiveInitiator:
    assert isinstance(wire.initiator, AggressiveInitiator)
    return wire.initiator


@each_method
def test_three_messages_make_an_isakmp_sa(of_i: Terms, of_r: Terms) -> None:
    wire = run(of_i, replace(of_r, seconds=600), 1.0)
    same(wire)
    request, certificates = (" CertReq", " Cert CertReq") if of_i.certified else ("", "")
    proof = "Signature" if of_i.certified else "Hash"
    assert described(wire.i.sent) == ["AGGRESSIVE Sa Ke Nonce Id" + request + " VendorId" * 6, "AGGRESSIVE sealed"]
    assert described(wire.r.sent) == [f"AGGRESSIVE Sa Ke Nonce Id{certificates}{' VendorId' * 3} NatD NatD {proof}"]
    of_us, of_them = sas(wire)
    assert (str(of_us.remote_id), str(of_them.remote_id)) == ("b.example", "a.example")
    assert (of_us.seconds, of_them.seconds) == (28_800, 600)
    assert (of_us.nat, of_them.nat) == (Nat(here=False, there=False),) * 2
    assert all(vendor_ids.DPD in sa.vendor_ids for sa in (of_us, of_them))


@each_method
def test_behind_a_nat_the_last_message_goes_to_port_4500(of_i: Terms, of_r: Terms) -> None:
    wire = Wire(of_i, of_r, nat=True, aggressive=True).run(1.0)
    same(wire)
    of_us, of_them = sas(wire)
    assert (of_us.nat, of_them.nat) == (Nat(here=True, there=False), Nat(here=False, there=True))
    assert of_us.path == Path(replace(OURS, port=4500), replace(THEIRS, port=4500), natt=True)
    assert of_them.path == Path(replace(THEIRS, port=4500), Endpoint(NAT_ADDRESS, 14_500), natt=True)


@pytest.mark.parametrize("best", [1, 2, 3])
def test_drafts_are_spoken_with_whoever_knows_nothing_better(best: int) -> None:
    gone = [VendorId(revision.vendor_id) for revision in natt.REVISIONS[:best]]

    def alter(_: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        payloads = [payload for payload in message.chain.payloads if payload not in gone]
        return data if message.sealed else ikev1.encode(message.header, payloads)

    wire = Wire(A, B, nat=True, alter=alter, aggressive=True).run(1.0)
    same(wire)
    assert [sa.revision for sa in sas(wire)] == [natt.REVISIONS[best]] * 2
    assert sas(wire)[1].nat == Nat(here=False, there=True)


def test_who_can_not_traverse_nats_is_talked_to_all_the_same() -> None:
    gone = [VendorId(revision.vendor_id) for revision in natt.REVISIONS]

    def alter(_: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        payloads = [payload for payload in message.chain.payloads if payload not in gone]
        return data if message.sealed else ikev1.encode(message.header, payloads)

    assert [(sa.nat, sa.path.natt) for sa in sas(run(until=1.0, alter=alter))] == [(None, False)] * 2


def test_who_wants_udp_makes_the_peer_believe_in_a_nat() -> None:
    of_i, of_r = sas(run(replace(A, force_udp=True), until=1.0))
    assert (of_i.nat, of_r.nat) == (Nat(here=False, there=False), Nat(here=False, there=True))
    assert of_i.path.natt
    assert of_r.path.natt
    of_i, of_r = sas(run(of_r=replace(B, force_udp=True), until=1.0))
    assert (of_i.nat, of_r.nat) == (Nat(here=False, there=True), Nat(here=False, there=False))


def test_who_is_behind_a_nat_and_stays_on_port_500_is_not_heard() -> None:
    wire = Wire(A, B, nat=True, alter=lambda _, data: None if ikev1.decode(data).sealed else data, aggressive=True).run(
        1.0
    )
    wire.give(to_responder=True, data=wire.i.sent[1], path=Path(THEIRS, Endpoint(NAT_ADDRESS, 10_500)))
    assert (wire.r.core.counters["not-floated"], wire.r.sa) == (1, None)
    floated = Path(replace(THEIRS, port=4500), Endpoint(NAT_ADDRESS, 14_500), natt=True)
    wire.give(to_responder=True, data=wire.i.sent[1], path=floated)
    same(wire)


# --- what it shows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_r", "accepted"),
    [
        (terms("b.example", "a.example"), False),
        (replace(terms("b.example", "a.example"), i_accept_names_in_clear=True), False),
        (replace(terms("b.example", "a.example"), i_accept_offline_guessing=True), True),
    ],
    ids=["nothing", "names", "guessing"],
)
def test_no_hash_to_guess_keys_by_is_given_away_unasked(of_r: Terms, accepted: bool) -> None:
    """C13 (CVE-2002-1623): a responder says nothing at all to aggressive mode with a pre-shared key."""
    wire = run(A, of_r)
    assert bool(wire.r.sent) == bool(wire.r.sa) == accepted
    assert wire.r.core.counters["aggressive-not-accepted"] == (0 if accepted else 5)
    assert sum(wire.r.core.entropy.key_pairs.values()) == accepted  # type: ignore[attr-defined]  # of tests
    if not accepted:
        assert wire.i.failure == "the peer doesn't answer"


@pytest.mark.parametrize(
    ("of_i", "begins"),
    [
        (terms(), False),
        (replace(terms(), i_accept_names_in_clear=True), False),
        (replace(terms(), i_accept_offline_guessing=True), True),
        (signed(), False),
        (replace(signed(), i_accept_offline_guessing=True), False),
        (replace(signed(), i_accept_names_in_clear=True), True),
    ],
)
def test_an_initiator_shows_only_what_is_accepted(of_i: Terms, begins: bool) -> None:
    if begins:
        Wire(of_i, B, aggressive=True)
        return
    with pytest.raises(LocalError, match="aggressive mode shows what these terms don't accept"):
        Wire(of_i, B, aggressive=True)


def test_of_two_methods_the_one_is_had_whose_exposure_is_accepted() -> None:
    both = (suite(), suite(method=OakleyAuth.RSA_SIGNATURE))
    careful = replace(signed(), suites=both, key=Secret(b"correct horse"), i_accept_names_in_clear=True)
    careless = replace(B_SIGNS, suites=both, key=Secret(b"correct horse"))
    for of_i, of_r in ((careful, careless), (shown(careful), replace(careless, i_accept_offline_guessing=False))):
        wire = run(of_i, of_r, 1.0)
        same(wire)
        assert sas(wire)[0].suite.method == OakleyAuth.RSA_SIGNATURE


def test_one_group_is_offered_as_its_value_comes_along() -> None:
    suites = (suite(bits=256), suite(group=Group.MODP_2048), suite())
    wire = run(replace(A, suites=suites), replace(B, suites=(suite(group=Group.MODP_2048), suite())), 1.0)
    same(wire)
    assert sas(wire)[0].suite == suite()
    only = run(replace(A, suites=suites), replace(B, suites=(suite(group=Group.MODP_2048),)))
    assert (only.r.sent, only.r.core.counters["no-proposal-chosen"]) == ([], 5)


# --- bad networks -------------------------------------------------------------------------------------------------


@each_method
@pytest.mark.parametrize("part", range(2))
def test_a_fifth_is_lost_and_more_comes_twice_and_in_disorder(of_i: Terms, of_r: Terms, part: int) -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    up = 0
    for seed in range(50 * part, 50 * part + 50):
        wire = Wire(of_i, of_r, seed=seed, link=link, aggressive=True).run(60.0)
        if wire.i.sa and wire.r.sa:
            same(wire)
            up += 1
        assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0
    assert up >= 49


@pytest.mark.parametrize("lost", range(3))
def test_any_one_message_may_be_lost(lost: int) -> None:
    seen: list[bytes] = []

    def alter(_: bool, data: bytes) -> bytes | None:
        seen.append(data)
        return None if len(seen) == lost + 1 else data

    same(run(until=10.0, alter=alter))
    assert len(set(seen)) == 3  # repeats are the same octets


def test_the_responder_repeats_nothing_by_the_clock() -> None:
    wire = run(alter=lambda from_initiator, data: data if from_initiator else None)
    assert (len(wire.i.sent), len(wire.r.sent)) == (1 + limits.RETRANSMIT_TRIES,) * 2
    assert (wire.i.failure, wire.r.failure) == ("the peer doesn't answer", "the initiator didn't go on")


def test_the_last_message_is_repeated_until_the_peer_shows_that_it_is_there() -> None:
    assert len(run().i.sent) == 2 + limits.RETRANSMIT_TRIES
    wire = run(until=3.0)
    assert len(wire.i.sent) == 3
    initiator(wire).heard()
    assert len(wire.run(600.0).i.sent) == 3
    assert wire.i.sa is not None
    assert wire.i.failure is None


def test_what_is_heard_before_it_is_over_stops_nothing() -> None:
    wire = Wire(A, B, aggressive=True, alter=lambda *_: None)
    initiator(wire).heard()
    assert len(wire.run(600.0).i.sent) == 1 + limits.RETRANSMIT_TRIES


def test_who_hears_the_answer_again_says_its_last_message_again() -> None:
    wire = run(until=1.0)
    before = len(wire.i.sent)
    wire.give(to_responder=False, data=wire.r.sent[0])
    assert wire.i.sent[before:] == [wire.i.sent[1]]
    wire.give(to_responder=False, data=wire.r.sent[0][:-1] + b"\0")
    wire.give(to_responder=False, data=wire.r.sent[0][:8] + b"another." + wire.r.sent[0][16:])
    assert len(wire.i.sent) == before + 1
    assert wire.i.core.counters["phase-1-over"] == 2


def test_who_goes_on_without_its_last_message_is_reminded_a_few_times() -> None:
    """As strongSwan, which says that message once, and again when it hears ours again."""
    wire = run(until=1.0, alter=lambda _, data: None if ikev1.decode(data).sealed else data)
    quick = ikev1.encode_sealed(ikev1.Header(COOKIE_I, COOKIE_R, Exchange.QUICK, message_id=7), Payload.HASH, bytes(64))
    before = len(wire.r.sent)
    for _ in range(20):
        wire.give(to_responder=True, data=quick)
    assert wire.r.sent[before:] == [wire.r.sent[0]] * limits.RETRANSMIT_TRIES
    wire.give(to_responder=True, data=wire.i.sent[1])
    same(wire)


# --- who may not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"correct horsf", b""])
def test_another_key_proves_nothing(key: bytes) -> None:
    wire = run(A, replace(B, key=Secret(key)))
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.i.failure == "the peer's proof can't be read or is wrong: the pre-shared keys differ"
    assert wire.r.failure == "the initiator didn't go on"


def test_who_says_something_else_where_its_proof_is_due_may_have_another_key() -> None:
    """As strongSwan does, under its key."""

    def alter(from_initiator: bool, data: bytes) -> bytes:
        told = from_initiator and ikev1.decode(data).sealed
        return data[:18] + bytes([Exchange.INFORMATIONAL]) + data[19:] if told else data

    wire = run(alter=alter)
    assert wire.r.sa is None
    assert wire.r.failure == "the peer doesn't take our proof: perhaps the pre-shared keys differ"


def test_an_empty_key_lets_nobody_in() -> None:
    wire = run(replace(A, key=Secret(b"")), replace(B, key=Secret(b"")))
    assert (wire.i.sa, wire.r.sa) == (None, None)


def test_an_initiator_with_another_name_is_not_even_answered() -> None:
    wire = run(replace(A, local_id=Identity.parse("c.example")))
    assert (wire.r.sent, wire.r.core.counters["wrong-remote-identity"]) == ([], 5)


def test_a_responder_with_another_name_is_refused() -> None:
    wire = run(A, replace(B, local_id=Identity.parse("c.example")))
    assert (wire.i.sa, wire.i.failure) == (None, "the peer is c.example; we want b.example")


def test_a_certificate_is_for_who_says_so_alone() -> None:
    told = "the peer says it is a.example; its certificate is for b.example"
    other = replace(A_SIGNS, certified=B_SIGNS.certified)
    wire = run(other, B_SIGNS)
    assert (wire.r.sa, wire.r.failure) == (None, told)
    wire = run(A_SIGNS, replace(B_SIGNS, certified=A_SIGNS.certified))
    assert (wire.i.sa, wire.i.failure) == (None, "the peer says it is b.example; its certificate is for a.example")


def last(wire: Wire, *payloads: AnyPayload, sealed: bool) -> bytes:
    """A third message with other payloads than the initiator's own, by its keys."""
    agreed = initiator(wire)._agreed
    assert agreed is not None
    if sealed:
        agreed.chain = agreed.cipher.phase_1(*agreed.publics)
        return agreed.seal(Exchange.AGGRESSIVE, payloads)
    return ikev1.encode(ikev1.Header(COOKIE_I, COOKIE_R, Exchange.AGGRESSIVE), payloads)


def until_the_last() -> Wire:
    return run(until=1.0, alter=lambda _, data: None if ikev1.decode(data).sealed else data)


def hash_i(wire: Wire) -> Hash:
    agreed = initiator(wire)._agreed
    assert agreed is not None
    proof = agreed.proof(Id.of(A.local_id), of_initiator=True)
    assert isinstance(proof, Hash)
    return proof


ALONE = Notify(NotifyType.INITIAL_CONTACT, spi=COOKIE_I + COOKIE_R)


@pytest.mark.parametrize("sealed", [False, True])
def test_the_last_message_may_come_in_clear_and_what_is_beside_the_proof_then_counts_for_nothing(sealed: bool) -> None:
    wire = until_the_last()
    wire.give(to_responder=True, data=last(wire, hash_i(wire), ALONE, sealed=sealed))
    assert wire.r.sa is not None
    assert wire.r.sa.alone == sealed


@pytest.mark.parametrize("sealed", [False, True])
def test_a_last_message_without_its_proof_is_none(sealed: bool) -> None:
    wire = until_the_last()
    proof = hash_i(wire)
    for payloads in ((ALONE,), (proof, proof), (Hash(bytes(32)),), (Hash(proof.data[:-1]),), (Nonce(bytes(8)),)):
        wire.give(to_responder=True, data=last(wire, *payloads, sealed=sealed))
    assert (wire.r.sa, wire.r.core.counters["wrong-key"]) == (None, 5)
    wire.give(to_responder=True, data=wire.i.sent[1])
    assert wire.r.sa is not None


def test_the_hash_of_the_responder_is_not_that_of_the_initiator() -> None:
    """Whoever has no key sends the responder's own proof back."""
    wire = until_the_last()
    theirs = next(p for p in ikev1.decode(wire.r.sent[0]).chain.payloads if isinstance(p, Hash))
    wire.give(to_responder=True, data=last(wire, theirs, sealed=False))
    assert (wire.r.sa, wire.r.core.counters["wrong-key"]) == (None, 1)


def test_who_is_alone_says_so_where_nobody_can_read_or_change_it() -> None:
    of_i, of_r = sas(run(replace(A, first=True), until=1.0))
    assert (of_i.alone, of_r.alone) == (False, True)


def test_answers_that_strangers_make_up_hinder_nothing_and_cost_little() -> None:
    """Each that isn't proved costs a shared secret, so that only some are looked at between two repeats of ours."""
    wire = Wire(A, B, aggressive=True)
    strangers = run(replace(A, key=Secret(b"x")), replace(B, key=Secret(b"x")), 1.0).r.sent[0]
    for number in range(50):
        forged = strangers[:8] + number.to_bytes(8, "big", signed=False).replace(b"\0", b"\1") + strangers[16:]
        wire.give(to_responder=False, data=forged)
    counters = wire.i.core.counters
    assert (counters["wrong-key"], counters["too-many-answers"]) == (limits.MAX_SA_INIT_ANSWERS, 46)
    same(wire.run(10.0))


@pytest.mark.parametrize("seed", range(10))
def test_nearly_right_messages_of_strangers_are_survived(seed: int) -> None:
    rng = Random(f"{seed} stranger")
    session = run(until=1.0)
    pool = [*session.i.sent, *session.r.sent]
    wire = Wire(A, B, seed=seed, aggressive=True)
    for _ in range(100):
        data = mutated(rng, pool)
        data = data[:24] + len(data).to_bytes(4, "big") + data[28:] if len(data) >= 28 else data
        for to_responder in (True, False):
            wire.give(to_responder=to_responder, data=data)
    wire.run(600.0)
    assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0


def test_a_public_value_that_is_none_costs_no_key_pair() -> None:
    def alter(from_initiator: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        short = [Ke(p.data[:-1]) if isinstance(p, Ke) else p for p in message.chain.payloads]
        return ikev1.encode(message.header, short) if from_initiator else data

    wire = run(alter=alter)
    assert (wire.r.sent, wire.r.core.counters["bad-public-value"]) == ([], 5)
    assert not wire.r.core.entropy.key_pairs  # type: ignore[attr-defined]  # of tests


def test_the_commit_bit_says_nothing_in_phase_1() -> None:
    """RFC 2408 section 3.1 has one side wait for the other; here whoever is done is so by what the other has said."""

    def alter(_: bool, data: bytes) -> bytes:
        return data[:19] + bytes([data[19] | Flag.COMMIT]) + data[20:]

    same(run(until=1.0, alter=alter))
    same(Wire(A, B, alter=alter).run(1.0))


def test_our_own_value_sent_back_is_refused() -> None:
    wire = Wire(A, B, aggressive=True, alter=lambda *_: None)
    mine = wire.i.sent[0]
    wire.give(to_responder=False, data=mine[:8] + COOKIE_R + mine[16:])
    assert wire.i.core.counters["reflected"] == 1
    responder = wire.responder
    assert isinstance(responder, AggressiveResponder)
    wire.give(to_responder=True, data=COOKIE_R + mine[8:])
    assert (wire.r.core.counters["reflected"], wire.r.sent) == (1, [])
