"""Who is about to go says goodbye and begins nothing new, and is found again when it is back."""

from __future__ import annotations

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.effects import Send
from ipsecd.wire.ike import decode_header
from ipsecd.wire.registry import Exchange
from tests.exchange.gateways import Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.interference import hold_back
from tests.exchange.rest import settle


def stop(pair: Pair) -> None:
    pair.do(pair.a, pair.a.ike.shutdown("ipsecd is stopping", pair.net.now))


def said(pair: Pair, since: int) -> list[Exchange]:
    """The exchanges of gateway a's datagrams from this one on."""
    sent = [datagram for _, datagram in pair.net.sent[since:] if str(datagram.source.address) == pair.a.address]
    return [decode_header(datagram.data).exchange for datagram in sent]


def restart(pair: Pair) -> None:
    """Gateway a's next process: it knows nothing of the one before."""
    pair.a.ike = Ike(IkeConfig((peer_b(),)), pair.a.entropy)
    pair.a.inbound.clear()
    pair.a.outbound.clear()


def test_a_peer_that_calls_at_the_goodbye_gets_no_answer_and_finds_us_soon_after_the_restart() -> None:
    pair = Pair()
    assert pair.up()
    since = len(pair.net.sent)
    stop(pair)
    pair.net.run(0.015)
    assert not pair.b.inbound
    pair.do(pair.b, pair.b.ike.acquire("net", None, pair.net.now))
    pair.net.run(1)
    assert said(pair, since) == [Exchange.INFORMATIONAL]
    assert not pair.a.inbound
    assert not pair.a.ike.status()
    assert pair.a.ike.counters["ending"] == 1
    restart(pair)
    assert pair.net.run(2, until=lambda: pair.agree(1))
    assert settle(pair) == []


def test_a_call_that_the_goodbye_cuts_off_half_way_is_not_taken_any_further() -> None:
    pair = Pair()
    pair.do(pair.b, pair.b.ike.acquire("net", None, pair.net.now))
    pair.net.run(0.025)  # IKE_AUTH is on its way
    since = len(pair.net.sent)
    stop(pair)
    pair.net.run(1)
    assert said(pair, since) == []
    assert not pair.a.inbound
    restart(pair)
    assert pair.net.run(6, until=lambda: pair.agree(1))
    assert settle(pair) == []


def test_a_request_answered_before_the_goodbye_is_not_answered_again() -> None:
    pair = Pair()
    hold_back(pair, pair.a)
    pair.do(pair.b, pair.b.ike.acquire("net", None, pair.net.now))
    pair.net.run(0.5)
    since = len(pair.net.sent)
    stop(pair)
    pair.net.run(3)
    assert said(pair, since) == []
    assert pair.a.ike.counters["ending"] == 1


def test_neither_traffic_nor_a_command_nor_a_loss_brings_anything_up_while_the_goodbyes_are_said() -> None:
    child = child_of_a(start=True)
    pair = Pair(of_a=peer_b(child), of_b=peer_a(mirrored(child)))
    pair.net.start()
    assert pair.net.run(10, until=lambda: pair.agree(1))
    stop(pair)
    for effects in (
        pair.a.ike.acquire("net", None, pair.net.now),
        pair.a.ike.up("net", pair.net.now),
        pair.a.ike.start(pair.net.now),
    ):
        assert not [effect for effect in effects if isinstance(effect, Send)]
        pair.do(pair.a, effects)
    assert [(told.child, told.reason) for told in pair.a.gave_up] == [("net", "ipsecd is stopping")]
    pair.net.run(100)
    assert not pair.a.inbound
    assert not pair.a.ike.status()


def test_the_answer_to_a_goodbye_is_taken() -> None:
    pair = Pair()
    assert pair.up()
    since = len(pair.net.sent)
    stop(pair)
    pair.net.run(10)
    assert said(pair, since) == [Exchange.INFORMATIONAL]
    assert [report.fields["reason"] for report in pair.a.events("ike-closed")] == ["ipsecd is stopping"]
