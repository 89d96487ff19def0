"""Main mode of IKEv1 with a pre-shared key: both ends, in virtual time, on good networks and bad ones."""

from __future__ import annotations

import functools
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1 import candidates, initiating, natt
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import Agreed, IsakmpSa, agree
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Ke, Nonce, Notify, Sa, VendorId
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import Encapsulation, Exchange, IdType, NotifyType, Payload
from tests.exchange.known import TheirEntropy, TheirPair
from tests.exchange.network import Link
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R, Wire, described, same, sas, suite, terms
from tests.exchange.v1_line import NAT_ADDRESS, OURS, THEIRS
from tests.fuzz.mutate import mutated
from tests.unit.crypto.captured_v1 import CAPTURED, Captured

A, B = terms(), terms("b.example", "a.example")


def test_six_messages_make_an_isakmp_sa() -> None:
    wire = Wire(A, replace(B, seconds=3_600)).run(1.0)
    same(wire)
    assert described(wire.i.sent) == [
        "MAIN Sa VendorId VendorId VendorId VendorId VendorId VendorId",
        "MAIN Ke Nonce NatD NatD",
        "MAIN sealed",
    ]
    assert described(wire.r.sent) == ["MAIN Sa VendorId VendorId VendorId", "MAIN Ke Nonce NatD NatD", "MAIN sealed"]
    of_i, of_r = sas(wire)
    assert (str(of_i.remote_id), str(of_r.remote_id)) == ("b.example", "a.example")
    assert all(vendor_ids.DPD in sa.vendor_ids for sa in (of_i, of_r))
    assert (of_i.seconds, of_r.seconds) == (28_800, 3_600)
    assert (of_i.nat, of_r.nat) == (Nat(here=False, there=False),) * 2
    assert (of_i.path, of_r.path) == (Path(OURS, THEIRS), Path(THEIRS, OURS))
    assert wire.run(600.0).i.sent == wire.i.sent[:3]  # nothing is said when all is said


@pytest.mark.parametrize("group", [Group.MODP_2048, Group.ECP_384, Group.CURVE25519])
@pytest.mark.parametrize(
    ("encr", "bits", "prf"),
    [
        (Encr.AES_CBC, 256, Prf.HMAC_SHA2_512),
        (Encr.CAMELLIA_CBC, 192, Prf.HMAC_SHA2_384),
        (Encr.TRIPLE_DES, None, Prf.HMAC_SHA1),
        (Encr.DES, None, Prf.HMAC_MD5),
    ],
)
def test_every_kind_of_suite(encr: Encr, bits: int | None, prf: Prf, group: Group) -> None:
    suites = (suite(encr, bits, prf, group),)
    same(Wire(replace(A, suites=suites), replace(B, suites=suites)).run(1.0))


def test_the_first_suite_offered_that_the_responder_takes_is_taken() -> None:
    strong, good, old = suite(bits=256), suite(), suite(Encr.TRIPLE_DES, None)
    wire = Wire(replace(A, suites=(strong, old, good)), replace(B, suites=(good, old))).run(1.0)
    same(wire)
    assert sas(wire)[0].suite == old


def test_who_is_alone_says_so() -> None:
    of_i, of_r = sas(Wire(replace(A, first=True), B).run(1.0))
    assert (of_i.alone, of_r.alone) == (False, True)
    assert not sas(Wire(A, B).run(1.0))[1].alone


# --- bad networks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(4))
def test_a_fifth_is_lost_and_more_comes_twice_and_in_disorder(part: int) -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    up = 0
    for seed in range(50 * part, 50 * part + 50):
        wire = Wire(A, B, seed=seed, link=link).run(60.0)
        if wire.i.sa and wire.r.sa:
            same(wire)
            up += 1
        assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0
    assert up >= 49


@pytest.mark.parametrize("lost", range(6))
def test_any_one_message_may_be_lost(lost: int) -> None:
    seen: list[bytes] = []

    def alter(_: bool, data: bytes) -> bytes | None:
        seen.append(data)
        return None if len(seen) == lost + 1 else data

    wire = Wire(A, B, alter=alter).run(10.0)
    same(wire)
    assert len(set(seen)) == 6  # repeats are the same octets


