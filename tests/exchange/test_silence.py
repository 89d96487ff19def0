"""Falling back to clear depends on who says nothing at all: any word of a peer counts, and whoever made it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import IkeConfig, SharedKey
from ipsecd.ike.effects import Effect, GiveUp, Heard, Silent
from ipsecd.ike.protect import Envelope
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import encode
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, NotifyType
from tests.exchange import lan
from tests.exchange.gateways import IP_A, IP_B, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, endpoint

CHILD = child_of_a(fallback=3.0)
MORE = child_of_a("more", fallback=10.0)
SILENT = Silent("net", IP_B)
SILENT_NOW = Silent("net", IP_B, heard=True)
HEARD = Heard((IP_B,))
ELSEWHERE = ip_address("203.0.113.9")


def pair_of(*children: object, **changes: object) -> Pair:
    """Gateway a may fall back; gateway b is as it is."""
    found = children or (CHILD,)
    return Pair(of_a=peer_b(*found, **changes), of_b=peer_a(*(mirrored(child) for child in found)))  # type: ignore[arg-type]  # children


def deaf(pair: Pair) -> None:
    """Nothing that gateway a says arrives, and nobody answers."""
    pair.net.hook = lambda datagram: None if datagram.source.address == IP_A else datagram


def wants(pair: Pair, child: str = "net") -> None:
    """A packet waits at gateway a."""
    pair.do(pair.a, pair.a.ike.acquire(child, None, pair.net.now))


def told(pair: Pair) -> list[Effect]:
    return [effect for effect in pair.a.effects if isinstance(effect, Silent | Heard)]


def request_of_a(pair: Pair) -> bytes:
    """The latest IKE_SA_INIT."""
    return [each.data for _, each in pair.net.sent if each.source.address == IP_A][-1]


def say(pair: Pair, data: bytes, source: str = B) -> None:
    """Something arrives at gateway a."""
    pair.net.inject(Datagram(data, endpoint(source), endpoint(A), natt=False))


def answer(notify: Notify, message_id: int = 0) -> Callable[[bytes], bytes]:
    """An error in clear to a request."""

    def made(request: bytes) -> bytes:
        back = Envelope(
            request[:8], NO_SPI, Exchange.IKE_SA_INIT, from_initiator=False, response=True, message_id=message_id
        )
        return encode(back.header(), (notify,))

    return made


def spoiled(request: bytes) -> bytes:
    """Another major version, in octets: nothing of ours writes one."""
    data = bytearray(answer(Notify(NotifyType.INVALID_MAJOR_VERSION))(request))
    data[17] = 0x10
    return bytes(data)


ANSWERS = {
    "a refusal": answer(Notify(NotifyType.NO_PROPOSAL_CHOSEN)),
    "a cookie": answer(Notify(NotifyType.COOKIE, b"cookie")),
    "a cookie that can't be": answer(Notify(NotifyType.COOKIE, b"")),
    "another group": answer(Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x13")),
    "another version": answer(Notify(NotifyType.INVALID_MAJOR_VERSION)),
    "IKEv1": spoiled,
    "an answer to something else": answer(Notify(NotifyType.NO_PROPOSAL_CHOSEN), message_id=7),
    "garbage behind our SPI": lambda request: request[:8] + b"garbage",
    "our own words": lambda request: request,
}


def test_a_peer_is_silent_once_its_time_is_over_and_the_call_goes_on() -> None:
    pair = pair_of()
    deaf(pair)
    begun = pair.net.now
    wants(pair)
    assert pair.net.run(2.9, until=lambda: bool(told(pair))) is False
    assert pair.net.run(10, until=lambda: bool(told(pair)))
    assert told(pair) == [SILENT]
    assert pair.net.now == begun + 3.0
    sent = len(pair.net.sent)
    pair.net.run(120)
    assert len(pair.net.sent) - sent >= 4
    assert pair.a.gave_up == [GiveUp("net", "the peer doesn't answer")]
    assert told(pair) == [SILENT]


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("source", [B, str(ELSEWHERE)])
def test_whatever_carries_our_spi_is_an_answer(what: str, source: str) -> None:
    pair = pair_of()
    deaf(pair)
    wants(pair)
    pair.net.run(2.5)
    say(pair, ANSWERS[what](request_of_a(pair)), source)
    pair.net.run(200)
    assert told(pair) == [HEARD, SILENT_NOW]


def test_what_doesnt_carry_our_spi_isnt() -> None:
    pair = pair_of()
    deaf(pair)
    wants(pair)
    pair.net.run(1)
    say(pair, b"another." + ANSWERS["a refusal"](request_of_a(pair))[8:])
    say(pair, b"")
    say(pair, request_of_a(pair)[:7])
    pair.net.run(200)
    assert told(pair) == [SILENT]


def test_a_peer_that_answers_late_is_heard_then_and_has_its_sa() -> None:
    pair = pair_of()
    deaf(pair)
    wants(pair)
    pair.net.run(4)
    pair.net.hook = lambda datagram: datagram
    assert pair.net.run(60, until=lambda: pair.agree(1))
    assert told(pair) == [SILENT, HEARD]


def test_a_peer_with_another_key_isnt_silent() -> None:
    other = SharedKey("site", Secret(b"another key of forty octets or nearly so!"))
    pair = Pair(of_a=peer_b(CHILD), of_b=peer_a(mirrored(CHILD), shared_keys=(other,)))
    wants(pair)
    pair.net.run(200)
    assert not pair.agree(1)
    assert told(pair) == [HEARD]


def test_a_peer_that_has_had_an_sa_isnt_silent_when_it_is_gone() -> None:
    pair = pair_of()
    assert pair.up()
    assert told(pair) == [HEARD]
    pair.net.hook = lambda datagram: None
    pair.net.run(300, until=lambda: not pair.a.established)
    wants(pair)
    pair.net.run(300)
    assert pair.a.gave_up
    assert told(pair) == [HEARD, SILENT_NOW]


def test_a_peer_that_calls_us_is_heard_by_all_its_addresses() -> None:
    pair = pair_of(remotes=(IP_B, ELSEWHERE))
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    assert pair.net.run(60, until=lambda: pair.agree(1))
    assert set().union(*(effect.remotes for effect in told(pair) if isinstance(effect, Heard))) == {IP_B, ELSEWHERE}


def test_only_packets_that_wait_are_told_that_nobody_answers() -> None:
    """A child that is to be up anyway has none, until one comes."""
    pair = pair_of(replace(CHILD, start=True))
    deaf(pair)
    pair.net.start()
    pair.net.run(20)
    assert told(pair) == []
    wants(pair)
    pair.net.run(0.1)
    assert told(pair) == [SILENT]


def test_each_child_waits_for_its_own_time_and_for_the_same_call() -> None:
    pair = pair_of(CHILD, MORE)
    deaf(pair)
    wants(pair)
    wants(pair, "more")
    pair.net.run(9)
    assert told(pair) == [SILENT]
    pair.net.run(2)
    assert told(pair) == [SILENT, Silent("more", IP_B)]


def test_a_new_configuration_that_gives_the_peer_more_time_counts_for_the_call_under_way() -> None:
    pair = pair_of()
    deaf(pair)
    begun = pair.net.now
    wants(pair)
    pair.net.run(2)
    more = IkeConfig((peer_b(replace(CHILD, fallback=20.0)),))
    pair.do(pair.a, pair.a.ike.reconfigure(more, pair.net.now))
    assert pair.net.run(60, until=lambda: bool(told(pair)))
    assert (told(pair), pair.net.now) == ([SILENT], begun + 20.0)


def test_a_new_configuration_without_falling_back_counts_for_the_call_under_way() -> None:
    pair = pair_of(CHILD, MORE)
    deaf(pair)
    wants(pair)
    never = IkeConfig((peer_b(replace(CHILD, fallback=None), MORE),))
    pair.do(pair.a, pair.a.ike.reconfigure(never, pair.net.now))
    pair.net.run(200)
    assert told(pair) == []


@pytest.mark.parametrize("woken", ["woke", "timer"])  # a timer may ring before anybody says that there was a sleep
def test_a_sleep_of_this_machine_is_no_silence_of_the_peer(woken: str) -> None:
    pair = pair_of()
    deaf(pair)
    wants(pair)
    pair.net.run(1)
    pair.net.now += 3_600
    pair.do(pair.a, getattr(pair.a.ike, woken)(pair.net.now))
    wants(pair)
    begun = pair.net.now
    assert told(pair) == []
    assert pair.net.run(10, until=lambda: bool(told(pair)))
    assert set(told(pair)) == {SILENT}
    assert pair.net.now == begun + 3.0


@pytest.mark.parametrize("answers", [True, False])
def test_the_peer_of_a_rule_that_only_requires_is_heard_but_never_silent(answers: bool) -> None:
    """Another configuration may let it fall back."""
    pair = Pair()
    if not answers:
        deaf(pair)
    wants(pair)
    pair.net.run(200)
    assert told(pair) == [HEARD] * answers


def test_of_an_address_that_only_a_peer_that_requires_has_now_nobody_is_told_that_it_is_silent() -> None:
    """The call under way goes there still."""
    pair = pair_of()
    deaf(pair)
    wants(pair)
    pair.net.run(1)
    strict = replace(peer_b(replace(CHILD, id="other", fallback=None)), name="other")
    moved = IkeConfig((peer_b(CHILD, remotes=(ELSEWHERE,)), strict))
    pair.do(pair.a, pair.a.ike.reconfigure(moved, pair.net.now))
    pair.net.run(60)
    assert Silent("net", IP_B) not in told(pair)


def test_a_new_configuration_is_told_of_the_sas_there_are() -> None:
    pair = pair_of()
    assert pair.up()
    again = IkeConfig((peer_b(replace(CHILD, fallback=5.0)),))
    pair.do(pair.a, pair.a.ike.reconfigure(again, pair.net.now))
    assert told(pair) == [HEARD, HEARD]
    assert pair.agree(1)
    pair.do(pair.b, pair.b.ike.down_peer(peer_a().name, pair.net.now))
    assert pair.net.run(5, until=lambda: not pair.a.established)
    pair.do(pair.a, pair.a.ike.reconfigure(again, pair.net.now))
    assert told(pair) == [HEARD, HEARD, HEARD], "also of one that has just ended"


@pytest.mark.parametrize("fallback", [3.0, None], ids=["which could fall back before", "which could not"])
def test_a_new_configuration_is_told_of_a_call_that_somebody_has_answered(fallback: float | None) -> None:
    pair = pair_of(replace(CHILD, fallback=fallback))
    deaf(pair)
    wants(pair)
    pair.net.run(1)
    say(pair, ANSWERS["a refusal"](request_of_a(pair)))
    pair.net.run(1)
    assert told(pair) == [HEARD]
    again = IkeConfig((peer_b(replace(CHILD, fallback=5.0)),))
    pair.do(pair.a, pair.a.ike.reconfigure(again, pair.net.now))
    wants(pair)
    pair.net.run(200)
    assert told(pair).count(HEARD) == 2
    assert SILENT_NOW in told(pair)
    assert SILENT not in told(pair)


def test_of_calls_that_are_gone_nothing_is_kept() -> None:
    pair = pair_of()
    for _ in range(3):
        assert pair.up()
        pair.do(pair.a, pair.a.ike.down_peer(peer_b().name, pair.net.now))
        pair.net.run(200)
    assert len(pair.a.ike._core.silence._answered) == 1


def test_a_new_configuration_is_told_of_all_sas_at_once() -> None:
    world = lan.Lan(a=lan.pattern(lan.child_at(lan.A, fallback=3.0)))
    assert world.up(world.a, world.b)
    assert world.up(world.a, world.c)
    world.a.effects.clear()
    world.reload(world.a, lan.pattern(lan.child_at(lan.A, fallback=5.0)))
    assert [each for each in world.a.effects if isinstance(each, Heard)] == [Heard((lan.IP_B, lan.IP_C))]
