"""Rekeys that go wrong half way: successors that end first, and IKE SAs that two heirs compete for."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Lifetime
from ipsecd.ike.effects import InstallOutbound, RemoveOutbound
from ipsecd.ike.exchange import Admitted
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.ike.v2.ask import Ask
from ipsecd.wire.payloads import AnyPayload, Delete, Nonce, Notify
from ipsecd.wire.registry import Exchange, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import FOREVER, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.interference import Refusing, hold_back
from tests.exchange.network import Datagram
from tests.exchange.rest import settle, unrest
from tests.exchange.standing import stand
from tests.exchange.stranger import Stranger, notified, up_with_b
from tests.exchange.transcript import Tap

LOW, MIDDLE, HIGH, HIGHEST = (bytes([first]) * 32 for first in (1, 2, 3, 4))


def stages(pair: Pair) -> list[Stage]:
    return [sa.stage for node in (pair.a, pair.b) for sa in node.ike._core.ikes.values()]


# --- two heirs (RFC 7296 section 2.8.2) --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["down", "rekey"])
def test_a_request_by_the_heir_says_which_heir_the_peer_has_chosen(what: str) -> None:
    """The rekey of b is lost once, so a knows of its own only; what it asks then comes by its heir, before the Delete
    of the old IKE SA does."""
    pair = stand(Pair())
    before = pair.a.established
    hold_back(pair, pair.b)
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.a, getattr(pair.a.ike, what)("net", pair.net.now))
    assert settle(pair) == []
    assert pair.agree(0 if what == "down" else 1)
    assert pair.a.established != before
    assert len(pair.a.events("child-established")) == 1  # not made anew because the peer knew nothing of it


def test_an_heir_is_chosen_as_soon_as_the_peer_speaks_by_it_and_our_own_rekey_is_forgotten() -> None:
    pair = stand(Pair())
    hold_back(pair, pair.b)
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.015)
    assert [sa.stage for sa in pair.b.ike._core.ikes.values()] == [Stage.ESTABLISHED, Stage.SPARE]
    pair.net.hook = lambda datagram: None if b"\x2e\x20\x25" in datagram.data[:20] else datagram
    (old,) = (sa for sa in pair.b.ike._core.ikes.values() if sa.stage is Stage.ESTABLISHED)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.03)
    assert old.stage in (Stage.REPLACED, Stage.GONE)
    assert old.window.idle
    assert not pair.b.ike._core.promised


def test_a_spare_heir_lives_as_long_as_it_may_be_the_one_that_stays() -> None:
    """Everything towards a is lost for 15 seconds, but for b's rekey; the heir that a made of that one wins."""
    pair = stand(Pair())
    pair.a.entropy.dictate(LOW, HIGHEST)
    pair.b.entropy.dictate(MIDDLE, HIGH)
    children, until = pair.a.inbound_spis, pair.net.now + 15
    let_by: list[Datagram] = []

    def deafen(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == B and pair.net.now < until:
            let_by.append(datagram)
            return datagram if len(let_by) == 1 else None
        return datagram

    pair.net.hook = deafen
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.net.run(40)
    assert settle(pair) == []
    assert pair.agree(1)
    assert pair.a.inbound_spis == children
    assert not pair.a.events("peer-dead") + pair.b.events("peer-dead")


def test_a_spare_heir_goes_with_the_ike_sa_it_was_made_of() -> None:
    pair = stand(Pair())
    hold_back(pair, pair.b)
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.015)
    assert Stage.SPARE in stages(pair)
    pair.net.hook = lambda datagram: None
    pair.net.run(200)
    assert stages(pair) == []
    assert not pair.a.ike._core.promised | pair.b.ike._core.promised


def test_a_spare_heir_that_was_not_chosen_is_not_shown_and_goes_by_itself() -> None:
    pair = stand(Pair())
    pair.a.entropy.dictate(HIGH, HIGHEST)
    pair.b.entropy.dictate(LOW, MIDDLE)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    heir_of_b = pair.net.now + 0.015

    def lose_the_loser(datagram: Datagram) -> Datagram | None:  # b's Delete of its own heir never arrives
        mine = str(datagram.source.address) == B and datagram.data[18:20] == b"\x25\x08"
        return None if mine and pair.net.now > heir_of_b else datagram

    pair.net.hook = lose_the_loser
    pair.net.run(1)
    assert Stage.SPARE in stages(pair)
    assert len(pair.a.ike.status()) == 1
    pair.net.run(limits.REPLACED_KEPT)
    assert Stage.SPARE not in stages(pair)


def test_an_ike_sa_closed_while_it_is_rekeyed_leaves_no_heir_at_the_peer() -> None:
    pair = stand(Pair())
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.run(1)
    assert pair.a.established == pair.b.established == []
    assert unrest(pair) == []


