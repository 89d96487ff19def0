"""What quick modes have made, over time: rekeyed from either side and from both, ended, and used up, while packets go
on (RFC 2409 section 5.5, RFC 2407 section 4.5)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from ipsecd import limits
from ipsecd.ike.config import Lifetime
from ipsecd.ike.effects import InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound, Send
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.ike.v1.session import Settings
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link
from tests.exchange.phase_2 import mirrored, terms
from tests.exchange.v1_gateways import Gateway, Gateways, gateways
from tests.exchange.v1_suites import ah, both, esp

SLOW = Link(delay=(0.01, 0.2))
SHORT = Lifetime(600)


def kinds(end: Gateway, since: int) -> list[str]:
    """What was done on the wire and to the data plane, in order."""
    wanted = (Send, InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound)
    return [type(effect).__name__ for effect in end.effects[since:] if isinstance(effect, wanted)]


def exchanges(end: Gateway, since: int) -> list[Exchange]:
    return [ikev1.decode(data).header.exchange for data in end.sent[since:]]


def mute(net: Gateways, *, exchange: Exchange | None = None) -> None:
    """From now on nothing of the initiator's arrives, or nothing of an exchange."""

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        other = exchange is not None and ikev1.decode(data).header.exchange != exchange
        return data if other or not from_initiator else None

    net._alter = alter


# --- one after the other ------------------------------------------------------------------------------------------


def test_who_asked_sends_by_the_new_pair_and_deletes_the_old_one_when_the_peer_does_too() -> None:
    net = gateways().up()
    before = len(net.i.effects), len(net.r.effects)
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 1.0)
    assert kinds(net.i, before[0]) == ["Send", "InstallInbound", "Send", "InstallOutbound", "RemoveOutbound"]
    assert kinds(net.r, before[1]) == ["InstallInbound", "Send", "InstallOutbound", "RemoveOutbound"]
    assert (len(net.i.inbound), len(net.r.inbound)) == (2, 2)
    sent = len(net.i.sent)
    net.traffic(0.1, net.now + 0.5)
    assert exchanges(net.i, sent) == [Exchange.INFORMATIONAL]
    net.run(net.now + limits.OLD_INBOUND_KEPT + 1.0)
    assert net.agree(1)
    assert (net.i.events, net.r.events) == (["established", "up", "rekeyed"],) * 2


def test_without_a_packet_the_old_pair_is_deleted_after_a_while_all_the_same() -> None:
    net = gateways().up()
    net.act(lambda: net.r.all.rekey("c"))
    net.run(net.now + limits.QUICK_REPLACED - 1.0)
    assert (len(net.i.inbound), len(net.r.inbound)) == (2, 2)
    net.run(net.now + limits.OLD_INBOUND_KEPT + 3.0)
    assert net.agree(1)


def test_what_a_peer_replaces_and_never_deletes_is_deleted_by_the_other_side() -> None:
    """As strongSwan does unless it's told otherwise."""
    net = gateways(dpd=1e9).up()
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 1.0)
    mute(net, exchange=Exchange.INFORMATIONAL)
    net.run(net.now + limits.REPLACED_KEPT - 2.0)
    assert len(net.r.inbound) == 2
    sent = len(net.r.sent)
    net.run(net.now + limits.OLD_INBOUND_KEPT + 3.0)
    assert exchanges(net.r, sent) == [Exchange.INFORMATIONAL]
    assert net.agree(1)


