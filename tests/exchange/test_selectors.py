"""Traffic selectors of packets that ask, and of answers that are narrower than the offer (RFC 7296 section 2.9)."""

from __future__ import annotations

import pytest

from ipsecd.ike.config import Child
from ipsecd.wire.ikev2 import decode
from ipsecd.wire.payloads import AnyPayload, Notify, TsI, TsR
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import NET_A, NET_B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.transcript import Tap

SEVEN, EIGHT = Selector.net("10.1.7.0/24"), Selector.net("10.1.8.0/24")
PACKET = Selector.net("10.1.8.8", 17, (5_000, 5_000)), Selector.net("10.2.0.1", 17, (53, 53))
INSIDE = Selector.net("10.1.7.7", 17, (5_000, 5_000)), PACKET[1]
NARROWED = "the peer has narrowed the selectors so that the packet is outside"


def narrow(name: str, local: Selector) -> Child:
    return mirrored(child_of_a(name, local=(local,)))


def acquire(pair: Pair, packet: tuple[Selector, Selector], child: str = "net") -> None:
    pair.do(pair.a, pair.a.ike.acquire(child, packet, pair.net.now))
    pair.net.run(5)


def said(pair: Pair, tap: Tap, exchange: Exchange, *, response: bool) -> list[tuple[AnyPayload, ...]]:
    found = []
    for _, datagram in pair.net.sent:
        header = decode(datagram.data).header
        if header.exchange == exchange and header.is_response == response:
            found.append(tap.payloads(datagram.data))
    return found


def test_a_packets_own_selectors_stand_first_in_the_offer() -> None:
    pair = Pair()
    tap = Tap(pair.net)
    acquire(pair, PACKET)
    (payloads,) = said(pair, tap, Exchange.IKE_AUTH, response=False)
    assert payloads[-2:] == (TsI((PACKET[0], NET_A)), TsR((PACKET[1], NET_B)))
    (installed,) = pair.a.inbound.values()
    assert (installed.local, installed.remote) == ((NET_A,), (NET_B,))
    assert not pair.a.gave_up


def test_the_responder_grants_the_child_that_takes_the_packet() -> None:
    pair = Pair(of_b=peer_a(narrow("seven", SEVEN), narrow("eight", EIGHT)))
    tap = Tap(pair.net)
    acquire(pair, PACKET)
    (installed,) = pair.b.inbound.values()
    assert (installed.child, installed.remote) == ("eight", (EIGHT,))
    assert not pair.a.gave_up
    # the other part of the offer would be taken too, by itself
    (payloads,) = said(pair, tap, Exchange.IKE_AUTH, response=True)
    assert payloads[-1] == Notify(NotifyType.ADDITIONAL_TS_POSSIBLE)


def test_a_packet_for_the_other_part_makes_a_second_child_sa() -> None:
    pair = Pair(of_b=peer_a(narrow("seven", SEVEN), narrow("eight", EIGHT)))
    tap = Tap(pair.net)
    acquire(pair, PACKET)
    acquire(pair, INSIDE)
    assert {installed.local for installed in pair.a.inbound.values()} == {(SEVEN,), (EIGHT,)}
    assert pair.agree(2)
    (payloads,) = said(pair, tap, Exchange.CREATE_CHILD_SA, response=True)
    assert payloads[-1] == Notify(NotifyType.ADDITIONAL_TS_POSSIBLE)
    acquire(pair, INSIDE)  # which is served by now
    assert pair.agree(2)


def test_nothing_more_is_promised_where_nothing_was_cut_off() -> None:
    pair = Pair(of_b=peer_a(narrow("net", NET_A), narrow("seven", SEVEN)))
    tap = Tap(pair.net)
    acquire(pair, PACKET)
    (payloads,) = said(pair, tap, Exchange.IKE_AUTH, response=True)
    assert not [payload for payload in payloads if isinstance(payload, Notify)]


@pytest.mark.parametrize("first", [True, False], ids=["IKE_AUTH", "CREATE_CHILD_SA"])
def test_a_packet_that_the_answer_leaves_out_is_given_up_while_the_child_stands(first: bool) -> None:
    more = child_of_a("more", local=(Selector.net("10.3.0.0/16"),))
    pair = Pair(of_a=peer_b(child_of_a(), more), of_b=peer_a(narrow("seven", SEVEN), mirrored(more)))
    if not first:
        assert pair.up("more")
    acquire(pair, PACKET)
    assert [(told.child, told.reason) for told in pair.a.gave_up] == [("net", NARROWED)]
    assert [installed.local for installed in pair.a.inbound.values() if installed.child == "net"] == [(SEVEN,)]
    assert pair.agree(1 if first else 2)
    acquire(pair, INSIDE)  # what fits it is served
    assert len(pair.a.gave_up) == 1


def test_what_no_child_takes_is_refused_and_given_up() -> None:
    pair = Pair(of_b=peer_a(narrow("elsewhere", Selector.net("10.9.0.0/16"))))
    acquire(pair, PACKET)
    assert pair.a.gave_up[0].reason == "the peer accepts none of our traffic selectors (TS_UNACCEPTABLE)"
    assert pair.a.established == pair.b.established != []
