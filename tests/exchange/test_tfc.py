"""Traffic flow confidentiality: what the policy hides, and peers that take no padding (RFC 7296 section 1.3.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import AhEspProposal, AhProposal, ChildProposal, IkeConfig
from ipsecd.ike.effects import Effect, InstallOutbound, Report
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, Integ, NotifyType
from ipsecd.wire.tfc import NO_TFC, PATH_MTU, Tfc
from tests.exchange.answerer import Answerer
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import ESP_GCM, KEY, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Node
from tests.exchange.stranger import Stranger, notified
from tests.exchange.test_transport_mode import more_payloads
from tests.exchange.transcript import Tap

TAKES_NONE = Notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)
HIDDEN = Tfc(padding=PATH_MTU, dummies=5)
UNPADDED = Tfc(dummies=5)


def pair(**changes: object) -> Pair:
    """Gateway a hides what it sends, and b doesn't."""
    child = child_of_a(tfc=HIDDEN, **changes)
    return Pair(of_a=peer_b(child), of_b=peer_a(replace(mirrored(child), tfc=NO_TFC)))


def sent(node: Node) -> set[Tfc]:
    return {sa.tfc for sa in node.outbound.values()}


def installed(effects: list[Effect]) -> list[Tfc]:
    return [effect.tfc for effect in effects if isinstance(effect, InstallOutbound)]


def declined(effects: list[Effect]) -> list[str]:
    told = [effect for effect in effects if isinstance(effect, Report) and effect.event == "padding-declined"]
    return [f"{each.level} {each.fields['child']}" for each in told]


def shown(ike: Ike) -> list[tuple[Tfc, bool]]:
    return [(child.tfc, child.padding_declined) for sa in ike.status() for child in sa.children]


def test_each_end_hides_what_its_own_policy_says_and_never_declines() -> None:
    gateways = pair()
    tap = Tap(gateways.net)
    assert gateways.up()
    assert (sent(gateways.a), sent(gateways.b)) == ({HIDDEN}, {NO_TFC})
    assert shown(gateways.a.ike) == [(HIDDEN, False)]
    assert shown(gateways.b.ike) == [(NO_TFC, False)]
    assert not [line for line in tap.lines() if "TFC" in line]
    assert gateways.a.events("padding-declined") == []


def test_a_successor_hides_as_much() -> None:
    gateways = pair()
    assert gateways.up()
    before = gateways.a.inbound_spis
    gateways.net.carry_out(gateways.a, gateways.a.ike.rekey("net", gateways.net.now))
    gateways.net.run(60)
    assert not before & gateways.a.inbound_spis
    assert sent(gateways.a) == {HIDDEN}


@pytest.mark.parametrize(
    ("proposal", "of_each"),
    [
        (AhProposal((Integ.HMAC_SHA2_256_128,)), [NO_TFC]),
        (AhEspProposal((Integ.HMAC_SHA2_256_128,), ESP_GCM), [NO_TFC, HIDDEN]),
    ],
)
def test_only_esp_hides_anything(proposal: ChildProposal, of_each: list[Tfc]) -> None:
    gateways = pair(proposals=(proposal,))
    gateways.up(seconds=5)
    assert sorted(sa.tfc.dummies for sa in gateways.a.outbound.values()) == [tfc.dummies for tfc in of_each]
    assert shown(gateways.a.ike) == [(of_each[-1], False)]


# --- peers that take none -----------------------------------------------------------------------------------------


def answerer(tfc: Tfc) -> Answerer:
    """Is called by gateway a, and has answered IKE_SA_INIT."""
    made = Answerer(Ike(IkeConfig((peer_b(child_of_a(tfc=tfc)),)), SeededEntropy("a")), KEY.key.reveal())
    made.take(made.ike.up("net", made.now))
    made.answer_init()
    return made


def test_a_peer_that_declines_padding_in_its_answer_gets_none_and_dummies_all_the_same() -> None:
    peer = answerer(HIDDEN)
    peer.answer_auth(lambda payloads: (*payloads, TAKES_NONE))
    assert installed(peer.effects) == [UNPADDED]
    assert declined(peer.effects) == ["warning net"]
    assert shown(peer.ike) == [(UNPADDED, True)]


def test_it_says_so_of_each_sa_anew() -> None:
    peer = answerer(HIDDEN)
    peer.answer_auth(lambda payloads: (*payloads, TAKES_NONE))
    peer.take(peer.ike.rekey("net", peer.now))
    peer.answer_child()
    assert installed(peer.effects) == [UNPADDED, HIDDEN]
    assert (HIDDEN, False) in shown(peer.ike)


def test_it_is_told_of_only_where_something_would_be_padded() -> None:
    peer = answerer(UNPADDED)
    peer.answer_auth(lambda payloads: (*payloads, TAKES_NONE))
    assert installed(peer.effects) == [UNPADDED]
    assert declined(peer.effects) == []
    assert shown(peer.ike) == [(UNPADDED, False)]


def stranger_of(tfc: Tfc) -> Stranger:
    """Calls gateway b, which hides what it sends."""
    config = IkeConfig((peer_a(mirrored(child_of_a(tfc=tfc))),))
    return Stranger(Ike(config, SeededEntropy("b")), B, A)


def test_a_peer_that_calls_and_declines_padding_gets_none() -> None:
    stranger = stranger_of(HIDDEN)
    assert stranger.sa_init() is not None
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY.key.reveal()), TAKES_NONE)
    assert NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED not in notified(answer)
    assert installed(stranger.effects) == [UNPADDED]
    assert shown(stranger.ike) == [(UNPADDED, True)]


def test_a_peer_that_declines_padding_in_its_request_gets_none() -> None:
    """Ours has no such notify: we take padding."""
    stranger = stranger_of(HIDDEN)
    stranger.connect(KEY.key.reveal())
    assert installed(stranger.effects) == [HIDDEN]
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, TAKES_NONE, *more_payloads(stranger))
    assert answer is not None
    assert notified(answer) == []
    assert installed(stranger.effects) == [UNPADDED]
    assert declined(stranger.effects) == ["warning net"]


# --- a reload ---------------------------------------------------------------------------------------------------------


def test_what_a_reload_hides_otherwise_a_successor_does_and_no_packet_is_lost() -> None:
    gateways = pair()
    assert gateways.up()
    gateways.net.exchange_packets(gateways.a, gateways.b, "net", every=0.05, until=gateways.net.now + 20)
    before = gateways.a.inbound_spis
    less = IkeConfig((peer_b(child_of_a(tfc=Tfc(padding=1_000))),))
    gateways.do(gateways.a, gateways.a.ike.reconfigure(less, gateways.net.now))
    gateways.net.run(30)
    assert gateways.agree(1)
    assert not before & gateways.a.inbound_spis
    assert sent(gateways.a) == {Tfc(padding=1_000)}
    assert gateways.net.lost_packets == []


def test_a_reload_that_changes_nothing_about_it_leaves_the_sa() -> None:
    gateways = pair()
    assert gateways.up()
    before = gateways.a.inbound_spis
    gateways.do(gateways.a, gateways.a.ike.reconfigure(IkeConfig((peer_b(child_of_a(tfc=HIDDEN)),)), gateways.net.now))
    gateways.net.run(30)
    assert gateways.a.inbound_spis == before
