"""What both ends of an ISAKMP SA tell each other behind phase 1, and whether the peer is there (RFC 2409 section 5.7,
RFC 3706)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.ike.effects import RemoveInbound
from ipsecd.ike.v1.protected import Protected
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Hash, Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType, Protocol
from tests.exchange.network import Link
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R
from tests.exchange.phase_2 import QuickLine, line, mirrored, terms
from tests.exchange.v1_suites import ah, both, esp

BOTH_COOKIES = COOKIE_I + COOKIE_R
TERMS = terms()


def sealed(wire: QuickLine, *payloads: AnyPayload, id_: int = 9, right: bool = True) -> bytes:
    """An informational message of somebody who has the keys, or who has no more than that of the cipher."""
    exchange = Protected(wire.i.sa, Exchange.INFORMATIONAL, id_)
    sa = wire.i.sa
    return exchange.seal(payloads, lambda tail: hash_1(sa.suite.prf.id, sa.keys.a, id_, tail) if right else bytes(32))


def said(wire: QuickLine, datagrams: Iterable[bytes]) -> list[AnyPayload]:
    """What informational messages say."""
    found: list[AnyPayload] = []
    for message in map(ikev1.decode, datagrams):
        if message.header.exchange == Exchange.INFORMATIONAL:
            chain = wire.i.sa.cipher.phase_2(wire.i.sa.chain, message.header.message_id)
            found += ikev1.decode_chain(message.first, chain.open(message.sealed)).payloads[1:]
    return found


def is_there(kind: NotifyType, sequence: int = 5, spi: bytes = BOTH_COOKIES) -> Notify:
    return Notify(kind, sequence.to_bytes(4, "big"), spi=spi)


def test_deletes_tell_which_sas_are_no_more() -> None:
    wire = line(TERMS).run(1.0)
    spi = wire.i.inbound[0].spi
    wire.i.all.delete(Delete(Protocol.ESP, (spi, b"abcd")))
    wire.collect()
    wire.run(2.0)
    assert wire.r.deletes == [(Protocol.ESP, (spi, b"abcd"))]
    assert wire.r.outbound[0].spi == spi  # it's what we send by


def test_the_end_of_the_isakmp_sa_is_told_and_ends_what_was_begun() -> None:
    wire = line(TERMS, alter=lambda from_i, data: data if from_i else None).run(1.0)
    wire.i.all.end("the policy is gone")
    wire.collect()
    wire.run(2.0)
    assert (wire.i.ends, wire.r.ends) == (["the policy is gone"], ["the peer has ended the ISAKMP SA"])
    assert (wire.i.failures, wire.r.failures) == (["the policy is gone"], ["the peer has ended the ISAKMP SA"])
    assert RemoveInbound(wire.r.inbound[0].spi) in wire.r.effects
    assert not any(wire.i.sa.keys.d.reveal() + wire.r.sa.keys.a.reveal())
    before = len(wire.i.sent), len(wire.r.sent)
    wire.begin(TERMS)
    wire.i.all.end("once more")
    wire.give(to_responder=True, data=wire.i.sent[0])
    assert wire.i.failures[1:] == ["the ISAKMP SA is over"]
    assert wire.r.core.counters["isakmp-sa-over"] == 1
    assert (len(wire.i.sent), len(wire.r.sent)) == before
    assert len(wire.i.ends) == len(wire.r.ends) == 1


def test_who_refuses_an_offer_says_so_and_ends_the_waiting_for_it() -> None:
    suites = (both(ah(), esp()),)
    wire = line(TERMS, replace(mirrored(TERMS), suites=suites)).begin(TERMS).run(1.0)
    assert wire.i.failures == ["the peer says NO_PROPOSAL_CHOSEN"] * 2
    first, second = said(wire, wire.r.sent)
    assert isinstance(first, Notify)
    assert isinstance(second, Notify)
    assert (first.protocol, first.spi == second.spi) == (Protocol.ESP, False)
    assert wire.i.core.promised == set()


def test_a_refusal_is_of_the_one_quick_mode_that_it_names() -> None:
    wire = QuickLine((), (), alter=lambda *_: None).begin(TERMS).begin(TERMS)
    spi = min(wire.i.core.promised)
    nameless = Notify(NotifyType.NO_PROPOSAL_CHOSEN)
    of_another = replace(nameless, spi=b"none", protocol=Protocol.ESP)
    for id_, notify in enumerate((nameless, of_another), 1):
        wire.give(to_responder=False, data=sealed(wire, notify, id_=id_))
    assert (wire.i.core.counters["refusal-of-nothing"], wire.i.failures) == (2, [])
    wire.give(to_responder=False, data=sealed(wire, replace(of_another, spi=spi), id_=3))
    assert (wire.i.failures, wire.i.pending) == (["the peer says NO_PROPOSAL_CHOSEN"], 1)
    assert spi not in wire.i.core.promised
    wire.give(to_responder=False, data=sealed(wire, nameless, id_=4))
    assert wire.i.pending == 0


def test_an_initiator_that_gives_up_its_offer_takes_back_what_it_led_to() -> None:
    """As strongSwan does if it can't install what it has got."""
    wire = line(TERMS, alter=lambda from_i, data: data if from_i else None).run(1.0)
    spi = next(iter(wire.i.core.promised))
    wire.give(
        to_responder=True, data=sealed(wire, Notify(NotifyType.NO_PROPOSAL_CHOSEN, protocol=Protocol.ESP, spi=spi))
    )
    assert wire.r.failures == ["the peer says NO_PROPOSAL_CHOSEN"]
    assert wire.r.effects[-1] == RemoveInbound(wire.r.inbound[0].spi)


