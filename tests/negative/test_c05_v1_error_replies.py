"""C5 in IKEv1: nothing that a peer says stops who answers it, nor the building of the answer (CVE-2023-38710)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import AnyPayload, Attributes, Delete, Hash, Notify
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import Exchange, NotifyType, Protocol
from tests.exchange.test_v1_desk_strangers import EXPOSED, first_message, to_b
from tests.exchange.test_v1_hostile import quick_1, said, sane, sealed, up
from tests.exchange.v1_desks import Desks, pair, peer_a
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_remote import Users, call, handing, remote, user
from tests.property.wire_v1_values import chains, octet

Chain = tuple[AnyPayload, ...]


def mixed(usual: Chain, strange: Chain, where: list[int], left_out: set[int]) -> Chain:
    kept = [payload for number, payload in enumerate(usual) if number not in left_out]
    for index, payload in zip(where, strange, strict=False):
        kept.insert(index, payload)
    return tuple(kept)


# --- in clear -------------------------------------------------------------------------------------------------------


def answers(net: Desks, data: bytes) -> list[bytes]:
    """Each can be read, and all together are no longer than what was said."""
    before = len(net.b.sent)
    net.give(data, to_b())
    said_back = net.b.sent[before:]
    for answer in said_back:
        ikev1.decode(answer)
    return said_back


cookies = st.sampled_from((bytes(8), b"somebody", b"another."))


@given(cookies, cookies, octet, octet, st.integers(0, 0xFFFF_FFFF), chains)
def test_whatever_is_said_in_clear_has_an_answer_that_can_be_read_or_none(
    cookie_i: bytes, cookie_r: bytes, exchange: int, flags: int, id_: int, payloads: Chain
) -> None:
    header = ikev1.Header(cookie_i, cookie_r, Exchange(exchange), ikev1.Flag(flags & ~1), id_)
    data = ikev1.encode(header, payloads)
    assert sum(map(len, answers(pair(), data))) <= len(data)


FIRST = ikev1.decode(first_message())
FIRST_IN_CLEAR = ikev1.decode(first_message(exposed=True))


@pytest.mark.parametrize("first", [FIRST, FIRST_IN_CLEAR], ids=["main mode", "aggressive mode"])
@given(strange=chains, where=st.lists(st.integers(0, 8), max_size=4), left_out=st.sets(st.integers(0, 5), max_size=2))
@example(strange=(), where=[], left_out=set())
def test_strange_payloads_in_a_usual_first_message_are_survived(
    first: ikev1.Message, strange: Chain, where: list[int], left_out: set[int]
) -> None:
    net = pair(of_b=peer_a(special=EXPOSED))
    payloads = mixed(first.chain.payloads, strange, where, left_out)
    found = answers(net, ikev1.encode(first.header, payloads))
    assert len(found) <= 1
    if not strange and not left_out:
        assert len(found) == 1


# --- by who has the keys ----------------------------------------------------------------------------------------------


def told(net: Gateways, sa: IsakmpSa, data: bytes) -> list[Chain]:
    """What the responder says to it; each can be opened and read, in the exchange that it's in."""
    before = len(net.r.sent)
    net.give(to_responder=True, data=data)
    sane(net)
    found = []
    for answer in net.r.sent[before:]:
        message = ikev1.decode(answer)
        chain = sa.cipher.phase_2(sa.chain, message.header.message_id)
        if message.header.message_id == ikev1.decode(data).header.message_id:
            chain.accept(ikev1.decode(data).sealed)
        opened = ikev1.decode_chain(message.first, chain.open(message.sealed))
        assert isinstance(opened.payloads[0], Hash)
        found.append(opened.payloads[1:])
    return found


@pytest.mark.parametrize("exchange", [Exchange.QUICK, Exchange.INFORMATIONAL, Exchange.TRANSACTION])
@given(payloads=chains)
def test_whatever_is_said_with_the_keys_is_answered_or_not(exchange: Exchange, payloads: Chain) -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    if not payloads:
        told(net, sa, sealed(sa, exchange, 9, 0, b""))
    else:
        told(net, sa, said(sa, exchange, 9, *payloads))
    assert len(net.r.inbound) <= 1 + (exchange == Exchange.QUICK)


USUAL: dict[str, tuple[Exchange, Chain]] = {
    "a quick mode": (Exchange.QUICK, quick_1()),
    "a question whether we are there": (Exchange.INFORMATIONAL, (Notify(NotifyType.R_U_THERE, bytes(4)),)),
    "a delete": (Exchange.INFORMATIONAL, (Delete(Protocol.ESP, (b"none",)),)),
    "a request": (Exchange.TRANSACTION, (Attributes(ConfigType.REQUEST, 1, ()),)),
}


@pytest.mark.parametrize("usual", USUAL)
@given(strange=chains, where=st.lists(st.integers(0, 5), max_size=4), left_out=st.sets(st.integers(0, 4), max_size=2))
@example(strange=(), where=[], left_out=set())
def test_strange_payloads_beside_usual_ones_are_survived(
    usual: str, strange: Chain, where: list[int], left_out: set[int]
) -> None:
    exchange, payloads = USUAL[usual]
    net = up()
    (sa,) = net.r.all.isakmp_sas
    payloads = tuple(replace(each, spi=sa.spi) if isinstance(each, Notify) else each for each in payloads)
    everything = mixed(payloads, strange, where, left_out)
    if not everything:
        return
    found = told(net, sa, said(sa, exchange, 9, *everything))
    if not strange and not left_out:
        assert len(found) == (usual != "a delete")


@given(st.lists(chains, min_size=1, max_size=4), st.booleans())
def test_whatever_a_client_says_before_its_user_is_in_is_survived(talk: list[Chain], with_address: bool) -> None:
    access = Client(user(), (4,) if with_address else ())
    net = remote(access, Gateway(Gate(Users().judge), handing() if with_address else None))
    net._alter = lambda from_i, data: None if from_i and ikev1.decode(data).header.message_id else data
    call(net).run(1.0)
    (session,) = net.r.all.sessions
    for id_, payloads in enumerate(talk, 100):
        if payloads:
            told(net, session.sa, said(session.sa, Exchange.TRANSACTION, id_, *payloads))
    assert net.r.all.isakmp_sas == ()
    assert not net.r.inbound


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("octets", [0, 3, 4, 8, 16, 255])
def test_a_refusal_of_anything_refuses_nothing(protocol: int, octets: int) -> None:
    net = up()
    (sa,) = net.r.all.isakmp_sas
    for id_, kind in enumerate((NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.INVALID_SPI, 0, 8_191)):
        about = Notify(NotifyType(kind), b"", Protocol(protocol), bytes(octets))
        assert told(net, sa, said(sa, Exchange.INFORMATIONAL, 100 + id_, about)) == []
    assert net.agree(1)