def test_the_responder_repeats_nothing_by_the_clock() -> None:
    wire = Wire(A, B, alter=lambda from_initiator, data: data if from_initiator else None).run(600.0)
    assert (len(wire.i.sent), len(wire.r.sent)) == (1 + limits.RETRANSMIT_TRIES,) * 2
    assert wire.i.failure == "the peer doesn't answer"
    assert wire.r.failure == "the initiator didn't go on"


def test_the_last_message_is_said_again_although_all_is_over() -> None:
    lost: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if not from_initiator and ikev1.decode(data).sealed and len(lost) < 3:
            lost.append(data)
            return None
        return data

    wire = Wire(A, B, alter=alter).run(60.0)
    same(wire)
    assert len(lost) == 3


# --- who may not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"correct horsf", b""])
def test_another_key_proves_nothing(key: bytes) -> None:
    wire = Wire(A, replace(B, key=Secret(key))).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.i.failure == (
        "the peer doesn't answer our proof: perhaps the pre-shared keys differ, or it doesn't know our identity"
    )
    assert wire.r.failure == "the peer's proof can't be read or is wrong: the pre-shared keys differ"
    assert wire.r.core.counters["wrong-key"] == 5  # before the responder's time is over, which is sooner than ours


def test_an_empty_key_lets_nobody_in() -> None:
    wire = Wire(replace(A, key=Secret(b"")), replace(B, key=Secret(b""))).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)


def test_an_initiator_with_another_name_is_refused() -> None:
    wire = Wire(replace(A, local_id=Identity.parse("c.example")), B).run(600.0)
    assert (wire.i.sa, wire.r.sa) == (None, None)
    assert wire.r.failure == "the peer is c.example; we want a.example"
    assert wire.r.core.counters["wrong-remote-identity"] == 1


def test_a_responder_with_another_name_is_refused() -> None:
    wire = Wire(A, replace(B, local_id=Identity.parse("c.example"))).run(600.0)
    assert wire.i.sa is None
    assert wire.i.failure == "the peer is c.example; we want b.example"


def test_the_keys_of_what_came_to_nothing_are_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Agreed] = []

    def noted(*values: Any) -> Agreed:
        made.append(agree(*values))
        return made[-1]

    for module in (initiating, candidates):
        monkeypatch.setattr(module, "agree", noted)
    same(Wire(A, B).run(600.0))
    assert all(any(agreed.keys.d.reveal()) for agreed in made)
    made.clear()
    Wire(A, replace(B, key=Secret(b"another"))).run(600.0)
    assert [any(agreed.keys.d.reveal() + agreed.keys.cipher.reveal()) for agreed in made] == [False, False]


def test_without_a_common_suite_nothing_is_answered_but_by_whoever_sends_the_notify() -> None:
    wire = Wire(A, replace(B, suites=(suite(bits=256),))).run(600.0)
    assert wire.r.sent == []
    assert wire.r.core.counters["no-proposal-chosen"] == 5
    assert wire.i.failure == "the peer doesn't answer"


def test_an_answer_that_we_did_not_offer_is_not_taken() -> None:
    wire = Wire(replace(A, suites=(suite(bits=256),)), B)
    answer = Wire(A, B).run(1.0).r.sent[0]
    wire.give(to_responder=False, data=answer)
    assert (wire.i.core.counters["bad-proposal-answer"], len(wire.i.sent)) == (1, 1)


# --- strangers ----------------------------------------------------------------------------------------------------


def in_clear(kind: NotifyType) -> bytes:
    header = ikev1.Header(COOKIE_I, COOKIE_R, Exchange.INFORMATIONAL, message_id=5)
    return ikev1.encode(header, [Notify(kind)])


def test_an_error_in_clear_ends_nothing_but_is_told_in_the_end() -> None:
    wire = Wire(A, B)
    wire.give(to_responder=False, data=in_clear(NotifyType.NO_PROPOSAL_CHOSEN))
    same(wire.run(1.0))
    assert wire.i.core.counters["unauthenticated-error"] == 1
    alone = Wire(A, B, alter=lambda *_: None)
    alone.give(to_responder=False, data=in_clear(NotifyType.NO_PROPOSAL_CHOSEN))
    assert alone.run(600.0).i.failure == (
        "the peer says NO_PROPOSAL_CHOSEN: no common proposal; we offer aes128-sha256-x25519 by PSK"
    )
    other = Wire(A, B, alter=lambda *_: None)
    other.give(to_responder=False, data=in_clear(NotifyType.INVALID_COOKIE))
    assert other.run(600.0).i.failure == "the peer says INVALID_COOKIE"


