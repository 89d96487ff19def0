"""ISAKMP SAs over time: renewed before they end, without anything of what they have made; limits of what one makes; and
what becomes of SAs whose ISAKMP SA is gone ([MS-IKEE] section 3.8.7.2, RFC 3706)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from ipsecd import limits
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1.session import Settings
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link
from tests.exchange.phase_1 import suite
from tests.exchange.phase_2 import mirrored, terms
from tests.exchange.v1_gateways import Gateway, Gateways, gateways

DAY = terms(lifetime=Lifetime(86_400))
SLOW = Link(delay=(0.01, 0.2))


def silence(net: Gateways, *, initiator: bool = True, responder: bool = True) -> None:
    """From now on nothing arrives of what these say."""
    net._alter = lambda from_i, data: None if (initiator if from_i else responder) else data


def main_modes(end: Gateway) -> int:
    """First messages of its own."""
    return len({data for data in end.sent if ikev1.decode(data).header.cookie_r == ikev1.NO_COOKIE})


def quick_modes(net: Gateways) -> int:
    found = [ikev1.decode(data).header for data in (*net.i.sent, *net.r.sent)]
    return len({header.message_id for header in found if header.exchange == Exchange.QUICK})


# --- renewal ------------------------------------------------------------------------------------------------------


def test_an_isakmp_sa_is_made_anew_before_it_ends_and_what_it_has_made_stays() -> None:
    net = gateways(DAY, seconds=3_600).up()
    net.traffic(1.0, 3_500.0)
    assert [len(end.all.isakmp_sas) for end in (net.i, net.r)] == [1, 1]
    assert (main_modes(net.i) + main_modes(net.r), net.lost) == (2, [])
    assert net.i.events.count("established") == net.r.events.count("established") == 2
    reasons = {event for event in net.i.events + net.r.events if event.startswith("ended")}
    assert reasons == {"ended: another has taken its place", "ended: the peer has ended the ISAKMP SA"}
    assert (quick_modes(net), net.agree(1)) == (1, True)
    before = net.i.sent[-1]
    net.act(lambda: net.i.all.put_down("c", "put down"))  # by the new one
    assert net.i.sent[-1] != before
    assert ikev1.decode(net.i.sent[-1]).header.belongs_to(net.i.all.isakmp_sas[-1].cookies)
    assert net.run(net.now + 1.0).agree(0)


@pytest.mark.parametrize("seed", range(3))
def test_over_days_both_sides_renew_and_rekey_and_never_lose_a_packet(seed: int) -> None:
    net = gateways(terms(lifetime=Lifetime(1_800)), seconds=3_600, link=SLOW, seed=seed).up()
    net.traffic(20.0, 2 * 86_400.0)
    assert net.lost == []
    established = net.i.events.count("established")
    assert 55 < established == net.r.events.count("established") < 65
    assert net.i.events.count("rekeyed") > 95
    assert not [each for each in net.i.events + net.r.events if each.startswith(("failed", "down", "unreached"))]
    assert [len(end.all.isakmp_sas) <= 2 for end in (net.i, net.r)] == [True, True]
    assert net.settles(1)
    assert len(net.i.core.promised) < 20


# --- by what is encrypted ----------------------------------------------------------------------------------------


def encrypted(net: Gateways) -> int:
    """Behind phase 1, by what was sent."""
    messages = [ikev1.decode(data) for data in (*net.i.sent, *net.r.sent)]
    return sum(len(message.sealed) for message in messages if message.header.message_id)


def test_both_sides_count_what_both_encrypt() -> None:
    net = gateways(DAY, dpd=20.0).up(5.0)
    net.run(600.0)
    assert encrypted(net) > 2_000
    assert [end.all.isakmp_sas[0].encrypted for end in (net.i, net.r)] == [encrypted(net)] * 2
    net.give(to_responder=True, data=net.i.sent[-1])  # again
    net.give(to_responder=True, data=net.i.sent[-1][:20] + b"new!" + net.i.sent[-1][24:])
    assert net.r.all.isakmp_sas[0].encrypted == encrypted(net)


@pytest.mark.parametrize("sides", ["both", "i", "r"])
def test_an_isakmp_sa_is_made_anew_before_it_has_encrypted_all_that_it_may(sides: str) -> None:
    net = gateways(DAY, seconds=86_400, dpd=20.0)
    for name, end in (("i", net.i), ("r", net.r)):
        end.octets = 8_192 if sides in (name, "both") else None
    most: dict[bytes, int] = {}
    net.up()
    for _ in range(200):
        net.traffic(5.0, net.now + 10.0).run(net.now + 40.0)
        for sa in net.i.all.isakmp_sas:
            most[sa.spi] = sa.encrypted
    assert len(most) >= 2
    assert all(5_000 < count < 8_192 for count in list(most.values())[:-1])
    assert net.lost == []
    assert "ended: its lifetime is over" not in net.i.events + net.r.events
    assert len(net.i.all.isakmp_sas) == 1


def test_it_ends_when_it_has_encrypted_all_that_it_may() -> None:
    net = gateways(DAY, seconds=86_400, dpd=20.0, octets=4_096).up(5.0)
    net._alter = lambda _, data: None if ikev1.decode(data).header.exchange == Exchange.MAIN else data
    while net.i.all.isakmp_sas:
        net.run(net.now + 10.0)
    assert "ended: its lifetime is over" in net.i.events + net.r.events
    assert 4_096 <= encrypted(net) < 4_096 + 500
    net._alter = lambda _, data: data
    net.run(net.now + 200.0)
    assert net.agree(1)
    assert len(net.i.all.isakmp_sas) == 1


def test_both_sides_may_renew_at_once() -> None:
    for seed in range(10):
        net = gateways(DAY, seed=seed, link=SLOW).up()
        for end in (net.i, net.r):
            net.act(end.all.renew)
        net.traffic(0.1, net.now + 30.0)
        sas = [{sa.cookies for sa in end.all.isakmp_sas} for end in (net.i, net.r)]
        assert sas[0] == sas[1]
        assert len(sas[0]) in (1, 2)
        for end in (net.i, net.r):
            net.act(partial(end.all.rekey, "c"))
        net.traffic(0.1, net.now + 30.0)
        assert (net.lost, net.agree(1)) == ([], True)
        # neither ends what the other one may hold for the newer
        assert net.i.events.count("established") == net.r.events.count("established") <= 3


def test_an_isakmp_sa_that_is_replaced_stays_until_its_quick_modes_are_through_on_both_sides() -> None:
    net = gateways(DAY, dpd=1e9).up(5.0)
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        """The last message of the initiator's quick mode is lost for long."""
        if from_initiator and ikev1.decode(data).header.exchange == Exchange.QUICK and net.now < 25.0:
            seen.append(data)
            return data if data == seen[0] else None
        return data

    net._alter = alter
    net.act(lambda: net.i.all.rekey("c"))
    net.act(net.i.all.renew)
    net.run(24.0)
    assert (net.i.events.count("rekeyed"), net.r.events.count("rekeyed")) == (1, 0)
    net.run(60.0)
    assert net.r.events.count("rekeyed") == 1
    assert not [event for event in net.r.events if event.startswith("failed")]
    net.run(400.0)
    assert [len(end.all.isakmp_sas) for end in (net.i, net.r)] == [1, 1]
    assert net.agree(1)


