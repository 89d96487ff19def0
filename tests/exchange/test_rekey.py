"""Rekeying, one message at a time; nonces are dictated where they decide who wins."""

from __future__ import annotations

from dataclasses import replace

from ipsecd import limits
from ipsecd.ike.config import Lifetime
from ipsecd.ike.effects import InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound, Send
from ipsecd.wire.registry import Group
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_CLASSIC, ESP_GCM, ESP_PFS, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Link, Node
from tests.exchange.transcript import Tap

LOW, MIDDLE, HIGH, HIGHEST = (bytes([first]) * 32 for first in (1, 2, 3, 4))


def up(**changes: object) -> tuple[Pair, Tap]:
    child = child_of_a(**changes)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    assert pair.up()
    pair.a.effects.clear()
    pair.b.effects.clear()
    return pair, Tap(pair.net)


def rekey(pair: Pair, node: Node, name: str = "net") -> None:
    """``name`` is the child, or the peer whose IKE SA is meant."""
    act = node.ike.rekey if name == "net" else node.ike.rekey_peer
    pair.do(node, act(name, pair.net.now))


def kinds(node: Node) -> list[str]:
    """The effects that touch the wire or the data plane, in order."""
    wanted = (Send, InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound)
    return [type(effect).__name__ for effect in node.effects if isinstance(effect, wanted)]


def test_a_child_is_rekeyed_and_the_old_one_deleted_by_who_asked() -> None:
    # HDR, SK {N(REKEY_SA), SA, Ni, TSi, TSr}  -->
    #                         <--  HDR, SK {SA, Nr, TSi, TSr}
    # HDR, SK {D}  -->
    #                         <--  HDR, SK {D}
    pair, tap = up()
    rekey(pair, pair.a)
    pair.net.run(1)
    assert tap.lines() == [
        "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {SA, N, TSi, TSr}",
        "a -> INFORMATIONAL 3 {D(1)}",
        "b <- INFORMATIONAL 3 {D(1)}",
    ]
    # who asked has both halves when the answer is there, and stops sending by the old SA when that is deleted
    assert kinds(pair.a) == ["Send", "InstallInbound", "InstallOutbound", "Send", "RemoveOutbound"]
    # who answered can receive before it answers, and sends by the new SA once the old one's Delete is there
    assert kinds(pair.b) == ["InstallInbound", "Send", "InstallOutbound", "RemoveOutbound", "Send"]
    assert len(pair.a.inbound) == len(pair.b.inbound) == 2
    pair.net.run(limits.OLD_INBOUND_KEPT)
    assert pair.agree(1)


def test_the_responder_rekeys_just_as_well() -> None:
    pair, tap = up()
    rekey(pair, pair.b)
    pair.net.run(10)
    assert tap.lines()[0] == "b -> CREATE_CHILD_SA 0 {N(REKEY_SA), SA, N, TSi, TSr}"
    assert pair.agree(1)


def test_the_first_packet_on_the_new_sa_lets_the_responder_switch() -> None:
    pair, _ = up()
    rekey(pair, pair.a)
    pair.net.run(0.015)  # the request is there, the answer on its way
    new = next(effect for effect in pair.b.effects if isinstance(effect, InstallInbound))
    assert kinds(pair.b) == ["InstallInbound", "Send"]
    pair.do(pair.b, pair.b.ike.inbound_used(new.spi, pair.net.now))
    assert kinds(pair.b) == ["InstallInbound", "Send", "InstallOutbound"]


def test_a_peer_that_neither_deletes_nor_sends_is_switched_to_in_the_end() -> None:
    pair, _ = up()
    rekey(pair, pair.a)
    pair.net.run(0.015)
    pair.net.hook = lambda datagram: None  # whatever a does now
    pair.net.run(20)
    assert "InstallOutbound" not in kinds(pair.b)
    pair.net.hook = lambda datagram: datagram
    for _ in range(int(limits.OUTBOUND_SWITCH)):
        pair.net.run(1)
        pair.do(pair.b, pair.b.ike.peer_alive(tuple(pair.b.inbound), pair.net.now))
    assert "InstallOutbound" in kinds(pair.b)


def test_a_rekey_with_pfs_exchanges_keys_and_one_without_does_not() -> None:
    pair, tap = up(proposals=(ESP_PFS,))
    made = pair.a.entropy.key_pairs[Group.CURVE25519]
    rekey(pair, pair.a)
    pair.net.run(10)
    assert tap.lines()[:2] == [
        "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, KE, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {SA, N, KE, TSi, TSr}",
    ]
    assert pair.a.entropy.key_pairs[Group.CURVE25519] == made + 1
    assert pair.agree(1)


