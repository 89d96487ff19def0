"""What cheats, strangers and mad peers can't do in XAUTH and mode config."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from random import Random

import pytest

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.ike.drops import DROPS
from ipsecd.ike.v1.access import Client, Gateway
from ipsecd.ike.v1.access_client import ClientAccess
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_payloads import Attributes, Delete, Notify
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import ConfigAttribute, Exchange, NotifyType, OakleyAuth, Protocol, XauthStatus
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_remote import Users, call, handing, remote, transaction, user, want_host

REQUEST, REPLY, SET, ACK = ConfigType.REQUEST, ConfigType.REPLY, ConfigType.SET, ConfigType.ACK
NAME = Attribute(ConfigAttribute.XAUTH_USER_NAME, b"")
PASSWORD = Attribute(ConfigAttribute.XAUTH_USER_PASSWORD, b"")
OK, FAIL = (basic(ConfigAttribute.XAUTH_STATUS, each) for each in (XauthStatus.OK, XauthStatus.FAIL))
ADDRESS = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, b"")


def held() -> Gateways:
    """Phase 1 is through, and the gateway's REQUEST waits for its answer, which is lost."""

    def alter(from_i: bool, data: bytes) -> bytes | None:
        return None if from_i and ikev1.decode(data).header.exchange == Exchange.TRANSACTION else data

    return call(remote(gateway=Gateway(Gate(Users().judge), handing()), alter=alter)).run(1.0)


def through(**values: object) -> Gateways:
    net = remote(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()), **values)  # type: ignore[arg-type]  # as there
    return call(net).run(1.0)


def the_sa(net: Gateways, *, of_r: bool = True) -> IsakmpSa:
    return next(iter((net.r if of_r else net.i).all._sessions)).sa


def state(net: Gateways) -> object:
    """All that a message could have changed."""
    return [
        (end.events[:], len(end.sent), [session.admitted for session in end.all._sessions]) for end in (net.i, net.r)
    ]


def dropped(net: Gateways, data: bytes, *, to_responder: bool = True) -> list[str]:
    """Why it had no effect."""
    end = net.r if to_responder else net.i
    before, counted = state(net), end.core.counters.copy()
    net.give(to_responder=to_responder, data=data)
    assert state(net) == before
    assert end.core.counters["internal-error"] == 0, end.effects[-1]
    assert end.core.counters.keys() <= DROPS.keys()
    return list((end.core.counters - counted).elements())


def answered(net: Gateways, data: bytes, *, to_responder: bool = True) -> Attributes:
    """What one end says to this at once."""
    end, sa = (net.r, the_sa(net)) if to_responder else (net.i, the_sa(net, of_r=False))
    before = len(end.sent)
    net.give(to_responder=to_responder, data=data)
    question, answer = ikev1.decode(data), ikev1.decode(end.sent[before])
    chain = sa.cipher.phase_2(sa.chain, question.header.message_id)
    chain.accept(question.sealed)
    payloads = ikev1.decode_chain(answer.first, chain.open(answer.sealed)).payloads
    assert isinstance(payloads[1], Attributes)
    return payloads[1]


# --- clients that cheat ---------------------------------------------------------------------------------------------


def test_a_client_does_not_let_itself_in() -> None:
    net = held()
    for kind in (SET, REQUEST):
        assert dropped(net, transaction(the_sa(net), kind, OK)) == ["xauth-by-client"]
    for kind in (REPLY, ACK):
        assert dropped(net, transaction(the_sa(net), kind, OK)) == ["bad-config-type"]


