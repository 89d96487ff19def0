"""Peers that don't rekey, or are out of step: another IKE SA takes the place of the one there is (RFC 7296 2.8.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.ike.config import Lifetime
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import EspSuite
from ipsecd.ike.v2 import grant as grant_module
from ipsecd.wire.payloads import Ke
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_PFS, FOREVER, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.interference import Refusing
from tests.exchange.network import Datagram, Node
from tests.exchange.rest import settle, unrest
from tests.exchange.standing import stand
from tests.exchange.transcript import Tap

SOON = Lifetime(600)


def pair_of(*lifetimes: Lifetime, **of_b: object) -> Pair:
    """Gateway a minds its lifetimes; b never does."""
    child = child_of_a(lifetime=lifetimes[0])
    theirs = mirrored(replace(child, lifetime=FOREVER))
    ike = lifetimes[1] if len(lifetimes) > 1 else FOREVER
    return stand(Pair(of_a=peer_b(child, lifetime=ike), of_b=peer_a(theirs, **of_b)))


@pytest.mark.parametrize("lifetimes", [(SOON, FOREVER), (FOREVER, SOON)], ids=["child", "ike"])
def test_a_peer_that_takes_no_second_sa_is_called_anew_before_the_first_one_expires(
    lifetimes: tuple[Lifetime, Lifetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7296 section 4: a minimal implementation refuses every CREATE_CHILD_SA."""
    pair = pair_of(*lifetimes)
    Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    pair.net.exchange_packets(pair.a, pair.b, "net", every=0.5, until=pair.net.now + 7_200)
    pair.net.run(7_200)
    assert [lost for lost in pair.net.lost_packets if "no outbound" in lost] == []
    assert len(pair.net.lost_packets) < 20  # a packet may cross the Delete of the IKE SA it came by
    assert not pair.a.events("child-expired")
    assert len(pair.a.events("ike-calling")) >= 12
    assert settle(pair) == []
    assert pair.agree(1)


def test_the_new_ike_sa_is_there_before_the_old_one_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = with_two_children()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(1)
    refusing = Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    tap = Tap(pair.net)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    refusing.notify = None
    pair.net.run(1)
    assert tap.lines() == [
        "a -> CREATE_CHILD_SA 3 {N(REKEY_SA), SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 3 {N(NO_ADDITIONAL_SAS)}",
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
        "b <- IKE_SA_INIT 0 {SA, KE, N}",
        "a -> IKE_AUTH 1 {IDi, IDr, AUTH, SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
        "a -> CREATE_CHILD_SA 2 {SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {SA, N, TSi, TSr}",
        "a -> INFORMATIONAL 4 {D}",
        "b <- INFORMATIONAL 4 {}",
    ]
    assert settle(pair) == []
    assert pair.agree(2)


def with_two_children() -> Pair:
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    return stand(Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children))))


def test_one_new_ike_sa_is_enough_however_many_children_cant_be_rekeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = with_two_children()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(1)
    refusing = Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    for child in ("net", "more"):
        pair.do(pair.a, pair.a.ike.rekey(child, pair.net.now))
    pair.net.run(0.045)
    assert refusing.refused == 2
    refusing.notify = None
    assert len(pair.a.events("ike-calling")) == 1
    assert settle(pair) == []
    assert pair.agree(2)


def test_a_child_wanted_while_an_ike_sa_is_being_replaced_is_made_under_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was made under the old one would end with it."""
    pair = with_two_children()
    refusing = Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.025)
    assert pair.a.events("ike-calling")
    refusing.notify = None
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    assert settle(pair) == []
    assert pair.agree(2)
    assert len(pair.a.events("child-established")) == 3  # none twice


def test_a_peer_that_is_busy_for_minutes_is_called_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7296 section 2.25: the two are out of step."""
    pair = pair_of(FOREVER)
    before = pair.a.established
    Refusing(monkeypatch, pair.b, NotifyType.TEMPORARY_FAILURE)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(limits.TEMPORARY_FAILURE_PATIENCE - 5)
    assert pair.a.established == before
    pair.net.run(120)
    assert unrest(pair) == []
    assert pair.agree(1)
    assert pair.a.established != before
    (closed,) = pair.a.events("ike-closed")
    assert closed.fields["reason"] == "a new one has taken its place"


