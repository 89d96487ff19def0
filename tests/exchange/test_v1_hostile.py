"""What strangers, and peers that have gone mad, can't do behind phase 1: octets that can't be, messages in the wrong
place, things said without proof, and traffic that no rule has."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from random import Random

import pytest

from ipsecd.crypto.keymat_v1 import hash_1, hash_3
from ipsecd.errors import Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.drops import DROPS
from ipsecd.ike.effects import InstallInbound, InstallOutbound
from ipsecd.ike.narrowing import covers
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.child_offers import choose, offer
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_bodies import encode_body, payload_type
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Hash, Ke, Nonce, Notify, Sa, Unknown
from ipsecd.wire.registry import Group
from ipsecd.wire.registry_v1 import Encapsulation, Exchange, Flag, NotifyType, Payload, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.phase_2 import LEFT, RIGHT, terms
from tests.exchange.v1_gateways import Gateway, Gateways, gateways
from tests.exchange.v1_suites import esp

DAY = Lifetime(86_400)
GROUP = Group.CURVE25519


def up(group: Group | None = None) -> Gateways:
    return gateways(terms(esp(group=group), lifetime=DAY), dpd=1e9).up(5.0)


def state(net: Gateways) -> object:
    """All that a message could have changed."""
    return [
        (list(end.inbound), list(end.outbound), len(end.all.isakmp_sas), end.events[:], len(end.all.pairs))
        for end in (net.i, net.r)
    ]


def sane(net: Gateways) -> None:
    for end in (net.i, net.r):
        assert end.core.counters["internal-error"] == 0, end.effects[-1]
        assert end.core.counters.keys() <= DROPS.keys()


def installed(end: Gateway) -> int:
    return sum(isinstance(effect, InstallInbound | InstallOutbound) for effect in end.effects)


def quick_1(ends: Ends | None = None, suite: ChildSuite | None = None) -> tuple[AnyPayload, ...]:
    """What a mad initiator might ask for first, if it weren't mad."""
    suite = suite or esp()
    ends = ends or Ends(LEFT, RIGHT)
    what = offer((suite,), {Protocol.ESP: b"\1\2\3\4"}, Encapsulation.TUNNEL, DAY)
    return what, Nonce(b"n" * 32), Id.selecting(ends.local), Id.selecting(ends.remote)


def octets(payloads: Iterable[AnyPayload]) -> bytes:
    return ikev1.encode_chain(payloads)[1]


def sealed(sa: IsakmpSa, exchange: Exchange, id_: int, first: int, tail: bytes, *, right: bool = True) -> bytes:
    """Whatever octets, with a hash that proves them, or none that does."""
    digest = hash_1(sa.suite.prf.id, sa.keys.a, id_, tail) if right else bytes(32)
    chain = struct.pack("!BBH", first, 0, 4 + len(digest)) + digest + tail
    header = ikev1.Header(*sa.cookies, exchange, message_id=id_)
    return ikev1.encode_sealed(header, Payload.HASH, sa.cipher.phase_2(sa.chain, id_).seal(chain))


def said(sa: IsakmpSa, exchange: Exchange, id_: int, *payloads: AnyPayload, right: bool = True) -> bytes:
    first = payload_type(payloads[0])
    return sealed(sa, exchange, id_, first, octets(payloads), right=right)


# --- octets that can't be -----------------------------------------------------------------------------------------


def spoiled(payloads: tuple[AnyPayload, ...]) -> Iterator[bytes]:
    """Each payload with each wrong length, and the whole cut off at each octet."""
    whole = octets(payloads)
    at = 0
    for payload in payloads:
        length = 4 + len(encode_body(payload))
        for wrong in {0, 1, 3, 4, 5, length - 1, length + 1, len(whole) - at, len(whole) - at + 1, 0xFFFF} - {length}:
            yield whole[: at + 2] + wrong.to_bytes(2, "big") + whole[at + 4 :]
        at += length
    yield from (whole[:end] for end in range(len(whole)))