@pytest.mark.parametrize("suite", [esp(), ah(), both(ah(), esp())], ids=str)
@pytest.mark.parametrize("side", ["i", "r", "both"])
def test_no_packet_is_lost_whoever_rekeys(suite: ChildSuite, side: str) -> None:
    net = gateways(terms(suite, lifetime=SHORT), link=SLOW, seed=side).up()
    ends = {"i": (net.i,), "r": (net.r,), "both": (net.i, net.r)}[side]
    for _ in range(20):
        for end in ends:
            net.act(partial(end.all.rekey, "c"))
        net.traffic(0.05, net.now + 30.0)
    assert net.lost == []
    assert net.count["a.example"] == net.count["b.example"] >= 20 * 600
    net.run(net.now + limits.REPLACED_KEPT + limits.OLD_INBOUND_KEPT)
    assert net.agree(1)
    assert [end.events.count("rekeyed") for end in (net.i, net.r)] >= [20, 20]


def test_lifetimes_of_their_own_make_both_sides_rekey_and_no_packet_is_lost() -> None:
    """Over a day, with phase 1s of an hour."""
    net = gateways(terms(lifetime=SHORT), seconds=3_600, link=SLOW)
    net.up().traffic(1.0, 86_400.0)
    assert net.lost == []
    assert sum(net.count.values()) > 172_000
    rekeyed = net.i.events.count("rekeyed")
    assert 170 < rekeyed < 290
    assert not [event for event in net.i.events + net.r.events if event.startswith(("down", "failed", "unreached"))]
    assert net.run(net.now + 100.0).agree(1)


def test_replaced_pairs_take_what_is_still_on_its_way() -> None:
    net = gateways(link=Link(delay=(0.01, 4.0))).up()
    for _ in range(5):
        net.act(lambda: net.i.all.rekey("c"))
        net.traffic(0.02, net.now + 40.0)
    assert net.lost == []


# --- both at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_of_two_rekeys_that_cross_one_stays_and_both_sides_know_which(seed: int) -> None:
    net = gateways(seed=seed).up()
    for end in (net.i, net.r):
        net.act(partial(end.all.rekey, "c"))
    net.run(net.now + 1.0)
    (by_i,), (by_r,) = ({out.spi for out in end.outbound.values()} for end in (net.i, net.r))
    assert (by_i in net.r.inbound, by_r in net.i.inbound) == (True, True)
    pairs = [[live for live in end.all.pairs if live.sending] for end in (net.i, net.r)]
    (stays_i,), (stays_r,) = pairs
    assert stays_i.pair.lowest_nonce == stays_r.pair.lowest_nonce  # it's the same
    gone = [live.pair.lowest_nonce for live in net.i.all.pairs[1:] if not live.sending]
    assert gone < [stays_i.pair.lowest_nonce]
    net.traffic(0.1, net.now + 10.0)
    assert (net.lost, net.agree(1)) == ([], True)


@pytest.mark.parametrize("seed", range(12))
def test_a_side_that_does_not_see_two_rekeys_cross_follows_the_one_that_does(seed: int) -> None:
    """The initiator's offer is late, so the responder takes it for a rekey of what it has just made; and it never hears
    which of them the initiator has deleted."""
    net = gateways(seed=seed, dpd=1e9).up()
    lost: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        late = quick(data) and not lost
        told = ikev1.decode(data).header.exchange == Exchange.INFORMATIONAL
        if from_initiator and (late or told):
            lost.append(data)
            return None
        return data

    net._alter = alter
    for end in (net.i, net.r):
        net.act(partial(end.all.rekey, "c"))
    net.traffic(0.1, net.now + 60.0)
    assert net.lost == []
    (by_i,), (by_r,) = ({out.spi for out in end.outbound.values()} for end in (net.i, net.r))
    assert (by_i in net.r.inbound, by_r in net.i.inbound) == (True, True)
    net.traffic(1.0, net.now + limits.REPLACED_KEPT + 10.0)
    assert (net.lost, net.agree(1)) == ([], True)


def test_both_sides_may_want_the_first_pair_at_once() -> None:
    for seed in range(10):
        net = gateways(seed=seed, link=SLOW)
        net.want(net.i)
        net.want(net.r).run(5.0)
        net.traffic(0.1, 60.0)
        assert net.lost == []
        assert net.run(200.0).agree(1)


