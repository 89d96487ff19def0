"""NATs between the gateways, and none: what is detected, where things go, and what follows a peer that moves (RFC 7296
section 2.23, RFC 3948)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.effects import InstallInbound, InstallOutbound, MovePath, Send
from ipsecd.ike.nat import hash_of
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import decode
from ipsecd.wire.payloads import AnyPayload, Nonce, Notify
from ipsecd.wire.registry import Exchange, NotifyType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, Pair, peer_a, peer_b
from tests.exchange.natbox import NatBox
from tests.exchange.network import Datagram, endpoint
from tests.exchange.stranger import Stranger, notified
from tests.exchange.transcript import Tap

OUTSIDE = "203.0.113.1"
KEY_A = KEY.key.reveal()


def behind_nat() -> tuple[Pair, NatBox]:
    """Gateway a is behind a NAT; b knows it by its identity alone."""
    pair = Pair(of_b=peer_a(remotes=()))
    box = NatBox(A, OUTSIDE)
    pair.net.hook = box
    assert pair.up()
    return pair, box


def flags(pair: Pair) -> list[tuple[bool, bool]]:
    """Where a and b believe a NAT is: in front of themselves, in front of the other."""
    return [(sa.nat_here, sa.nat_there) for node in (pair.a, pair.b) for sa in node.ike.status()]


def remotes(pair: Pair) -> list[str]:
    return [sa.remote for node in (pair.a, pair.b) for sa in node.ike.status()]


# --- detection ---------------------------------------------------------------------------------------------------


def test_two_of_us_without_a_nat_see_none_although_others_are_made_to_see_one() -> None:
    pair = Pair()
    assert pair.up()
    assert flags(pair) == [(False, False), (False, False)]
    for _, datagram in pair.net.sent[:2]:
        message = decode(datagram.data)
        said = {payload.data for payload in message.payloads if isinstance(payload, Notify) and payload.type == 16_388}
        true = hash_of(message.header.spi_i, message.header.spi_r, datagram.source)
        assert len(said) == 1
        assert true not in said
    assert not pair.a.keepalives
    assert not pair.b.keepalives


def test_a_nat_in_front_of_one_is_seen_by_both() -> None:
    pair, _ = behind_nat()
    assert flags(pair) == [(True, False), (False, True)]
    assert remotes(pair) == [f"{B}:4500", f"{OUTSIDE}:40001"]
    (installed,) = pair.b.outbound.values()
    assert installed.path == Path(endpoint(B, 4500), endpoint(OUTSIDE, 40_001), natt=True)


def test_a_nat_in_front_of_the_responder_is_seen_by_both() -> None:
    """Which forwards the ports of its outer address."""
    pair = Pair(of_a=peer_b(remotes=(endpoint(OUTSIDE).address,)))
    box = NatBox(B, OUTSIDE)
    box.ports |= {500: 500, 4500: 4500}
    pair.net.hook = box
    assert pair.up()
    assert flags(pair) == [(False, True), (True, False)]


# --- what follows ------------------------------------------------------------------------------------------------


def test_who_is_behind_the_nat_keeps_its_mapping_alive_every_twenty_seconds() -> None:
    pair, _ = behind_nat()
    start = pair.net.now
    pair.net.run(201)
    assert limits.NAT_KEEPALIVE == 20.0
    assert pair.a.keepalives == [Path(endpoint(A, 4500), endpoint(B, 4500), natt=True)] * 10
    assert pair.net.now - start == pytest.approx(201)
    assert not pair.b.keepalives
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.run(100)
    assert len(pair.a.keepalives) == 10


def test_keepalives_go_on_after_a_rekey_of_the_ike_sa() -> None:
    pair, _ = behind_nat()
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(101)
    assert len(pair.a.events("ike-rekeyed")) == 1
    assert len(pair.a.keepalives) == 5


def test_children_and_the_ike_sa_are_rekeyed_through_the_nat_from_either_side() -> None:
    pair, _ = behind_nat()
    for node, name in ((pair.a, "net"), (pair.b, "net"), (pair.a, "b"), (pair.b, "a")):
        before = pair.a.established, pair.a.inbound_spis
        pair.do(node, (node.ike.rekey if name == "net" else node.ike.rekey_peer)(name, pair.net.now))
        pair.net.run(10)
        assert pair.agree(1)
        assert (pair.a.established, pair.a.inbound_spis) != before
    assert flags(pair) == [(True, False), (False, True)]


def test_liveness_is_asked_through_the_nat_and_a_dead_peer_noticed() -> None:
    pair, _ = behind_nat()
    tap = Tap(pair.net)
    pair.net.run(limits.DPD_IDLE + 1)
    assert any(line.endswith(("INFORMATIONAL 2 {}", "INFORMATIONAL 0 {}")) for line in tap.lines())
    pair.net.hook = lambda datagram: None
    pair.net.run(90)
    assert pair.a.events("peer-dead")
    assert pair.b.events("peer-dead")


def test_a_new_mapping_is_followed_by_what_the_peer_says_next() -> None:
    pair, box = behind_nat()
    spis = tuple(pair.b.inbound)
    box.forget()
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(10)
    assert pair.agree(1)
    assert remotes(pair) == [f"{B}:4500", f"{OUTSIDE}:41002"]
    moved = Path(endpoint(B, 4500), endpoint(OUTSIDE, 41_002), natt=True)
    assert pair.b.moves == [MovePath(spis, moved)]
    assert [installed.path for installed in pair.b.outbound.values()] == [moved]
    assert not pair.a.moves


def test_a_new_mapping_is_followed_by_the_peers_esp_too() -> None:
    pair, _ = behind_nat()
    (spi,) = pair.b.inbound
    moved = Path(endpoint(B, 4500), endpoint(OUTSIDE, 50_000), natt=True)
    assert pair.b.ike.peer_moved(spi, moved, pair.net.now) == [MovePath((spi,), moved)]
    assert pair.b.ike.peer_moved(spi, moved, pair.net.now) == []


def test_a_replay_from_elsewhere_moves_nothing() -> None:
    pair, box = behind_nat()
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(10)
    before = remotes(pair)
    seen = [datagram for _, datagram in pair.net.sent if str(datagram.source.address) == A and datagram.natt]
    assert len(seen) >= 3
    for datagram in seen:
        pair.net.inject(replace(datagram, source=endpoint("203.0.113.66", 4500), destination=endpoint(B, 4500)))
    pair.net.run(1)
    assert remotes(pair) == before
    assert not pair.b.moves
    assert box.ports == {500: 40_000, 4500: 40_001}


def test_a_forgery_from_elsewhere_moves_nothing() -> None:
    pair, _ = behind_nat()
    before = remotes(pair)
    last = [datagram for _, datagram in pair.net.sent if str(datagram.source.address) == A][-1]
    bent = last.data[:20] + b"\0\0\0\x02" + last.data[24:-1] + bytes([last.data[-1] ^ 1])
    pair.net.inject(Datagram(bent, endpoint("203.0.113.66", 4500), endpoint(B, 4500), natt=True))
    pair.net.run(1)
    assert pair.b.ike.counters["bad-icv"] == 1
    assert remotes(pair) == before


def test_who_is_behind_the_nat_itself_follows_nobody() -> None:
    """Section 2.23: an attacker could break the connection with a single packet."""
    pair, _ = behind_nat()
    (spi,) = pair.a.inbound
    elsewhere = Path(endpoint(A, 4500), endpoint("203.0.113.66", 4500), natt=True)
    assert pair.a.ike.peer_moved(spi, elsewhere, pair.net.now) == []

    def from_elsewhere(datagram: Datagram) -> Datagram:
        return replace(datagram, source=elsewhere.remote) if str(datagram.source.address) == B else datagram

    pair.net.hook = from_elsewhere
    pair.do(pair.b, pair.b.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    assert not pair.a.moves
    assert remotes(pair)[0] == f"{B}:4500"


# --- port 500 ----------------------------------------------------------------------------------------------------


def test_nothing_takes_an_sa_back_to_port_500() -> None:
    pair = Pair()
    assert pair.up()

    def from_500(datagram: Datagram) -> Datagram:
        if str(datagram.source.address) == A:
            return Datagram(datagram.data, endpoint(A), endpoint(B), natt=False)
        return datagram

    pair.net.hook = from_500
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.015)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(0.1)
    assert not pair.b.moves
    assert remotes(pair) == [f"{B}:4500", f"{A}:4500"]
    installed = [effect for effect in pair.b.effects if isinstance(effect, InstallInbound | InstallOutbound)]
    assert len(installed) >= 3
    assert {effect.path.local.port for effect in installed} == {4500}


class Stubborn(Stranger):
    """Stays on port 500."""

    def float(self) -> None:
        pass


def stubborn() -> Stubborn:
    return Stubborn(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)


def without_nat(stranger: Stranger) -> tuple[AnyPayload, ...]:
    ends = {16_388: stranger.path.remote, 16_389: stranger.path.local}
    return tuple(
        replace(payload, data=hash_of(stranger.spi_i, NO_SPI, ends[payload.type]))
        if isinstance(payload, Notify)
        else payload
        for payload in stranger.sa_init_payloads()
    )


def test_a_peer_that_stays_on_port_500_without_a_nat_gets_esp_on_port_4500() -> None:
    stranger = stubborn()
    stranger.sa_init(without_nat(stranger))
    assert notified(stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A))) == []
    (sa,) = stranger.ike.status()
    assert (sa.remote, sa.nat_here, sa.nat_there) == (f"{A}:500", False, False)
    esp = Path(endpoint(B, 4500), endpoint(A, 4500), natt=True)
    assert [e.path for e in stranger.effects if isinstance(e, InstallInbound | InstallOutbound)] == [esp, esp]
    assert stranger.ask(Exchange.CREATE_CHILD_SA, 2, *stranger.child_payloads(), Nonce(bytes(32)))
    assert [e.path for e in stranger.effects if isinstance(e, InstallInbound | InstallOutbound)] == [esp, esp]
    assert [e.path for e in stranger.effects if isinstance(e, Send)] == [stranger.path]


def test_a_peer_that_goes_over_to_port_4500_later_takes_nothing_along() -> None:
    """Its ESP is there already."""
    stranger = stubborn()
    stranger.sa_init(without_nat(stranger))
    stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A))
    Stranger.float(stranger)
    assert stranger.ask(Exchange.INFORMATIONAL, 2) == ()
    assert not [e for e in stranger.effects if isinstance(e, MovePath)]
    assert stranger.ike.status()[0].remote == f"{A}:4500"


def test_a_peer_that_stays_on_port_500_behind_a_nat_is_refused_and_the_log_says_why() -> None:
    stranger = stubborn()
    stranger.sa_init()
    assert notified(stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A))) == [NotifyType.INVALID_SYNTAX]
    assert stranger.ike.counters["not-floated"] == 1
    reasons = [effect.fields["reason"] for effect in stranger.effects if hasattr(effect, "fields")]
    assert reasons == ["there is a NAT between us, and the peer stays on port 500 (RFC 7296 section 2.23)"]
    assert not stranger.ike.status()


@pytest.mark.parametrize(
    ("remote_port", "natt_port", "natt"),
    [(500, 4500, False), (4500, 4500, True), (4500, 14_500, True), (14_500, 14_500, True), (10_500, 14_500, False)],
)
def test_the_first_message_goes_where_the_peer_listens_with_the_marker_it_expects(
    remote_port: int, natt_port: int, natt: bool
) -> None:
    config = IkeConfig((peer_b(remote_port=remote_port),), ike_port=10_500, natt_port=natt_port)
    (sent,) = [effect for effect in Ike(config, SeededEntropy("a")).up("net", 1_000.0) if isinstance(effect, Send)]
    assert sent.path == Path(endpoint(A, natt_port if natt else 10_500), endpoint(B, remote_port), natt)