def test_pfs_with_another_group_than_tried_is_asked_for_again() -> None:
    child = child_of_a(proposals=(ESP_PFS,))
    theirs = replace(mirrored(child), proposals=(replace(ESP_PFS, groups=(Group.ECP_256,)),))
    pair = Pair(of_a=peer_b(child), of_b=peer_a(theirs))
    assert pair.up()
    tap = Tap(pair.net)
    rekey(pair, pair.a)
    pair.net.run(10)
    assert tap.lines()[:3] == [
        "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, KE, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {N(INVALID_KE_PAYLOAD)}",
        "a -> CREATE_CHILD_SA 3 {N(REKEY_SA), SA, N, KE, TSi, TSr}",
    ]
    assert pair.agree(1)


def test_pfs_that_the_responder_wants_and_the_initiator_does_not_offer_fails_the_rekey_and_keeps_the_child() -> None:
    child = child_of_a()
    pair = Pair(of_a=peer_b(child), of_b=peer_a(replace(mirrored(child), proposals=(ESP_PFS,))))
    assert pair.up()
    rekey(pair, pair.a)
    pair.net.run(10)
    (report,) = pair.a.events("child-rekey-failed")
    assert report.fields["reason"] == (
        "the peer accepts none of our proposals (NO_PROPOSAL_CHOSEN): we offer aes128gcm16-esn-noesn"
    )
    assert pair.agree(1)


def test_the_ike_sa_is_rekeyed_its_children_go_along_and_message_ids_start_anew() -> None:
    # HDR, SK {SA, Ni, KEi} -->
    #                         <--  HDR, SK {SA, Nr, KEr}
    # HDR, SK {D}  -->        on the old IKE SA
    #                         <--  HDR, SK {}
    pair, tap = up()
    before = pair.a.established
    spis = pair.a.inbound_spis
    rekey(pair, pair.b, "a")
    pair.net.run(10)
    assert tap.lines() == [
        "b -> CREATE_CHILD_SA 0 {SA, N, KE}",
        "a <- CREATE_CHILD_SA 0 {SA, N, KE}",
        "b -> INFORMATIONAL 1 {D}",
        "a <- INFORMATIONAL 1 {}",
    ]
    assert pair.a.established == pair.b.established != before
    assert pair.a.inbound_spis == spis
    (sa,) = pair.b.ike.status()
    assert sa.initiator
    rekey(pair, pair.a)
    pair.net.run(10)
    assert tap.lines()[4] == "a -> CREATE_CHILD_SA 0 {N(REKEY_SA), SA, N, TSi, TSr}"
    assert pair.agree(1)


def cross(pair: Pair, name_of_a: str, name_of_b: str) -> None:
    """Both rekey in the same instant."""
    rekey(pair, pair.a, name_of_a)
    rekey(pair, pair.b, name_of_b)


def test_of_two_new_children_the_one_with_the_lowest_nonce_is_closed_by_its_maker() -> None:
    # RFC 7296 section 2.8.1; the lowest nonce is Nr1 in resp2, the answer of a to the request of b
    pair, tap = up()
    pair.a.entropy.dictate(HIGH, LOW)
    pair.b.entropy.dictate(MIDDLE, HIGHEST)
    old = next(iter(pair.a.inbound))
    cross(pair, "net", "net")
    pair.net.run(0.05)
    assert sorted(tap.lines()) == [
        "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, TSi, TSr}",
        "a -> INFORMATIONAL 3 {D(1)}",
        "a <- CREATE_CHILD_SA 0 {SA, N, TSi, TSr}",
        "a <- INFORMATIONAL 1 {D(1)}",
        "b -> CREATE_CHILD_SA 0 {N(REKEY_SA), SA, N, TSi, TSr}",
        "b -> INFORMATIONAL 1 {D(1)}",
        "b <- CREATE_CHILD_SA 2 {SA, N, TSi, TSr}",
        "b <- INFORMATIONAL 3 {D(1)}",
    ]
    deletes = [tap.payloads(d.data)[0] for _, d in pair.net.sent if d.data[18:20] == b"\x25\x08"]
    assert [delete.spis for delete in deletes] == [(old,)]  # type: ignore[union-attr]  # a Delete
    pair.net.run(10)
    assert pair.agree(1)