def test_who_is_asked_to_rekey_doesn_t_ask_itself() -> None:
    net = gateways().up()
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 0.011)  # the offer is there, and answered
    sent = len(net.r.sent)
    net.act(lambda: net.r.all.rekey("c"))
    assert exchanges(net.r, sent) == []
    net.traffic(0.1, net.now + 10.0)
    assert net.agree(1)
    assert (net.r.events.count("rekeyed"), net.lost) == (1, [])


# --- when it doesn't go well --------------------------------------------------------------------------------------


def test_a_rekey_that_comes_to_nothing_is_tried_again_until_it_works() -> None:
    net = gateways(terms(lifetime=Lifetime(3_600))).up()
    (session,) = net.r.all._sessions
    session.reconfigure(Settings((replace(mirrored(terms()), suites=(ah(),)),)))
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 120.0)
    failed = [event for event in net.i.events if event.startswith("failed")]
    assert failed[0] == "failed: the peer says NO_PROPOSAL_CHOSEN"
    assert 4 <= len(failed) <= 10
    net.act(lambda: net.r.all.reconfigure(Settings((mirrored(terms()),))))
    net.traffic(1.0, net.now + 120.0)
    assert net.i.events[-1] == "rekeyed"
    assert (net.lost, net.agree(1)) == ([], True)


def test_what_the_policy_does_not_have_any_more_ends_and_the_peer_is_told() -> None:
    net = gateways(terms(lifetime=Lifetime(300))).up()
    net.act(lambda: net.i.all.reconfigure(Settings(())))
    assert net.i.events[-1] == "down: the policy has changed"
    net.run(net.now + 1.0)
    assert net.r.events[-1] == "down: the peer has ended it"
    assert net.agree(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"suites": (ah(),)},
        {"remote": (Selector.net("10.2.0.0/25"),)},
        {"local": (Selector.net("10.9.0.0/24"),)},
    ],
)
def test_what_the_policy_has_otherwise_ends_too(changes: dict[str, object]) -> None:
    net = gateways(terms(lifetime=Lifetime(300))).up()
    (before,) = net.i.settings.terms
    wider = replace(before, suites=(ah(), *before.suites), remote=(Selector.net("10.2.0.0/23"),), lifetime=Lifetime(99))
    net.act(lambda: net.i.all.reconfigure(Settings((wider,))))
    assert net.agree(1)
    net.act(lambda: net.i.all.reconfigure(Settings((replace(wider, **changes),))))  # type: ignore[arg-type]  # its fields
    assert net.i.events[-1] == "down: the policy has changed"
    net.run(net.now + 1.0)
    assert net.agree(0)


def test_a_pair_that_is_not_rekeyed_in_time_ends_at_its_hard_limit() -> None:
    net = gateways(terms(lifetime=Lifetime(300))).up(5.0)
    mute(net, exchange=Exchange.QUICK)
    net._alter, alter = (lambda i, data: alter(i, data) if i else None if quick(data) else data), net._alter
    net.run(299.0)
    assert net.agree(1)
    net.run(302.0)
    assert "down: its lifetime is over" in net.i.events
    assert [sum(event.startswith("down") for event in end.events) for end in (net.i, net.r)] == [1, 1]
    assert net.agree(0)


def quick(data: bytes) -> bool:
    return ikev1.decode(data).header.exchange == Exchange.QUICK


def test_a_successor_that_ends_gives_back_the_traffic_and_another_is_made() -> None:
    net = gateways().up()
    (old,) = net.i.all.pairs
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 1.0)
    new = net.i.all.pairs[-1]
    net.act(lambda: net.r.all.lost((net.r.all.pairs[-1].pair.spi,), "it couldn't be installed"))
    net.run(net.now + 0.5)
    assert (old.sending, new.sending) == (True, False)
    assert (len(net.i.outbound), len(net.r.outbound)) == (1, 1)
    net.traffic(0.1, net.now + 10.0)
    assert net.lost == []
    net.traffic(1.0, net.now + 120.0)
    assert (net.lost, net.agree(1)) == ([], True)
    assert net.i.all.pairs[0] is not old