def test_what_ends_with_its_isakmp_sa_on_one_side_alone_is_told_by_the_next_one() -> None:
    net = gateways(DAY, dpd=1e9).up(5.0)
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        """The last message of the initiator's quick mode never arrives."""
        if from_initiator and ikev1.decode(data).header.exchange == Exchange.QUICK:
            seen.append(data)
            return data if data == seen[0] else None
        return data

    net._alter = alter
    net.act(lambda: net.i.all.rekey("c"))
    net.act(net.i.all.renew)
    net.run(7.0)
    old, _ = net.i.all._sessions
    net.act(lambda: old.end("as it pleases"))
    net.run(8.0)
    assert net.r.events[-1] == "ended: the peer has ended the ISAKMP SA"
    assert {spi for spi, _ in net.i.outbound} == set(net.r.inbound)  # what was before the rekey
    net.traffic(0.1, 20.0)
    assert net.lost == []


def test_who_can_not_call_waits_for_the_peer_and_ends_it_at_its_limit() -> None:
    net = gateways(DAY, seconds=600, calls=False).up()
    net.i.all._calls._caller = None  # nor does the other side
    net.traffic(1.0, 700.0)
    assert "ended: its lifetime is over" in net.i.events + net.r.events
    assert [end.all.isakmp_sas for end in (net.i, net.r)] == [(), ()]
    assert (net.lost, net.agree(1)) == ([], True)  # what it has made stays
    net.act(lambda: net.r.all.rekey("c"))
    assert net.r.events[-1] == "failed: the peer has to call us"