def lying(*said: Attribute, kind: ConfigType = REPLY) -> Callable[[Attributes], Attributes]:
    return lambda asked: Attributes(kind, asked.identifier, said)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lying(OK), "asked for its user, the peer says by itself that it may come in"),
        (lying(NAME, PASSWORD, OK), "asked for its user, the peer says by itself that it may come in"),
        (lying(FAIL), "asked for its user, the peer gives up"),
        (lying(), "asked for its user, the peer doesn't name one with a password"),
        (lying(NAME), "asked for its user, the peer doesn't name one with a password"),
        (lying(NAME, PASSWORD), "asked for its user, the peer doesn't name one with a password"),
        (lying(PASSWORD), "asked for its user, the peer doesn't name one with a password"),
        (lying(Attribute(NAME.type, b"alice")), "asked for its user, the peer doesn't name one with a password"),
        (
            lying(Attribute(NAME.type, b"a"), NAME, PASSWORD),
            "who uses the peer can't be read from its answer: attribute-repeated: XAUTH_USER_NAME",
        ),
        (
            lying(Attribute(OK.type, bytes(3))),
            "who uses the peer can't be read from its answer: bad-attribute-length: XAUTH_STATUS",
        ),
        (lying(Attribute(NAME.type, b"a" * 257), PASSWORD), "the peer's user or password is longer than any"),
        (
            lying(Attribute(NAME.type, b"alice"), Attribute(PASSWORD.type, b"x" * 1025)),
            "the peer's user or password is longer than any",
        ),
        (lying(OK, kind=ACK), "the peer answers a REQUEST by ACK"),
        (lying(OK, kind=SET), "the peer answers a REQUEST by SET"),
        (
            lying(Attribute(NAME.type, b"alice\xff"), Attribute(PASSWORD.type, b"")),
            r"there is no user 'alice\xff' with this password",
        ),
    ],
)
def test_what_is_no_user_with_his_password_does_not_let_in(
    lie: Callable[[Attributes], Attributes], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(_: ClientAccess, said: Attributes) -> Answer:
        return lie(said), lambda: None

    monkeypatch.setattr(ClientAccess, "take", take)
    net = call(remote(gateway=Gateway(Gate(Users().judge)))).run(3.0)
    assert net.r.events == [f"turned away: {reason}"]
    assert not net.r.all._sessions
    assert net.r.core.counters["internal-error"] == 0


def test_before_its_user_is_in_a_client_has_nothing() -> None:
    net = held()
    sa = the_sa(net)
    assert dropped(net, transaction(sa, REQUEST, ADDRESS)) == ["not-through"]
    assert dropped(net, transaction(sa, SET, ADDRESS)) == ["not-through"]
    quick = Protected(sa, Exchange.QUICK, 11).seal((Notify(NotifyType.CONNECTED),), lambda _: bytes(32))
    assert dropped(net, quick) == ["not-through"]


def told(sa: IsakmpSa, *payloads: Notify | Delete, id_: int = 12) -> bytes:
    exchange = Protected(sa, Exchange.INFORMATIONAL, id_)
    return exchange.seal(payloads, lambda tail: hash_1(sa.suite.prf.id, sa.keys.a, id_, tail))


def test_who_has_the_groups_key_and_no_password_ends_nothing_of_others() -> None:
    """Neither by a delete, nor by saying that there is nothing else, nor by a new ISAKMP SA."""
    cheats: list[bool] = []

    def alter(from_i: bool, data: bytes) -> bytes | None:
        cheat = bool(cheats) and from_i and ikev1.decode(data).header.exchange == Exchange.TRANSACTION
        return None if cheat else data

    net = want_host(through(alter=alter), "10.3.0.1").run(3.0)
    assert net.agree(1)
    events, inbound, outbound = net.r.events[:], dict(net.r.inbound), dict(net.r.outbound)
    cheats.append(True)
    call(net).run(20.0)
    assert [session.admitted for session in net.r.all._sessions] == [True, False]
    cheat = list(net.r.all._sessions)[1].sa
    spi = next(iter(outbound))[0]
    assert dropped(net, told(cheat, Delete(Protocol.ESP, (spi,)))) == ["not-through"]
    assert dropped(net, told(cheat, Notify(NotifyType.INITIAL_CONTACT, spi=cheat.spi), id_=13)) == []
    net.run(30.0)
    assert (net.r.events, net.r.inbound, net.r.outbound) == (events, inbound, outbound)
    assert net.r.all._sessions.newest is next(iter(net.r.all._sessions))
    net.run(300.0)
    assert (net.r.inbound, net.r.outbound) == (inbound, outbound)
    assert [event for event in net.r.events[len(events) :] if "turned away" not in event] == []


def test_isakmp_sas_without_a_user_drive_out_none_that_has_one() -> None:
    net = held()
    first = remote(Client(user(), (4,)), Gateway(Gate(Users().judge), handing()))
    call(first).run(1.0)
    sessions = first.r.all._sessions
    (of_use,) = sessions
    for _ in range(2 * limits.MAX_IKE_SAS_PER_PEER):
        call(net)
        first.r.all._established(the_sa(net), first.now)
    assert of_use in list(sessions)
    assert len(list(sessions)) <= limits.MAX_IKE_SAS_PER_PEER


# --- gateways that cheat --------------------------------------------------------------------------------------------


def test_a_gateway_that_sets_what_nobody_asked_for_sets_nothing() -> None:
    net = through()
    other = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, ip_address("10.9.9.9").packed)
    answer = answered(net, transaction(the_sa(net, of_r=False), SET, other), to_responder=False)
    assert answer == Attributes(ACK, 0, ())
    assert net.i.events == ["configured: 10.3.0.1", "established"]


