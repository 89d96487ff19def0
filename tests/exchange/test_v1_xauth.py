"""XAUTH, of clients and gateways, in virtual time (draft-beaulieu-ike-xauth-02)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.effects import Send
from ipsecd.ike.v1 import access_client
from ipsecd.ike.v1.access import Client, Gateway, empty_answer
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.registry_v1 import Exchange, OakleyAuth
from tests.exchange.network import Link
from tests.exchange.phase_1 import described, signed, suite
from tests.exchange.v1_gateways import Gateways
from tests.exchange.v1_remote import PASSWORDS, Users, call, remote, user
from tests.unit.crypto.authority import NOW, ROOT

NO_SUCH = "there is no user 'alice' with this password"


def sane(net: Gateways) -> None:
    for end in (net.i, net.r):
        assert end.core.counters["internal-error"] == 0, end.effects[-1]


def test_a_user_with_the_right_password_comes_in() -> None:
    net = call(remote()).run(1.0)
    assert (net.i.events, net.r.events) == (["established"], ["established"])
    assert [sa.user for sa in net.r.all.isakmp_sas] == ["alice"]
    assert [sa.user for sa in net.i.all.isakmp_sas] == [""]  # who we are, we know
    assert described(net.r.sent)[3:] == ["TRANSACTION sealed"] * 2  # REQUEST, SET
    assert described(net.i.sent)[3:] == ["TRANSACTION sealed"] * 2  # REPLY, ACK
    ids = [ikev1.decode(data).header.message_id for end in (net.r, net.i) for data in end.sent[3:]]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_what_waits_for_sas_gets_them_when_the_user_is_in() -> None:
    net = remote()
    net.up(5.0)
    assert (net.i.events, net.r.events) == (["established", "up"], ["established", "up"])
    assert net.i.calls == [0.0]
    order = [str(ikev1.decode(effect.data).header.exchange) for effect in net.i.effects if isinstance(effect, Send)]
    assert order == ["MAIN"] * 3 + ["TRANSACTION"] * 2 + ["QUICK"] * 2


@pytest.mark.parametrize("who", [user("alice", b"correct horsf"), user("alice", b""), user("bob", b"correct horse")])
def test_who_has_another_password_does_not_come_in(who: object) -> None:
    net = remote(Client(who))  # type: ignore[arg-type]  # a user
    net.want().run(5.0)
    name = who.name  # type: ignore[attr-defined]  # as above
    assert net.i.events == [
        f"turned away: the gateway doesn't let user '{name}' in",
        f"failed: the gateway doesn't let user '{name}' in",
    ]
    assert net.r.events == [f"turned away: there is no user '{name}' with this password"]
    assert (net.i.all.isakmp_sas, net.r.all.isakmp_sas) == ((), ())
    net.run(7_200.0)
    assert net.i.calls == [0.0]  # it isn't tried again by itself
    assert not net.i.inbound
    assert not net.r.inbound
    assert net.i.all.empty
    assert net.r.all.empty
    sane(net)


def test_who_is_no_user_hears_the_same_as_who_has_another_password() -> None:
    users = Users()
    nets = [
        remote(Client(replace(user(), name=name, password=Secret(b"xxxxx"))), Gateway(Gate(users.judge)))
        for name in ("alice", "carol")
    ]
    lengths = []
    for net in nets:
        call(net).run(5.0)
        lengths.append([len(data) for data in net.r.sent])
    assert lengths[0] == lengths[1]
    assert users.looked == ["alice", "carol"]


def test_who_comes_in_once_too_often_drives_out_its_oldest_and_not_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PEER", 2)
    monkeypatch.setattr(limits, "REPLACED_ISAKMP", 1e9)
    net = remote()
    made = []
    for _ in range(5):
        call(net).run(net.now + 2.0)
        made.append(net.r.all.isakmp_sas[-1].cookies)
    assert len(set(made)) == 5
    assert [sa.cookies for sa in net.r.all.isakmp_sas] == made[-2:]
    assert net.r.events.count("established") == 5
    sane(net)


@pytest.mark.parametrize("method", [OakleyAuth.XAUTH_INIT_PSK, OakleyAuth.XAUTH_RESP_PSK])
def test_either_side_may_be_the_one_that_is_asked(method: OakleyAuth) -> None:
    net = remote(method=method)
    if method == OakleyAuth.XAUTH_INIT_PSK:
        call(net)
    else:
        net.act(net.r.all.renew)
        net.want(net.r)
    net.run(5.0)
    assert "established" in net.i.events
    assert [sa.user for sa in net.r.all.isakmp_sas] == ["alice"]
    assert [sa.initiator for sa in net.r.all.isakmp_sas] == [method == OakleyAuth.XAUTH_RESP_PSK]
    sane(net)


def test_a_hybrid_gateway_asks_too() -> None:
    net = remote(method=OakleyAuth.HYBRID_INIT_RSA)
    suites = (suite(method=OakleyAuth.HYBRID_INIT_RSA),)
    of_client = replace(signed(), suites=(), certified=None, trust=RawChain((ROOT.certificate,), lambda: NOW))
    hybrid = {"a.example": replace(of_client, suites=suites), "b.example": signed("b.example", "a.example")}
    for end in (net.i, net.r):
        of_1 = replace(hybrid[end.us], suites=suites)
        end._terms = lambda of_1=of_1, first=False: replace(of_1, first=first)  # type: ignore[method-assign,misc]  # of this test
    net.up(5.0)
    assert [sa.user for sa in net.r.all.isakmp_sas] == ["alice"]


def test_terms_of_hybrid_clients_need_trust_alone() -> None:
    of_1 = signed()
    assert isinstance(replace(of_1, suites=(), certified=None, trust=of_1.certified.trust), Terms)  # type: ignore[union-attr]  # it is there


def test_bad_networks_do_not_matter() -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    up = 0
    for seed in range(50):
        net = remote(link=link, seed=seed).want().run(60.0)
        sane(net)
        up += net.agree(1)
        assert not any("turned away" in event for end in (net.i, net.r) for event in end.events), seed
    assert up >= 48


def test_the_verdict_may_come_later() -> None:
    """As from a thread, in a turn of its own."""
    waiting: list[Callable[[bool], None]] = []
    net = remote(gateway=Gateway(Gate(lambda _, __, then: waiting.append(then)))).want().run(10.0)
    assert (net.i.events, net.r.events) == ([], [])
    net.act(lambda: waiting[0](True)).run(15.0)
    assert net.agree(1)
    assert len(waiting) == 1


@pytest.mark.parametrize("calls", [False, True])
def test_what_is_wanted_meanwhile_waits_and_calls_nobody(calls: bool) -> None:
    waiting: list[Callable[[bool], None]] = []
    net = call(remote(gateway=Gateway(Gate(lambda _, __, then: waiting.append(then)))))
    net.r.begin(net.r.settings, calls=calls)
    net.run(1.0)
    call(net.want(net.r).want(net.i)).run(10.0)
    assert (net.i.events, net.r.events) == ([], [])
    assert not any(str(ikev1.decode(data).header.exchange) == "QUICK" for end in (net.i, net.r) for data in end.sent)
    net.act(lambda: waiting[0](True))
    assert net.settles(1)
    assert (net.i.calls, net.r.calls) == ([0.0], [])


def test_who_is_not_let_in_any_more_does_not_call_again_and_again() -> None:
    """Though there are SAs, and nothing to rekey them by."""
    allowed = [True]
    net = remote(gateway=Gateway(Gate(lambda _, __, then: then(allowed[0]))))
    net.r.begin(net.r.settings, calls=False)
    net.up(5.0)
    allowed[0] = False
    (session,) = net.r.all._sessions
    net.act(lambda: session.end("the account is closed")).run(1_800.0)
    assert len(net.i.calls) == 2
    assert net.i.events[2:] == [
        "ended: the peer has ended the ISAKMP SA",
        "turned away: the gateway doesn't let user 'alice' in",
    ]


def test_a_verdict_that_comes_too_late_has_no_effect() -> None:
    waiting: list[Callable[[bool], None]] = []
    net = call(remote(gateway=Gateway(Gate(lambda _, __, then: waiting.append(then))))).run(150.0)
    assert net.i.events[0] == "turned away: the gateway hasn't said whether it lets our user in"
    assert len(net.r.events) == 1
    before = len(net.r.sent)
    net.act(lambda: waiting[0](True)).run(300.0)
    assert len(net.r.sent) == before
    assert (net.i.all.isakmp_sas, net.r.all.isakmp_sas) == ((), ())
    sane(net)


def test_who_never_answers_is_turned_away() -> None:
    def alter(from_i: bool, data: bytes) -> bytes | None:
        return None if from_i and ikev1.decode(data).header.exchange == Exchange.TRANSACTION else data

    net = call(remote(alter=alter)).run(300.0)
    assert net.r.events == ["turned away: the peer doesn't answer behind phase 1"]
    assert (net.i.all.isakmp_sas, net.r.all.isakmp_sas) == ((), ())


def test_a_gateway_that_never_asks_is_left() -> None:
    def alter(from_i: bool, data: bytes) -> bytes | None:
        return data if from_i or ikev1.decode(data).header.exchange != Exchange.TRANSACTION else None

    net = remote(alter=alter)
    net.want().run(300.0)
    assert net.i.events[0] in (
        "turned away: the gateway hasn't said whether it lets our user in",
        "turned away: the peer has ended the ISAKMP SA",
    )
    assert len(net.i.calls) == 1


def test_who_does_not_send_our_identifier_back_is_still_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """strongSwan's client says 0 in XAUTH, whatever it was asked with."""

    def answer(said: Attributes, attributes: tuple[Attribute, ...] = ()) -> Attributes:
        assert said.identifier
        return replace(empty_answer(said, attributes), identifier=0)

    monkeypatch.setattr(access_client, "empty_answer", answer)
    assert call(remote()).run(1.0).r.events == ["established"]