def test_a_renewal_that_nobody_answers_is_tried_until_the_end_and_beyond() -> None:
    net = gateways(DAY, seconds=3_600).up()
    net.traffic(1.0, 2_700.0)
    silence(net)
    net.traffic(1.0, 3_700.0)  # packets come: the peer is there
    assert [end.all.isakmp_sas for end in (net.i, net.r)] == [(), ()]
    assert net.i.events.count("unreached: the peer doesn't answer") > 2
    assert (net.lost, net.agree(1)) == ([], True)
    net._alter = lambda _, data: data
    net.traffic(1.0, 3_900.0)
    assert len(net.i.all.isakmp_sas) >= 1
    assert (net.lost, net.agree(1)) == ([], True)


# --- limits -------------------------------------------------------------------------------------------------------


def test_with_master_key_pfs_each_quick_mode_has_a_main_mode_of_its_own() -> None:
    net = gateways(terms(lifetime=Lifetime(600)), quick_modes=1, link=SLOW).up()
    net.traffic(1.0, 7_200.0)
    made = net.i.events.count("rekeyed") + 1
    assert made >= 12
    assert net.lost == []
    assert quick_modes(net) == net.i.events.count("established") == made
    assert len(net.i.all.isakmp_sas) <= 2  # the others have ended with what they have made
    assert "ended: it makes no more SAs, and none of those it has made is left" in net.i.events
    assert net.run(net.now + 100.0).agree(1)


def test_a_limit_of_quick_modes_is_of_one_isakmp_sa_and_the_next_are_had_on_another() -> None:
    each = [
        terms(child=f"c{n}", local=Selector.net(f"10.1.{n}.0/24"), remote=Selector.net(f"10.2.{n}.0/24"))
        for n in range(5)
    ]
    of_us, of_them = Settings(tuple(each), quick_modes=2), Settings(tuple(map(mirrored, each)))
    net = Gateways(of_us, of_them)
    net.want().run(10.0)
    assert (net.agree(5), main_modes(net.i), len(net.i.all.isakmp_sas)) == (True, 3, 3)
    for n in range(4):
        net.act(partial(net.i.all.put_down, f"c{n}", "put down"))
    net.run(net.now + 1.0)
    assert (net.agree(1), len(net.i.all.isakmp_sas)) == (True, 1)


def test_who_wants_more_of_an_isakmp_sa_than_the_peer_makes_is_refused_and_gets_another() -> None:
    net = Gateways(Settings((DAY,)), Settings((mirrored(DAY),), quick_modes=1), link=SLOW).up()
    net.act(lambda: net.i.all.rekey("c"))
    net.traffic(1.0, net.now + 60.0)
    assert "failed: the peer says NO_PROPOSAL_CHOSEN" in net.i.events
    assert net.r.core.counters["isakmp-sa-spent"] >= 1
    assert (main_modes(net.i), main_modes(net.r)) == (1, 1)
    assert "rekeyed" in net.i.events
    assert net.lost == []
    assert net.run(net.now + 100.0).agree(1)