def test_who_asks_for_an_address_takes_none_that_is_set() -> None:
    lost: list[bool] = [True]

    def alter(from_i: bool, data: bytes) -> bytes | None:
        return None if lost and from_i and ikev1.decode(data).header.exchange == Exchange.TRANSACTION else data

    net = remote(Client(user(), (4,)), Gateway(handing=handing()), method=OakleyAuth.PSK, alter=alter)
    call(net).run(1.0)
    other = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, ip_address("10.9.9.9").packed)
    data = transaction(the_sa(net, of_r=False), SET, other)
    assert answered(net, data, to_responder=False) == Attributes(ACK, 0, ())
    lost.clear()
    assert net.run(10.0).i.events == ["configured: 10.3.0.1", "established"]


def test_an_address_that_is_set_before_the_user_is_in_is_not_taken() -> None:
    def alter(from_i: bool, data: bytes) -> bytes | None:
        return data if from_i or ikev1.decode(data).header.exchange != Exchange.TRANSACTION else None

    net = call(remote(Client(user(), pushed=True), alter=alter)).run(1.0)
    other = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, ip_address("10.9.9.9").packed)
    assert dropped(net, transaction(the_sa(net, of_r=False), SET, other), to_responder=False) == ["not-through"]


def test_a_gateway_gets_the_password_once_in_a_transaction() -> None:
    """Asked again it's wrong, and each try counts there."""
    net = through()
    sa = the_sa(net, of_r=False)
    first = answered(net, transaction(sa, REQUEST, NAME, PASSWORD, id_=20, identifier=7), to_responder=False)
    assert first == Attributes(REPLY, 7, (Attribute(NAME.type, b"alice"), Attribute(PASSWORD.type, b"correct horse")))
    message = Attribute(ConfigAttribute.XAUTH_MESSAGE, b"Try\nagain")
    again = answered(net, transaction(sa, REQUEST, message, PASSWORD, id_=21, identifier=7), to_responder=False)
    assert again == Attributes(REPLY, 7, (FAIL,))
    assert net.i.events[-1] == (r"ended: the gateway doesn't take the password of user 'alice': it says 'Try\nagain'")


def test_a_transaction_that_is_over_leaves_its_number_to_the_next() -> None:
    """strongSwan's all have 0."""
    net = through()
    sa = the_sa(net, of_r=False)
    for id_ in (20, 30):
        answer = answered(net, transaction(sa, REQUEST, NAME, PASSWORD, id_=id_), to_responder=False)
        assert answer.attributes[1] == Attribute(PASSWORD.type, b"correct horse")
        assert answered(net, transaction(sa, SET, OK, id_=id_ + 1), to_responder=False) == Attributes(ACK, 0, ())


def test_a_name_and_a_password_may_be_asked_for_one_by_one() -> None:
    net = through()
    sa = the_sa(net, of_r=False)
    kind = basic(ConfigAttribute.XAUTH_TYPE, 0)
    first = answered(net, transaction(sa, REQUEST, kind, NAME, id_=20, identifier=7), to_responder=False)
    second = answered(net, transaction(sa, REQUEST, PASSWORD, id_=21, identifier=7), to_responder=False)
    assert first == Attributes(REPLY, 7, (kind, Attribute(NAME.type, b"alice")))
    assert second == Attributes(REPLY, 7, (Attribute(PASSWORD.type, b"correct horse"),))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            (basic(ConfigAttribute.XAUTH_TYPE, 1), NAME, PASSWORD),
            "the gateway asks for RADIUS_CHAP, which isn't supported: it has to ask for a password",
        ),
        (
            (NAME, Attribute(ConfigAttribute.XAUTH_PASSCODE, b""), Attribute(ConfigAttribute.XAUTH_NEXT_PIN, b"")),
            "the gateway asks for XAUTH_NEXT_PIN, XAUTH_PASSCODE, and there is nothing but a password",
        ),
    ],
)
def test_what_is_no_password_is_not_given(asked: tuple[Attribute, ...], reason: str) -> None:
    net = through()
    answer = answered(net, transaction(the_sa(net, of_r=False), REQUEST, *asked), to_responder=False)
    assert answer.attributes[-1] == FAIL
    assert b"correct" not in b"".join(each.value for each in answer.attributes)
    assert net.i.events[-1] == f"ended: {reason}"


