"""The commit bit: a responder of quick mode asks the initiator to wait until it is ready (RFC 2408 section 3.1), as
Windows does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.ike.effects import InstallOutbound, RemoveInbound
from ipsecd.ike.v1.protected import Protected
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Notify
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType, Payload, Protocol
from tests.exchange.phase_2 import QuickLine, line, terms
from tests.exchange.v1_gateways import gateways

CONNECTED = Notify(NotifyType.CONNECTED, protocol=Protocol.ESP, spi=b"abcd")
_FLAGS = 19  # where they stand in the header
BOTH_WAYS = pytest.mark.parametrize("exchange", [Exchange.QUICK, Exchange.INFORMATIONAL])


def committed(from_initiator: bool, data: bytes) -> bytes:
    """The responder sets the bit in its answer."""
    if from_initiator or ikev1.decode(data).header.exchange != Exchange.QUICK:
        return data
    return data[:_FLAGS] + bytes([data[_FLAGS] | Flag.COMMIT]) + data[_FLAGS + 1 :]


def waiting() -> QuickLine:
    wire = line(terms(), alter=committed).run(1.0)
    assert (wire.i.pairs, wire.i.outbound, len(wire.i.inbound), wire.i.pending) == ([], [], 1, 1)
    assert len(wire.r.pairs) == 1
    return wire


def word(wire: QuickLine, exchange: Exchange, notify: Notify = CONNECTED, *, right: bool = True) -> bytes:
    """What the responder says last, in a message with the ID of the quick mode."""
    messages = [ikev1.decode(data) for data in (wire.i.sent[0], wire.r.sent[0], wire.i.sent[1])]
    id_ = messages[0].header.message_id
    sa = wire.i.sa

    def proof(tail: bytes) -> bytes:
        return hash_1(sa.suite.prf.id, sa.keys.a, id_, tail) if right else bytes(32)

    if exchange == Exchange.INFORMATIONAL:
        return Protected(sa, exchange, id_).seal((notify,), proof)
    chain = sa.cipher.phase_2(sa.chain, id_)
    for message in messages:
        chain.accept(message.sealed)
    sealed = chain.seal(ikev1.encode_hashed((notify,), proof))
    return ikev1.encode_sealed(ikev1.Header(*sa.cookies, exchange, message_id=id_), Payload.HASH, sealed)


@BOTH_WAYS
def test_nothing_is_sent_by_new_sas_until_the_responder_says_that_it_is_connected(exchange: Exchange) -> None:
    wire = waiting()
    wire.give(to_responder=False, data=word(wire, exchange))
    assert (len(wire.i.pairs), len(wire.i.outbound), wire.i.pending) == (1, 1, 0)
    sent = len(wire.i.sent)
    wire.give(to_responder=False, data=word(wire, exchange))
    assert len(wire.run(60.0).i.sent) == sent
    assert len(wire.i.pairs) == 1


@BOTH_WAYS
def test_a_word_that_is_not_proved_has_no_effect(exchange: Exchange) -> None:
    wire = waiting()
    wire.give(to_responder=False, data=word(wire, exchange, right=False))
    header = ikev1.Header(*wire.i.sa.cookies, exchange, message_id=ikev1.decode(wire.i.sent[0]).header.message_id)
    wire.give(to_responder=False, data=ikev1.encode(header, (CONNECTED,)))
    assert (wire.i.core.counters["wrong-hash"], wire.i.core.counters["not-sealed"]) == (1, 1)
    assert wire.i.outbound == []
    wire.give(to_responder=False, data=word(wire, exchange))  # nor does it do any harm
    assert len(wire.i.outbound) == 1


@BOTH_WAYS
def test_another_word_is_not_what_is_waited_for(exchange: Exchange) -> None:
    wire = waiting()
    wire.give(to_responder=False, data=word(wire, exchange, replace(CONNECTED, type=NotifyType.REPLAY_STATUS)))
    assert (wire.i.core.counters["not-connected"], wire.i.outbound) == (1, [])


def test_a_packet_by_the_new_sas_says_the_same() -> None:
    wire = waiting()
    wire.i.all.used(b"none")
    assert wire.i.pairs == []
    wire.i.all.used(wire.i.inbound[0].spi)
    wire.collect()
    assert (len(wire.i.pairs), len(wire.i.outbound)) == (1, 1)


def test_without_a_word_it_is_not_waited_for_ever() -> None:
    """The bit is in clear: anybody can set it."""
    wire = waiting()
    wire.run(8.0)
    assert wire.i.outbound == []
    wire.run(20.0)
    assert len(wire.i.outbound) == 1
    assert wire.i.sent[1:] == [wire.i.sent[1]] * (1 + limits.COMMIT_TRIES)


def test_what_is_waited_for_is_taken_back_when_the_isakmp_sa_ends_or_the_responder_gives_it_up() -> None:
    for end in (
        lambda wire: wire.i.all.end("it goes"),
        lambda wire: wire.i.all.refused(Notify(NotifyType.NO_PROPOSAL_CHOSEN, spi=wire.i.inbound[0].spi)),
    ):
        wire = waiting()
        end(wire)
        wire.collect()
        assert RemoveInbound(wire.i.inbound[0].spi) in wire.i.effects
        assert len(wire.i.failures) == 1
        assert wire.i.core.promised == set()
        wire.run(60.0)
        assert not [effect for effect in wire.i.effects if isinstance(effect, InstallOutbound)]


def test_without_the_bit_nothing_is_waited_for_and_a_word_comes_too_late() -> None:
    wire = line(terms()).run(1.0)
    assert len(wire.i.outbound) == 1
    wire.give(to_responder=False, data=word(wire, Exchange.INFORMATIONAL))
    wire.give(to_responder=False, data=word(wire, Exchange.QUICK))
    assert (wire.i.core.counters["message-id-replayed"], wire.i.core.counters["quick-mode-over"]) == (1, 1)


def test_an_initiator_that_sets_the_bit_is_answered_as_others_are() -> None:
    """Its last message says already that it's ready."""

    def alter(from_initiator: bool, data: bytes) -> bytes:
        return data[:_FLAGS] + bytes([data[_FLAGS] | Flag.COMMIT]) + data[_FLAGS + 1 :] if from_initiator else data

    wire = line(terms(), alter=alter).run(1.0)
    assert (len(wire.r.pairs), len(wire.r.outbound)) == (1, 1)


def test_a_rekey_with_the_bit_loses_no_packet() -> None:
    """What is replaced is sent by until the peer is ready."""
    net = gateways(alter=committed)
    net.want().run(20.0)
    assert net.agree(1)
    for end in (net.i, net.r):
        for _ in range(3):
            net.act(partial(end.all.rekey, "c"))
            net.traffic(0.1, net.now + 20.0)
    assert (net.lost, net.agree(1)) == ([], True)
    assert net.i.events.count("rekeyed") == 6