@pytest.mark.parametrize("exchange", [Exchange.QUICK, Exchange.INFORMATIONAL])
def test_who_has_the_keys_can_not_do_harm_with_lengths(exchange: Exchange) -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    what = quick_1()
    if exchange == Exchange.INFORMATIONAL:
        what = (
            Notify(NotifyType.R_U_THERE, bytes(4), spi=sa.spi),
            Delete(Protocol.ESP, (b"abcd",)),
            Delete(Protocol.AH, (b"abcd", b"efgh")),
        )
    before = installed(net.r)
    for id_, tail in enumerate(spoiled(what), 100):
        net.give(to_responder=True, data=sealed(sa, exchange, id_, payload_type(what[0]), tail))
        sane(net)
    assert installed(net.r) == before
    assert net.agree(1)


def test_what_has_no_spis_or_a_great_many_ends_nothing_and_takes_no_time() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    before = state(net)
    for id_, body in enumerate(
        (
            struct.pack("!IBBH", 1, 3, 0, 0xFFFF),
            struct.pack("!IBBH", 1, 3, 4, 0),
            struct.pack("!IBBH", 1, 3, 0, 0),
            struct.pack("!IBBH", 1, 3, 4, 3_000) + bytes(4) * 3_000,
            struct.pack("!IBBH", 1, 3, 16, 1) + bytes(16),
            struct.pack("!IBBH", 1, 1, 16, 1) + bytes(16),
        ),
        100,
    ):
        tail = struct.pack("!BBH", 0, 0, 4 + len(body)) + body
        net.give(to_responder=True, data=sealed(sa, Exchange.INFORMATIONAL, id_, Payload.DELETE, tail))
        sane(net)
    assert state(net) == before


@pytest.mark.parametrize("exchange", [Exchange.QUICK, Exchange.INFORMATIONAL])
def test_payloads_of_every_number_are_passed_over(exchange: Exchange) -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    before = state(net)
    for kind in range(256):
        body = Random(kind).randbytes(20)
        tail = struct.pack("!BBH", 0, 0, 24) + body
        net.give(to_responder=True, data=sealed(sa, exchange, 1_000 + kind, kind, tail))
        sane(net)
    assert state(net) == before
    strange = Unknown(201, b"of another version")
    net.give(to_responder=True, data=said(sa, Exchange.QUICK, 9, *quick_1(), strange))
    assert len(net.r.inbound) == 2  # what stands beside them counts


# --- numbers that aren't negotiated -------------------------------------------------------------------------------


def test_no_group_and_no_transform_counts_but_what_is_configured() -> None:
    suites = (esp(group=GROUP),)
    whole = offer(suites, {Protocol.ESP: b"abcd"}, Encapsulation.TUNNEL, DAY)
    (proposal,) = whole.proposals
    (transform,) = proposal.transforms
    taken: list[tuple[int, ChildSuite]] = []
    refused: set[str] = set()
    for number in (*range(2_048), *range(2_048, 0x1_0000, 61)):
        attributes = tuple(
            replace(each, value=number.to_bytes(2, "big")) if each.type == 3 else each for each in transform.attributes
        )
        asked = Sa((replace(proposal, transforms=(replace(transform, attributes=attributes),)),))
        try:
            taken.append((number, choose(asked, suites, Encapsulation.TUNNEL).suite))
        except Refused as refusal:
            refused.add(refusal.reason)
    assert refused == {"no-proposal-chosen"}
    assert taken == [(GROUP, suites[0])]
    for number in set(range(256)) - {transform.id}:
        asked = Sa((replace(proposal, transforms=(replace(transform, id=type(transform.id)(number)),)),))
        with pytest.raises(Refused, match="no common proposal"):
            choose(asked, suites, Encapsulation.TUNNEL)


# --- the wrong place ----------------------------------------------------------------------------------------------


def begun() -> Gateways:
    """A phase 1 that isn't through."""
    net = gateways(terms(lifetime=DAY))
    net._alter = lambda from_i, data: None if ikev1.decode(data).header.encrypted else data
    return net.want().run(1.0)