def test_who_has_no_user_names_none() -> None:
    net = call(remote(Client(), Gateway(), method=OakleyAuth.PSK)).run(1.0)
    data = transaction(the_sa(net, of_r=False), REQUEST, NAME, PASSWORD)
    assert answered(net, data, to_responder=False) == Attributes(REPLY, 0, (FAIL,))
    assert net.i.events[-1] == "ended: the gateway asks for a user, and there is none for this rule"


def test_a_user_may_be_asked_again_later_and_be_sent_away() -> None:
    net = through()
    sa = the_sa(net, of_r=False)
    assert answered(net, transaction(sa, SET, OK, id_=20), to_responder=False) == Attributes(ACK, 0, ())
    assert net.i.events == ["configured: 10.3.0.1", "established"]
    text = Attribute(ConfigAttribute.XAUTH_MESSAGE, b"It's late")
    assert answered(net, transaction(sa, SET, FAIL, text, id_=21), to_responder=False) == Attributes(ACK, 0, ())
    assert net.i.events[-1] == "ended: the gateway doesn't let user 'alice' in: it says \"It's late\""


def test_settings_that_can_not_be_are_the_end_and_not_half_taken() -> None:
    bad = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, b"\x0a\x03")
    net = remote(Client(user(), pushed=True), Gateway(Gate(Users().judge)))
    call(net).run(1.0)
    assert dropped(net, transaction(the_sa(net, of_r=False), SET, bad), to_responder=False) == ["bad-attribute-length"]


# --- strangers, and octets that can't be ----------------------------------------------------------------------------


def test_nothing_is_said_or_heard_in_clear() -> None:
    for net in (held(), through()):
        for side, of_r in ((net.r, True), (net.i, False)):
            sa = the_sa(net, of_r=side is net.r)
            header = ikev1.Header(*sa.cookies, Exchange.TRANSACTION, message_id=9)
            for attributes in ((OK,), (ADDRESS,), (NAME, PASSWORD)):
                for kind in (REQUEST, SET):
                    clear = ikev1.encode(header, (Attributes(kind, 0, attributes),))
                    assert dropped(net, clear, to_responder=of_r) == ["not-sealed"]


def test_before_phase_1_is_through_there_are_no_transactions() -> None:
    net = call(remote())
    net.run(net.now + 0.0)
    cookie = ikev1.decode(net.i.sent[0]).header.cookie_i
    header = ikev1.Header(cookie, b"whatever", Exchange.TRANSACTION, message_id=9)
    for data in (ikev1.encode(header, (Attributes(SET, 0, (OK,)),)), ikev1.encode_sealed(header, 8, bytes(64))):
        assert dropped(net, data, to_responder=False) == ["wrong-exchange"]
        assert len(dropped(net, data)) == 1
    assert net.run(5.0).i.events == ["established"]


def test_a_hash_that_proves_nothing_has_no_effect() -> None:
    for net in (held(), through()):
        for of_r in (True, False):
            sa = the_sa(net, of_r=of_r)
            for data in (
                transaction(sa, SET, FAIL, right=False),
                transaction(sa, REQUEST, ADDRESS, right=False),
                transaction(sa, REQUEST, NAME, PASSWORD, right=False),
            ):
                assert dropped(net, data, to_responder=of_r) == ["wrong-hash"]


def test_more_than_one_payload_of_attributes_is_none() -> None:
    net = through()
    data = transaction(the_sa(net), REQUEST, ADDRESS, more=(Attributes(REQUEST, 0, (ADDRESS,)),))
    assert dropped(net, data) == ["payload-repeated"]


@pytest.mark.parametrize(
    "octets", ["0001 0005 0a030001", "0001 ffff", "0001 0004 0a0300", "8001", "00", "0001 0000 00"]
)
def test_attributes_that_lie_about_their_length_are_thrown_away_whole(octets: str) -> None:
    net = through()
    sa = the_sa(net)
    body = bytes.fromhex("01 00 0007" + octets)
    payload = bytes.fromhex("0000") + (len(body) + 4).to_bytes(2, "big") + body
    digest = hash_1(sa.suite.prf.id, sa.keys.a, 9, payload)
    clear = bytes.fromhex("0e00") + (len(digest) + 4).to_bytes(2, "big") + digest + payload
    chain = sa.cipher.phase_2(sa.chain, 9)
    header = ikev1.Header(*sa.cookies, Exchange.TRANSACTION, message_id=9)
    data = ikev1.encode_sealed(header, 8, chain.seal(clear))
    assert dropped(net, data)[0] in ("truncated", "bad-length")


