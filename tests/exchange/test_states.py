"""Every state meets every message (flaw class C6): what shouldn't come has no effect, whatever state it comes in.

The first test sends what nobody authenticated, to one core per state; the second what a peer that holds the keys, of an
IKE SA in that state, could say. Neither may raise, and the first may change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.effects import Heard, Send
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.ike.status import IkeSaStatus
from ipsecd.wire.ike import HEADER_OCTETS, Header
from ipsecd.wire.ikev2 import decode
from ipsecd.wire.payloads import AnyPayload, Delete, Nonce, Notify, Sa
from ipsecd.wire.registry import Exchange, Flag, NotifyType, Payload, Protocol
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, Pair, peer_a
from tests.exchange.network import Datagram, endpoint
from tests.exchange.stranger import Stranger, notified, up_with_b

PATH = Path(endpoint(A, 4500), endpoint(B, 4500), natt=True)
EXCHANGES = (34, 35, 36, 37, 38, 43, 0, 33, 240)
FLAGS = tuple(Flag(bits) for bits in (0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38))
CHANCE = Random(6)
BODIES = {
    "empty": (Payload.NONE, b""),
    "a notify": (Payload.NOTIFY, b"\0\0\0\x08\0\0\x40\x00"),
    "a nonce": (Payload.NONCE, b"\0\0\0\x24" + bytes(32)),
    "a seal": (Payload.SK, b"\0\0\0\x30" + CHANCE.randbytes(44)),
    "a fragment": (Payload.SKF, b"\0\0\0\x30\0\x01\0\x02" + CHANCE.randbytes(40)),
    "noise": (Payload.SA, CHANCE.randbytes(60)),
}


def _up() -> Pair:
    pair = Pair()
    assert pair.up()
    return pair


def _connecting() -> Pair:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    return pair


def _authenticating() -> Pair:
    pair = _connecting()
    pair.net.run(0.025)
    return pair


def _replaced() -> Pair:
    pair = _up()
    pair.do(pair.b, pair.b.ike.rekey_peer("a", pair.net.now))
    pair.net.run(0.015)
    return pair


def _closing() -> Pair:
    pair = _up()
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    return pair


def _gone() -> Pair:
    pair = _up()
    pair.do(pair.b, pair.b.ike.down_peer("a", pair.net.now))
    pair.net.run(0.015)
    return pair


def _half_open() -> Pair:
    pair = Pair()
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    pair.net.run(0.015)
    return pair


# how gateway a comes to have an IKE SA in each stage
STATES: dict[Stage, Callable[[], Pair]] = {
    Stage.CONNECTING: _connecting,
    Stage.HALF_OPEN: _half_open,
    Stage.ESTABLISHED: _up,
    Stage.REPLACED: _replaced,
    Stage.CLOSING: _closing,
    Stage.GONE: _gone,
}


def _the_sa(pair: Pair, stage: Stage) -> IkeSa:
    return next(sa for sa in _all_sas(pair) if sa.stage is stage)


def _all_sas(pair: Pair) -> list[IkeSa]:
    core = pair.a.ike._core
    return [*core.candidates.values(), *core.ikes.values()]


def _but_for_silence(pair: Pair) -> list[IkeSaStatus]:
    """What a tells of its IKE SAs. Whatever has the SPI of its call says that somebody is there."""
    return [replace(status, unanswered=None) for status in pair.a.ike.status()]


@pytest.mark.parametrize("state", [*STATES, "authenticating", "none"], ids=str)
def test_nothing_unauthenticated_changes_an_ike_sa(state: Stage | str) -> None:
    if state == "none":
        pair, sa = Pair(), None
        spi_i, spi_r, expected = b"nobody's", b"and none", 0
    else:
        pair = _authenticating() if state == "authenticating" else STATES[state]()  # type: ignore[index]  # a Stage
        sa = _the_sa(pair, Stage.CONNECTING if state == "authenticating" else state)  # type: ignore[arg-type]  # same
        spi_i, spi_r, expected = sa.spi_i, sa.spi_r, sa.window.expected
    assert pair.a.ike.timer(pair.net.now) == []  # from here on no time passes
    before = _but_for_silence(pair)
    seen = _frozen(pair)
    for exchange, flags, (first, body), mid in product(
        EXCHANGES, FLAGS, BODIES.values(), (0, expected, expected - 1, expected + 1, 2**32 - 1)
    ):
        for ends in ((spi_i, spi_r), (spi_r, spi_i)):
            if ends[0] == bytes(8):
                continue
            if exchange == 34 and ends[1] == bytes(8) and not flags & Flag.RESPONSE:
                continue  # a new IKE SA is asked for: not to this one
            length = HEADER_OCTETS + len(body)
            header = Header(*ends, first, 2, 0, Exchange(exchange), flags, mid % 2**32, length)
            for effect in pair.a.ike.receive(header.encode() + body, PATH, pair.net.now):
                if isinstance(effect, Heard):  # whatever has the SPI of our call keeps us from falling back to clear
                    assert state is Stage.CONNECTING
                    continue
                assert isinstance(effect, Send)
                answer = decode(effect.data)
                assert answer.header.is_response
                assert answer.payloads == (Notify(NotifyType.INVALID_IKE_SPI),)
    assert pair.a.ike.counters["internal-error"] == 0
    assert _but_for_silence(pair) == before
    assert _frozen(pair) == seen
    if sa is not None and state != Stage.GONE:
        pair.net.run(100)  # and life goes on as if nothing had been
        assert pair.a.established == pair.b.established
        assert pair.a.inbound_spis == pair.b.outbound_spis


def _frozen(pair: Pair) -> list[object]:
    """What must not have changed."""
    return [
        (sa.stage, sa.window.expected, sa.window.next_request, sa.window.idle, sa.path, set(sa.children), sa.active)
        for sa in _all_sas(pair)
    ]


# --- a peer that holds the keys ----------------------------------------------------------------------------------


def _stranger_half_open() -> Stranger:
    stranger = Stranger(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)
    stranger.sa_init()
    return stranger


def _stranger_down() -> Stranger:
    stranger = up_with_b()
    stranger.ike.down_peer("a", stranger.now)
    return stranger


def _stranger_deleted() -> Stranger:
    stranger = up_with_b()
    stranger.ask(Exchange.INFORMATIONAL, 2, Delete(Protocol.IKE))
    return stranger


def _stranger_rekeyed() -> Stranger:
    stranger = up_with_b()
    stranger.ike.rekey_peer("a", stranger.now)
    return stranger


INSIDE: dict[str, Callable[[Stranger], tuple[AnyPayload, ...]]] = {
    "nothing": lambda stranger: (),
    "an ike delete": lambda stranger: (Delete(Protocol.IKE),),
    "a child delete": lambda stranger: (Delete(Protocol.ESP, (stranger.random.randbytes(4),)),),
    "a child": lambda stranger: (*stranger.child_payloads(), Nonce(bytes(32))),
    "a rekey of nothing": lambda stranger: (
        Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, b"none"),
        *stranger.child_payloads(),
        Nonce(bytes(32)),
    ),
    "a rekey of protocol 0": lambda stranger: (  # CVE-2023-38710
        Notify(NotifyType.REKEY_SA, b"", Protocol.NONE, b""),
        *stranger.child_payloads(),
        Nonce(bytes(32)),
    ),
    "a rekey of protocol 1": lambda stranger: (
        Notify(NotifyType.REKEY_SA, b"", Protocol.IKE, bytes(8)),
        *stranger.child_payloads(),
        Nonce(bytes(32)),
    ),
    "an ike rekey": lambda stranger: stranger.sa_init_payloads(),
    "an auth": lambda stranger: stranger.auth_payloads(KEY.key.reveal()),
    "an error": lambda stranger: (Notify(NotifyType.AUTHENTICATION_FAILED),),
    "a status": lambda stranger: (Notify(NotifyType.INITIAL_CONTACT), Notify(NotifyType(50_000))),
}
SITUATIONS = {
    "half-open": (_stranger_half_open, 1),
    "established": (up_with_b, 2),
    "closing": (_stranger_down, 2),
    "rekeying": (_stranger_rekeyed, 2),
    "deleted": (_stranger_deleted, 3),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_peer_with_the_keys_can_say_anything_in_any_state(situation: str) -> None:
    make, expected = SITUATIONS[situation]
    for exchange, inside, offset in product(EXCHANGES, INSIDE.values(), (-1, 0, 1)):
        stranger = make()
        payloads = inside(stranger)
        sealed = stranger.seal(stranger.header(Exchange(exchange), expected + offset), payloads)
        for answer in stranger.send(sealed):
            stranger.open(answer)
        assert stranger.ike.counters["internal-error"] == 0, (exchange, payloads, stranger.effects)
        stranger.ike.timer(stranger.now + 500)
        assert stranger.ike.counters["internal-error"] == 0


def test_responses_from_a_peer_with_the_keys_that_nobody_asked_for_are_dropped() -> None:
    for inside, mid in product(INSIDE.values(), range(4)):
        stranger = up_with_b()
        flags = Flag.INITIATOR | Flag.RESPONSE
        before = stranger.ike.status()
        for exchange in EXCHANGES:
            data = stranger.seal(stranger.header(Exchange(exchange), mid, flags), inside(stranger))
            assert stranger.send(data) == []
        assert stranger.ike.status() == before
        assert stranger.ike.counters["unexpected-response"] == len(EXCHANGES)


def test_a_datagram_to_nobody_is_answered_once_in_a_while_and_never_when_it_is_a_response() -> None:
    pair = Pair()
    sealed = Header(b"nobody's", b"and none", Payload.SK, 2, 0, Exchange.INFORMATIONAL, Flag.INITIATOR, 5, 64)
    data = sealed.encode() + b"\0\0\0\x24" + bytes(32)
    path = Datagram(data, endpoint(A), endpoint(B), natt=False)
    for _ in range(100):
        pair.net.inject(path)
    pair.net.run(0.5)
    assert 10 <= len(pair.net.sent) <= 11
    (answer,) = decode(pair.net.sent[0][1].data).payloads
    assert answer == Notify(NotifyType.INVALID_IKE_SPI)
    assert pair.net.sent[0][1].data[:16] == data[:16]
    assert len(pair.net.sent[0][1].data) <= len(data)


@pytest.mark.parametrize("spi", [bytes(4), b"\0\0\0\xff"])
def test_a_child_spi_of_the_reserved_range_is_refused_and_the_ike_sa_stays(spi: bytes) -> None:
    # RFC 4303 section 2.1: 0 is for local use, 1 to 255 are reserved
    stranger = Stranger(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)
    stranger.sa_init()
    *who, sa, tsi, tsr = stranger.auth_payloads(KEY.key.reveal())
    reserved = Sa((replace(sa.proposals[0], spi=spi),))  # type: ignore[union-attr]  # the SA payload
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *who, reserved, tsi, tsr)
    assert notified(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, reserved, Nonce(bytes(32)), tsi, tsr)
    assert notified(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
    (status,) = stranger.ike.status()
    assert (status.stage, status.children) == ("established", ())


def test_a_child_spi_of_the_reserved_range_in_an_answer_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = _up()
    before = pair.a.outbound_spis
    monkeypatch.setattr(pair.b.ike._core, "fresh_child_spis", lambda count: (b"\0\0\0\x07",) * count)
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.021)
    assert pair.a.outbound_spis == before
    (report,) = pair.a.events("child-rekey-failed")
    assert report.fields["reason"] == "the peer's answer doesn't fit what we asked: bad-spi: 00000007"