def answered() -> Gateways:
    """A quick mode whose last message isn't there."""
    net = gateways(terms(lifetime=DAY), dpd=1e9)
    seen: list[bytes] = []

    def alter(from_i: bool, data: bytes) -> bytes | None:
        if from_i and ikev1.decode(data).header.exchange == Exchange.QUICK:
            seen.append(data)
            return data if data == seen[0] else None
        return data

    net._alter = alter
    return net.want().run(1.0)


def ended() -> Gateways:
    net = up()
    net.act(lambda: net.i.all.close("it goes"))
    return net.run(net.now + 1.0)


STATES = {
    "nothing": lambda: gateways(terms(lifetime=DAY)),
    "begun": begun,
    "answered": answered,
    "up": up,
    "ended": ended,
}


@pytest.mark.parametrize("name", STATES)
def test_every_exchange_in_every_state_is_silently_dropped_when_it_is_not_proved(name: str) -> None:
    net = STATES[name]()
    net._alter = lambda *_: None
    known = [ikev1.decode(data).header for data in (*net.i.sent, *net.r.sent)]
    cookies = {(header.cookie_i, header.cookie_r) for header in known if header.cookie_r != ikev1.NO_COOKIE}
    cookies |= {(b"stranger", b"answerer"), (b"answerer", ikev1.NO_COOKIE)}
    ids = sorted({header.message_id for header in known})
    numbers = {0, 1, 0xFFFF_FFFF, *ids, *(each + 1 for each in ids)}
    payloads = (Notify(NotifyType.INITIAL_CONTACT), Delete(Protocol.ESP, tuple(net.r.inbound) or (b"abcd",)))
    bodies = (b"", bytes(48), Random(name).randbytes(64), octets(payloads))
    before = state(net), installed(net.i), installed(net.r)
    for of, exchange, flags, number, body in product(
        sorted(cookies), (*map(int, Exchange.__members__.values()), 7, 99, 255), range(8), sorted(numbers)[:6], bodies
    ):
        header = ikev1.Header(*of, Exchange(exchange), Flag(flags), number & 0xFFFF_FFFF)
        first = Payload.NOTIFY if body else Payload.NONE
        data = ikev1.encode_sealed(header, first, body)
        data = data[:19] + bytes([flags]) + data[20:]
        for to_responder in (True, False):
            net.give(to_responder=to_responder, data=data)
    sane(net)
    assert (state(net), installed(net.i), installed(net.r)) == before


def test_before_phase_1_is_through_nothing_behind_it_counts() -> None:
    """CVE-2014-2338 was that."""
    net = begun()
    (header,) = {ikev1.decode(data).header for data in net.r.sent[:1]}
    donor = up()
    sa = replace(donor.i.all.isakmp_sas[0], cookies=(header.cookie_i, header.cookie_r))
    before = state(net)
    for data in (
        said(sa, Exchange.QUICK, 5, *quick_1()),
        said(sa, Exchange.INFORMATIONAL, 6, Notify(NotifyType.INITIAL_CONTACT, spi=sa.spi)),
        said(sa, Exchange.INFORMATIONAL, 7, Delete(Protocol.ISAKMP, (sa.spi,))),
    ):
        for to_responder in (True, False):
            net.give(to_responder=to_responder, data=data)
    sane(net)
    assert state(net) == before
    assert net.r.all.isakmp_sas == ()


def test_keys_of_another_isakmp_sa_prove_nothing() -> None:
    net, donor = up(), gateways(terms(lifetime=DAY), seed="a donor").up(5.0)
    sa = replace(donor.i.all.isakmp_sas[0], cookies=net.i.all.isakmp_sas[0].cookies)
    before = state(net)
    for id_, payloads in enumerate((quick_1(), (Delete(Protocol.ESP, tuple(net.i.inbound)),)), 100):
        exchange = Exchange.QUICK if id_ == 100 else Exchange.INFORMATIONAL
        net.give(to_responder=True, data=said(sa, exchange, id_, *payloads))
    sane(net)
    assert state(net) == before


