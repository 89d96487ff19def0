"""What is wanted is had in the end, however often it fails; what is put down stays down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import IkeConfig, Peer
from ipsecd.ike.effects import Send
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.v2.child import CreateChild
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import IP_A, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.interference import Refusing, hold_back
from tests.exchange.network import Link
from tests.exchange.rest import settle, unrest
from tests.exchange.standing import stand

OTHER_NET = (Selector.net("10.3.0.0/16"),)


def two_children(*, start: bool = False) -> tuple[Peer, Peer]:
    children = (child_of_a(start=start), child_of_a("more", local=OTHER_NET, start=start))
    return peer_b(*children), peer_a(*map(mirrored, children))


def with_two_children(*, start: bool = False) -> Pair:
    of_a, of_b = two_children(start=start)
    return Pair(of_a=of_a, of_b=of_b)


def test_after_an_outage_of_days_what_is_wanted_comes_back() -> None:
    child = child_of_a(start=True)
    pair = Pair(link=Link(loss=1.0), of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    pair.net.run(3 * 86_400)
    assert pair.a.ike._core.wanted._wants["net"].failures > 1_500
    pair.net.link = Link()
    assert pair.net.run(200, until=lambda: pair.agree(1))
    assert settle(pair) == []


def test_an_ike_sa_goes_whole_when_something_fails_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = with_two_children()
    assert pair.up()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    (sa,) = pair.a.ike._core.ikes.values()

    def fail(self: CreateChild, sa: IkeSa, reason: str) -> None:
        raise OverflowError

    monkeypatch.setattr(CreateChild, "abandon", fail)
    effects = sa.core.take_effects()
    sa.vanish("it is lost")
    monkeypatch.undo()
    effects += sa.core.take_effects()
    assert pair.a.ike.counters["internal-error"] == 1
    assert not pair.a.ike._core.ikes
    assert not pair.a.ike._core.children
    assert sa.window.idle
    assert [effect for effect in effects if isinstance(effect, Send)] == []


def test_a_child_that_the_peer_deletes_before_it_is_made_can_be_had_later() -> None:
    pair = with_two_children()
    assert pair.up()
    held = hold_back(pair, pair.b)
    pair.do(pair.a, pair.a.ike.acquire("more", None, pair.net.now))
    pair.net.run(0.015)
    pair.do(pair.b, pair.b.ike.down("more", pair.net.now))
    pair.net.run(0.5)
    pair.net.inject(held[0])
    pair.net.run(0.5)
    assert [given.child for given in pair.a.gave_up] == ["more"]
    assert settle(pair) == []
    assert pair.agree(1)
    pair.do(pair.a, pair.a.ike.acquire("more", None, pair.net.now))
    pair.net.run(1)
    assert pair.agree(2)


def test_a_child_put_off_when_its_ike_sa_ends_is_made_on_the_next_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = with_two_children(start=True)
    refusing = Refusing(monkeypatch, pair.b, NotifyType.TEMPORARY_FAILURE)
    pair.net.start()
    pair.net.run(20)  # the next try is ten seconds and more away
    assert refusing.refused >= 3
    refusing.notify = None
    pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    assert pair.net.run(3, until=lambda: pair.agree(2))
    assert settle(pair) == []


def test_a_child_put_down_while_it_is_negotiated_stays_down() -> None:
    pair = with_two_children()
    assert pair.up()
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.do(pair.a, pair.a.ike.down("more", pair.net.now))
    pair.net.run(10)
    assert pair.agree(1)
    assert settle(pair) == []


def test_a_child_put_down_while_it_waits_in_line_is_never_asked_for() -> None:
    pair = with_two_children()
    assert pair.up()
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.do(pair.a, pair.a.ike.down("more", pair.net.now))
    pair.net.run(10)
    assert len(pair.a.events("child-established")) == 1
    assert settle(pair) == []


def test_a_child_put_down_while_it_is_rekeyed_stays_down() -> None:
    pair = Pair()
    assert pair.up()
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(10)
    assert not pair.a.inbound | pair.b.inbound
    assert unrest(pair) == []


def test_an_sa_that_lost_a_collision_does_not_count_as_up() -> None:
    """Gateway a's own successor has won; b's is silent and will be deleted. The winner ends before that, and a packet
    that comes in between asks for another."""
    pair = stand(Pair())
    pair.a.entropy.dictate(b"\4" * 32, b"\3" * 32)
    pair.b.entropy.dictate(b"\1" * 32, b"\5" * 32)
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    (sa,) = pair.b.ike._core.ikes.values()
    (winner,) = [child for child in sa.children.values() if child.awaits_peer]
    pair.do(pair.b, pair.b.ike.install_failed(winner.spi_in, "no memory", pair.net.now))
    pair.net.run(0.02)
    assert winner.spi_out not in pair.a.ike._core.children
    (sa,) = pair.a.ike._core.ikes.values()
    assert [(child.stage.value, child.sending) for child in sa.children.values()] == [("deleting", True), ("up", False)]
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    pair.net.run(1)
    assert not pair.a.gave_up
    assert settle(pair) == []
    assert pair.agree(1)


def test_a_child_being_deleted_does_not_count_as_served() -> None:
    """The Delete of an expired child is behind the request for another in line: that must not be taken for done."""
    pair = Pair()
    assert pair.up()
    (sa,) = pair.a.ike._core.ikes.values()
    (child,) = sa.children.values()
    task = CreateChild(sa.peer, child.config, None)
    assert task.build(sa) is None
    sa.delete_child(child)
    assert child.sending
    assert task.build(sa) is not None


def test_what_is_negotiated_for_two_peers_does_not_mix() -> None:
    """A child is pursued by the tasks that make it, not by any other's."""
    pair = with_two_children()
    assert pair.up()
    wanted = pair.a.ike._core.wanted
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    assert (wanted.pursued("net"), wanted.pursued("more")) == (False, True)
    assert settle(pair) == []
    assert (wanted.pursued("net"), wanted.pursued("more")) == (False, False)


def test_that_a_peer_has_to_call_us_is_told_once_until_something_changes() -> None:
    pair = Pair(of_a=peer_b(remotes=()))

    def told(times: int) -> int:
        for _ in range(times):
            pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
        return len(pair.a.events("child-failed"))

    assert told(5) == 1
    assert len(pair.a.gave_up) == 5
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))  # whoever asks is answered
    assert told(5) == 2
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    assert pair.net.run(1, until=lambda: pair.agree(1))
    pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
    pair.net.run(1)
    assert told(5) == 3
    wider = child_of_a(remote=OTHER_NET)
    pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((peer_b(wider, remotes=()),)), pair.net.now))
    assert told(5) == 4


def test_a_child_wanted_while_the_peer_calls_is_made_on_the_call_that_comes_through() -> None:
    child = child_of_a(start=True)
    theirs = replace(mirrored(child), start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(theirs))
    pair.net.start()
    assert pair.net.run(30, until=lambda: pair.agree(1))
    assert settle(pair) == []


def test_a_call_that_the_peers_has_made_needless_is_said_no_more() -> None:
    pair = Pair()
    pair.net.hook = lambda each: None if each.source.address == IP_A and each.data[18] == Exchange.IKE_SA_INIT else each
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1.0)
    pair.net.hook = lambda each: each
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    assert pair.net.run(30, until=lambda: pair.agree(1))
    pair.net.sent.clear()
    pair.net.run(120)
    assert [each for _, each in pair.net.sent if each.data[18] == Exchange.IKE_SA_INIT] == []