def test_a_spare_heir_is_deleted_with_its_ike_sa_as_often_as_the_peer_needs_to_hear_it() -> None:
    """RFC 7296 section 2.1: the Delete of each is repeated until it is answered, whatever becomes of the other."""
    pair = stand(Pair())
    pair.a.entropy.dictate(LOW, HIGHEST)
    pair.b.entropy.dictate(MIDDLE, HIGH)
    for node, peer in ((pair.a, "b"), (pair.b, "a")):
        pair.do(node, node.ike.rekey_peer(peer, pair.net.now))
    pair.net.run(0.015)
    pair.net.hook = lambda datagram: None
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.hook = lambda datagram: datagram
    pair.net.run(1)
    assert len(pair.b.established) == 1  # the heir that has won, as far as it knows
    pair.net.run(2)
    assert pair.a.established == pair.b.established == []
    assert unrest(pair) == []


def test_a_child_wanted_while_the_closed_ike_sa_and_its_heir_go_is_made_on_a_new_one() -> None:
    """The answer that makes the heir comes after the IKE SA was closed: nothing may be begun on either of the two."""
    pair = stand(Pair())
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.run(0.025)
    assert pair.a.established == []
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    assert settle(pair) == []
    assert pair.agree(1)
    assert not pair.a.events("ike-rekeyed")


def test_an_ike_rekey_put_off_is_dropped_when_the_peer_has_rekeyed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = stand(Pair())
    refusing = Refusing(monkeypatch, pair.b, NotifyType.TEMPORARY_FAILURE)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.5)
    refusing.notify = None
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.net.run(20)
    assert len(pair.a.events("ike-rekeyed")) == 1


# --- children whose successor ends first -------------------------------------------------------------------------


def with_lifetime() -> Pair:
    child = child_of_a(lifetime=Lifetime(1_200))
    other = mirrored(child_of_a())
    return stand(Pair(of_a=peer_b(child), of_b=peer_a(other, lifetime=FOREVER)))


def test_a_child_whose_successor_was_deleted_before_it_was_made_is_rekeyed_later() -> None:
    pair = with_lifetime()
    held = hold_back(pair, pair.b)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    (sa,) = pair.b.ike._core.ikes.values()
    (new,) = (child for child in sa.children.values() if child.awaits_peer)
    pair.do(pair.b, pair.b.ike.install_failed(new.spi_in, "no memory", pair.net.now))
    pair.net.run(0.5)
    pair.net.inject(held[0])
    pair.net.run(5)
    tasks = [
        type(task).__name__ for node in (pair.a, pair.b) for sa in node.ike._core.ikes.values() for task in sa.tasks
    ]
    assert tasks == ["RekeyChild", "RekeyChild"]
    pair.net.exchange_packets(pair.a, pair.b, "net", 1.0, pair.net.now + 1_500)
    pair.net.run(1_600)
    assert pair.net.lost_packets == []
    assert pair.a.events("child-rekeyed")
    assert not pair.a.events("child-expired")


def test_a_child_whose_successor_could_not_be_installed_goes_on_at_the_responder() -> None:
    pair = stand(Pair())
    (old,) = pair.b.inbound
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    (sa,) = pair.b.ike._core.ikes.values()
    (new,) = (child for child in sa.children.values() if child.awaits_peer)
    pair.net.hook = lambda datagram: None
    new.close()  # as a Delete would
    (left,) = sa.children.values()
    assert left.spi_in == old
    assert left.usable
    assert left.successor is None
    assert [type(task).__name__ for task in sa.tasks] == ["RekeyChild"]


def test_a_replaced_child_at_its_hard_limit_leaves_the_sending_to_its_successor_at_once() -> None:
    """RFC 7296 section 2.8: it must not be used any more. The peer has never been heard by the new one."""
    pair = stand(Pair())
    (old,) = pair.b.inbound
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    (new,) = pair.b.inbound_spis - {old}
    pair.net.hook = lambda datagram: None
    pair.net.run(1)
    assert [installed.inbound for installed in pair.b.outbound.values()] == [old]
    seen = len(pair.b.effects)
    pair.do(pair.b, pair.b.ike.hard_expired(old, pair.net.now))
    assert [installed.inbound for installed in pair.b.outbound.values()] == [new]
    moved = [effect for effect in pair.b.effects[seen:] if isinstance(effect, InstallOutbound | RemoveOutbound)]
    assert [type(effect) for effect in moved] == [InstallOutbound, RemoveOutbound]  # never without one


def test_a_successor_that_does_not_fit_is_deleted_and_the_child_rekeyed_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = with_lifetime()
    accept, spoiled = Ask.accept, []

    def spoil_the_first(self: Ask, sa: IkeSa, answer: Admitted, nonces: tuple[bytes, bytes]) -> object:
        if sa.core is pair.a.ike._core and not spoiled:
            spoiled.append(sa)
            raise PeerError("bad-proposal-answer")
        return accept(self, sa, answer, nonces)

    monkeypatch.setattr(Ask, "accept", spoil_the_first)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(10)
    assert settle(pair) == []
    assert pair.agree(1)
    assert pair.a.events("child-established")[1:]


