"""Who is silent, or has been heard, where a rule may fall back to clear: by IKEv1, and by two versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import IkeConfig, Version
from ipsecd.ike.effects import Heard, Silent
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import IKE_CLASSIC, IP_B, A, B, Pair, child_of_a, peer_b
from tests.exchange.network import Datagram, endpoint
from tests.exchange.two_versions import NEW_OLD, OLD, OLD_NEW, agree, pair_of, said

NET_C = Selector.net("10.8.0.0/16")


def told(pair: Pair) -> list[object]:
    return [effect for effect in pair.a.effects if isinstance(effect, Silent | Heard)]


def wants(pair: Pair) -> None:
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))


def test_whoever_says_nothing_by_ikev1_is_silent_after_as_long_as_by_ikev2() -> None:
    pair = pair_of(OLD, OLD, child_of_a(fallback=3.0))
    pair.net.hook = lambda _: None
    wants(pair)
    pair.net.run(2.9)
    assert told(pair) == []
    pair.net.run(0.2)
    assert told(pair) == [Silent("net", IP_B)]


def test_a_packet_that_comes_later_has_its_answer_too() -> None:
    pair = pair_of(OLD, OLD, child_of_a(fallback=3.0))
    pair.net.hook = lambda _: None
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(10.0)
    assert told(pair) == []
    wants(pair)
    pair.net.run(0.1)
    assert told(pair) == [Silent("net", IP_B)]


def test_whoever_has_answered_by_ikev1_is_heard_and_told_again_after_a_reload() -> None:
    pair = pair_of(OLD, OLD, child_of_a(fallback=3.0))
    wants(pair)
    assert pair.net.run(10.0, until=lambda: agree(pair, "IKEv1"))
    pair.net.run(10.0)
    assert told(pair) == [Heard((IP_B,))]
    again = IkeConfig((peer_b(child_of_a(fallback=4.0), versions=OLD, proposals=(IKE_CLASSIC,)),))
    pair.do(pair.a, pair.a.ike.reconfigure(again, pair.net.now))
    assert told(pair) == [Heard((IP_B,))] * 2


def test_any_datagram_with_the_cookie_of_our_call_is_a_word_of_the_peer() -> None:
    pair = pair_of(OLD, OLD, child_of_a(fallback=3.0))
    pair.net.hook = lambda _: None
    wants(pair)
    cookie = pair.net.sent[-1][1].data[:8]
    pair.net.inject(Datagram(cookie + b"whatever", endpoint(B), endpoint(A), natt=False))
    pair.net.run(5.0)
    assert told(pair) == [Heard((IP_B,)), Silent("net", IP_B, heard=True)]


@pytest.mark.parametrize(("versions", "last"), [(NEW_OLD, 1), (OLD_NEW, 2)], ids=str)
def test_with_two_versions_the_time_begins_with_the_call_by_the_last_one(
    versions: tuple[Version, ...], last: int
) -> None:
    pair = pair_of(versions, NEW_OLD, child_of_a(fallback=3.0))
    pair.net.hook = lambda _: None
    wants(pair)
    assert pair.net.run(200.0, until=lambda: last in said(pair, pair.a))
    assert pair.net.now > 1_060.0
    assert told(pair) == []
    pair.net.run(2.9)
    assert told(pair) == []
    pair.net.run(0.2)
    assert told(pair) == [Silent("net", IP_B)]


def test_where_ikev2_was_proved_it_is_the_last() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD, child_of_a(fallback=3.0), spoken=("b.example",))
    pair.net.hook = lambda _: None
    wants(pair)
    pair.net.run(3.1)
    assert told(pair) == [Silent("net", IP_B)]


def test_of_rules_that_share_a_peer_each_has_the_versions_that_it_has() -> None:
    """The call by IKEv1 is the last for the one alone."""
    pair = pair_of(OLD, OLD)
    (alone,) = pair.a.ike._core.config.peers
    both = replace(alone, name="both", versions=OLD_NEW, children=(child_of_a("other", fallback=3.0, local=(NET_C,)),))
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((alone, both)), pair.net.now))
    pair.net.hook = lambda _: None
    wants(pair)
    pair.do(pair.a, pair.a.ike.acquire("other", None, pair.net.now))
    pair.net.run(60.0)
    assert (said(pair, pair.a)[-1], told(pair)) == (1, [])