@pytest.mark.parametrize("kind", [NotifyType.INITIAL_CONTACT, NotifyType.CONNECTED, NotifyType.R_U_THERE])
def test_a_notify_in_clear_does_nothing(kind: NotifyType) -> None:
    wire = Wire(A, B)
    wire.give(to_responder=False, data=in_clear(kind))
    assert wire.i.core.counters["not-authenticated"] == 1
    same(wire.run(1.0))


@pytest.mark.parametrize("seed", range(20))
def test_nearly_right_messages_of_strangers_are_survived(seed: int) -> None:
    """Whoever doesn't know the cookies can't say more than the first message, which these come before."""
    rng = Random(f"{seed} stranger")
    session = Wire(A, B).run(1.0)
    pool = [*session.i.sent, *session.r.sent]
    wire = Wire(A, B, seed=seed)
    for _ in range(100):
        data = mutated(rng, pool)
        data = data[:24] + len(data).to_bytes(4, "big") + data[28:] if len(data) >= 28 else data
        for to_responder in (True, False):
            wire.give(to_responder=to_responder, data=data)
    wire.run(600.0)
    for end in (wire.i, wire.r):
        assert end.core.counters["internal-error"] == 0


@pytest.mark.parametrize("after", range(1, 7))
def test_every_message_in_the_wrong_place_is_dropped(after: int) -> None:
    """All six of another session with the same cookies, at every point of this one, and our own back to us."""
    other = Wire(replace(A, key=Secret(b"x")), replace(B, key=Secret(b"x")), seed="other").run(1.0)
    seen: list[bytes] = []
    held: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        seen.append(data)
        if len(seen) == after:
            held.append(data)
            return None
        return data

    wire = Wire(A, B, alter=alter).run(1.0)
    assert len(held) == 1
    expected = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3}[after]  # of the initiator's messages that are said by then
    for data in (*other.i.sent[expected:], *other.r.sent[expected:]):
        if ikev1.decode(data).sealed:
            wire.give(to_responder=True, data=data)
            wire.give(to_responder=False, data=data)
    for data in wire.i.sent:
        wire.give(to_responder=False, data=data)
    same(wire.run(60.0))