def test_a_rekey_that_was_finished_before_the_other_was_noticed_wins() -> None:
    # RFC 7296 section 2.8.1, the second sequence: req1 is lost, b finishes, then req1 comes again
    pair, tap = up()
    lost: list[Datagram] = []

    def lose_the_first(datagram: Datagram) -> Datagram | None:
        if datagram.source.address == pair.net.sent[0][1].source.address and not lost:
            lost.append(datagram)
            return None
        return datagram

    pair.net.hook = lose_the_first
    cross(pair, "net", "net")
    pair.net.run(10)
    assert tap.lines() == [
        "a -> CREATE_CHILD_SA 2 {N(REKEY_SA), SA, N, TSi, TSr}",
        "b -> CREATE_CHILD_SA 0 {N(REKEY_SA), SA, N, TSi, TSr}",
        "a <- CREATE_CHILD_SA 0 {SA, N, TSi, TSr}",
        "b -> INFORMATIONAL 1 {D(1)}",
        "a <- INFORMATIONAL 1 {D(1)}",
        "b <- CREATE_CHILD_SA 2 {N(CHILD_SA_NOT_FOUND)}",
    ]
    assert pair.agree(1)


def test_of_two_new_ike_sas_the_one_with_the_lowest_nonce_is_deleted_by_its_maker() -> None:
    # RFC 7296 section 2.8.2
    pair, tap = up()
    pair.a.entropy.dictate(LOW, HIGH)
    pair.b.entropy.dictate(MIDDLE, HIGHEST)
    cross(pair, "b", "a")
    pair.net.run(10)
    assert pair.agree(1)
    (sa,) = pair.b.ike.status()
    assert sa.initiator  # the one b has made
    assert sorted(line for line in tap.lines() if "INFORMATIONAL" in line) == [
        "a -> INFORMATIONAL 0 {D}",  # on the one a has made
        "a <- INFORMATIONAL 1 {}",
        "b -> INFORMATIONAL 1 {D}",  # on the old one
        "b <- INFORMATIONAL 0 {}",
    ]