def test_a_child_that_a_busy_peer_never_makes_has_the_ike_sa_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),), start=True))
    pair = stand(Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children))))
    before = pair.a.established
    refusing = Refusing(monkeypatch, pair.b, NotifyType.TEMPORARY_FAILURE)
    pair.do(pair.a, pair.a.ike.start(pair.net.now))
    pair.net.run(400, until=lambda: pair.a.events("child-failed") != [])
    refusing.notify = None
    assert settle(pair) == []
    assert pair.agree(2)
    assert pair.a.established != before


def test_an_ike_sa_without_children_that_cant_be_rekeyed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(FOREVER)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(1)
    Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(1)
    assert pair.a.established == pair.b.established == []
    assert unrest(pair) == []


def test_a_peer_that_calls_us_is_left_to_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """We don't know its address, so nothing can be made anew: what there is lasts as long as it may."""
    child = child_of_a()
    theirs = replace(mirrored(child), lifetime=SOON)
    pair = stand(Pair(of_a=peer_b(child), of_b=peer_a(theirs, remotes=())))
    Refusing(monkeypatch, pair.a, NotifyType.NO_ADDITIONAL_SAS)
    pair.net.run(590)
    assert pair.agree(1)
    pair.net.run(20)
    assert not pair.a.inbound | pair.b.inbound
    assert len(pair.b.events("child-expired")) == 1


def test_a_call_that_fails_leaves_the_old_ike_sa_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(FOREVER)
    before = pair.a.established
    Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    pair.net.hook = lambda datagram: None if datagram.data[18] in (34, 35) else datagram
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(80)
    assert pair.a.established == before
    assert pair.agree(1)
    pair.net.run(40)
    pair.net.hook = lambda datagram: datagram
    pair.net.run(200)
    assert pair.a.established != before
    assert pair.agree(1)


def test_a_new_ike_sa_that_gets_no_child_goes_and_the_old_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(FOREVER)
    before = pair.a.established
    Refusing(monkeypatch, pair.b, NotifyType.NO_ADDITIONAL_SAS)
    elsewhere = mirrored(child_of_a(local=(Selector.net("10.9.0.0/16"),)))
    core = pair.b.ike._core
    core.config = replace(core.config, peers=(replace(core.config.peers[0], children=(elsewhere,)),))
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(5)
    assert pair.a.established == pair.b.established == before
    assert pair.agree(1)
    (closed,) = pair.a.events("ike-closed")
    assert closed.fields["reason"] == "it was to take the place of another, and got no child"


def test_both_ends_may_make_another_ike_sa_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(100):
        pair = stand(Pair(f"renewals {seed}"))
        before = pair.a.established
        with monkeypatch.context() as patched:
            Refusing(patched, pair.a, NotifyType.NO_ADDITIONAL_SAS)
            Refusing(patched, pair.b, NotifyType.NO_ADDITIONAL_SAS)
            pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
            pair.net.run(pair.net.random.random() * 0.06)
            pair.do(pair.b, pair.b.ike.rekey("net", pair.net.now))
            pair.net.run(0.03)
        assert settle(pair) == [], seed
        assert pair.agree(1), seed
        assert pair.a.established != before, seed


# --- errors that end an IKE SA -----------------------------------------------------------------------------------