def test_the_third_message_is_not_waited_for_when_packets_come() -> None:
    """Its SAs are in use before it comes: whoever sends by them has our answer, and the keys."""
    net = gateways()
    quick: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if from_initiator and ikev1.decode(data).header.exchange == Exchange.QUICK:
            quick.append(data)
            return data if data == quick[0] else None
        return data

    net._alter = alter
    net.want().run(1.0)
    assert (len(net.i.outbound), len(net.r.outbound), net.r.events) == (1, 0, ["established"])
    net.traffic(0.1, 1.2)
    assert (len(net.r.outbound), net.r.events) == (1, ["established", "up"])
    net.lost.clear()
    assert net.run(200.0).agree(1)
    assert net.r.core.counters["message-id-replayed"] == 0


def test_without_the_third_message_and_without_packets_nothing_is_sent_by_what_is_made() -> None:
    net = gateways()
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if from_initiator and ikev1.decode(data).header.exchange == Exchange.QUICK:
            seen.append(data)
            return data if data == seen[0] else None
        return data

    net._alter = alter
    net.want().run(200.0)
    assert not [effect for effect in net.r.effects if isinstance(effect, InstallOutbound)]
    assert net.r.events == ["established", "failed: the initiator didn't go on"]
    # which the initiator is told, as it has the pair and would send by it
    assert net.i.events == ["established", "up", "down: the peer has ended it"]
    assert net.agree(0)
    assert net.i.core.promised == net.r.core.promised == set()


# --- what makes one due -------------------------------------------------------------------------------------------


def test_limits_that_packets_reach_count_as_well_as_those_of_time() -> None:
    of_i = terms(lifetime=Lifetime(None, 100 << 20))
    net = gateways(of_i).up()
    (installed,) = net.i.inbound.values()
    assert (installed.hard.octets, installed.hard.seconds) == (100 << 20, None)
    assert installed.soft.octets is not None
    assert 70 << 20 < installed.soft.octets < 90 << 20
    assert next(iter(net.r.inbound.values())).hard.octets == 100 << 20  # both sides know it
    net.act(lambda: net.r.all.soft_expired(tuple(net.r.inbound)))
    net.traffic(0.1, net.now + 10.0)
    assert (net.lost, net.agree(1), net.r.events[-1]) == ([], True, "rekeyed")
    net.act(lambda: net.r.all.hard_expired(tuple(net.r.inbound)))
    net.run(net.now + 1.0)
    assert net.agree(0)
    assert (net.r.events[-1], net.i.events[-1]) == ("down: its lifetime is over", "down: the peer has ended it")


def test_the_shorter_lifetime_counts_on_both_sides() -> None:
    """RESPONDER-LIFETIME."""
    of_i = terms(lifetime=Lifetime(7_200))
    net = Gateways(Settings((of_i,)), Settings((replace(mirrored(of_i), lifetime=Lifetime(600)),))).up()
    assert {each.hard.seconds for end in (net.i, net.r) for each in end.inbound.values()} == {600}
    net.traffic(1.0, 3_600.0)
    assert net.lost == []
    assert 6 <= net.i.events.count("rekeyed") <= 12


@pytest.mark.parametrize("used", [False, True])
def test_what_nobody_uses_ends(used: bool) -> None:
    net = gateways(terms(lifetime=Lifetime(28_800))).up()
    of_us = replace(terms(lifetime=Lifetime(28_800)), idle=300.0)
    net = Gateways(Settings((of_us,)), Settings((mirrored(terms()),))).up()
    if used:
        net.traffic(10.0, 1_000.0)
        net.i.core.now = net.now
        assert net.agree(1)
        at = net.now
        for _ in range(3):  # packets that go out are use too
            net.run(net.now + 250.0)
            net.now = at = at + 250.0
            net.act(lambda: net.i.all.used(tuple(net.i.inbound)))
        assert net.agree(1)
    net.run(net.now + 310.0)
    assert (net.i.events[-1], net.r.events[-1]) == ("down: nothing went by it", "down: the peer has ended it")
    assert net.agree(0)


