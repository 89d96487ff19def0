"""Which version of IKE a peer is called by, what makes it another one, and which calls are answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import Version
from ipsecd.ike.protect import Envelope
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import encode
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import NET_A, A, B, Pair, child_of_a
from tests.exchange.network import Datagram, endpoint
from tests.exchange.two_versions import (
    NEW,
    NEW_OLD,
    OLD,
    OLD_NEW,
    agree,
    deaf_to,
    pair_of,
    said,
    up,
    versions_of,
)

GIVES_UP = (75.0, 90.0)  # seconds: a call by IKEv2 has had its time


def answer(pair: Pair, notify: Notify, major: int = 2) -> bytes:
    """What somebody answers the last IKE_SA_INIT of gateway a with, in clear."""
    request = [each.data for _, each in pair.net.sent if each.data[17] >> 4 == 2][-1]
    back = Envelope(request[:8], NO_SPI, Exchange.IKE_SA_INIT, from_initiator=False, response=True, message_id=0)
    return encode(replace(back.header(), major=major), (notify,))


def say(pair: Pair, data: bytes) -> None:
    pair.net.inject(Datagram(data, endpoint(B), endpoint(A), natt=False))


def downgrades(pair: Pair) -> list[tuple[object, object, object]]:
    return [
        (each.level, each.fields["peer"], each.fields["version"])
        for each in pair.a.reports
        if each.event == "ike-downgraded"
    ]


# --- without a choice ---------------------------------------------------------------------------------------------


def test_both_have_ikev1_alone_and_speak_that() -> None:
    pair = pair_of(OLD, OLD)
    assert up(pair, "IKEv1")
    assert set(said(pair, pair.a)) == set(said(pair, pair.b)) == {1}
    assert downgrades(pair) == []


@pytest.mark.parametrize("of_b", [NEW, NEW_OLD, OLD_NEW], ids=str)
@pytest.mark.parametrize("of_a", [NEW, NEW_OLD], ids=str)
def test_ikev2_is_spoken_where_the_caller_has_it_first(of_a: tuple[Version, ...], of_b: tuple[Version, ...]) -> None:
    pair = pair_of(of_a, of_b)
    assert up(pair, "IKEv2")
    assert set(said(pair, pair.a)) == set(said(pair, pair.b)) == {2}


@pytest.mark.parametrize("of_b", [OLD, NEW_OLD, OLD_NEW], ids=str)
@pytest.mark.parametrize("of_a", [OLD, OLD_NEW], ids=str)
def test_ikev1_is_spoken_where_the_caller_has_it_first(of_a: tuple[Version, ...], of_b: tuple[Version, ...]) -> None:
    pair = pair_of(of_a, of_b)
    assert up(pair, "IKEv1")
    assert set(said(pair, pair.a)) == set(said(pair, pair.b)) == {1}
    assert downgrades(pair) == []


@pytest.mark.parametrize(("of_a", "of_b"), [(NEW, OLD), (OLD, NEW)], ids=str)
def test_without_a_version_in_common_there_is_nothing(of_a: tuple[Version, ...], of_b: tuple[Version, ...]) -> None:
    pair = pair_of(of_a, of_b)
    assert not up(pair, "IKEv2", seconds=300.0)
    assert (versions_of(pair.a), versions_of(pair.b), pair.a.inbound, pair.b.inbound) == ([], [], {}, {})
    assert pair.a.gave_up


def test_a_gateway_whose_rules_have_ikev1_alone_says_that_it_knows_no_ikev2() -> None:
    pair = pair_of(NEW, OLD)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1.0)
    assert pair.b.ike.counters["other-version"] == 1
    (refused,) = pair.b.events("sa-init-refused")
    assert refused.fields["reason"] == "the rules for this address have IKEv1 alone"
    (told,) = pair.a.events("ike-refused")
    assert told.fields["reason"] == "the peer doesn't speak IKEv2 (INVALID_MAJOR_VERSION)"


# --- the other one ------------------------------------------------------------------------------------------------


def test_whoever_says_nothing_by_ikev2_in_its_time_is_called_by_ikev1_with_one_warning() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    begun = pair.net.now
    assert up(pair, "IKEv1", seconds=200.0)
    assert GIVES_UP[0] < pair.net.now - begun < GIVES_UP[1]
    assert downgrades(pair) == [("warning", "b", "IKEv1")]
    assert pair.a.events("ike-failed") == []
    assert pair.a.gave_up == []
    versions = said(pair, pair.a)
    assert versions == sorted(versions, reverse=True)  # nothing of IKEv1 before IKEv2 has had its time
    assert versions.count(2) == 6


def test_a_word_that_ikev2_is_not_known_is_no_answer_and_shortens_nothing() -> None:
    pair = pair_of(NEW_OLD, OLD)
    begun = pair.net.now
    assert up(pair, "IKEv1", seconds=200.0)
    assert GIVES_UP[0] < pair.net.now - begun < GIVES_UP[1]
    assert downgrades(pair) == [("warning", "b", "IKEv1")]


def test_a_forged_word_of_it_doesnt_either_and_ikev2_comes_through() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    for _ in range(20):
        pair.net.run(1.0)
        say(pair, answer(pair, Notify(NotifyType.INVALID_MAJOR_VERSION)))
    assert set(said(pair, pair.a)) == {2}
    pair.net.hook = lambda datagram: datagram
    assert pair.net.run(40.0, until=lambda: agree(pair, "IKEv2"))
    assert downgrades(pair) == []


@pytest.mark.parametrize(
    "notify",
    [
        Notify(NotifyType.NO_PROPOSAL_CHOSEN),
        Notify(NotifyType.COOKIE, b"a cookie"),
        Notify(NotifyType.INVALID_SYNTAX),
        Notify(NotifyType(8_192)),
    ],
    ids=lambda notify: str(notify.type),
)
def test_any_other_answer_of_ikev2_keeps_from_falling_back(notify: Notify) -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1.0)
    say(pair, answer(pair, notify))
    pair.net.run(200.0)
    assert set(said(pair, pair.a)) == {2}
    assert (versions_of(pair.a), downgrades(pair)) == ([], [])
    assert pair.a.events("ike-failed")


def test_octets_behind_a_header_of_ikev2_that_mean_nothing_do_so_too() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1.0)
    good = answer(pair, Notify(NotifyType.INVALID_MAJOR_VERSION))
    say(pair, good[:28] + b"\xff" * (len(good) - 28))
    pair.net.run(200.0)
    assert (set(said(pair, pair.a)), downgrades(pair)) == ({2}, [])


def test_an_answer_with_the_header_of_ikev1_is_none_of_ikev2() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1.0)
    say(pair, answer(pair, Notify(NotifyType.NO_PROPOSAL_CHOSEN), major=1))
    assert pair.net.run(200.0, until=lambda: agree(pair, "IKEv1"))
    assert downgrades(pair) == [("warning", "b", "IKEv1")]


def test_everything_that_was_asked_for_meanwhile_is_had_by_the_other_version() -> None:
    more = child_of_a("more", local=(NET_A,), remote=(Selector.net("10.9.0.0/16"),))
    pair = pair_of(NEW_OLD, OLD, child_of_a(), more)
    for child in ("net", "more"):
        pair.do(pair.a, pair.a.ike.up(child, pair.net.now))
    assert pair.net.run(200.0, until=lambda: agree(pair, "IKEv1", children=2))
    assert len(downgrades(pair)) == 1


def test_while_it_is_so_calls_begin_with_ikev1_and_after_an_hour_with_ikev2_again() -> None:
    pair = pair_of(NEW_OLD, OLD)
    assert up(pair, "IKEv1", seconds=200.0)

    def again() -> list[int]:
        pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
        pair.net.run(1.0)
        pair.net.sent.clear()
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        pair.net.run(1.0)
        return said(pair, pair.a)[:1]

    assert again() == [1]
    pair.net.run(3_600.0)
    assert again() == [2]
    assert len(downgrades(pair)) == 1


def test_what_goes_by_ikev1_meanwhile_goes_over_when_ikev2_has_an_answer_again_and_loses_nothing() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    deaf_to(pair, 2, pair.b)
    assert up(pair, "IKEv1", seconds=200.0)
    pair.net.run(8_000.0)  # two calls by IKEv2 without an answer, which nobody is told of
    assert agree(pair, "IKEv1")
    assert said(pair, pair.a).count(2) == 3 * 6
    assert (len(downgrades(pair)), pair.a.gave_up, pair.a.events("ike-failed")) == (1, [], [])
    pair.net.hook = lambda datagram: datagram
    pair.net.exchange_packets(pair.a, pair.b, "net", 3.0, pair.net.now + 4_000.0)
    assert pair.net.run(4_000.0, until=lambda: agree(pair, "IKEv2"))
    pair.net.run(100.0)
    assert agree(pair, "IKEv2")
    assert pair.net.lost_packets == []


def test_when_neither_has_an_answer_it_has_failed_and_begins_with_the_first_again() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    pair.net.hook = lambda _: None
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(400.0)
    assert len(pair.a.gave_up) == 1
    assert said(pair, pair.a)[0] == 2
    assert said(pair, pair.a)[-1] == 1
    pair.net.hook = lambda datagram: datagram
    assert up(pair, "IKEv2")


def test_with_ikev1_first_no_answer_leads_to_ikev2_without_a_warning() -> None:
    pair = pair_of(OLD_NEW, NEW)
    assert up(pair, "IKEv2", seconds=300.0)
    assert said(pair, pair.a)[0] == 1
    assert downgrades(pair) == []
    assert pair.a.gave_up == []