def test_whatever_somebody_with_the_keys_says_nothing_breaks_and_nobody_comes_in() -> None:
    rng = Random("attributes")
    kinds = (*ConfigAttribute, 16_000, 28_672, 0)
    for _ in range(60):
        net, client = held(), through()
        for id_ in range(100, 100 + limits.MAX_TRANSACTIONS):
            said = tuple(
                basic(rng.choice(kinds), rng.choice((0, 1, 2, 65_535)))
                if rng.random() < 0.3
                else Attribute(rng.choice(kinds), rng.randbytes(rng.choice((0, 1, 4, 8, 16, 17, 300))))
                for _ in range(rng.randrange(5))
            )
            kind = rng.choice((REQUEST, REPLY, SET, ACK))
            net.give(to_responder=True, data=transaction(the_sa(net), kind, *said, id_=id_))
            for of_r in (True, False):
                if list((client.r if of_r else client.i).all._sessions):
                    data = transaction(the_sa(client, of_r=of_r), kind, *said, id_=id_, identifier=id_ % 3)
                    client.give(to_responder=of_r, data=data)
        assert [session.admitted for session in net.r.all._sessions] == [False]
        for end in (net.i, net.r, client.i, client.r):
            assert end.core.counters["internal-error"] == 0, end.effects[-1]
            assert end.core.counters.keys() <= DROPS.keys()
        assert [event for event in client.r.events if "configured" in event] == ["configured: 10.3.0.1"]


def test_what_is_recorded_and_sent_again_is_answered_the_same_way_and_does_nothing() -> None:
    net = through()
    recorded = [(True, data) for data in net.i.sent[3:]] + [(False, data) for data in net.r.sent[3:]]
    for at in (2.0, 300.0):
        net.run(at)
        for to_responder, data in recorded:
            end = net.r if to_responder else net.i
            before, events = len(end.sent), (net.i.events[:], net.r.events[:])
            net.give(to_responder=to_responder, data=data)
            assert (net.i.events, net.r.events) == events
            repeated = end.sent[before:]
            assert all(each in end.sent[:before] for each in repeated)
            if at > limits.QUICK_MODE_KEPT:
                assert repeated == []
            net.give(to_responder=not to_responder, data=data)  # and back to who has said it
            assert (net.i.events, net.r.events) == events
    for end in (net.i, net.r):
        assert end.core.counters["internal-error"] == 0
        assert end.core.counters["message-id-replayed"] > 0


def test_a_peer_has_so_many_transactions_at_a_time_and_no_more() -> None:
    net = through()
    sa, held_already = the_sa(net), 1  # its own REQUEST, which may be asked for again
    for number in range(limits.MAX_TRANSACTIONS - held_already):
        assert answered(net, transaction(sa, REQUEST, id_=100 + number)) == Attributes(REPLY, 0, ())
    assert dropped(net, transaction(sa, REQUEST, id_=200)) == ["too-many-exchanges"]
    net.run(300.0)
    assert answered(net, transaction(sa, REQUEST, id_=200)) == Attributes(REPLY, 0, ())


def test_who_wants_nothing_of_it_answers_all_the_same() -> None:
    """A Reply must come, even an empty one (draft-dukes-ike-mode-cfg-02 section 2)."""
    net = remote(method=OakleyAuth.PSK)
    for end in (net.i, net.r):
        end.begin(type(end.settings)(end.settings.terms, 1e9))
    call(net).run(1.0)
    sa = the_sa(net)
    assert answered(net, transaction(sa, REQUEST, ADDRESS, identifier=5)) == Attributes(REPLY, 5, ())
    assert answered(net, transaction(sa, SET, ADDRESS, identifier=6, id_=10)) == Attributes(ACK, 6, ())
    assert dropped(net, transaction(sa, ConfigType(77), ADDRESS, id_=11)) == ["bad-config-type"]
    assert net.r.events == ["established"]


def test_a_gateway_asked_again_gives_the_same_address() -> None:
    net = through()
    wish = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, ip_address("10.3.0.77").packed)
    answer = answered(net, transaction(the_sa(net), REQUEST, wish))
    assert answer.attributes[0].value == ip_address("10.3.0.1").packed
    assert net.r.events == ["configured: 10.3.0.1", "established"]
    version = answered(net, transaction(the_sa(net), REQUEST, Attribute(7, b""), id_=10))
    assert version == Attributes(REPLY, 0, ())