# --- several ------------------------------------------------------------------------------------------------------


def test_many_children_come_up_and_are_rekeyed_at_once() -> None:
    each = [
        terms(child=f"c{n}", local=Selector.net(f"10.1.{n}.0/24"), remote=Selector.net(f"10.2.{n}.0/24"))
        for n in range(20)
    ]
    net = Gateways(Settings(tuple(each)), Settings(tuple(map(mirrored, each))), link=SLOW)
    net.want().run(10.0)
    assert net.agree(20)
    assert len(net.i.calls) == 1
    for n in range(20):
        net.act(partial((net.i if n % 2 else net.r).all.rekey, f"c{n}"))
    net.run(net.now + 200.0)
    assert net.agree(20)
    assert net.i.events.count("rekeyed") == net.r.events.count("rekeyed") == 20


def test_one_child_is_put_down_and_the_others_stay() -> None:
    each = [terms(child=f"c{n}", local=Selector.net(f"10.1.{n}.0/24")) for n in range(3)]
    net = Gateways(Settings(tuple(each)), Settings(tuple(map(mirrored, each))))
    net.want().run(10.0)
    net.act(lambda: net.i.all.put_down("c1", "put down by command"))
    net.run(net.now + 1.0)
    assert net.agree(2)
    assert (net.i.events[-1], net.r.events[-1]) == ("down: put down by command", "down: the peer has ended it")


def test_what_is_wanted_twice_is_made_once_and_what_the_peer_makes_is_not_asked_for() -> None:
    net = gateways()
    net.want()
    net.want().run(1.0)
    net.want().run(2.0)
    assert (net.agree(1), net.i.events) == (True, ["established", "up"])
    mute(net)
    net.act(lambda: net.i.all.put_down("c", "put down"))
    net.act(lambda: net.r.all.put_down("c", "put down"))
    net.want()
    net._alter = lambda _, data: data
    net.run(net.now + 2.5)
    net.want(net.r).run(net.now + 20.0)
    assert net.agree(1)


def test_what_is_wanted_while_the_peer_makes_it_is_asked_for_when_that_comes_to_nothing() -> None:
    net = gateways(dpd=1e9)
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        """The last message of the initiator's quick mode never arrives."""
        if from_initiator and quick(data) and net.now < 100.0:
            seen.append(data)
            return data if data == seen[0] else None
        return data

    net._alter = alter
    net.want(net.i).run(1.0)
    sent = len(net.r.sent)
    net.want(net.r)
    assert len(net.r.sent) == sent
    net.run(120.0)
    assert net.r.events == ["established", "failed: the initiator didn't go on", "up"]
    assert net.agree(1)


def test_ends_that_a_policy_has_no_name_for_are_kept_apart() -> None:
    """Two kinds of traffic of one child are rekeyed apart."""
    whole = terms(local=Selector.net("10.1.0.0/16"), remote=Selector.net("10.2.0.0/16"))
    net = Gateways(Settings((whole,)), Settings((mirrored(whole),)))
    for n in (1, 2):
        ends = Ends(Selector.net(f"10.1.{n}.0/24"), Selector.net(f"10.2.{n}.0/24"))
        net.act(partial(net.i.all.want, whole, ends))
    net.run(5.0)
    assert net.agree(2)
    net.act(lambda: net.i.all.rekey("c"))
    net.run(net.now + 100.0)
    assert net.agree(2)
    assert {str(each.local[0]) for each in net.i.inbound.values()} == {"10.1.1.0/24", "10.1.2.0/24"}