def test_an_ike_rekey_that_only_one_side_noticed_is_forgotten_by_it() -> None:
    # RFC 7296 section 2.8.2, the special case: req2 is lost, a finishes and deletes the old IKE SA
    pair, _ = up()
    lost: list[Datagram] = []

    def lose_the_first_of_b(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == pair.b.address and not lost:
            lost.append(datagram)
            return None
        return datagram

    pair.net.hook = lose_the_first_of_b
    rekey(pair, pair.b, "a")
    rekey(pair, pair.a, "b")
    pair.net.run(60)
    assert pair.agree(1)
    (sa,) = pair.a.ike.status()
    assert sa.initiator


def test_a_child_rekey_during_an_ike_rekey_is_put_off_by_temporary_failure() -> None:
    pair, tap = up()
    cross(pair, "b", "net")
    pair.net.run(0.03)
    assert sorted(tap.lines()) == [
        "a -> CREATE_CHILD_SA 2 {SA, N, KE}",
        "a <- CREATE_CHILD_SA 0 {N(TEMPORARY_FAILURE)}",
        "b -> CREATE_CHILD_SA 0 {N(REKEY_SA), SA, N, TSi, TSr}",
        "b <- CREATE_CHILD_SA 2 {N(TEMPORARY_FAILURE)}",
    ]
    pair.net.run(30)
    assert pair.agree(1)
    assert pair.a.events("ike-rekeyed")
    assert pair.a.events("child-rekeyed")


def test_soft_lifetimes_start_rekeys_by_themselves() -> None:
    life = Lifetime(600)
    child = child_of_a(lifetime=life)
    pair = Pair(of_a=peer_b(child, lifetime=Lifetime(1_000)), of_b=peer_a(mirrored(child), lifetime=Lifetime(1_000)))
    assert pair.up()
    pair.net.exchange_packets(pair.a, pair.b, "net", every=0.5, until=pair.net.now + 5_000)
    pair.net.run(5_100)
    assert pair.agree(1)
    assert not pair.net.lost_packets
    assert not pair.a.events("child-expired")
    assert 8 <= len(pair.a.events("child-rekeyed")) <= 13
    assert 4 <= len(pair.a.events("ike-rekeyed")) <= 8


def test_an_sa_has_the_lifetime_of_the_proposal_that_was_chosen_on_either_side_and_after_a_rekey() -> None:
    child = child_of_a(
        lifetime=Lifetime(600), proposals=(ESP_GCM, replace(ESP_CLASSIC, lifetime=Lifetime(300, octets=1_000_000)))
    )
    of_b = (replace(ESP_CLASSIC, lifetime=Lifetime(200)), replace(ESP_GCM, lifetime=Lifetime(500)))
    pair = Pair(of_a=peer_b(child), of_b=peer_a(replace(mirrored(child), proposals=of_b)))
    assert pair.up()
    for _ in range(2):
        ((of_a,), (of_b_now,)) = pair.a.inbound.values(), pair.b.inbound.values()
        assert (of_a.hard, of_b_now.hard) == (Lifetime(300, octets=1_000_000), Lifetime(200))
        assert [sa.children[0].lifetime for node in (pair.a, pair.b) for sa in node.ike.status()] == [300, 200]
        rekey(pair, pair.a)
        pair.net.run(limits.OLD_INBOUND_KEPT + 1)
        assert pair.agree(1)


def test_of_proposals_that_look_the_same_once_chosen_the_first_says_how_long_an_sa_lives() -> None:
    twice = (replace(ESP_GCM, lifetime=Lifetime(300)), replace(ESP_GCM, lifetime=Lifetime(900)))
    pair, _ = up(proposals=twice)
    assert [node.ike.status()[0].children[0].lifetime for node in (pair.a, pair.b)] == [300, 300]


def test_a_child_that_cant_be_rekeyed_is_made_anew_under_another_ike_sa() -> None:
    """The first child of an IKE SA never has PFS, so only its rekey fails where the two ends differ in that."""
    child = child_of_a(lifetime=Lifetime(400))
    pair = Pair(of_a=peer_b(child), of_b=peer_a(replace(mirrored(child), proposals=(ESP_PFS,))))
    assert pair.up()
    before = pair.a.established
    pair.net.exchange_packets(pair.a, pair.b, "net", every=0.5, until=pair.net.now + 1_000)
    pair.net.run(1_000)
    assert not pair.a.events("child-expired") + pair.b.events("child-expired")
    assert [lost for lost in pair.net.lost_packets if "no outbound" in lost] == []
    assert pair.agree(1)
    assert pair.a.established != before


def test_soft_and_hard_limits_of_the_data_plane_rekey_and_end_a_child() -> None:
    pair, _ = up(lifetime=Lifetime(None, octets=1_000_000, packets=10_000))
    (installed,) = pair.a.inbound.values()
    assert installed.hard == Lifetime(None, 1_000_000, 10_000)
    assert installed.soft.octets is not None
    assert installed.soft.packets is not None
    assert 770_000 <= installed.soft.octets <= 850_000
    assert 7_700 <= installed.soft.packets <= 8_500
    pair.do(pair.a, pair.a.ike.soft_expired(installed.spi, pair.net.now))
    pair.net.run(10)
    assert pair.agree(1)
    (renewed,) = pair.a.inbound.values()
    assert renewed.spi != installed.spi
    pair.do(pair.a, pair.a.ike.hard_expired(renewed.spi, pair.net.now))
    pair.net.run(10)
    assert not pair.a.inbound
    assert not pair.b.inbound


def test_without_extended_sequence_numbers_a_child_ends_before_they_do() -> None:
    proposal = replace(ESP_PFS, esn=False)
    pair, _ = up(proposals=(proposal,))
    (installed,) = pair.a.inbound.values()
    assert installed.hard.packets == (1 << 32) - (1 << 16)
    assert installed.soft.packets == 1 << 31


def test_a_rekey_of_a_child_the_peer_has_lost_makes_a_new_one() -> None:
    # RFC 7296 section 2.25: CHILD_SA_NOT_FOUND
    pair, tap = up()
    pair.net.hook = lambda datagram: None if str(datagram.source.address) == pair.b.address else datagram
    pair.do(pair.b, pair.b.ike.down("net", pair.net.now))
    pair.net.run(0.1)
    (sa,) = pair.b.ike._core.ikes.values()
    for child in list(sa.children.values()):
        child.cut_off()
    sa.finish()
    pair.net.hook = lambda datagram: datagram
    rekey(pair, pair.a)
    pair.net.run(10)
    assert "b <- CREATE_CHILD_SA 2 {N(CHILD_SA_NOT_FOUND)}" in tap.lines()
    assert "a -> CREATE_CHILD_SA 3 {SA, N, TSi, TSr}" in tap.lines()
    assert pair.agree(1)


def test_a_delete_that_overtakes_the_answer_that_makes_the_child_leaves_no_orphan() -> None:
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    pair = Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
    assert pair.up()
    held: list[Datagram] = []

    def hold_the_answer(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == pair.b.address and not held:
            held.append(datagram)
            return None
        return datagram

    pair.net.hook = hold_the_answer
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    pair.net.run(0.015)
    pair.do(pair.b, pair.b.ike.down("more", pair.net.now))
    pair.net.run(0.5)
    pair.net.inject(held[0])
    pair.net.run(10)
    assert pair.agree(1)


def test_a_link_that_was_dead_for_a_minute_finishes_the_rekey_it_had_begun() -> None:
    pair, _ = up()
    rekey(pair, pair.a)
    pair.net.run(0.015)
    pair.net.link = Link(loss=1.0)
    pair.net.run(20)
    pair.net.link = Link()
    pair.net.run(60)
    assert pair.agree(1)
