"""Whoever has ever authenticated by IKEv2 has nothing by IKEv1 any more, whoever calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import Version
from ipsecd.ike.effects import SpeaksV2
from ipsecd.wire.identity import Identity
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import IKE_CLASSIC, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Link, Node
from tests.exchange.two_versions import NEW_OLD, OLD, OLD_NEW, agree, deaf_to, pair_of, said, up, versions_of


def told(node: Node) -> list[str]:
    return [effect.identity for effect in node.effects if isinstance(effect, SpeaksV2)]


def test_both_are_told_once_who_it_is() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    for _ in range(2):
        assert up(pair, "IKEv2")
        pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
        pair.net.run(60.0)
    assert (told(pair.a), told(pair.b)) == (["b.example"], ["a.example"])


def test_of_whom_it_is_known_already_it_is_no_news() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD, spoken=("a.example", "B.EXAMPLE"))
    assert up(pair, "IKEv2")
    assert (told(pair.a), told(pair.b)) == ([], [])


def test_nobody_is_told_by_ikev1() -> None:
    pair = pair_of(OLD, OLD)
    assert up(pair, "IKEv1")
    assert (told(pair.a), told(pair.b)) == ([], [])


@pytest.mark.parametrize("of_a", [NEW_OLD, OLD_NEW], ids=str)
def test_it_is_never_called_by_ikev1(of_a: tuple[Version, ...]) -> None:
    pair = pair_of(of_a, NEW_OLD, spoken=("b.example",))
    deaf_to(pair, 2, pair.b)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(400.0)
    assert set(said(pair, pair.a)) == {2}
    assert pair.a.events("ike-downgraded") == []
    assert pair.a.events("ike-failed")


def test_nor_after_it_was_met_by_ikev2_here() -> None:
    pair = pair_of(NEW_OLD, NEW_OLD)
    assert up(pair, "IKEv2")
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.run(60.0)
    pair.net.sent.clear()
    deaf_to(pair, 2, pair.b)
    assert not up(pair, "IKEv1", seconds=400.0)
    assert set(said(pair, pair.a)) == {2}


def test_where_the_policy_has_nothing_else_it_is_said_why_and_what_to_do() -> None:
    pair = pair_of(OLD, OLD, spoken=("b.example",))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(100.0)
    assert said(pair, pair.a) == []
    (failed,) = pair.a.events("child-failed")
    assert str(failed.fields["reason"]).startswith("b.example has authenticated by IKEv2 before")
    assert "forgotten" in str(failed.fields["reason"])


def test_its_calls_by_ikev1_are_not_answered_and_it_is_said_why() -> None:
    pair = pair_of(OLD, NEW_OLD, spoken=("a.example",))
    assert not up(pair, "IKEv1", seconds=200.0)
    assert (versions_of(pair.b), pair.b.inbound) == ([], {})
    refused = [each for each in pair.b.reports if "has authenticated by IKEv2 before" in str(each.fields.get("reason"))]
    assert len(refused) == 1


def test_among_rules_for_many_places_it_fails_and_the_reason_says_so_too() -> None:
    ours = peer_b(versions=OLD, proposals=(IKE_CLASSIC,))
    its = peer_a(remotes=(), versions=NEW_OLD, proposals=(IKE_CLASSIC,))
    child = mirrored(child_of_a("other", remote=(Selector.net("10.7.0.0/16"),)))
    another = replace(its, name="other", remote_id=Identity.parse("other.example"), children=(child,))
    pair = Pair(of_a=ours, of_b=(its, another), spoken=("a.example",))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(100.0)
    assert (versions_of(pair.b), pair.b.inbound) == ([], {})
    (failed,) = pair.b.events("auth-failed")
    assert "a.example has authenticated by IKEv2 before" in str(failed.fields["reason"])


def test_others_are_answered_as_before() -> None:
    pair = pair_of(OLD, NEW_OLD, spoken=("somebody.example",))
    assert up(pair, "IKEv1")


# --- both at once -------------------------------------------------------------------------------------------------


def at_once(pair: Pair) -> None:
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.up("net", pair.net.now))


@pytest.mark.parametrize("seed", range(5))
def test_of_calls_by_different_versions_at_once_ikev2_stays_and_peace_follows(seed: int) -> None:
    pair = pair_of(NEW_OLD, OLD_NEW, seed=seed)
    at_once(pair)
    pair.net.run(60.0)
    assert agree(pair, "IKEv2")
    for node in (pair.a, pair.b):
        node.reports.clear()
    pair.net.run(300.0)
    assert agree(pair, "IKEv2")
    assert (pair.a.reports, pair.b.reports) == ([], [])


def test_what_came_through_by_ikev1_before_goes_over() -> None:
    pair = pair_of(NEW_OLD, OLD_NEW)
    deaf_to(pair, 2, pair.b)
    at_once(pair)
    assert pair.net.run(10.0, until=lambda: len(pair.a.inbound) == 1)
    assert versions_of(pair.b) == ["IKEv1"]
    pair.net.hook = lambda datagram: datagram
    pair.net.run(90.0)
    assert agree(pair, "IKEv2")


@pytest.mark.parametrize("of_b", [NEW_OLD, OLD_NEW], ids=str)
@pytest.mark.parametrize("of_a", [NEW_OLD, OLD_NEW], ids=str)
def test_on_a_bad_network_both_settle_on_one_version_whatever_comes_through_first(
    of_a: tuple[Version, ...], of_b: tuple[Version, ...]
) -> None:
    for seed in range(60):
        link = Link(loss=0.2, duplication=0.1, delay=(0.01, (0.01, 0.5, 1.5)[seed % 3]))
        pair = pair_of(of_a, of_b, child_of_a(start=True), seed=f"{of_a} {of_b} {seed}", link=link)
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        pair.net.run(seed % 7 * 0.1)
        pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
        pair.net.run(300.0)
        pair.net.link.loss = 0.0
        pair.net.run(300.0)
        (version,) = set(versions_of(pair.a) + versions_of(pair.b))
        assert pair.a.outbound, seed
        assert version == "IKEv1" or agree(pair, "IKEv2"), (
            seed
        )  # with deletes lost, ends of IKEv1 may differ for a while
