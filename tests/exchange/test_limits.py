"""Bounds of the negotiation: what happens at them, and to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import Refused
from ipsecd.ike import Ike, dispatch
from ipsecd.ike.config import IkeConfig, Lifetime, Peer
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.identity import Identity
from ipsecd.wire.payloads import Delete, Nonce, Notify
from ipsecd.wire.registry import Exchange, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.stranger import Stranger, notified
from tests.exchange.transcript import Tap

KEY_A = KEY.key.reveal()
NONCE = Nonce(bytes(range(32)))
HONEST = "198.18.0.1"


def gateway_b(*peers: Peer) -> Ike:
    return Ike(IkeConfig(peers or (peer_a(remotes=()),)), SeededEntropy("b"))


def address(number: int) -> str:
    return f"203.0.{number // 250}.{number % 250 + 1}"


def test_one_peer_has_so_many_ike_sas_and_the_oldest_ends_for_the_newest() -> None:
    ike = gateway_b()
    callers = []
    for number in range(limits.MAX_IKE_SAS_PER_PEER + 5):
        caller = Stranger(ike, B, address(number), now=1_000.0 + number, seed=number)
        assert notified(caller.connect(KEY_A)) == []
        callers.append(caller)
    standing = [sa.spi_i for sa in ike.status() if sa.stage == "established"]
    assert standing == [caller.spi_i.hex() for caller in callers[5:]]
    closed = [effect for effect in callers[-1].effects if getattr(effect, "event", "") == "ike-closed"]
    assert [effect.fields["spi_i"] for effect in closed] == [callers[4].spi_i.hex()]
    assert closed[0].fields["reason"] == "the peer has made too many others since"


def test_the_oldest_is_what_was_established_first_whenever_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PEER", 2)
    ike = gateway_b()
    slow, first, second = (Stranger(ike, B, address(number), seed=number) for number in range(3))
    assert slow.sa_init() is not None
    for number, caller in enumerate((first, second), 1):
        caller.now += number
        caller.connect(KEY_A)
    slow.now += 3
    assert notified(slow.ask(Exchange.IKE_AUTH, 1, *slow.auth_payloads(KEY_A))) == []
    standing = {sa.spi_i for sa in ike.status() if sa.stage == "established"}
    assert standing == {slow.spi_i.hex(), second.spi_i.hex()}


def test_a_peer_that_logs_in_again_and_again_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS", 50)
    other = replace(peer_a(remotes=()), name="c", remote_id=Identity.parse("c.example"))
    ike = gateway_b(peer_a(remotes=()), other)
    for number in range(200):  # it answers none of our Deletes, which would be repeated for more than a minute
        Stranger(ike, B, address(number), now=1_000.0 + number / 10, seed=number).connect(KEY_A)
    assert len(ike._core.ikes) <= 2 * limits.MAX_IKE_SAS_PER_PEER + 1
    honest = Stranger(ike, B, HONEST, now=1_030.0, seed=777)
    assert honest.sa_init() is not None
    answer = honest.ask(Exchange.IKE_AUTH, 1, *honest.auth_payloads(KEY_A, identity="c.example"))
    assert notified(answer) == []


@pytest.mark.parametrize("deletes", [True, False])
def test_a_peer_that_rekeys_again_and_again_shuts_nobody_out(deletes: bool) -> None:
    ike = gateway_b()
    caller = Stranger(ike, B, address(1))
    caller.connect(KEY_A)
    message_id = 2
    for _ in range(100):
        of_the_old = caller.seal(caller.header(Exchange.INFORMATIONAL, message_id + 1), (Delete(Protocol.IKE),))
        caller.rekey(message_id)
        if deletes:
            caller.send(of_the_old)
        message_id = 0
    assert len(ike._core.ikes) <= limits.MAX_IKE_SAS_PER_PEER + 1
    assert [sa.stage for sa in ike.status()] == ["established"]
    assert len(ike._core.children) == 1


def test_two_entries_of_one_peer_have_their_limits_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PEER", 2)
    elsewhere = replace(
        peer_a(mirrored(child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))), name="elsewhere", local=None
    )
    ike = gateway_b(elsewhere, peer_a(remotes=()))
    for number in range(4):
        Stranger(ike, B, "192.0.2.1", seed=number, now=1_000.0 + number).connect(KEY_A)
        Stranger(ike, B, address(number), seed=100 + number, now=1_000.0 + number).connect(KEY_A)
    assert sorted(sa.peer for sa in ike.status() if sa.stage == "established") == ["a", "a", "elsewhere", "elsewhere"]


def test_an_ike_sa_has_so_many_children_and_then_no_additional_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 7296 section 1.3: NO_ADDITIONAL_SAS
    monkeypatch.setattr(limits, "MAX_CHILDREN_PER_IKE_SA", 3)
    caller = Stranger(gateway_b(), B, address(1))
    caller.connect(KEY_A)
    first = caller.child_spi
    for message_id in (2, 3):
        assert notified(caller.ask(Exchange.CREATE_CHILD_SA, message_id, *caller.child_payloads(), NONCE)) == []
    refused = caller.ask(Exchange.CREATE_CHILD_SA, 4, *caller.child_payloads(), NONCE)
    assert refused == (Notify(NotifyType.NO_ADDITIONAL_SAS),)
    assert len(caller.ike._core.children) == 3
    (report,) = [effect for effect in caller.effects if getattr(effect, "event", "") == "child-failed"]
    assert report.fields["reason"] == "this IKE SA has all it may have"
    # deleting one makes room for another
    caller.ask(Exchange.INFORMATIONAL, 5, Delete(Protocol.ESP, (first,)))
    assert notified(caller.ask(Exchange.CREATE_CHILD_SA, 6, *caller.child_payloads(), NONCE)) == []


def test_a_gateway_has_so_many_ike_sas_and_then_neither_answers_calls_nor_takes_heirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS", 3)
    ike = gateway_b()
    callers = [Stranger(ike, B, address(number), seed=number) for number in range(4)]
    for caller in callers[:3]:
        caller.connect(KEY_A)
    assert callers[3].sa_init() is None
    assert ike.counters["too-many-ike-sas"] == 1
    assert callers[0].ask(Exchange.CREATE_CHILD_SA, 2, *callers[0].rekey_payloads()) == (
        Notify(NotifyType.NO_ADDITIONAL_SAS),
    )
    assert len(ike.status()) == 3
    callers[2].ask(Exchange.INFORMATIONAL, 2, Delete(Protocol.IKE))
    ike.timer(callers[2].now + limits.IKE_LINGER + 1)
    assert callers[3].sa_init() is not None


# --- lifetimes -------------------------------------------------------------------------------------------------------


def test_an_ike_sa_that_cant_be_rekeyed_or_replaced_ends_with_its_lifetime_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = Pair(of_a=peer_b(lifetime=Lifetime(400)))
    assert pair.up()
    start = pair.net.now
    real = dispatch._row

    def row(sa: IkeSa, exchange: Exchange, *more: object) -> object:
        if exchange == Exchange.CREATE_CHILD_SA:
            raise Refused("no-proposal-chosen", notify=NotifyType.NO_PROPOSAL_CHOSEN)
        return real(sa, exchange, *more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(dispatch, "_row", row)
    pair.net.hook = lambda datagram: None if datagram.data[18] == Exchange.IKE_SA_INIT else datagram
    assert pair.net.run(500, until=lambda: not pair.a.inbound)
    assert pair.net.now - start == pytest.approx(400, abs=1)
    (report,) = pair.a.events("ike-closed")
    assert report.fields["reason"] == "its lifetime is over"
    assert pair.a.events("ike-rekey-failed")[0].fields["reason"] == (
        "the peer accepts none of our proposals (NO_PROPOSAL_CHOSEN)"
    )
    pair.net.run(5)
    assert not pair.a.ike.status()
    assert not pair.b.ike.status()
    assert not pair.a.outbound | pair.b.outbound | pair.b.inbound


def test_an_ike_sa_is_rekeyed_long_before_its_message_ids_run_out() -> None:
    # RFC 7296 section 2.2
    pair = Pair()
    assert pair.up()
    (of_a,), (of_b,) = pair.a.ike._core.ikes.values(), pair.b.ike._core.ikes.values()
    of_a.window.next_request = of_b.window.expected = (1 << 31) - 1
    before, spis = pair.a.established, pair.a.inbound_spis
    tap = Tap(pair.net)
    for _ in range(2):
        pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
        pair.net.run(6)
    assert [line.split()[2:4] for line in tap.lines() if line.startswith("a ->")] == [
        ["CREATE_CHILD_SA", "2147483647"],
        ["INFORMATIONAL", "2147483648"],
        ["CREATE_CHILD_SA", "2147483649"],
        ["INFORMATIONAL", "2147483650"],
        ["CREATE_CHILD_SA", "0"],
        ["INFORMATIONAL", "1"],
    ]
    assert pair.a.established != before
    assert pair.a.inbound_spis != spis
    assert pair.agree(1)
