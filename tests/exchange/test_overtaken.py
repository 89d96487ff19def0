"""The policy changes, or an operator puts a child down, while it is being negotiated.

What comes of it is what is wanted by then, and the peer keeps nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.errors import Refused
from ipsecd.ike import dispatch
from ipsecd.ike.config import Child, IkeConfig, Lifetime, Peer, SharedKey
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_CLASSIC, ESP_GCM, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram
from tests.exchange.transcript import Tap

NET, MORE = child_of_a(start=True), child_of_a("more", start=True, local=(Selector.net("10.3.0.0/16"),))
LESS = replace(NET, local=(Selector.net("10.1.7.0/24"),))
OTHER = replace(NET, proposals=(ESP_CLASSIC,))
# when the change comes: (seconds after the start, what is on its way to gateway b or back); a way takes 0.01
MOMENTS = {
    "IKE_SA_INIT asked": 0.005,
    "IKE_SA_INIT answered": 0.015,
    "IKE_AUTH asked": 0.025,
    "IKE_AUTH answered": 0.035,
}


def reload_a(pair: Pair, *peers: Peer) -> None:
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig(peers), pair.net.now))


def children_of_a(pair: Pair) -> dict[str, tuple[Selector, ...]]:
    return {installed.child: installed.local for installed in pair.a.inbound.values()}


def generous() -> Peer:
    """Gateway b takes whatever a may ask for."""
    takes = replace(mirrored(NET), proposals=(ESP_GCM, ESP_CLASSIC))
    return peer_a(takes, mirrored(MORE))


def begun(moment: float, *children: Child) -> Pair:
    pair = Pair(of_a=peer_b(*(children or (NET,))), of_b=generous())
    pair.net.start()
    pair.net.run(moment)
    return pair


def ever_installed(pair: Pair, child: str) -> list[tuple[Selector, ...]]:
    """What gateway a has ever let in or out by this child."""
    return [
        effect.local for effect in pair.a.effects if getattr(effect, "child", "") == child and hasattr(effect, "local")
    ]


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_that_becomes_narrower_while_it_is_made_comes_up_narrow(moment: float) -> None:
    pair = begun(moment)
    reload_a(pair, peer_b(LESS))
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.net.run(10)
    assert pair.agree(1)
    assert children_of_a(pair) == {"net": LESS.local}
    assert NET.local not in ever_installed(pair, "net")


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_whose_algorithms_change_while_it_is_made_comes_up_with_the_new_ones(moment: float) -> None:
    pair = begun(moment)
    reload_a(pair, peer_b(OTHER))
    pair.net.run(10)
    assert pair.agree(1)
    assert pair.a.ike.status()[0].children[0].suite == "aes128-sha256-esn"


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_that_is_taken_from_the_policy_while_it_is_made_does_not_come_up(moment: float) -> None:
    pair = begun(moment)
    reload_a(pair, peer_b(replace(MORE, start=False)))
    pair.net.run(limits.HALF_OPEN_LIFETIME + 10)
    assert ever_installed(pair, "net") == []
    assert not pair.b.inbound | pair.b.outbound
    assert pair.a.established == pair.b.established
    assert pair.a.gave_up[-1].child == "net"
    assert pair.a.gave_up[-1].reason == "the policy has changed"


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_that_takes_its_place_comes_up_instead(moment: float) -> None:
    pair = begun(moment)
    reload_a(pair, peer_b(MORE))
    assert pair.net.run(10, until=lambda: pair.agree(1))
    assert children_of_a(pair) == {"more": MORE.local}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_what_the_policy_calls_otherwise_and_what_the_child_is_not_made_from_disturbs_nothing(moment: float) -> None:
    pair = begun(moment)
    tap = Tap(pair.net)
    longer = replace(NET, rule="renamed", proposals=(replace(ESP_GCM, lifetime=Lifetime(900)),))
    reload_a(pair, peer_b(longer, name="renamed"))
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.net.run(1)
    assert not [line for line in tap.lines() if "INFORMATIONAL" in line or "CREATE_CHILD_SA" in line]
    (installed,) = pair.a.inbound.values()
    assert (installed.peer, installed.hard) == ("renamed", Lifetime(900))
    assert pair.a.ike.status()[0].children[0].rule == "renamed"


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_an_attempt_with_a_key_that_is_no_longer_right_ends_and_another_begins(moment: float) -> None:
    pair = begun(moment)
    new = SharedKey("site", Secret(b"the key of tomorrow, which both ends have by now"))
    pair.do(pair.b, pair.b.ike.reconfigure(IkeConfig((replace(generous(), shared_keys=(new,)),)), pair.net.now))
    reload_a(pair, peer_b(NET, shared_keys=(new,)))
    assert pair.net.run(30, until=lambda: pair.agree(1))
    pair.net.run(60)
    assert pair.agree(1)


def test_the_answer_to_what_is_not_wanted_any_more_is_undone_and_what_is_wanted_asked_for() -> None:
    pair = begun(0.035)
    tap = Tap(pair.net)
    reload_a(pair, peer_b(LESS))
    pair.net.run(10)
    assert tap.lines() == [
        "a -> INFORMATIONAL 2 {D(1)}",
        "b <- INFORMATIONAL 2 {D(1)}",
        "a -> CREATE_CHILD_SA 3 {SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 3 {SA, N, TSi, TSr}",
    ]


# --- CREATE_CHILD_SA -----------------------------------------------------------------------------------------------


def asked_for_more(moment: float) -> Pair:
    """The IKE SA and one child are there, a second child is asked for."""
    pair = Pair(of_a=peer_b(NET, replace(MORE, start=False)), of_b=generous())
    assert pair.up()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(moment)
    return pair


@pytest.mark.parametrize("moment", [0.005, 0.015])
def test_the_same_holds_for_a_second_child(moment: float) -> None:
    pair = asked_for_more(moment)
    narrow = replace(MORE, local=(Selector.net("10.3.3.0/24"),))
    reload_a(pair, peer_b(NET, narrow))
    assert pair.net.run(10, until=lambda: pair.agree(2))
    assert children_of_a(pair) == {"net": NET.local, "more": narrow.local}
    assert MORE.local not in ever_installed(pair, "more")


@pytest.mark.parametrize("moment", [0.005, 0.015])
def test_a_second_child_that_is_taken_from_the_policy_does_not_come_up(moment: float) -> None:
    pair = asked_for_more(moment)
    reload_a(pair, peer_b(NET))
    pair.net.run(10)
    assert pair.agree(1)
    assert ever_installed(pair, "more") == []


def test_a_child_that_waits_for_its_turn_is_asked_for_as_it_is_configured_when_its_turn_comes() -> None:
    pair = begun(0.005, NET, MORE)
    narrow = replace(MORE, local=(Selector.net("10.3.3.0/24"),))
    reload_a(pair, peer_b(NET, narrow))
    tap = Tap(pair.net)
    assert pair.net.run(10, until=lambda: pair.agree(2))
    pair.net.run(10)
    assert children_of_a(pair) == {"net": NET.local, "more": narrow.local}
    assert not [line for line in tap.lines() if "INFORMATIONAL" in line]


Row = Callable[..., object]


def test_a_child_that_is_put_off_is_asked_for_as_it_is_configured_when_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = [True]
    real: Row = dispatch._row

    def row(sa: IkeSa, exchange: Exchange, *more: object) -> object:
        if busy and exchange == Exchange.CREATE_CHILD_SA:
            raise Refused("no-proposal-chosen", notify=NotifyType.TEMPORARY_FAILURE)
        return real(sa, exchange, *more)

    monkeypatch.setattr(dispatch, "_row", row)
    pair = asked_for_more(0.5)
    narrow = replace(MORE, local=(Selector.net("10.3.3.0/24"),))
    reload_a(pair, peer_b(NET, narrow))
    busy.clear()
    assert pair.net.run(10, until=lambda: pair.agree(2))
    assert children_of_a(pair) == {"net": NET.local, "more": narrow.local}


# --- rekeying --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0.005, 0.015])
@pytest.mark.parametrize("changed", [LESS, OTHER], ids=["selectors", "algorithms"])
def test_the_successor_of_a_child_that_has_changed_meanwhile_is_not_taken(moment: float, changed: Child) -> None:
    pair = Pair(of_a=peer_b(NET), of_b=generous())
    assert pair.up()
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(moment)
    before = len(ever_installed(pair, "net"))
    reload_a(pair, peer_b(changed))
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.net.run(10)
    assert pair.agree(1)
    assert children_of_a(pair) == {"net": changed.local}
    assert len(ever_installed(pair, "net")) == before + 2
    assert pair.a.ike.status()[0].children[0].suite == ("aes128gcm16-esn" if changed is LESS else "aes128-sha256-esn")


@pytest.mark.parametrize("moment", [0.005, 0.015])
def test_the_successor_of_a_child_that_is_gone_from_the_policy_is_not_taken(moment: float) -> None:
    pair = Pair(of_a=peer_b(NET, MORE), of_b=generous())
    assert pair.up()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    assert pair.net.run(10, until=lambda: pair.agree(2))
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(moment)
    reload_a(pair, peer_b(MORE))
    pair.net.run(20)
    assert pair.agree(1)
    assert children_of_a(pair) == {"more": MORE.local}


def test_an_ike_sa_whose_policy_changes_while_it_is_rekeyed_ends() -> None:
    pair = Pair(of_a=peer_b(NET), of_b=generous())
    assert pair.up()
    before = pair.a.established
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.015)
    new = SharedKey("site", Secret(b"the key of tomorrow, which both ends have by now"))
    pair.do(pair.b, pair.b.ike.reconfigure(IkeConfig((replace(generous(), shared_keys=(new,)),)), pair.net.now))
    reload_a(pair, peer_b(NET, shared_keys=(new,)))
    assert pair.net.run(60, until=lambda: pair.agree(1))
    pair.net.run(120)
    assert pair.agree(1)
    assert pair.a.established != before


# --- put down by command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_child_that_is_put_down_while_its_ike_sa_is_made_does_not_come_up(moment: float) -> None:
    pair = begun(moment)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(limits.RECONNECT_LAST * 3)
    assert ever_installed(pair, "net") == []
    assert not pair.b.inbound | pair.b.outbound
    assert pair.a.gave_up[-1].reason == "it was put down by command"
    assert pair.up()


def test_a_child_that_is_put_down_and_wanted_again_before_its_answer_is_there_comes_up() -> None:
    pair = begun(0.035)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    assert pair.net.run(10, until=lambda: pair.agree(1))


def test_another_child_of_the_peer_comes_up_although_the_first_was_put_down() -> None:
    pair = begun(0.035, NET, MORE)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(60)
    assert pair.agree(1)
    assert children_of_a(pair) == {"more": MORE.local}


@pytest.mark.parametrize("first", [True, False], ids=["IKE_AUTH", "CREATE_CHILD_SA"])
def test_a_peer_that_wants_what_was_put_down_here_may_have_it(first: bool) -> None:
    pair = Pair(of_a=peer_b(MORE, NET), of_b=generous())
    pair.do(pair.a, pair.a.ike.up("net" if first else "more", pair.net.now))
    assert pair.net.run(10, until=lambda: pair.agree(1))
    down = pair.b.ike.down_peer("a", pair.net.now) if first else pair.b.ike.down("net", pair.net.now)
    pair.do(pair.b, down)
    pair.net.run(1)
    if not first:
        pair.do(pair.b, pair.b.ike.down("more", pair.net.now))
        pair.net.run(1)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(10)
    assert "net" in children_of_a(pair)
    assert pair.a.outbound_spis == pair.b.inbound_spis
    spis = pair.b.inbound_spis
    pair.do(pair.b, pair.b.ike.rekey("net", pair.net.now))  # it is like any other from now on
    pair.net.run(10)
    assert "net" in children_of_a(pair)
    assert pair.b.inbound_spis != spis
    assert pair.a.outbound_spis == pair.b.inbound_spis


def test_a_change_that_comes_between_two_repeats_of_a_request_is_seen_by_the_answer() -> None:
    pair = begun(0.025)
    lost: list[Datagram] = []
    pair.net.hook = lost.append
    pair.net.run(1)
    reload_a(pair, peer_b(LESS))
    pair.net.hook = lambda datagram: datagram
    assert pair.net.run(20, until=lambda: pair.agree(1))
    assert len(lost) == 1
    assert children_of_a(pair) == {"net": LESS.local}
    assert NET.local not in ever_installed(pair, "net")