def test_an_isakmp_sa_that_has_had_too_many_exchanges_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MESSAGE_IDS", 5)
    net = gateways(terms(lifetime=Lifetime(600)), dpd=1e9).up()
    net.traffic(1.0, 3_600.0)
    assert (net.lost, net.i.events.count("established") >= 3) == ([], True)
    assert net.i.events.count("rekeyed") >= 6
    assert net.settles(1)


def test_one_peer_has_but_so_many_isakmp_sas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PEER", 3)
    monkeypatch.setattr(limits, "REPLACED_ISAKMP", 1e9)
    net = gateways(DAY).up(5.0)
    for _ in range(6):
        net.act(net.i.all.renew)
        net.run(net.now + 2.0)
    assert [len(end.all.isakmp_sas) for end in (net.i, net.r)] == [3, 3]
    assert net.agree(1)


# --- without an ISAKMP SA -----------------------------------------------------------------------------------------


def test_when_the_peer_ends_the_isakmp_sa_alone_what_it_has_made_stays_and_another_is_made() -> None:
    net = gateways(DAY).up()
    (session,) = net.r.all._sessions
    net.act(lambda: session.end("as it pleases"))
    net.traffic(1.0, net.now + 30.0)
    assert len(net.i.all.isakmp_sas) == len(net.r.all.isakmp_sas) >= 1
    assert (net.lost, net.agree(1)) == ([], True)
    assert quick_modes(net) == 2  # as it may have ended what it has made, too, in a message that was lost


def test_when_nobody_answers_any_more_what_was_made_goes_too() -> None:
    net = gateways(DAY, dpd=30.0).up(5.0)
    silence(net)
    net.run(100.0)
    for end in (net.i, net.r):
        assert end.events[-2:] == ["ended: the peer isn't there any more", "down: the peer isn't there any more"]
        assert (end.inbound, end.outbound, end.core.promised) == ({}, {}, end.core.promised)
    net.run(400.0)
    assert net.i.core.promised == net.r.core.promised == set()
    assert (net.i.all.empty, net.r.all.empty) == (True, True)


def test_an_isakmp_sa_that_the_peer_has_forgotten_is_lost_alone_when_there_is_another() -> None:
    net = gateways(DAY, dpd=30.0).up(5.0)
    old = net.r.all.isakmp_sas[0]
    net.act(net.i.all.renew)
    net.run(6.0)
    (forgotten, _) = net.r.all._sessions
    forgotten._exchanges._told.say = lambda *_: None  # type: ignore[method-assign]  # its Delete is lost
    net.i.all._sessions._live[0].end = lambda _: None  # type: ignore[method-assign]  # and that of the other side
    net.act(lambda: forgotten.end("as it pleases"))
    net.run(100.0)
    assert old.cookies not in {sa.cookies for sa in net.i.all.isakmp_sas}
    assert net.agree(1)
    assert not [event for event in net.i.events if event.startswith("down")]