# --- without proof ------------------------------------------------------------------------------------------------


def test_nothing_that_is_not_proved_ends_or_begins_anything() -> None:
    net = up()
    sa, spis = net.i.all.isakmp_sas[0], tuple(net.i.inbound)
    before, sent = state(net), (len(net.i.sent), len(net.r.sent))
    for id_, payload in enumerate(
        (
            Delete(Protocol.ESP, spis),
            Delete(Protocol.ISAKMP, (sa.spi,)),
            Notify(NotifyType.INITIAL_CONTACT, spi=sa.spi),
            Notify(NotifyType.R_U_THERE, bytes(4), spi=sa.spi),
            Notify(NotifyType.R_U_THERE_ACK, bytes(4), spi=sa.spi),
            Notify(NotifyType.INVALID_SPI, spi=spis[0]),
            Notify(NotifyType.INVALID_COOKIE, spi=sa.spi),
            Notify(NotifyType.CONNECTED, spi=spis[0]),
            Notify(NotifyType.UNEQUAL_PAYLOAD_LENGTHS),
        ),
        100,
    ):
        header = ikev1.Header(*sa.cookies, Exchange.INFORMATIONAL, message_id=id_)
        for data in (ikev1.encode(header, (payload,)), said(sa, Exchange.INFORMATIONAL, id_, payload, right=False)):
            for to_responder in (True, False):
                net.give(to_responder=to_responder, data=data)
    sane(net)
    assert state(net) == before
    assert (len(net.i.sent), len(net.r.sent)) == sent


def test_a_third_message_that_proves_nothing_opens_nothing() -> None:
    net = answered()
    sa = net.r.all.isakmp_sas[0]
    (first, *_), (second, *_) = ([data for data in end.sent if is_quick(data)] for end in (net.i, net.r))
    id_ = ikev1.decode(first).header.message_id
    header = ikev1.Header(*sa.cookies, Exchange.QUICK, message_id=id_)
    for digest in (bytes(32), hash_3(sa.suite.prf.id, sa.keys.a, id_, b"n", b"r")):
        chain = sa.cipher.phase_2(sa.chain, id_)
        for data in (first, second):
            chain.accept(ikev1.decode(data).sealed)
        tail = octets((Hash(digest),))
        net.give(to_responder=True, data=ikev1.encode_sealed(header, Payload.HASH, chain.seal(tail)))
    assert net.r.core.counters["wrong-hash"] == 2
    assert net.r.outbound == {}
    net._alter = lambda _, data: data
    assert net.run(60.0).agree(1)  # and the right one still does


def is_quick(data: bytes) -> bool:
    return ikev1.decode(data).header.exchange == Exchange.QUICK


def test_a_message_id_begins_one_exchange_and_no_more() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    first = said(sa, Exchange.QUICK, 9, *quick_1())
    net.give(to_responder=True, data=first)
    assert len(net.r.inbound) == 2
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 9, Delete(Protocol.ESP, tuple(net.i.inbound))))
    assert net.r.core.counters["message-id-replayed"] == 1
    for data in net.i.sent:  # all that was there comes again
        net.give(to_responder=True, data=data)
    sane(net)
    assert len(net.r.outbound) == 1


# --- acting on what is gone ---------------------------------------------------------------------------------------


def test_a_message_that_ends_things_twice_ends_them_once() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    (spi,) = net.i.inbound
    twice = Delete(Protocol.ESP, (spi, spi))
    about = Notify(NotifyType.R_U_THERE, bytes(4), spi=sa.spi)
    net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 9, about, twice, twice))
    assert net.r.events[-1] == "down: the peer has ended it"
    assert (net.r.inbound, net.r.outbound) == ({}, {})
    assert net.r.core.counters["delete-of-unknown-spi"] == 1
    net.give(
        to_responder=True, data=said(sa, Exchange.INFORMATIONAL, 10, Delete(Protocol.ISAKMP, (sa.spi,) * 2), twice)
    )
    sane(net)
    assert net.r.all.isakmp_sas == ()