def test_a_successor_that_lost_goes_although_the_one_that_won_has_ended_before_that_was_known() -> None:
    """The peer never sends by the one that lost, so it can't take the other's place."""
    pair = stand(Pair())
    pair.a.entropy.dictate(HIGH, MIDDLE)
    pair.b.entropy.dictate(HIGHEST, LOW)
    held: list[Datagram] = []

    def hold_answers_of_b(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == B and datagram.data[18:20] == b"\x24\x20":
            held.append(datagram)
            return None
        return datagram

    pair.net.hook = hold_answers_of_b
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("net", pair.net.now))
    pair.net.run(0.05)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.hook = lambda datagram: datagram
    pair.net.inject(held[0])
    assert settle(pair) == []
    assert pair.agree(1)


def test_a_child_that_the_peers_rekey_has_replaced_is_not_rekeyed_again_by_a_request_in_line() -> None:
    """RFC 7296 section 2.8.1: gateway a, which has made what lost, has wanted this rekey twice."""
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    pair = stand(Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children))))
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(1)
    pair.a.entropy.dictate(LOW, HIGHEST)
    pair.b.entropy.dictate(MIDDLE, HIGH)
    tap = Tap(pair.net)
    for act, child in ((pair.a.ike.down, "more"), (pair.a.ike.rekey, "net"), (pair.a.ike.rekey, "net")):
        pair.do(pair.a, act(child, pair.net.now))
    pair.net.run(0.025)
    pair.do(pair.b, pair.b.ike.rekey("net", pair.net.now))
    assert settle(pair) == []
    assert pair.agree(1)
    assert [line for line in tap.lines() if line.startswith("a ->")] == [
        "a -> INFORMATIONAL 3 {D(1)}",
        "a -> CREATE_CHILD_SA 4 {N(REKEY_SA), SA, N, TSi, TSr}",
        "a -> INFORMATIONAL 5 {D(1)}",
    ]


def test_a_successor_of_the_peers_that_has_ended_does_not_count_against_a_later_rekey() -> None:
    """RFC 7296 section 2.8.1 compares the nonces of rekeys that meet. Two have met here, and nothing came of either;
    the third meets none, however low its nonce."""
    pair = stand(Pair())
    pair.a.entropy.dictate(LOW, HIGHEST, LOW)
    pair.b.entropy.dictate(MIDDLE, HIGH, HIGH)
    held: list[Datagram] = []

    def hold_answers_of_a(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == A and datagram.data[18:20] == b"\x24\x28":
            held.append(datagram)
            return None
        return datagram

    pair.net.hook = hold_answers_of_a
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    (sa,) = pair.a.ike._core.ikes.values()
    (made,) = (child for child in sa.children.values() if child.awaits_peer)
    pair.do(pair.a, pair.a.ike.install_failed(made.spi_in, "no memory", pair.net.now))
    pair.net.run(0.1)
    pair.net.hook = lambda datagram: datagram
    pair.net.inject(held[0])
    pair.net.run(0.1)
    assert pair.agree(1)
    assert not pair.a.events("child-rekeyed") + pair.b.events("child-rekeyed")
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(limits.OLD_INBOUND_KEPT + 1)
    assert pair.agree(1)
    assert len(pair.a.events("child-rekeyed")) == len(pair.b.events("child-rekeyed")) == 1


def rekey(stranger: Stranger, message_id: int) -> tuple[AnyPayload, ...] | None:
    """The stranger asks for a successor of its latest child, and deletes nothing."""
    old = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, stranger.child_spi)
    return stranger.ask(Exchange.CREATE_CHILD_SA, message_id, old, *stranger.child_payloads(), Nonce(bytes(32)))


def test_of_three_in_line_the_one_in_the_middle_may_end_first() -> None:
    stranger = up_with_b()
    rekey(stranger, 2)
    rekey(stranger, 3)
    (sa,) = stranger.ike._core.ikes.values()
    first, second, third = sa.children.values()
    assert (first.successor, second.successor, third.usable) == (second, third, True)
    second.close()
    assert (first.successor, third.predecessor, second.predecessor) == (third, first, None)
    assert not first.usable
    third.close()
    assert (first.successor, first.usable) == (None, True)


# --- bounds ------------------------------------------------------------------------------------------------------


def test_a_peer_that_rekeys_for_ever_and_deletes_nothing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REKEYED_PER_IKE_SA", 10)
    stranger = up_with_b()
    answers = []
    for message_id in range(2, 20):
        answers.append(rekey(stranger, message_id))
        if notified(answers[-1]):
            break
    assert len(answers) == 10
    assert notified(answers[-1]) == [NotifyType.NO_ADDITIONAL_SAS]
    (sa,) = stranger.ike._core.ikes.values()
    assert len(sa.children) == 10


def test_deletes_of_what_was_never_made_are_remembered_in_bounds() -> None:
    stranger = up_with_b()
    stranger.ike.rekey("net", stranger.now)
    (sa,) = stranger.ike._core.ikes.values()
    for message_id in range(2, 12):
        spis = tuple(stranger.random.randbytes(4) for _ in range(1_000))
        stranger.ask(Exchange.INFORMATIONAL, message_id, Delete(Protocol.ESP, spis))
    assert len(sa.deleted_early) == limits.DELETES_REMEMBERED == 64
