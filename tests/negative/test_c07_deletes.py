"""C7: messages that act twice on what they have just deleted, and Deletes of what isn't theirs (CVE-2023-38712).

A peer that holds the keys names SAs twice, SAs that are gone, SAs that never were and SAs of others. What is there
ends once, what isn't is counted, and nobody else's SA is touched.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.effects import RemoveInbound, RemoveOutbound
from ipsecd.ike.stage import Stage
from ipsecd.wire.identity import Identity
from ipsecd.wire.payloads import Delete, Nonce, Notify
from ipsecd.wire.registry import Exchange, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.rest import settle
from tests.exchange.standing import stand
from tests.exchange.stranger import Stranger, notified, up_with_b

C = "192.0.2.3"


def removed(stranger: Stranger) -> list[str]:
    """What the data plane was told to remove by the last datagram."""
    kinds = (RemoveInbound, RemoveOutbound)
    return [type(effect).__name__ for effect in stranger.effects if isinstance(effect, kinds)]


def child_delete(*spis: bytes) -> Delete:
    return Delete(Protocol.ESP, spis)


def test_a_child_named_twice_in_one_payload_ends_once() -> None:
    stranger = up_with_b()
    (ours,) = stranger.ike._core.children
    answer = stranger.ask(Exchange.INFORMATIONAL, 2, child_delete(stranger.child_spi, stranger.child_spi))
    assert answer == (child_delete(ours),)
    assert removed(stranger) == ["RemoveOutbound", "RemoveInbound"]
    assert stranger.ike.counters == {}


def test_a_child_named_in_two_payloads_ends_once() -> None:
    stranger = up_with_b()
    (ours,) = stranger.ike._core.children
    twice = (child_delete(stranger.child_spi), child_delete(b"none", stranger.child_spi))
    assert stranger.ask(Exchange.INFORMATIONAL, 2, *twice) == (child_delete(ours),)
    assert removed(stranger) == ["RemoveOutbound", "RemoveInbound"]
    assert stranger.ike.counters == {"delete-of-unknown-spi": 1}


def test_a_delete_of_the_ike_sa_beside_others_ends_it_all_once_and_a_probe_behind_it_is_not_answered() -> None:
    stranger = up_with_b()
    answer = stranger.ask(
        Exchange.INFORMATIONAL,
        2,
        child_delete(stranger.child_spi),
        Delete(Protocol.IKE),
        Notify(NotifyType.INVALID_SELECTORS, b"", Protocol.ESP, stranger.child_spi),
        Delete(Protocol.IKE),
        Notify(NotifyType.INITIAL_CONTACT),
    )
    assert answer == ()
    assert removed(stranger) == ["RemoveOutbound", "RemoveInbound"]
    assert stranger.ask(Exchange.INFORMATIONAL, 3) is None
    assert stranger.ask(Exchange.INFORMATIONAL, 2) == ()  # a repeat still gets its answer
    assert stranger.ike.counters == {"sa-gone": 1, "request-repeated": 1}
    stranger.ike.timer(stranger.now + limits.IKE_LINGER)
    assert not stranger.ike._core.ikes
    assert not stranger.ike._core.children


def test_a_deleted_child_can_be_neither_deleted_nor_rekeyed_again() -> None:
    stranger = up_with_b()
    gone = stranger.child_spi
    stranger.ask(Exchange.INFORMATIONAL, 2, child_delete(gone))
    assert stranger.ask(Exchange.INFORMATIONAL, 3, child_delete(gone)) == ()
    old = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, gone)
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 4, old, *stranger.child_payloads(), Nonce(bytes(32)))
    assert answer == (Notify(NotifyType.CHILD_SA_NOT_FOUND, b"", Protocol.ESP, gone),)
    assert stranger.ike.counters["delete-of-unknown-spi"] == 1
    assert stranger.ike._core.children == {}


def test_a_child_deleted_while_we_rekey_it_and_named_again_with_its_successor_ends_once() -> None:
    stranger = up_with_b()
    (ours,) = stranger.ike._core.children
    stranger.ike.rekey("net", stranger.now)
    old = stranger.child_spi
    rekey = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, old)
    stranger.ask(Exchange.CREATE_CHILD_SA, 2, rekey, *stranger.child_payloads(), Nonce(bytes(32)))
    answer = stranger.ask(Exchange.INFORMATIONAL, 3, child_delete(stranger.child_spi, old, stranger.child_spi, old))
    assert answer is not None
    (named,) = answer
    assert isinstance(named, Delete)
    assert len(set(named.spis)) == len(named.spis) == 2
    assert ours in named.spis
    assert sorted(removed(stranger)) == ["RemoveInbound", "RemoveInbound", "RemoveOutbound"]
    (sa,) = stranger.ike._core.ikes.values()
    assert not sa.children


@pytest.mark.parametrize("spi", [bytes(4), b"none", b"\xff\xff\xff\xff"])
def test_a_delete_of_nothing_is_answered_and_changes_nothing(spi: bytes) -> None:
    stranger = up_with_b()
    before = stranger.ike.status()
    assert stranger.ask(Exchange.INFORMATIONAL, 2, child_delete(spi)) == ()
    assert stranger.ike.status() == before
    assert stranger.ike.counters == {"delete-of-unknown-spi": 1}


def test_our_own_spi_in_a_delete_is_not_the_peers() -> None:
    stranger = up_with_b()
    (ours,) = stranger.ike._core.children
    assert stranger.ask(Exchange.INFORMATIONAL, 2, child_delete(ours)) == ()
    assert list(stranger.ike._core.children) == [ours]


def test_a_peer_that_deletes_another_peers_child_deletes_nothing() -> None:
    other = replace(
        peer_a(mirrored(child_of_a("third", local=(Selector.net("10.9.0.0/16"),))), name="c"),
        remotes=(ip_address(C),),
        remote_id=Identity.parse("c.example"),
    )
    ike = Ike(IkeConfig((peer_a(), other)), SeededEntropy("b"))
    of_a, of_c = Stranger(ike, B, A, seed=1), Stranger(ike, B, C, seed=2)
    of_a.connect(KEY.key.reveal())
    of_c.sa_init()
    proof = of_c.auth_payloads(KEY.key.reveal(), identity="c.example", local="10.9.0.0/16")
    of_c.ask(Exchange.IKE_AUTH, 1, *proof)
    assert len(ike._core.children) == 2
    before = ike.status()
    (ours,) = (child.spi_in for child in ike._core.children.values() if child.peer.name == "a")
    assert of_c.ask(Exchange.INFORMATIONAL, 2, child_delete(of_a.child_spi)) == ()
    assert of_c.ask(Exchange.INFORMATIONAL, 3, child_delete(ours)) == ()
    rekey = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, of_a.child_spi)
    answer = of_c.ask(Exchange.CREATE_CHILD_SA, 4, rekey, *of_c.child_payloads("10.9.0.0/16"), Nonce(bytes(32)))
    assert notified(answer) == [NotifyType.CHILD_SA_NOT_FOUND]
    assert ike.status() == before


def test_the_spis_of_an_ike_sa_that_ended_are_nobodys() -> None:
    stranger = up_with_b()
    stranger.ask(Exchange.INFORMATIONAL, 2, Delete(Protocol.IKE))
    stranger.now += limits.IKE_LINGER + 1
    stranger.ike.timer(stranger.now)
    (answer,) = stranger.send(stranger.seal(stranger.header(Exchange.INFORMATIONAL, 3), ()))
    assert len(answer) == 36  # a header and an INVALID_IKE_SPI in clear
    assert stranger.ike.counters["unknown-ike-spi"] == 1


def test_the_responder_spi_of_a_refused_caller_opens_nothing() -> None:
    stranger = Stranger(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)
    stranger.sa_init()
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(b"another key"))
    assert notified(answer) == [NotifyType.AUTHENTICATION_FAILED]
    for message_id in (1, 2):
        again = stranger.seal(stranger.header(Exchange.IKE_AUTH, message_id), stranger.auth_payloads(KEY.key.reveal()))
        for sent in stranger.send(again):
            assert notified(stranger.open(sent)) == [NotifyType.AUTHENTICATION_FAILED]
    assert not stranger.ike._core.children
    assert stranger.ike.status() == []


# --- Deletes of ours that nobody answers -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["net", "b"])
def test_a_delete_that_is_never_answered_ends_by_itself(what: str) -> None:
    pair = stand(Pair())
    pair.net.hook = lambda datagram: None
    pair.do(pair.a, pair.a.ike.down(what, pair.net.now))
    pair.net.run(100)
    assert not pair.a.ike._core.ikes
    assert not pair.a.inbound
    assert not pair.a.outbound
    assert pair.a.ike.deadline() is None


def test_a_child_that_is_wanted_comes_back_after_a_delete_that_was_never_answered() -> None:
    child = child_of_a(start=True)
    pair = stand(Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child))))
    pair.net.hook = lambda datagram: None
    pair.do(pair.a, pair.a.ike.hard_expired(next(iter(pair.a.inbound)), pair.net.now))
    pair.net.run(60)
    assert [sa.stage for sa in pair.a.ike._core.ikes.values()] == [Stage.ESTABLISHED]
    assert not pair.a.outbound  # an expired SA isn't used
    pair.net.run(120)
    pair.net.hook = lambda datagram: datagram
    assert settle(pair) == []
    assert pair.agree(1)