def test_only_what_is_sent_by_is_ended_by_a_delete() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    before = state(net)
    ours, theirs = tuple(net.r.inbound), tuple(net.i.inbound)
    for id_, delete in enumerate(
        (
            Delete(Protocol.ESP, (bytes(4),)),
            Delete(Protocol.ESP, (b"none",)),
            Delete(Protocol.ESP, ours),
            Delete(Protocol.AH, theirs),
            Delete(Protocol.ISAKMP, (bytes(16),)),
        ),
        100,
    ):
        net.give(to_responder=True, data=said(sa, Exchange.INFORMATIONAL, id_, delete))
    sane(net)
    assert state(net) == before
    assert net.r.core.counters["delete-of-unknown-spi"] == 4


def test_what_a_peer_can_begin_is_bounded() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    for id_ in range(100, 1_100):
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, id_, *quick_1()))
    sane(net)
    assert len(net.r.inbound) == 65
    net._alter = lambda *_: None
    net.run(net.now + 200.0)
    assert len(net.r.inbound) == 1  # none of them has come to anything
    assert set(net.r.inbound) <= net.r.core.promised
    assert len(net.r.core.promised) <= 2


# --- traffic ------------------------------------------------------------------------------------------------------


def ids(*payloads: AnyPayload) -> tuple[AnyPayload, ...]:
    return payloads


BAD_IDS = {
    "one alone": ids(Id.selecting(LEFT)),
    "three": ids(Id.selecting(LEFT), Id.selecting(RIGHT), Id.selecting(RIGHT)),
    "a name": ids(Id.of(Identity.parse("a.example")), Id.selecting(RIGHT)),
    "a range that ends before it starts": ids(
        Unknown(Payload.ID, bytes([7, 0, 0, 0]) + bytes([10, 1, 0, 9, 10, 1, 0, 1])), Id.selecting(RIGHT)
    ),
    "a mask with holes": ids(
        Unknown(Payload.ID, bytes([4, 0, 0, 0]) + bytes([10, 1, 0, 0, 255, 0, 255, 0])), Id.selecting(RIGHT)
    ),
    "ipv6 in ipv4": ids(Unknown(Payload.ID, bytes([1, 0, 0, 0]) + bytes(16)), Id.selecting(RIGHT)),
    "ipv4 and ipv6": ids(Id.selecting(LEFT), Id.selecting(Selector.net("2001:db8::/32"))),
    "a type that there isn't": ids(Unknown(Payload.ID, bytes([99, 0, 0, 0]) + bytes(4)), Id.selecting(RIGHT)),
    "nothing": ids(Unknown(Payload.ID, bytes([1, 0, 0, 0])), Id.selecting(RIGHT)),
    "too much": ids(Id.selecting(Selector.net("10.0.0.0/8")), Id.selecting(RIGHT)),
    "all": ids(Id.selecting(Selector.net("0.0.0.0/0")), Id.selecting(Selector.net("0.0.0.0/0"))),
}


@pytest.mark.parametrize("name", BAD_IDS)
def test_identities_that_select_nothing_or_too_much_are_refused(name: str) -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    what = [each for each in quick_1() if not isinstance(each, Id)]
    net.give(to_responder=True, data=said(sa, Exchange.QUICK, 9, *what, *BAD_IDS[name]))
    sane(net)
    assert len(net.r.inbound) == 1
    assert net.agree(1)


def somewhere(random: Random, about: str) -> Selector:
    start = int(ip_address(about)) + random.randrange(-100, 0x1_0000)
    end = start + random.choice([0, 1, 300, 70_000])
    return Selector(ip_address(start), ip_address(end), protocol=random.choice([0, 0, 6, 17]))