# --- policies that don't fit ----------------------------------------------------------------------------------------


def test_an_isakmp_sa_that_asks_for_users_is_nothing_where_none_are_known() -> None:
    """Whatever a policy forgets, nobody comes in by a group's key alone."""
    reason = "by XAUTH_INIT_PSK {}, which this rule isn't made for"
    ours, theirs = reason.format("we have to name a user"), reason.format("the peer has to name a user")
    for of_i, of_r in ((Client(user()), Gateway()), (Client(user()), None), (None, None), (Gateway(), Client())):
        net = remote()
        net.i.settings = replace(net.i.settings, access=of_i)
        net.r.settings = replace(net.r.settings, access=of_r)
        net.i.begin(net.i.settings)
        net.r.begin(net.r.settings)
        net.want().run(200.0)
        assert net.r.events == [f"turned away: {theirs}"]
        assert net.i.events[0] in (f"turned away: {ours}", "turned away: the peer has ended the ISAKMP SA")
        assert (net.i.inbound, net.r.inbound) == ({}, {})
        sane(net)


def test_a_gateway_with_users_asks_though_phase_1_has_not_said_so() -> None:
    users = Users()
    net = remote(gateway=Gateway(Gate(users.judge)), method=OakleyAuth.PSK).want().run(10.0)
    assert net.agree(1)
    assert users.looked == ["alice"]
    net = remote(Client(user("bob", b"x")), Gateway(Gate(users.judge)), method=OakleyAuth.PSK).want().run(10.0)
    assert net.r.events == ["turned away: there is no user 'bob' with this password"]
    assert not net.r.inbound


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORDS["alice"], b"hunter2-is-wrong"])
def test_a_password_is_nowhere_but_on_its_way(password: bytes) -> None:
    seen: list[Secret] = []

    def judge(_: str, secret: Secret, then: Callable[[bool], None]) -> None:
        seen.append(secret)
        then(secret == Secret(PASSWORDS["alice"]))

    net = call(remote(Client(user("alice", password)), Gateway(Gate(judge)))).run(30.0)
    text = password.decode()
    assert not any(password in data for end in (net.i, net.r) for data in end.sent)
    for end in (net.i, net.r):
        assert text not in repr(end)
        assert text not in repr(end.settings)
        assert text not in " ".join(end.events)
    assert seen[0].reveal() == bytes(len(password))  # overwritten, once it's judged


# --- guessing -------------------------------------------------------------------------------------------------------


def test_passwords_are_tried_so_often_and_no_more() -> None:
    users = Users()
    gate = Gate(users.judge)

    def attempt(password: bytes, at: float, name: str = "alice") -> list[str]:
        net = remote(Client(user(name, password)), Gateway(gate), seed=f"{at}")
        net.now = at
        return call(net).run(at + 5.0).r.events

    for number in range(limits.XAUTH_TRIES):
        assert attempt(b"guess", 10.0 * number) == [f"turned away: {NO_SUCH}"]
    many = "turned away: there were too many passwords for user '{}' or from 192.0.2.1; this one wasn't looked at"
    assert attempt(PASSWORDS["alice"], 200.0) == [many.format("alice")]
    assert attempt(PASSWORDS["bob"], 210.0, "bob") == [many.format("bob")]  # from the same address
    assert len(users.looked) == limits.XAUTH_TRIES
    assert attempt(PASSWORDS["alice"], 700.0) == ["established"]


def test_right_passwords_do_not_count() -> None:
    gate = Gate(Users().judge)
    for _ in range(3 * limits.XAUTH_TRIES):
        net = remote(gateway=Gateway(gate))
        assert call(net).run(5.0).r.events == ["established"]
