"""Deletes that Windows answers, and wants to be answered ([MS-IKEE] section 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.crypto.prf import prf
from ipsecd.ike.v1.protected import Protected
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Hash, Nonce
from ipsecd.wire.registry_v1 import Exchange, Protocol
from tests.exchange.network import Link
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R
from tests.exchange.phase_2 import QuickLine, mirrored, terms
from tests.exchange.v1_gateways import gateways

WINDOWS_7 = vendor_ids.WINDOWS + bytes.fromhex("00000007")
OF_ESP = Delete(Protocol.ESP, (b"abcd",))
OF_ISAKMP = Delete(Protocol.ISAKMP, (COOKIE_I + COOKIE_R,))
NONCE = b"a nonce of theirs"


def between(
    of_i: tuple[bytes, ...] = (WINDOWS_7,),
    of_r: tuple[bytes, ...] = (WINDOWS_7,),
    link: Link | None = None,
    seed: int = 0,
    alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
) -> QuickLine:
    """What each side has said that it is."""
    wire = QuickLine((), (), link=link, seed=seed, alter=alter)
    for end, said, mine in ((wire.i, of_r, ()), (wire.r, of_i, (mirrored(terms()),))):
        end.sa = replace(end.sa, vendor_ids=said)
        end.allow(*mine)
    return wire


def opened(wire: QuickLine, *datagrams: bytes) -> tuple[AnyPayload, ...]:
    """What the last message of an informational exchange says."""
    messages = [ikev1.decode(data) for data in datagrams]
    chain = wire.i.sa.cipher.phase_2(wire.i.sa.chain, messages[0].header.message_id)
    for message in messages[:-1]:
        chain.accept(message.sealed)
    return ikev1.decode_chain(messages[-1].first, chain.open(messages[-1].sealed)).payloads


def request(wire: QuickLine, *deletes: Delete, id_: int = 9) -> bytes:
    sa = wire.i.sa
    exchange = Protected(sa, Exchange.INFORMATIONAL, id_)
    return exchange.seal((Nonce(NONCE), *deletes), lambda tail: hash_1(sa.suite.prf.id, sa.keys.a, id_, tail))


def test_a_delete_goes_with_a_nonce_and_is_answered_with_another() -> None:
    wire = between()
    wire.i.all.delete(OF_ESP)
    wire.collect()
    wire.run(1.0)
    assert wire.r.deletes == [(Protocol.ESP, (b"abcd",))]
    (asked,), (answer,) = wire.i.sent, wire.r.sent
    hash_of_1, nonce_i, deleted = opened(wire, asked)
    hash_of_2, nonce_r, repeated = opened(wire, asked, answer)
    assert (deleted, repeated) == (OF_ESP, OF_ESP)
    assert isinstance(nonce_i, Nonce)
    assert isinstance(nonce_r, Nonce)
    assert isinstance(hash_of_1, Hash)
    assert isinstance(hash_of_2, Hash)
    assert nonce_i != nonce_r
    id_ = ikev1.decode(answer).header.message_id.to_bytes(4, "big")
    tail = ikev1.encode_chain((nonce_r, OF_ESP))[1]
    # HASH(2) = prf(SKEYID_a, Ni | M-ID | Nr | Delete)
    sa = wire.i.sa
    assert hash_of_2.data == prf(sa.suite.prf.id, sa.keys.a, nonce_i.data + id_ + tail)
    assert (len(wire.run(60.0).i.sent), len(wire.r.sent)) == (1, 1)


def test_it_is_said_again_until_it_is_answered_but_not_for_ever() -> None:
    lost: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        if not from_initiator and len(lost) < 2:
            lost.append(data)
            return None
        return data

    wire = between(alter=alter)
    wire.i.all.delete(OF_ESP)
    wire.collect()
    wire.run(60.0)
    assert wire.i.sent == [wire.i.sent[0]] * 3
    assert wire.r.sent == [wire.r.sent[0]] * 3  # the same answer each time
    assert len(wire.r.deletes) == 1  # and it acts once
    silent = between(alter=lambda *_: None)
    silent.i.all.delete(OF_ESP)
    silent.collect()
    silent.run(600.0)
    assert silent.i.sent == [silent.i.sent[0]] * (1 + limits.DELETE_TRIES)


def test_on_a_bad_network_deletes_arrive() -> None:
    arrived = 0
    for seed in range(10):
        wire = between(link=Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8)), seed=seed)
        for n in range(10):
            wire.i.all.delete(Delete(Protocol.ESP, (bytes([n]) * 4,)))
        wire.collect()
        arrived += len(wire.run(60.0).r.deletes)
    assert arrived >= 98


def test_the_end_of_an_isakmp_sa_is_told_when_all_else_is_answered_and_keys_are_kept_until_then() -> None:
    wire = between()
    wire.i.all.delete(OF_ESP)
    wire.i.all.end("it goes")
    wire.collect()
    assert wire.i.ends == ["it goes"]
    assert len(wire.i.sent) == 1
    assert any(wire.i.sa.keys.a.reveal())
    wire.run(1.0)
    assert (len(wire.i.sent), wire.r.ends) == (2, ["the peer has ended the ISAKMP SA"])
    assert not any(wire.i.sa.keys.a.reveal() + wire.r.sa.keys.a.reveal())
    assert len(wire.run(20.0).i.sent) == 2
    wire.give(to_responder=True, data=wire.i.sent[1])  # whose answer was lost, perhaps
    assert wire.r.sent[-1] == wire.r.sent[-2]
    wire.run(100.0)
    wire.r.core.now = 100.0
    wire.give(to_responder=True, data=wire.i.sent[1])
    assert len(wire.r.sent) == 3  # no more after a while
    assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0


def test_an_answer_that_is_not_proved_is_none() -> None:
    wire = between(alter=lambda *_: None)
    wire.i.all.delete(OF_ESP)
    wire.collect()
    sa, sent = wire.i.sa, ikev1.decode(wire.i.sent[0])
    chain = sa.cipher.phase_2(sa.chain, sent.header.message_id)
    chain.accept(sent.sealed)
    exchange = Protected(sa, Exchange.INFORMATIONAL, sent.header.message_id)
    exchange._chain = chain
    wire.give(to_responder=False, data=exchange.seal((Nonce(NONCE), OF_ESP), lambda _: bytes(32)))
    header = ikev1.Header(*sa.cookies, Exchange.INFORMATIONAL, message_id=sent.header.message_id)
    wire.give(to_responder=False, data=ikev1.encode(header, (Hash(bytes(32)), Nonce(NONCE), OF_ESP)))
    assert (wire.i.core.counters["wrong-hash"], wire.i.core.counters["not-authenticated"]) == (1, 1)
    assert len(wire.run(600.0).i.sent) == 1 + limits.DELETE_TRIES


def test_with_others_nothing_is_answered_and_nothing_said_again() -> None:
    wire = between(of_i=(vendor_ids.DPD,), of_r=())
    wire.i.all.delete(OF_ESP)
    wire.collect()
    wire.give(to_responder=True, data=request(wire, OF_ESP))
    wire.run(60.0)
    assert len(opened(wire, wire.i.sent[0])) == 2  # a hash and the delete
    assert (len(wire.i.sent), wire.r.sent, len(wire.r.deletes)) == (1, [], 2)


def test_a_delete_of_windows_without_a_nonce_acts_and_is_not_answered() -> None:
    wire = between()
    sa, id_ = wire.i.sa, 9
    data = Protected(sa, Exchange.INFORMATIONAL, id_).seal(
        (OF_ESP,), lambda tail: hash_1(sa.suite.prf.id, sa.keys.a, id_, tail)
    )
    wire.give(to_responder=True, data=data)
    assert (wire.r.sent, len(wire.r.deletes)) == ([], 1)


def test_a_delete_that_comes_again_changed_has_no_effect() -> None:
    wire = between()
    wire.give(to_responder=True, data=request(wire, OF_ESP))
    wire.give(to_responder=True, data=request(wire, Delete(Protocol.ESP, (b"efgh",))))
    assert (len(wire.r.sent), len(wire.r.deletes), wire.r.core.counters["message-id-replayed"]) == (1, 1, 1)


def test_the_peer_s_end_of_the_isakmp_sa_ends_our_waiting_for_an_answer() -> None:
    wire = between(alter=lambda *_: None)
    wire.r.all.delete(OF_ESP)
    wire.collect()
    wire.give(to_responder=True, data=request(wire, OF_ISAKMP))
    assert wire.r.ends == ["the peer has ended the ISAKMP SA"]
    assert not any(wire.r.sa.keys.a.reveal())
    sent = len(wire.r.sent)
    assert len(wire.run(600.0).r.sent) == sent == 2


def test_with_windows_what_ends_here_ends_there_although_messages_are_lost() -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    left = 0
    for seed in range(20):
        net = gateways(seed=seed, link=link, says=(WINDOWS_7,), dpd=1e9)
        net.want().run(100.0)
        net.act(partial(net.i.all.rekey, "c"))
        net.traffic(1.0, 200.0)
        net.act(partial(net.i.all.close, "it goes"))
        assert (net.i.inbound, net.i.outbound, net.i.all.isakmp_sas) == ({}, {}, ())
        net.run(300.0)
        left += len(net.r.inbound) + len(net.r.all.isakmp_sas)
        assert net.i.core.counters["internal-error"] == net.r.core.counters["internal-error"] == 0
    assert left <= 1
