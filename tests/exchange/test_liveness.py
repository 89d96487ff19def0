"""Peers that vanish, come back, restart, and ends that are closed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd import limits
from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import encode
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, Flag, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Link, Node, endpoint
from tests.exchange.standing import stand
from tests.exchange.transcript import Tap


def restart(pair: Pair, node: Node) -> None:
    """The process dies and comes back with the same policy and nothing else."""
    node.entropy = SeededEntropy(f"restarted {node.name} {pair.net.now}")
    node.ike = Ike(node.ike._core.config, node.entropy)
    node.inbound.clear()
    node.outbound.clear()
    pair.do(node, node.ike.start(pair.net.now))


def test_a_quiet_peer_is_asked_whether_it_is_there() -> None:
    pair = Pair()
    assert pair.up()
    tap = Tap(pair.net)
    pair.net.run(limits.DPD_IDLE + 1)
    # whoever hears nothing first asks, which answers for both
    assert tap.lines() == ["a -> INFORMATIONAL 2 {}", "b <- INFORMATIONAL 2 {}"] or tap.lines() == [
        "b -> INFORMATIONAL 0 {}",
        "a <- INFORMATIONAL 0 {}",
    ]


def test_a_machine_that_woke_asks_at_once_and_only_once() -> None:
    pair = Pair()
    assert pair.up()
    pair.net.run(5)
    tap = Tap(pair.net)
    for _ in range(2):
        pair.do(pair.a, pair.a.ike.woke(pair.net.now))
    pair.net.run(1)
    assert tap.lines() == ["a -> INFORMATIONAL 2 {}", "b <- INFORMATIONAL 2 {}"]


def test_a_machine_that_woke_notices_within_half_a_minute_that_its_peer_is_gone() -> None:
    pair = Pair()
    assert pair.up()
    pair.net.link = Link(loss=1.0)
    start = pair.net.now
    pair.do(pair.a, pair.a.ike.woke(start))
    assert pair.net.run(80, until=lambda: not pair.a.inbound)
    assert pair.net.now - start < 30


def test_a_peer_that_is_heard_by_its_traffic_is_never_asked() -> None:
    pair = Pair()
    assert pair.up()
    before = len(pair.net.sent)
    for _ in range(300):
        pair.net.run(1)
        for node in (pair.a, pair.b):
            pair.do(node, node.ike.peer_alive(tuple(node.inbound), pair.net.now))
    assert len(pair.net.sent) == before


def test_a_vanished_peer_is_noticed_within_a_minute_and_its_sas_go() -> None:
    pair = Pair()
    assert pair.up()
    pair.net.link = Link(loss=1.0)
    start = pair.net.now
    assert pair.net.run(80, until=lambda: not pair.a.inbound)
    assert pair.net.now - start < 60
    (report,) = pair.a.events("peer-dead")
    assert report.fields["reason"] == "the peer doesn't answer"
    assert not pair.a.outbound
    assert not pair.a.established


def test_a_child_wanted_from_the_start_is_brought_back_when_the_peer_is_back() -> None:
    child = child_of_a(start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.net.link = Link(loss=1.0)
    pair.net.run(300)
    assert not pair.a.inbound
    assert not pair.b.inbound
    pair.net.link = Link()
    assert pair.net.run(limits.RECONNECT_LAST * 1.5 + 30, until=lambda: pair.agree(1))


def test_a_restarted_peer_that_calls_replaces_what_the_other_end_still_has() -> None:
    child = child_of_a(start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.net.run(5)
    restart(pair, pair.a)
    assert pair.net.run(1, until=lambda: pair.agree(1))
    (report,) = pair.b.events("ike-closed")
    assert report.fields["reason"] == "the peer has lost it and made a new one"


def test_initial_contact_of_one_pair_of_identities_leaves_others_alone() -> None:
    pair = Pair()
    third = "192.0.2.3"
    child = child_of_a("third", local=(Selector.net("10.9.0.0/16"),))
    peer = peer_b(child, name="third", local=ip_address(third))
    peer = replace(peer, local_id=type(peer.local_id).parse("c.example"))
    answering = peer_a(mirrored(child), name="c", remotes=(ip_address(third),))
    answering = replace(answering, remote_id=type(peer.local_id).parse("c.example"))
    both = IkeConfig((peer_a(), answering))
    pair.do(pair.b, pair.b.ike.reconfigure(both, pair.net.now))
    c = pair.net.add("c", third, IkeConfig((peer,)))
    assert pair.up()
    pair.net.run(5)
    pair.do(c, c.ike.up("third", pair.net.now))
    assert pair.net.run(10, until=lambda: len(c.inbound) == 1)
    assert len(pair.b.established) == 2
    assert len(pair.b.inbound) == 2


def test_a_restarted_responder_is_noticed_although_it_only_says_so_in_clear() -> None:
    child = child_of_a(start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(1))
    restart(pair, pair.b)
    assert pair.net.run(80, until=lambda: pair.agree(1))
    assert pair.a.ike.counters["not-sealed"] > 0  # INVALID_IKE_SPI, believed by nobody
    assert pair.a.events("peer-dead")


def test_the_peers_delete_of_the_ike_sa_ends_everything_on_both_sides() -> None:
    pair = Pair()
    assert pair.up()
    tap = Tap(pair.net)
    pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
    pair.net.run(1)
    assert tap.lines() == ["b -> INFORMATIONAL 0 {D}", "a <- INFORMATIONAL 0 {}"]
    assert not pair.a.inbound | pair.b.inbound
    assert not pair.a.ike.status()
    assert not pair.b.ike.status()
    pair.net.run(60)
    assert not pair.a.ike._core.ikes
    assert not pair.b.ike._core.ikes


def test_what_was_put_down_by_command_stays_down_until_it_is_wanted_up() -> None:
    child = child_of_a(start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(1))
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(300)
    assert not pair.a.inbound | pair.b.inbound
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    assert pair.a.gave_up[-1].reason == "it was put down by command"
    assert pair.up()


def test_a_shutdown_tells_the_peers_and_leaves_nothing() -> None:
    pair = Pair()
    assert pair.up()
    pair.do(pair.a, pair.a.ike.shutdown("it stops", pair.net.now))
    assert not pair.a.inbound
    assert not pair.a.outbound
    pair.net.run(1)
    assert not pair.b.inbound
    assert not pair.a.ike.status()


def test_nothing_is_left_in_a_core_whose_sas_have_ended() -> None:
    pair = Pair()
    for _ in range(5):
        assert pair.up()
        pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
        pair.net.run(5)
        pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
        pair.net.run(5)
        pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
        pair.net.run(200)
        pair.do(pair.b, pair.b.ike.up("net", pair.net.now))  # no longer held
        pair.net.run(5)
        pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
        pair.net.run(200)
    for node in (pair.a, pair.b):
        core = node.ike._core
        assert (core.ikes, core.candidates, core.children, core.promised) == ({}, {}, {}, set())
        assert (core.fragments.known.octets, core.fragments.strangers.octets) == (0, 0)
        assert len(core.timers) == 0
        assert node.ike._core.guard.half_open == 0


def test_a_failed_install_ends_the_child_and_says_why() -> None:
    pair = Pair()
    assert pair.up()
    (spi,) = pair.a.inbound
    pair.do(pair.a, pair.a.ike.install_failed(spi, "no memory", pair.net.now))
    pair.net.run(5)
    assert not pair.a.inbound | pair.b.inbound
    (report,) = pair.a.events("install-failed")
    assert report.fields["reason"] == "it couldn't be installed: no memory"


def test_a_peer_without_an_address_is_waited_for() -> None:
    peer = peer_a(remotes=())
    pair = Pair(of_b=peer)
    pair.do(pair.b, pair.b.ike.acquire("net", None, pair.net.now))
    assert pair.b.gave_up[0].reason == "the peer's address isn't known; it has to call us"
    assert pair.up()


def test_the_addresses_of_a_peer_are_tried_in_turn() -> None:
    elsewhere = ip_address("203.0.113.9")
    peer = peer_b(child_of_a(start=True), remotes=(elsewhere, ip_address(B)))
    pair = Pair(of_a=peer)
    pair.net.start()
    assert pair.net.run(120, until=lambda: pair.agree(1))


def test_a_path_that_nobody_knows_is_filled_in_by_the_answer() -> None:
    pair = Pair(of_a=peer_b(local=None))

    def route(datagram: Datagram) -> Datagram:
        unspecified = datagram.source.address.is_unspecified
        source = replace(datagram.source, address=ip_address(A)) if unspecified else datagram.source
        return replace(datagram, source=source)

    pair.net.hook = route
    assert pair.up()
    (sa,) = pair.a.ike.status()
    assert sa.local == f"{A}:4500"
    (installed,) = pair.a.inbound.values()
    assert installed.path == Path(Endpoint(ip_address(A), 4500), Endpoint(ip_address(B), 4500), natt=True)


# --- what anybody could say (RFC 7296 section 2.21.4) -------------------------------------------------------------


def doubt(pair: Pair) -> Datagram:
    """An INVALID_IKE_SPI in clear, as gateway b would send it if it had lost the IKE SA."""
    (sa,) = pair.a.ike._core.ikes.values()
    header = Header(sa.spi_i, sa.spi_r, 0, 2, 0, Exchange.INFORMATIONAL, Flag.RESPONSE, 2, 0)
    data = encode(header, (Notify(NotifyType.INVALID_IKE_SPI),))
    return Datagram(data, endpoint(B, 4500), endpoint(A, 4500), natt=True)


def test_who_says_that_the_peer_has_lost_the_ike_sa_makes_us_ask_the_peer() -> None:
    pair = stand(Pair())
    tap = Tap(pair.net)
    pair.net.inject(doubt(pair))
    pair.net.run(1)
    assert tap.lines() == ["a -> INFORMATIONAL 2 {}", "b <- INFORMATIONAL 2 {}"]
    assert pair.agree(1)
    assert pair.a.ike.counters["not-sealed"] == 1


def test_it_makes_us_ask_seldom_however_often_it_is_said() -> None:
    pair = stand(Pair())
    for hundredths in range(0, 10_000, 10):
        pair.net.inject(doubt(pair), hundredths / 100)
    pair.net.run(101)
    asked = [datagram for _, datagram in pair.net.sent if str(datagram.source.address) == A]
    assert len(asked) <= 100 / limits.DOUBT_EVERY + 1
    assert pair.agree(1)


def test_a_restarted_responder_is_noticed_at_once_when_its_own_traffic_tells() -> None:
    """A response in clear to nothing we have asked, then a probe that stays unanswered."""
    pair = stand(Pair())
    told = doubt(pair)
    restart(pair, pair.b)
    pair.net.inject(told)
    start = pair.net.now
    assert pair.net.run(60, until=lambda: not pair.a.established)
    assert pair.net.now - start < limits.DPD_IDLE


# --- who can't answer yet ----------------------------------------------------------------------------------------


def test_a_caller_that_never_got_our_last_answer_is_not_taken_for_dead() -> None:
    """Its IKE_AUTH comes again and again, and the answer gets through at last; until then it could answer no probe."""
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    until = pair.net.now + 40
    pair.net.hook = lambda datagram: None if datagram.data[18:20] == b"\x23\x20" and pair.net.now < until else datagram
    assert pair.net.run(60, until=lambda: pair.agree(1))
    assert not pair.b.events("peer-dead")
    assert [datagram for _, datagram in pair.net.sent if datagram.data[18] == Exchange.INFORMATIONAL] == []


def test_a_caller_that_dies_before_it_gets_our_last_answer_is_noticed_later() -> None:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.hook = lambda datagram: None if datagram.data[18:20] == b"\x23\x20" else datagram
    assert pair.net.run(1, until=lambda: pair.b.established != [])
    pair.net.hook = lambda datagram: None
    pair.net.run(limits.DPD_FIRST)
    assert pair.b.established != []
    assert pair.net.run(30, until=lambda: not pair.b.established)
    assert pair.b.events("peer-dead")


def test_a_caller_that_dies_after_it_has_spoken_is_noticed_as_soon_as_any_peer() -> None:
    pair = Pair()
    assert pair.up()
    pair.do(pair.b, pair.b.ike.peer_alive(tuple(pair.b.inbound), pair.net.now))
    pair.net.hook = lambda datagram: None
    assert pair.net.run(60, until=lambda: not pair.b.established)
    assert pair.b.events("peer-dead")