def test_a_peer_that_begins_anew_says_so_and_what_was_before_goes() -> None:
    net = gateways(DAY).up(5.0)
    gone = set(net.r.inbound)
    net.i.core.promised.clear()
    net.i.inbound.clear()
    net.i.outbound.clear()
    net.i.core.timers._heap.clear()  # it has lost all
    net.i.begin(Settings((DAY,)))
    net.want().run(net.now + 5.0)
    assert net.agree(1)
    assert gone.isdisjoint(net.r.inbound)
    assert net.r.events == [
        "established",
        "up",
        "established",
        "ended: the peer has begun anew",
        "down: the peer has begun anew",
        "up",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_calls_that_cross_do_each_other_no_harm(seed: int) -> None:
    """Each says that it has nothing with the peer, which was true when it began."""
    net = gateways(DAY, seed=seed, link=Link(loss=0.1, delay=(0.01, 1.5)))
    net.want(net.i)
    net.run(0.3 * (seed % 4))
    net.want(net.r)
    net.run(100.0)
    net.traffic(0.5, 200.0)
    assert net.lost == []
    assert net.run(400.0).agree(1)
    assert not [event for event in net.i.events + net.r.events if event.startswith("down")]


def test_a_call_is_dropped_when_the_peer_s_comes_through_before_anything_came_back() -> None:
    net = gateways(DAY, seed="another")
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        """The first message of the initiator's call is on its way for long."""
        if from_initiator and ikev1.decode(data).header.cookie_r == ikev1.NO_COOKIE and len(seen) < 2:
            seen.append(data)
            return None
        return data

    net._alter = alter
    net.want(net.i)
    net.want(net.r).run(60.0)
    assert [len(end.all.isakmp_sas) for end in (net.i, net.r)] == [1, 1]
    assert net.i.events.count("established") == net.r.events.count("established") == 1
    assert len(seen) == 1  # it isn't said again
    assert net.settles(1)


def test_a_call_that_was_refused_first_and_then_taken_is_answered_to_its_end() -> None:
    net = gateways(DAY)
    taken, net.r.suites = net.r.suites, (suite(bits=256),)
    net.want().run(3.0)
    assert net.r.core.counters["no-proposal-chosen"] == 2
    net.r.suites = taken  # the policy is put right
    net.run(60.0)
    assert net.agree(1)
    (*_, last) = (data for data in net.i.sent if ikev1.decode(data).header.exchange == Exchange.MAIN)
    sent = len(net.r.sent)
    net.give(to_responder=True, data=last)
    assert len(net.r.sent) == sent + 1  # although what was refused is over by now


def test_a_call_that_nobody_answers_fails_all_that_waits_for_it() -> None:
    net = gateways(DAY)
    silence(net)
    net.want().run(200.0)
    assert net.i.events == ["unreached: the peer doesn't answer", "failed: the peer doesn't answer"]
    assert (net.i.all.empty, net.i.core.promised) == (True, set())
    net.want()
    net._alter = lambda _, data: data
    assert net.run(net.now + 10.0).agree(1)


def test_an_isakmp_sa_by_which_no_offer_is_answered_is_not_used_again() -> None:
    """The peer has forgotten it perhaps, and its packets come all the same."""
    net = gateways(terms(lifetime=Lifetime(1_800))).up(5.0)
    (session,) = net.r.all._sessions
    session._exchanges.hear = lambda _: None  # type: ignore[method-assign]  # it's deaf
    net.r.core.timers._heap.clear()
    net.traffic(1.0, 1_790.0)
    assert net.i.events.count("failed: the peer doesn't answer our offer of SAs") == 1
    assert net.i.events.count("established") == 2
    assert "rekeyed" in net.i.events
    assert net.lost == []


def test_all_is_closed_and_the_peer_is_told() -> None:
    each = [terms(child=f"c{n}", local=Selector.net(f"10.1.{n}.0/24")) for n in range(3)]
    net = Gateways(Settings(tuple(each)), Settings(tuple(map(mirrored, each))))
    net.want().run(5.0)
    net.act(lambda: net.i.all.close("it goes"))
    assert (net.i.inbound, net.i.outbound) == ({}, {})
    net.run(300.0)
    assert net.agree(0)
    assert (net.i.all.empty, net.r.all.empty) == (True, True)
    assert net.r.events[-1] == "ended: the peer has ended the ISAKMP SA"
    assert net.i.core.promised == net.r.core.promised == set()
    assert net.i.core.timers.deadline() is net.r.core.timers.deadline() is None
    net.want().run(310.0)  # and all can begin anew
    assert net.agree(3)


def test_a_nat_keeps_its_mapping() -> None:
    net = gateways(replace(DAY), nat=True).up(5.0)
    net.run(105.0)
    assert (net.i.keepalives, net.r.keepalives) == (5, 0)
    net.act(lambda: net.i.all.close("it goes"))
    net.run(200.0)
    assert net.i.keepalives == 5
