"""An ordered list of pre-shared keys: the responder takes any of them, the initiator tries one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.errors import Refused
from ipsecd.ike import dispatch
from ipsecd.ike.config import IkeConfig, SharedKey
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import KEY, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link
from tests.exchange.transcript import Tap

NEW, NEWER, NEWEST = (SharedKey(name, Secret(f"the {name} key of this site".encode())) for name in ("n1", "n2", "n3"))
REFUSED = "the peer refuses our identity or our credential (AUTHENTICATION_FAILED)"


def with_keys(*keys: SharedKey, start: bool = False) -> Pair:
    """Gateway a has these keys, gateway b the one of old."""
    return Pair(of_a=peer_b(child_of_a(start=start), shared_keys=keys))


def calls(pair: Pair) -> int:
    return len(pair.a.events("ike-calling"))


def test_a_key_that_is_refused_is_followed_by_the_next() -> None:
    pair = with_keys(NEW, NEWER, KEY)
    tap = Tap(pair.net)
    assert pair.up(seconds=60)
    assert [line for line in tap.lines() if "IKE_AUTH" in line] == [
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {N(AUTHENTICATION_FAILED)}",
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {N(AUTHENTICATION_FAILED)}",
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
    ]
    told = [(report.fields["credential"], report.fields["next"]) for report in pair.a.events("credential-refused")]
    assert told == [("n1", "n2"), ("n2", "site")]
    assert not pair.a.events("auth-failed")
    assert not pair.a.gave_up


def test_the_key_that_was_taken_is_tried_first_from_then_on() -> None:
    pair = with_keys(NEW, KEY)
    assert pair.up(seconds=60)
    for _ in range(3):
        pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
        pair.net.run(1)
        before = calls(pair)
        assert pair.up(seconds=60)
        assert calls(pair) == before + 1
        assert len(pair.a.events("credential-refused")) == 1


def test_a_peer_that_has_gone_over_to_another_key_of_the_list_is_found_again() -> None:
    pair = with_keys(NEW, NEWER, KEY)
    assert pair.up(seconds=60)
    pair.do(pair.b, pair.b.ike.reconfigure(IkeConfig((peer_a(shared_keys=(NEWER,)),)), pair.net.now))
    pair.net.run(1)
    assert not pair.a.inbound
    assert pair.up(seconds=60)
    told = [(report.fields["credential"], report.fields["next"]) for report in pair.a.events("credential-refused")]
    assert told[2:] == [("site", "n1"), ("n1", "n2")]


def test_each_key_is_tried_once_and_then_the_attempt_has_failed() -> None:
    pair = with_keys(NEW, NEWER, NEWEST)
    assert not pair.up(seconds=100)
    assert calls(pair) == 3
    (report,) = pair.a.events("auth-failed")
    assert (report.fields["reason"], report.fields["point"]) == (REFUSED, "peer")
    assert [told.reason for told in pair.a.gave_up] == [REFUSED]
    assert not pair.a.ike.status()
    # the next attempt begins with the first again
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    pair.net.run(10)
    assert calls(pair) == 6
    assert [report.fields["credential"] for report in pair.a.events("credential-refused")] == ["n1", "n2", "n1", "n2"]


def test_what_is_to_be_up_goes_on_with_back_off_between_rounds() -> None:
    pair = with_keys(NEW, NEWER, start=True)
    pair.net.start()
    pair.net.run(600)
    rounds = len(pair.a.gave_up)
    assert 8 <= rounds <= 22
    assert 2 * rounds <= calls(pair) <= 2 * (rounds + 1)


def test_a_single_key_that_is_refused_is_tried_once() -> None:
    pair = with_keys(NEW)
    assert not pair.up(seconds=100)
    assert calls(pair) == 1
    assert not pair.a.events("credential-refused")


def test_no_other_refusal_makes_it_try_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sa: IkeSa, *more: object) -> NoReturn:
        raise Refused("no-proposal-chosen", notify=NotifyType.FAILED_CP_REQUIRED)

    monkeypatch.setattr(dispatch, "_row", refuse)
    pair = with_keys(NEW, KEY)
    assert not pair.up(seconds=100)
    assert calls(pair) == 1
    assert pair.a.gave_up[0].reason == "the peer insists on handing out an internal address (FAILED_CP_REQUIRED)"


def test_no_other_failure_makes_it_try_another_key() -> None:
    pair = with_keys(KEY, NEW)
    child = replace(mirrored(child_of_a()), local=(Selector.net("10.9.0.0/16"),))
    pair.do(pair.b, pair.b.ike.reconfigure(IkeConfig((peer_a(child),)), pair.net.now))
    assert not pair.up(seconds=60)  # TS_UNACCEPTABLE: the IKE SA stands
    assert pair.a.established == pair.b.established != []
    assert calls(pair) == 1
    silent = with_keys(KEY, NEW)
    silent.net.link = Link(loss=1.0)
    assert not silent.up(seconds=100)
    assert calls(silent) == 1


def test_what_waits_for_the_ike_sa_comes_up_with_the_key_that_is_taken() -> None:
    children = child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),))
    pair = Pair(of_a=peer_b(*children, shared_keys=(NEW, KEY)), of_b=peer_a(*map(mirrored, children)))
    for child in ("net", "more"):
        pair.do(pair.a, pair.a.ike.up(child, pair.net.now))
    assert pair.net.run(5, until=lambda: pair.agree(2))
    assert calls(pair) == 2
    assert not pair.a.gave_up


@pytest.mark.parametrize("moment", [0.025, 0.035])
@pytest.mark.parametrize("what", ["down", "removed"])
def test_nobody_is_called_again_for_what_is_not_wanted_any_more(what: str, moment: float) -> None:
    pair = with_keys(NEW, KEY, start=True)
    pair.net.start()
    pair.net.run(moment)
    if what == "down":
        pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    else:
        other = child_of_a("more")
        pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((peer_b(other, shared_keys=(NEW, KEY)),)), pair.net.now))
    pair.net.run(100)
    assert not pair.a.established
    assert not pair.a.inbound
    assert calls(pair) == 1


def test_a_changed_list_is_tried_from_its_beginning() -> None:
    pair = with_keys(NEW, KEY)
    assert pair.up(seconds=60)
    changed = peer_b(shared_keys=(NEWER, KEY))
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((changed,)), pair.net.now))
    pair.net.run(1)
    assert pair.up(seconds=60)
    assert [report.fields["credential"] for report in pair.a.events("credential-refused")] == ["n1", "n2"]


def test_nothing_is_remembered_of_peers_that_are_gone() -> None:
    pair = with_keys(NEW, KEY)
    assert pair.up(seconds=60)
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig(), pair.net.now))
    assert pair.a.ike._core.own_keys._tried == {}