def test_what_is_done_can_not_be_refused() -> None:
    wire = line(TERMS).run(1.0)
    for id_, spi in enumerate((wire.i.inbound[0].spi, wire.r.inbound[0].spi, b"", BOTH_COOKIES), 1):
        notify = Notify(NotifyType.NO_PROPOSAL_CHOSEN, spi=spi)
        for to_responder in (True, False):
            wire.give(to_responder=to_responder, data=sealed(wire, notify, id_=id_))
    assert [end.core.counters["refusal-of-nothing"] for end in (wire.i, wire.r)] == [4, 4]
    assert wire.i.failures == wire.r.failures == []


# --- nothing that isn't proved acts -------------------------------------------------------------------------------

EVERYTHING = (
    Delete(Protocol.ESP, (b"abcd",)),
    Delete(Protocol.ISAKMP, (BOTH_COOKIES,)),
    Notify(NotifyType.NO_PROPOSAL_CHOSEN),
    Notify(NotifyType.INVALID_COOKIE, spi=BOTH_COOKIES),
    Notify(NotifyType.INITIAL_CONTACT, spi=BOTH_COOKIES),
    is_there(NotifyType.R_U_THERE),
    is_there(NotifyType.R_U_THERE_ACK),
)


@pytest.mark.parametrize("payload", EVERYTHING, ids=repr)
def test_what_is_said_in_clear_or_with_a_wrong_hash_has_no_effect(payload: AnyPayload) -> None:
    wire = QuickLine((), (mirrored(TERMS),), alter=lambda *_: None).begin(TERMS)
    header = ikev1.Header(COOKIE_I, COOKIE_R, Exchange.INFORMATIONAL, message_id=9)
    before = list(wire.i.effects)
    for to_responder in (True, False):
        for data in (
            ikev1.encode(header, [payload]),
            ikev1.encode(header, [Hash(bytes(32)), payload]),
            sealed(wire, payload, right=False),
        ):
            wire.give(to_responder=to_responder, data=data)
    for end in (wire.i, wire.r):
        assert (end.core.counters["not-authenticated"], end.core.counters["wrong-hash"]) == (2, 1)
        assert (end.deletes, end.ends, end.failures) == ([], [], [])
    assert (wire.i.effects, wire.r.effects) == (before, [])


def test_what_is_said_again_has_no_effect() -> None:
    wire = QuickLine((), ())
    for data in (sealed(wire, Delete(Protocol.ESP, (b"abcd",))), sealed(wire, is_there(NotifyType.R_U_THERE), id_=10)):
        for _ in range(3):
            wire.give(to_responder=True, data=data)
    assert wire.r.core.counters["message-id-replayed"] == 4
    assert (len(wire.r.deletes), len(wire.r.sent)) == (1, 1)


def test_an_isakmp_sa_is_ended_by_itself_alone_and_all_else_acts_before() -> None:
    wire = QuickLine((), ())
    wire.give(to_responder=True, data=sealed(wire, Delete(Protocol.ISAKMP, (b"x" * 16,))))
    assert (wire.r.core.counters["delete-of-another"], wire.r.ends) == (1, [])
    whole = (Delete(Protocol.ISAKMP, (BOTH_COOKIES,)), Delete(Protocol.AH, (b"abcd",)))
    wire.give(to_responder=True, data=sealed(wire, *whole, id_=10))
    assert (wire.r.deletes, wire.r.ends) == ([(Protocol.AH, (b"abcd",))], ["the peer has ended the ISAKMP SA"])


def test_other_cookies_and_other_exchanges_are_none_of_ours() -> None:
    wire = QuickLine((), ())
    data = sealed(wire, EVERYTHING[1])
    wire.give(to_responder=True, data=b"another." + data[8:])
    wire.give(to_responder=True, data=data[:18] + bytes([Exchange.NEW_GROUP]) + data[19:])
    assert (wire.r.core.counters["unknown-ike-spi"], wire.r.core.counters["wrong-exchange"]) == (1, 1)
    assert wire.r.ends == []