def test_a_public_value_that_is_ours_is_refused() -> None:
    def alter(from_initiator: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        if from_initiator or not any(isinstance(payload, Ke) for payload in message.chain.payloads):
            return data
        payloads = [ours if isinstance(payload, Ke) else payload for payload in message.chain.payloads]
        return ikev1.encode(message.header, payloads)

    ours = Ke(b"")
    wire = Wire(A, B, alter=lambda _, data: data)
    wire.run(0.025)
    ours = next(p for p in ikev1.decode(wire.i.sent[1]).chain.payloads if isinstance(p, Ke))
    reflected = Wire(A, B, alter=alter).run(600.0)
    assert reflected.i.sa is None
    assert reflected.i.core.counters["reflected"] >= 1


@pytest.mark.parametrize("cookie", [bytes(8), COOKIE_I])
def test_a_responder_has_a_cookie_of_its_own(cookie: bytes) -> None:
    wire = Wire(A, B, alter=lambda *_: None)
    answer = Wire(A, B).run(1.0).r.sent[0]
    wire.give(to_responder=False, data=answer[:8] + cookie + answer[16:])
    assert wire.i.core.counters["zero-spi" if cookie == bytes(8) else "reflected"] == 1


@pytest.mark.parametrize("cookies", [COOKIE_I + b"another.", COOKIE_R + bytes(8)])
def test_an_initiator_begins_with_its_own_cookie_alone(cookies: bytes) -> None:
    wire = Wire(A, B, alter=lambda *_: None)
    wire.give(to_responder=True, data=cookies + wire.i.sent[0][16:])
    assert (wire.r.core.counters["reflected"], wire.r.sent) == (1, [])


def test_other_cookies_belong_to_somebody_else() -> None:
    messages = Wire(A, B).run(1.0)
    wire = Wire(A, B, alter=lambda *_: None)
    wire.give(to_responder=True, data=messages.i.sent[0])
    wire.give(to_responder=True, data=messages.i.sent[1][:8] + b"another." + messages.i.sent[1][16:])
    wire.give(to_responder=False, data=messages.r.sent[0])
    wire.give(to_responder=False, data=messages.r.sent[1][:8] + b"another." + messages.r.sent[1][16:])
    for end in (wire.i, wire.r):
        assert (end.core.counters["unknown-ike-spi"], len(end.sent)) == (1, 2 if end is wire.i else 1)


def test_an_answer_to_somebody_else_s_first_message_is_not_ours() -> None:
    wire = Wire(A, B, alter=lambda *_: None)
    wire.give(to_responder=False, data=b"another." + Wire(A, B).run(1.0).r.sent[0][8:])
    assert (wire.i.core.counters["unknown-ike-spi"], len(wire.i.sent)) == (1, 1)


def test_what_comes_when_all_is_over_does_nothing() -> None:
    wire = Wire(A, B).run(1.0)
    before = (wire.i.sent[:], wire.r.sent[:])
    for data in wire.r.sent:
        wire.give(to_responder=False, data=data)
    for data in wire.i.sent[:2]:
        wire.give(to_responder=True, data=data)
    assert (wire.i.core.counters["phase-1-over"], wire.r.core.counters["phase-1-over"]) == (3, 2)
    assert (wire.i.sent, wire.r.sent) == before


def test_an_identity_is_not_one_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 2407 section 4.6.2: protocol and port are zero, or those of IKE."""
    for protocol, port, fits in ((17, 500, True), (17, 0, True), (17, 1_701, False), (6, 500, False)):
        claimed = functools.partial(Id, protocol=protocol, port=port)
        monkeypatch.setattr(Id, "of", lambda identity, made=claimed: made(IdType(identity.type), identity.data))
        wire = Wire(A, B).run(1.0)
        assert (wire.r.sa is not None) == fits
        assert wire.r.core.counters["bad-identity-port"] == (not fits)


# --- NAT ----------------------------------------------------------------------------------------------------------


def without(*revisions: natt.Revision) -> object:
    """A network on which nobody has heard of these revisions."""
    gone = [VendorId(revision.vendor_id) for revision in revisions]

    def alter(_: bool, data: bytes) -> bytes:
        message = ikev1.decode(data)
        if message.sealed:
            return data
        return ikev1.encode(message.header, [payload for payload in message.chain.payloads if payload not in gone])

    return alter


def test_behind_a_nat_all_goes_to_port_4500() -> None:
    wire = Wire(A, B, nat=True).run(1.0)
    same(wire)
    of_i, of_r = sas(wire)
    assert (of_i.nat, of_r.nat) == (Nat(here=True, there=False), Nat(here=False, there=True))
    assert of_i.path == Path(replace(OURS, port=4500), replace(THEIRS, port=4500), natt=True)
    assert of_r.path == Path(replace(THEIRS, port=4500), Endpoint(NAT_ADDRESS, 14_500), natt=True)


def test_who_is_behind_a_nat_and_stays_on_port_500_is_not_heard() -> None:
    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        return None if from_initiator and ikev1.decode(data).sealed else data

    wire = Wire(A, B, nat=True, alter=alter).run(1.0)
    wire.give(to_responder=True, data=wire.i.sent[2], path=Path(THEIRS, Endpoint(NAT_ADDRESS, 10_500)))
    assert (wire.r.core.counters["not-floated"], wire.r.sa) == (1, None)


@pytest.mark.parametrize("best", [1, 2, 3])
def test_drafts_are_spoken_with_whoever_knows_nothing_better(best: int) -> None:
    alter = without(*natt.REVISIONS[:best])
    wire = Wire(A, B, nat=True, alter=alter).run(1.0)  # type: ignore[arg-type]  # of the right type, if not by name
    same(wire)
    of_i, of_r = sas(wire)
    assert of_i.revision == of_r.revision == natt.REVISIONS[best]
    assert (natt.REVISIONS[best].nat_d, natt.REVISIONS[best].udp_tunnel) == (
        Payload.NAT_D_DRAFTS,
        Encapsulation.UDP_TUNNEL_DRAFTS,
    )
    assert of_i.nat == Nat(here=True, there=False)


def test_who_can_not_traverse_nats_is_talked_to_all_the_same() -> None:
    alter = without(*natt.REVISIONS)
    wire = Wire(A, B, alter=alter).run(1.0)  # type: ignore[arg-type]  # of the right type, if not by name
    same(wire)
    assert [(sa.nat, sa.revision, sa.path.natt) for sa in sas(wire)] == [(None, None, False)] * 2
    assert described(wire.i.sent)[1] == "MAIN Ke Nonce"


def test_who_wants_udp_makes_the_peer_believe_in_a_nat() -> None:
    of_i, of_r = sas(Wire(replace(A, force_udp=True), B).run(1.0))
    assert (of_i.nat, of_r.nat) == (Nat(here=False, there=False), Nat(here=False, there=True))
    assert of_i.path.natt
    of_i, of_r = sas(Wire(A, replace(B, force_udp=True)).run(1.0))
    assert (of_i.nat, of_r.nat) == (Nat(here=False, there=True), Nat(here=False, there=False))
    assert of_r.path.natt


# --- sessions of strongSwan ---------------------------------------------------------------------------------------


def of_session(session: Captured, *, initiator: bool) -> tuple[Core, Terms]:
    group = Group(session.values["group"])
    pair = TheirPair(group, session.body(initiator, Ke), session.body(not initiator, Ke), session.octets("shared"))
    core = Core(IkeConfig(), TheirEntropy(pair, session.body(initiator, Nonce)))
    encr, bits = session.values["encryption"]
    us, them = ("a", "b") if initiator else ("b", "a")
    return core, Terms(
        (suite(Encr[encr], bits, session.prf, group),),
        session.secret("psk"),
        Identity.parse(f"{us}.peers.test"),
        Identity.parse(f"{them}.peers.test"),
        seconds=3_600,
        first=initiator,
    )


each_main_mode = pytest.mark.parametrize("name", ["psk", "ah"])
A_END, B_END = Endpoint(ip_address("192.0.2.1"), 500), Endpoint(ip_address("192.0.2.2"), 500)


def sent(core: Core) -> bytes:
    (effect,) = core.take_effects()
    assert isinstance(effect, Send)
    return effect.data


@each_main_mode
def test_strongswan_s_responder_is_continued_to_the_octet(name: str) -> None:
    session = CAPTURED[name]
    core, of_us = of_session(session, initiator=False)
    made: list[IsakmpSa] = []
    responder = MainModeResponder(core, Candidates((of_us,)), session.cookies[1], made.append, pytest.fail)
    datagrams = [data for _, data, _ in session.messages[:6]]
    path, floating = Path(B_END, A_END), Path(replace(B_END, port=4500), replace(A_END, port=4500), natt=True)
    for heard, by in ((0, path), (2, path), (4, floating)):
        responder.hear(ikev1.decode(datagrams[heard]), datagrams[heard], by)
        answer = sent(core)
        if heard == 4:
            assert answer == datagrams[5]
    assert made[0].keys.cipher == session.secret("key")
    assert made[0].nat == Nat(here=False, there=True)  # strongSwan was told to pretend so
    assert made[0].alone
    assert made[0].seconds == 3_600  # strongSwan offers 0: for ever


@each_main_mode
def test_strongswan_s_initiator_is_continued_to_the_octet(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = CAPTURED[name]
    datagrams = [data for _, data, _ in session.messages[:6]]
    offered = next(p for p in ikev1.decode(datagrams[0]).chain.payloads if isinstance(p, Sa))
    core, of_us = of_session(session, initiator=True)
    monkeypatch.setattr(initiating, "offer", lambda *_: offered)  # as it offers 0 seconds, which are no limit
    made: list[IsakmpSa] = []
    initiator = MainModeInitiator(core, of_us, Path(A_END, B_END), session.cookies[0], made.append, pytest.fail)
    first = ikev1.decode(sent(core)).chain
    assert first.payloads[0] == offered
    initiator.hear(ikev1.decode(datagrams[1]), Path(A_END, B_END))
    sent(core)
    initiator.hear(ikev1.decode(datagrams[3]), Path(A_END, B_END))
    assert sent(core) == datagrams[4]
    floating = Path(replace(A_END, port=4500), replace(B_END, port=4500), natt=True)
    initiator.hear(ikev1.decode(datagrams[5]), floating)
    assert made[0].remote_id == Identity.parse("b.peers.test")
    phase_2 = dict(reversed(session.values["phase_2_ivs"]))
    for id_, iv in phase_2.items():
        assert made[0].cipher.phase_2(made[0].chain, id_).iv.hex() == iv