def test_what_is_granted_is_never_wider_than_what_is_allowed_nor_than_what_is_asked() -> None:
    random = Random(0)
    allowed = terms(local=Selector.net("10.1.0.0/16"), remote=Selector.net("10.2.0.0/16"), lifetime=DAY)
    net = gateways(allowed, dpd=1e9).up(5.0)
    sa = net.r.all.isakmp_sas[0]
    granted = 0
    for id_ in range(100, 700):
        ends = Ends(somewhere(random, "10.1.0.0"), somewhere(random, "10.2.0.0"))
        before = set(net.r.inbound)
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, id_, *quick_1(ends)))
        for spi in set(net.r.inbound) - before:
            new = net.r.inbound[spi]
            assert (new.local, new.remote) == ((ends.remote,), (ends.local,))
            assert covers(allowed.remote, new.local)
            assert covers(allowed.local, new.remote)
            granted += 1
    sane(net)
    assert granted == 64  # as many as may be under way


# --- public values ------------------------------------------------------------------------------------------------

P = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
VALUES = [
    *((Group.MODP_2048, number.to_bytes(256, "big")) for number in (0, 1, P - 1, P, P + 5)),
    (Group.MODP_2048, b""),
    (Group.MODP_2048, b"\2" * 255),
    (Group.MODP_2048, b"\2" * 257),
    (Group.CURVE25519, bytes(32)),
    (Group.CURVE25519, b"\1" + bytes(31)),
    (Group.CURVE25519, bytes(31)),
    (Group.ECP_256, b"\2" * 64),
    (Group.ECP_256, bytes(64)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_public_values_of_no_member_of_the_group_lead_to_nothing(value: tuple[Group, bytes]) -> None:
    group, public = value
    net = gateways(terms(esp(group=group), lifetime=DAY), dpd=1e9).up(5.0)
    sa = net.r.all.isakmp_sas[0]
    what, nonce, *named = quick_1(suite=esp(group=group))
    sent = len(net.r.sent)
    if public:
        data = said(sa, Exchange.QUICK, 9, what, nonce, Ke(public), *named)
    else:
        data = said(sa, Exchange.QUICK, 9, what, nonce, Unknown(Payload.KE, b""), *named)
    net.give(to_responder=True, data=data)
    sane(net)
    assert len(net.r.inbound) == 1
    told = [ikev1.decode(each) for each in net.r.sent[sent:]]
    assert {each.header.exchange for each in told} <= {Exchange.INFORMATIONAL}
    for each in told:
        chain = ikev1.decode_chain(each.first, sa.cipher.phase_2(sa.chain, each.header.message_id).open(each.sealed))
        assert [notify.type for notify in chain.payloads[1:] if isinstance(notify, Notify)] == [
            NotifyType.INVALID_KEY_INFORMATION
        ]


def test_a_public_value_that_nobody_asked_for_or_that_is_missing_leads_to_nothing() -> None:
    for group, with_value in ((GROUP, False), (None, True)):
        net = gateways(terms(esp(group=group), lifetime=DAY), dpd=1e9).up(5.0)
        sa = net.r.all.isakmp_sas[0]
        what, nonce, *named = quick_1(suite=esp(group=group))
        value = (Ke(b"\x09" + bytes(31)),) if with_value else ()
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, 9, what, nonce, *value, *named))
        sane(net)
        assert (len(net.r.inbound), net.r.core.counters["bad-key-exchange"]) == (1, 1)


def test_an_spi_that_is_reserved_or_a_protocol_that_has_none_leads_to_nothing() -> None:
    net = up()
    sa = net.r.all.isakmp_sas[0]
    whole, *rest = quick_1()
    assert isinstance(whole, Sa)
    (proposal,) = whole.proposals
    for id_, changed in enumerate(
        (
            replace(proposal, spi=bytes(4)),
            replace(proposal, spi=b"\0\0\0\xff"),
            replace(proposal, protocol=Protocol.AH),
        ),
        100,
    ):
        net.give(to_responder=True, data=said(sa, Exchange.QUICK, id_, Sa((changed,)), *rest))
    sane(net)
    assert len(net.r.inbound) == 1
