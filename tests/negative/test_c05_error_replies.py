"""C5: nothing that a peer says stops the one who answers it, nor the building of the answer (CVE-2023-38710).

That no ``assert`` stands in ``ipsecd/`` is held by ``tests/unit/test_rooms.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.errors import PeerError, Refused
from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.dispatch import _refusal
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import Send
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import AnyPayload, Nonce, Notify
from ipsecd.wire.registry import Exchange, NotifyType, Protocol
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, peer_a
from tests.exchange.stranger import Stranger
from tests.property.wire_values import chains, headers, octet

KEY_A = KEY.key.reveal()
Chain = tuple[AnyPayload, ...]


def gateway() -> Ike:
    return Ike(IkeConfig((peer_a(),)), SeededEntropy("b"))


def half_open() -> Stranger:
    stranger = Stranger(gateway(), B, A)
    stranger.sa_init()
    return stranger


def connected() -> Stranger:
    stranger = Stranger(gateway(), B, A)
    stranger.connect(KEY_A)
    return stranger


def answers(stranger: Stranger, data: bytes) -> list[bytes]:
    """What is sent because of it; each of it can be read."""
    sent = stranger.send(data)  # fails on a fault of ours
    for answer in sent:
        decode(answer)
    return sent


@given(headers, chains)
def test_whatever_is_said_in_clear_has_an_answer_that_can_be_read_or_none(header: object, payloads: Chain) -> None:
    ike = gateway()
    data = encode(header, payloads)  # type: ignore[arg-type]  # a Header
    for effect in ike.receive(data, half_open().path, 1_000.0):
        if isinstance(effect, Send):
            assert len(effect.data) <= len(data)
            decode(effect.data)
    assert ike.counters["internal-error"] == 0
    assert ike.counters.keys() <= DROPS.keys()


@given(chains, st.lists(st.integers(0, 8), max_size=4))
def test_whatever_is_asked_in_clear_at_the_beginning_has_an_answer_that_can_be_read_or_none(
    payloads: Chain, where: list[int]
) -> None:
    """Strange payloads among those that belong there."""
    stranger = Stranger(gateway(), B, A)
    said = list(stranger.sa_init_payloads())
    for index, payload in zip(where, payloads, strict=False):
        said.insert(index, payload)
    answers(stranger, encode(stranger.header(Exchange.IKE_SA_INIT, 0), said))


@given(octet, chains, st.booleans())
def test_whatever_is_said_inside_an_ike_sa_is_answered_once(exchange: int, payloads: Chain, open_only: bool) -> None:
    stranger = half_open() if open_only else connected()
    message_id = 1 if open_only else 2
    said = answers(stranger, stranger.seal(stranger.header(Exchange(exchange), message_id), payloads))
    mine = [answer for answer in said if decode(answer).header.is_response]
    assert len(mine) == (exchange == Exchange.IKE_AUTH if open_only else 1)
    for answer in mine:
        stranger.open(answer)


USUAL: dict[str, Callable[[Stranger], tuple[Exchange, Chain]]] = {
    "IKE_AUTH": lambda stranger: (Exchange.IKE_AUTH, stranger.auth_payloads(KEY_A)),
    "a child": lambda stranger: (Exchange.CREATE_CHILD_SA, (*stranger.child_payloads(), Nonce(bytes(32)))),
    "a rekey": lambda stranger: (
        Exchange.CREATE_CHILD_SA,
        (
            Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, stranger.child_spi),
            *stranger.child_payloads(),
            Nonce(bytes(32)),
        ),
    ),
    "an heir": lambda stranger: (Exchange.CREATE_CHILD_SA, stranger.sa_init_payloads()),
}


@pytest.mark.parametrize("usual", USUAL)
@given(payloads=chains, where=st.lists(st.integers(0, 8), max_size=4), left_out=st.sets(st.integers(0, 5), max_size=2))
def test_strange_payloads_among_those_of_a_usual_request_are_answered_once(
    usual: str, payloads: Chain, where: list[int], left_out: set[int]
) -> None:
    stranger = half_open() if usual == "IKE_AUTH" else connected()
    exchange, said = USUAL[usual](stranger)
    mixed = [payload for number, payload in enumerate(said) if number not in left_out]
    for index, payload in zip(where, payloads, strict=False):
        mixed.insert(index, payload)
    sealed = stranger.seal(stranger.header(exchange, 1 if usual == "IKE_AUTH" else 2), tuple(mixed))
    mine = [answer for answer in answers(stranger, sealed) if decode(answer).header.is_response]
    (answer,) = mine
    stranger.open(answer)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("octets", [0, 4, 8])
def test_a_rekey_of_any_protocol_and_spi_is_refused_in_words(protocol: int, octets: int) -> None:
    stranger = connected()
    which = Notify(NotifyType.REKEY_SA, b"", Protocol(protocol), b"spiofsth"[:octets])
    sealed = stranger.seal(
        stranger.header(Exchange.CREATE_CHILD_SA, 2), (which, *stranger.child_payloads(), Nonce(bytes(32)))
    )
    (answer,) = answers(stranger, sealed)
    (notify,) = stranger.open(answer)
    assert isinstance(notify, Notify)
    assert notify.type in (NotifyType.CHILD_SA_NOT_FOUND, NotifyType.INVALID_SYNTAX)


@given(
    st.sampled_from(sorted(DROPS)), st.text(max_size=2_000), st.none() | st.integers(0, 0xFFFF), st.binary(max_size=200)
)
def test_any_reason_with_any_notify_becomes_one_that_can_be_sent(
    reason: str, detail: str, notify: int | None, data: bytes
) -> None:
    for error in (PeerError, Refused):
        stranger = connected()
        (sa,) = stranger.ike._core.ikes.values()
        for exchange in (Exchange.CREATE_CHILD_SA, Exchange.INFORMATIONAL, Exchange.IKE_AUTH, Exchange(240)):
            reply = _refusal(sa, exchange, error(reason, detail, notify=notify, data=data))
            sa.respond(exchange, reply.payloads, sa.path)
        *_, last = [effect for effect in stranger.ike._core.take_effects() if isinstance(effect, Send)]
        (told,) = stranger.open(last.data)
        assert told == Notify(NotifyType(NotifyType.INVALID_SYNTAX if notify is None else notify), data)