# --- whether the peer is there ------------------------------------------------------------------------------------


def test_who_is_asked_answers_with_the_number() -> None:
    wire = QuickLine((), ())
    wire.give(to_responder=True, data=sealed(wire, is_there(NotifyType.R_U_THERE, 0x7FFF_FFFF)))
    assert said(wire, wire.r.sent) == [is_there(NotifyType.R_U_THERE_ACK, 0x7FFF_FFFF)]


@pytest.mark.parametrize(
    "notify",
    [is_there(NotifyType.R_U_THERE, spi=b"x" * 16), Notify(NotifyType.R_U_THERE, b"\0", spi=BOTH_COOKIES)],
)
def test_a_question_about_something_else_is_not_answered(notify: Notify) -> None:
    wire = QuickLine((), ())
    wire.give(to_responder=True, data=sealed(wire, notify))
    assert (wire.r.core.counters["bad-presence"], wire.r.sent) == (1, [])


def test_a_peer_that_says_nothing_is_asked_and_stays_if_it_answers() -> None:
    wire = QuickLine((), (), idle=30.0).run(100.0)
    asked, answers = said(wire, wire.i.sent), said(wire, wire.r.sent)
    numbers = [int.from_bytes(each.data, "big") for each in asked if isinstance(each, Notify)]
    assert len(numbers) == len(answers) == 3  # at 30, 60 and 90 seconds
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert numbers[0] < 1 << 31
    assert wire.i.ends == []


def test_a_peer_is_not_asked_as_long_as_something_comes() -> None:
    wire = QuickLine((), (mirrored(TERMS),), idle=30.0).begin(TERMS)
    for now in range(20, 200, 20):
        wire.run(float(now))
        wire.i.core.now = float(now)
        wire.i.all.heard()
    assert said(wire, wire.i.sent) == []
    wire.run(200.0)
    wire.now = wire.i.core.now = wire.r.core.now = 200.0
    wire.begin(TERMS).run(205.0)  # a quick mode is a sign of life too
    assert len(wire.i.pairs) == 2
    assert said(wire.run(229.0), wire.i.sent) == []
    assert len(said(wire.run(231.0), wire.i.sent)) == 1


def test_a_peer_that_is_gone_is_lost_after_several_questions() -> None:
    wire = QuickLine((), (), idle=30.0, alter=lambda from_i, data: data if from_i else None).run(29.0)
    wire.begin(TERMS).run(600.0)
    assert len(said(wire, wire.i.sent)) == 1 + limits.DPD_TRIES
    assert wire.i.ends == ["the peer isn't there any more"]
    assert wire.i.failures == ["the peer isn't there any more"]


def test_any_answer_to_any_question_will_do() -> None:
    lost: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if not from_initiator and len(lost) < 3:
            lost.append(data)
            return None
        return data

    wire = QuickLine((), (), idle=30.0, alter=alter).run(50.0)
    assert (len(said(wire, wire.i.sent)), wire.i.ends) == (4, [])
    late = QuickLine((), (), idle=30.0, alter=lambda *_: None).run(40.0)
    asked = [each for each in said(late, late.i.sent) if isinstance(each, Notify)]
    late.give(to_responder=False, data=sealed(late, replace(asked[0], type=NotifyType.R_U_THERE_ACK)))
    assert len(asked) == 3
    assert len(said(late.run(60.0), late.i.sent)) == 3


def test_an_answer_that_nobody_asked_for_is_no_sign_of_life() -> None:
    wire = QuickLine((), (), idle=30.0, alter=lambda *_: None).run(40.0)
    wire.give(to_responder=False, data=sealed(wire, is_there(NotifyType.R_U_THERE_ACK, 1)))
    assert wire.i.core.counters["unasked"] == 1
    assert wire.run(600.0).i.ends == ["the peer isn't there any more"]


def test_on_a_bad_network_nobody_who_is_there_is_lost() -> None:
    for seed in range(50):
        wire = QuickLine((), (), idle=30.0, seed=seed, link=Link(loss=0.05, duplication=0.2, delay=(0.01, 0.8)))
        assert wire.run(120.0).i.ends == []
        assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0


def test_who_does_not_say_that_it_answers_is_not_asked() -> None:
    wire = QuickLine((), ())
    wire.i.sa = replace(wire.i.sa, vendor_ids=())
    wire.i.allow(idle=30.0)
    assert wire.run(600.0).i.sent == []
    assert wire.i.all.begun == 0
    wire.give(to_responder=False, data=sealed(wire, is_there(NotifyType.R_U_THERE)))
    assert len(said(wire, wire.i.sent)) == 1
