"""IKE_SA_INIT and IKE_AUTH between two cores, on good and on bad networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import EspProposal, IkeProposal
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from tests.exchange.gateways import (
    ESP_CLASSIC,
    ESP_GCM,
    FOREVER,
    IKE_CLASSIC,
    IKE_X25519,
    Pair,
    child_of_a,
    mirrored,
    peer_a,
    peer_b,
)
from tests.exchange.network import Link
from tests.exchange.transcript import Tap

SEEDS = 300


def test_four_messages_make_an_ike_sa_and_its_first_child() -> None:
    pair = Pair()
    tap = Tap(pair.net)
    assert pair.up()
    assert tap.lines() == [
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
        "b <- IKE_SA_INIT 0 {SA, KE, N}",
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, SA, TSi, TSr}",
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
    ]


def test_the_halves_of_a_child_have_the_same_keys_and_mirrored_selectors() -> None:
    pair = Pair()
    assert pair.up()
    ((_, out_a),) = pair.a.outbound.items()
    ((_, in_b),) = pair.b.inbound.items()
    ((_, out_b),) = pair.b.outbound.items()
    assert out_a.keys == in_b.keys
    assert out_a.keys.encryption_key != out_b.keys.encryption_key
    assert (out_a.local, out_a.remote) == (in_b.remote, in_b.local)


def test_the_responder_opens_its_inbound_half_before_it_answers_and_its_outbound_half_after() -> None:
    pair = Pair()
    assert pair.up()
    kinds = [type(effect).__name__ for effect in pair.b.effects if type(effect).__name__ != "Report"]
    assert kinds == ["Send", "Heard", "SpeaksV2", "InstallInbound", "Send", "InstallOutbound"]


IKE_SUITES = [
    IkeProposal(((Encr.AES_GCM_16, 256),), (), (Prf.HMAC_SHA2_384,), (Group.ECP_384,)),
    IkeProposal(((Encr.AES_GCM_8, 128),), (), (Prf.HMAC_SHA1,), (Group.CURVE448,)),
    IkeProposal(((Encr.CHACHA20_POLY1305, None),), (), (Prf.HMAC_SHA2_512,), (Group.ECP_521,)),
    IkeProposal(((Encr.AES_CBC, 128),), (Integ.HMAC_SHA1_96,), (Prf.HMAC_SHA1,), (Group.MODP_2048,)),
    IkeProposal(((Encr.AES_CTR, 256),), (Integ.HMAC_SHA2_512_256,), (Prf.HMAC_SHA2_256,), (Group.MODP_3072,)),
]
ESP_SUITES = [
    EspProposal(((Encr.AES_GCM_12, 192),), ()),
    EspProposal(((Encr.CHACHA20_POLY1305, None),), (), esn=False),
    EspProposal(((Encr.AES_CBC, 256),), (Integ.HMAC_SHA2_384_192,)),
    EspProposal(((Encr.AES_CTR, 128),), (Integ.HMAC_SHA2_256_128,)),
]


@pytest.mark.parametrize("suite", IKE_SUITES, ids=lambda suite: f"{suite.encryption[0][0]}-{suite.groups[0]}")
def test_every_kind_of_ike_suite_works(suite: IkeProposal) -> None:
    pair = Pair(of_a=peer_b(proposals=(suite,)), of_b=peer_a(proposals=(suite,)))
    assert pair.up()
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(10)
    assert pair.agree(1)
    assert pair.a.events("ike-rekeyed")


@pytest.mark.parametrize("suite", ESP_SUITES, ids=lambda suite: str(suite.encryption[0][0]))
def test_every_kind_of_esp_suite_works(suite: EspProposal) -> None:
    child = child_of_a(proposals=(suite,))
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    assert pair.up()
    (installed,) = pair.a.inbound.values()
    assert (installed.keys.encryption, installed.keys.key_bits) == suite.encryption[0]
    assert installed.keys.esn is suite.esn


def test_the_responders_order_decides_between_common_proposals() -> None:
    child = child_of_a(proposals=(ESP_GCM, ESP_CLASSIC))
    other = replace(mirrored(child), proposals=(ESP_CLASSIC, ESP_GCM))
    pair = Pair(
        of_a=peer_b(child, proposals=(IKE_X25519, IKE_CLASSIC)),
        of_b=peer_a(other, proposals=(IKE_CLASSIC, IKE_X25519)),
    )
    assert pair.up()
    (sa,) = pair.a.ike.status()
    assert sa.suite == "aes256-sha256-prfsha256-ecp256"
    assert sa.children[0].suite == "aes128-sha256-esn"


def test_a_group_that_only_the_responder_prefers_costs_no_round_trip() -> None:
    both = (Group.CURVE25519, Group.ECP_256)
    pair = Pair(
        of_a=peer_b(proposals=(replace(IKE_X25519, groups=both),)),
        of_b=peer_a(proposals=(replace(IKE_X25519, groups=both[::-1]),)),
    )
    assert pair.up()
    assert len(pair.net.sent) == 4


def test_a_group_the_responder_refuses_is_replaced_by_the_one_it_names() -> None:
    pair = Pair(
        of_a=peer_b(proposals=(replace(IKE_X25519, groups=(Group.CURVE25519, Group.ECP_384, Group.ECP_256)),)),
        of_b=peer_a(proposals=(replace(IKE_X25519, groups=(Group.ECP_256,)),)),
    )
    tap = Tap(pair.net)
    assert pair.up()
    assert tap.lines()[:3] == [
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
        "b <- IKE_SA_INIT 0 {N(INVALID_KE_PAYLOAD)}",
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
    ]


def test_a_cookie_goes_first_and_stays_through_a_change_of_group() -> None:
    # HDR(A,0), SAi1, KEi, Ni -->
    #                         <-- HDR(A,0), N(COOKIE)
    # HDR(A,0), N(COOKIE), SAi1, KEi, Ni  -->
    #                         <-- HDR(A,0), N(INVALID_KE_PAYLOAD)
    # HDR(A,0), N(COOKIE), SAi1, KEi', Ni -->
    #                         <-- HDR(A,B), SAr1, KEr, Nr                      RFC 7296 section 2.6.1
    pair = Pair(
        of_a=peer_b(proposals=(replace(IKE_X25519, groups=(Group.CURVE25519, Group.ECP_256)),)),
        of_b=peer_a(proposals=(replace(IKE_X25519, groups=(Group.ECP_256,)),)),
        cookie_threshold=0,
    )
    tap = Tap(pair.net)
    assert pair.up()
    assert tap.lines()[:6] == [
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
        "b <- IKE_SA_INIT 0 {N(COOKIE)}",
        "a -> IKE_SA_INIT 0 {N(COOKIE), SA, KE, N}",
        "b <- IKE_SA_INIT 0 {N(INVALID_KE_PAYLOAD)}",
        "a -> IKE_SA_INIT 0 {N(COOKIE), SA, KE, N}",
        "b <- IKE_SA_INIT 0 {SA, KE, N}",
    ]


def test_a_child_that_cant_be_had_leaves_the_ike_sa_standing() -> None:
    # RFC 7296 section 1.2
    child = child_of_a()
    pair = Pair(of_a=peer_b(child), of_b=peer_a(replace(mirrored(child), proposals=(ESP_CLASSIC,))))
    tap = Tap(pair.net)
    assert not pair.up(seconds=5)
    assert tap.lines()[-1] == "b <- IKE_AUTH 1 {IDr, AUTH, N(NO_PROPOSAL_CHOSEN)}"
    assert pair.a.established == pair.b.established != []
    (report,) = pair.a.events("child-failed")
    assert report.fields["point"] == "peer"
    assert report.fields["reason"] == (
        "the peer accepts none of our proposals (NO_PROPOSAL_CHOSEN): we offer aes128gcm16-esn-noesn"
    )
    assert report.fields["filter"] == "10.1.0.0/16 = 10.2.0.0/16"
    (report,) = pair.b.events("child-failed")
    assert report.fields["point"] == "me"
    assert "aes128gcm16" in report.fields["reason"]
    assert "aes128-sha256" in report.fields["reason"]
    assert pair.a.gave_up[0].child == "net"


def test_several_children_wanted_from_the_start_share_one_ike_sa() -> None:
    children = [child_of_a(f"net{n}", start=True) for n in range(4)]
    pair = Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(4))


def test_both_ends_starting_at_once_end_with_one_ike_sa_and_one_child() -> None:
    for seed in range(SEEDS):
        delay = (0.001, 0.2)
        of_a, of_b = peer_b(child_of_a(start=True)), peer_a(replace(mirrored(child_of_a()), start=True))
        pair = Pair(f"both {seed}", Link(loss=0.1, delay=delay), of_a=of_a, of_b=of_b)
        pair.net.start()
        pair.net.run(60)
        pair.net.link = Link()
        pair.net.run(60)
        assert pair.agree(1), seed


def test_a_handshake_comes_through_twenty_per_cent_loss_within_a_minute() -> None:
    link = Link(loss=0.2, delay=(0.02, 0.06))
    done = sum(Pair(f"loss {seed}", link).up(seconds=60) for seed in range(SEEDS))
    assert done >= 0.98 * SEEDS


def test_a_handshake_comes_through_thirty_per_cent_loss_before_it_gives_up() -> None:
    link = Link(loss=0.3, delay=(0.02, 0.06))
    done = sum(Pair(f"loss {seed}", link).up(seconds=170) for seed in range(SEEDS))
    assert done >= 0.95 * SEEDS


def test_duplicates_and_reordering_make_exactly_one_ike_sa_and_one_child() -> None:
    link = Link(duplication=0.5, delay=(0.01, 0.5))
    for seed in range(SEEDS // 3):
        pair = Pair(f"duplicates {seed}", link)
        pair.up(seconds=60)
        pair.net.run(60)
        assert pair.agree(1), seed


def test_a_repeated_request_gets_the_same_octets_again() -> None:
    answers: dict[bytes, set[bytes]] = {}
    for seed in range(20):
        pair = Pair(f"same {seed}", Link(duplication=0.9, delay=(0.01, 0.4)))
        pair.up()
        pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
        pair.net.run(30)
        pair.net.link = Link()
        for _, datagram in pair.net.sent:
            from_b = datagram.source.address == pair.net.sent[1][1].source.address
            response = datagram.data[19] & 0x20
            if from_b and response:
                key = datagram.data[:16] + datagram.data[18:24]
                answers.setdefault(key, set()).add(datagram.data)
        assert pair.b.ike.counters["request-repeated"] > 0
    assert all(len(octets) == 1 for octets in answers.values())


def test_corrupted_datagrams_change_nothing_and_are_never_answered_when_sealed() -> None:
    for seed in range(100):
        pair = Pair(f"corrupt {seed}", Link(corruption=0.3, delay=(0.02, 0.06)))
        pair.up(seconds=170)
        pair.net.link = Link()
        pair.net.run(170)
        assert pair.a.established == pair.b.established, seed
        assert pair.a.inbound_spis == pair.b.outbound_spis, seed
        assert pair.b.inbound_spis == pair.a.outbound_spis, seed


def test_nobody_answers_and_the_attempt_ends_after_eighty_two_seconds_with_one_report() -> None:
    pair = Pair(link=Link(loss=1.0))
    start = pair.net.now
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    assert pair.net.run(120, until=lambda: bool(pair.a.gave_up))
    assert 72 < pair.net.now - start < 92
    assert [round(when - start) for when, _ in pair.net.sent][1:3] == [2, 6]
    assert len(pair.net.sent) == 6
    (report,) = pair.a.events("ike-failed")
    assert report.fields["reason"] == "the peer doesn't answer"
    assert (report.fields["peer"], report.fields["rule"], report.fields["point"]) == ("b", "rule-net", "peer")
    assert not pair.a.ike.status()


def test_what_is_to_be_up_from_the_start_is_called_again_with_back_off() -> None:
    pair = Pair(link=Link(loss=1.0), of_a=peer_b(child_of_a(start=True), lifetime=FOREVER))
    pair.net.start()
    pair.net.run(600)
    calls = [report for report in pair.a.reports if report.event == "ike-calling"]
    assert 5 <= len(calls) <= 7
    pair.net.link = Link()
    assert pair.net.run(150, until=lambda: pair.agree(1))
