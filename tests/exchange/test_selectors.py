"""Traffic selectors of packets that ask, and of answers that are narrower than the offer (RFC 7296 section 2.9)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ipsecd.ike.config import Child, IkeConfig
from ipsecd.wire.ikev2 import decode
from ipsecd.wire.payloads import AnyPayload, Notify, TsI, TsR
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import NET_A, NET_B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.transcript import Tap

SEVEN, EIGHT = Selector.net("10.1.7.0/24"), Selector.net("10.1.8.0/24")
PACKET = Selector.net("10.1.8.8", 17, (5_000, 5_000)), Selector.net("10.2.0.1", 17, (53, 53))
INSIDE = Selector.net("10.1.7.7", 17, (5_000, 5_000)), PACKET[1]
NARROWED = "the peer allows only 10.1.7.0/24 = 10.2.0.0/16; 10.1.8.8 isn't in it"


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


@pytest.mark.parametrize("first", [True, False], ids=["IKE_AUTH", "CREATE_CHILD_SA"])
def test_what_no_child_takes_is_refused_and_given_up_and_what_was_asked_for_is_told(first: bool) -> None:
    more = child_of_a("more", local=(Selector.net("10.3.0.0/16"),))
    elsewhere = narrow("elsewhere", Selector.net("10.9.0.0/16"))
    pair = Pair(of_a=peer_b(child_of_a(), more), of_b=peer_a(elsewhere, mirrored(more)))
    if not first:
        assert pair.up("more")
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(5)
    (told,) = pair.a.gave_up
    refused = "the peer accepts none of our traffic selectors (TS_UNACCEPTABLE)"
    assert told.reason == f"{refused}: we ask for 10.1.0.0/16 = 10.2.0.0/16"
    (report,) = pair.a.events("child-failed")
    assert report.fields["reason"] == told.reason
    assert pair.a.established == pair.b.established != []


# --- an answer that is of no use to the packet ------------------------------------------------------------------------


def too_wide() -> Pair:
    """Gateway b allows less than a asks for, and a packet outside has shown it."""
    pair = Pair(of_b=peer_a(narrow("seven", SEVEN)))
    acquire(pair, PACKET)
    assert pair.agree(1)
    return pair


def asked(pair: Pair, packet: tuple[Selector, Selector] = PACKET) -> bool:
    """Whether a packet makes gateway a ask for an SA now."""
    since = len(pair.net.sent)
    acquire(pair, packet)
    return len(pair.net.sent) > since


def test_packets_that_the_peer_leaves_out_make_no_more_sas_however_many_come() -> None:
    pair = too_wide()
    since = len(pair.net.sent)
    for _ in range(600):  # one every 5 seconds, for 50 minutes
        acquire(pair, PACKET)
    assert pair.agree(1)
    headers = [(when, decode(datagram.data).header) for when, datagram in pair.net.sent[since:]]
    asks = [
        when for when, header in headers if (header.exchange, header.is_response) == (Exchange.CREATE_CHILD_SA, False)
    ]
    gaps = [round(after - before) for before, after in pairwise(asks)]
    assert gaps[:4] == [15, 25, 50, 65]  # 12, 24, 48 and 60 seconds after the answer, when the next packet comes
    assert set(gaps[4:]) == {65}
    assert {told.reason for told in pair.a.gave_up} == {NARROWED}
    (report,) = pair.a.events("child-narrowed")
    assert (report.level, report.fields["rule"], report.fields["reason"]) == ("warning", "rule-net", NARROWED)
    assert len(pair.a.events("child-established")) == 1


def test_the_sa_that_was_there_carries_on_while_one_too_many_comes_and_goes() -> None:
    pair = too_wide()
    (before,) = pair.a.outbound
    pair.net.run(60)
    assert asked(pair)
    assert set(pair.a.outbound) == {before}
    assert [type(effect).__name__ for effect in pair.a.effects].count("InstallOutbound") == 1


def test_a_packet_that_the_peer_takes_never_waits_for_those_it_leaves_out() -> None:
    pair = too_wide()
    (child,) = pair.a.ike._core.children.values()
    pair.do(pair.a, pair.a.ike.install_failed(child.spi_in, "no memory", pair.net.now))
    pair.net.run(1)
    assert not asked(pair)
    assert asked(pair, INSIDE)
    assert pair.agree(1)


@pytest.mark.parametrize("what", ["policy", "peer's SA", "command", "new IKE SA"])
def test_packets_that_were_left_out_ask_again_when_something_has_changed(what: str) -> None:
    pair = too_wide()
    for _ in range(10):
        acquire(pair, PACKET)
    assert not asked(pair)
    if what == "policy":
        wider = child_of_a(remote=(NET_B, Selector.net("10.9.0.0/16")))
        pair.do(pair.a, pair.a.ike.reconfigure(IkeConfig((peer_b(wider),)), pair.net.now))
    elif what == "command":
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    elif what == "peer's SA":
        pair.do(pair.b, pair.b.ike.down("seven", pair.net.now))
    else:
        pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
    pair.net.run(1)
    assert asked(pair)
    assert pair.agree(1)
    # only what hasn't changed is no news
    assert len(pair.a.events("child-narrowed")) == (1 if what == "peer's SA" else 2)


def test_a_protocol_that_the_peer_leaves_out_is_named_with_the_address() -> None:
    pair = Pair(of_b=peer_a(narrow("web", Selector.net("10.1.0.0/16", 6))))
    acquire(pair, PACKET)
    (told,) = pair.a.gave_up
    assert told.reason == "the peer allows only 10.1.0.0/16[tcp] = 10.2.0.0/16; 10.1.8.8[udp/5000] isn't in it"