def test_a_malformed_request_of_ours_ends_the_ike_sa_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7296 section 2.21.3: INVALID_SYNTAX is fatal without a Delete."""
    pair = pair_of(FOREVER)
    tap = Tap(pair.net)
    Refusing(monkeypatch, pair.b, NotifyType.INVALID_SYNTAX)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(1)
    assert pair.a.established == pair.b.established == []
    assert not pair.a.inbound | pair.b.inbound
    assert [line for line in tap.lines() if "INFORMATIONAL" in line] == []
    (report,) = pair.a.events("ike-refused")
    assert report.fields["reason"] == "the peer finds our message malformed (INVALID_SYNTAX)"


@pytest.mark.parametrize("what", ["net", "more"])
def test_a_public_value_that_cant_be_one_ends_the_ike_sa(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6989 section 2.5: deleted at once, by a Delete."""
    more = child_of_a("more", local=(Selector.net("10.3.0.0/16"),), proposals=(ESP_PFS,))
    children = (child_of_a(proposals=(ESP_PFS,)), more)
    pair = stand(Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children))))
    exchange = grant_module._exchange_keys

    def spoil(sa: IkeSa, suite: EspSuite, ke: Ke | None) -> object:
        shared, answer = exchange(sa, suite, ke)
        return shared, tuple(replace(each, data=bytes(32)) for each in answer)

    monkeypatch.setattr(grant_module, "_exchange_keys", spoil)
    tap = Tap(pair.net)
    act = pair.a.ike.rekey if what == "net" else pair.a.ike.up
    pair.do(pair.a, act(what, pair.net.now))
    pair.net.run(0.5)
    assert tap.lines()[-2:] == ["a -> INFORMATIONAL 3 {D}", "b <- INFORMATIONAL 3 {}"]
    assert pair.a.established == pair.b.established == []
    assert unrest(pair) == []
    assert pair.a.ike.counters["bad-public-value"] == 1


# --- both ends call ----------------------------------------------------------------------------------------------


def test_of_two_calls_that_cross_one_stays_although_it_was_rekeyed_meanwhile() -> None:
    for seed in range(100):
        child = child_of_a()
        pair = Pair(f"crossing {seed}", of_a=peer_b(child), of_b=peer_a(mirrored(child)))
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
        held = hold_back_auth(pair, pair.b)
        pair.net.run(0.5)
        assert len(pair.a.established) == 1, seed
        pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
        pair.net.run(0.5)
        pair.net.hook = lambda datagram: datagram
        pair.net.inject(held[0])
        assert settle(pair) == [], seed
        assert pair.agree(1), seed


# when the other call comes through: (seconds after both began, where the second child of the first call is by then)
MOMENTS = {"in line": 0.025, "asked for": 0.045, "made": 0.2}


def crossing_calls(moment: float) -> tuple[Pair, Datagram]:
    """The call of a, which has two children to make, has the lowest nonce; what is left is b's IKE_AUTH request."""
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    pair = Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
    pair.a.entropy.dictate(bytes([1]) * 32, bytes([4]) * 32)  # in its call, and in its answer to the other
    pair.b.entropy.dictate(bytes([2]) * 32, bytes([3]) * 32)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    held = hold_back_auth(pair, pair.b)
    pair.net.run(moment)
    pair.net.hook = lambda datagram: datagram
    return pair, held[0]


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_of_the_call_that_goes_is_made_under_the_one_that_stays(moment: float) -> None:
    pair, last = crossing_calls(moment)
    pair.net.arrive(last)
    assert settle(pair) == []
    assert pair.agree(2)
    (sa,) = pair.a.ike.status()
    assert not sa.initiator
    assert not pair.a.gave_up


def test_a_child_being_deleted_goes_with_the_call_that_goes() -> None:
    pair, last = crossing_calls(MOMENTS["made"])
    pair.do(pair.a, pair.a.ike.down("more", pair.net.now))
    pair.net.arrive(last)
    assert settle(pair) == []
    assert pair.agree(1)
    assert not pair.a.gave_up


def hold_back_auth(pair: Pair, node: Node) -> list[Datagram]:
    """Its IKE_AUTH requests, however often they are said."""
    held: list[Datagram] = []

    def hook(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == node.address and datagram.data[18:20] == b"\x23\x08":
            held.append(datagram)
            return None
        return datagram

    pair.net.hook = hook
    return held
