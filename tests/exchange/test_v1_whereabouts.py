"""A NAT that forgets what it knew, and gives the peer another port or address (RFC 3947 section 7)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike.config import Endpoint, Lifetime, Path
from ipsecd.ike.effects import MovePath, Send
from ipsecd.ike.nat import Nat
from ipsecd.ike.v1.access import Client
from ipsecd.ike.v1.access import Gateway as Access
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.session import Settings
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import Notify
from ipsecd.wire.registry_v1 import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.phase_2 import mirrored, of_hosts, terms
from tests.exchange.v1_gateways import Gateway, Gateways, gateways
from tests.exchange.v1_line import NAT_ADDRESS, OURS, THEIRS
from tests.exchange.v1_remote import Users, user

DAY = terms(lifetime=Lifetime(86_400))
ELSEWHERE = ip_address("203.0.113.99")
HERE = replace(THEIRS, port=4500)
BEFORE, AFTER = (
    Path(HERE, Endpoint(NAT_ADDRESS, 14_500), natt=True),
    Path(HERE, Endpoint(NAT_ADDRESS, 24_500), natt=True),
)


def remap(net: Gateways, port: int = 24_500) -> Gateways:
    net.nat_ports[4500] = port
    return net


def moves(end: Gateway) -> list[MovePath]:
    return [effect for effect in end.effects if isinstance(effect, MovePath)]


def last_path(end: Gateway) -> Path:
    return [effect.path for effect in end.effects if isinstance(effect, Send)][-1]


def test_packets_show_where_the_peer_is_now_and_all_that_is_in_udp_goes_there() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    assert net.r.all.path == BEFORE
    remap(net).traffic(0.5, 7.0)
    assert len(net.lost) == 1  # what was sent before the peer's next packet
    assert moves(net.r) == [MovePath(tuple(net.r.inbound), AFTER)]
    assert net.r.all.path == net.r.all.isakmp_sas[0].path == AFTER
    assert moves(net.i) == []
    net.act(lambda: net.r.all.rekey("c")).traffic(0.5, 30.0)
    assert len(net.lost) == 1
    assert "rekeyed" in net.i.events
    assert net.r.all.pairs[-1].pair.path == AFTER
    assert net.agree(1)


def test_an_isakmp_sa_s_messages_show_it_and_the_answer_goes_there_already() -> None:
    net = gateways(DAY, nat=True, dpd=20.0).up(5.0)
    remap(net).run(24.9)
    sent = len(net.r.sent)
    net.run(26.0)  # each has asked, and the initiator's question came first or was answered
    assert moves(net.r) == [MovePath(tuple(net.r.inbound), AFTER)]
    net.run(600.0)
    assert net.agree(1)
    answers = [effect.path for effect in net.r.effects if isinstance(effect, Send)][sent:]
    assert set(answers) <= {BEFORE, AFTER}
    assert answers.index(AFTER) <= 1  # a question of its own went there where nobody is
    assert BEFORE not in answers[answers.index(AFTER) :]


def test_the_answer_to_the_very_message_that_shows_it_goes_there() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    remap(net).act(lambda: net.i.all.rekey("c")).run(5.2)
    quick = [
        effect.path
        for effect in net.r.effects
        if isinstance(effect, Send) and ikev1.decode(effect.data).header.exchange == Exchange.QUICK
    ]
    assert quick == [BEFORE, AFTER]
    assert net.settles(1)


def test_several_moves_are_followed_each() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    for port in range(30_000, 30_010):
        remap(net, port).traffic(1.0, net.now + 3.0)
    assert [move.path.remote.port for move in moves(net.r)] == list(range(30_000, 30_010))
    assert len(net.lost) == 10


def test_another_address_is_followed_too() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    net.nat_address = ELSEWHERE
    net.traffic(0.5, 20.0)
    assert len(net.lost) == 1
    assert net.r.all.path == Path(HERE, Endpoint(ELSEWHERE, 14_500), natt=True)
    assert net.agree(1)


@pytest.mark.parametrize(("within", "followed"), [("203.0.113.0/24", True), ("203.0.113.7/32", False)])
def test_a_peer_is_followed_to_where_it_may_be_alone(within: str, followed: bool) -> None:
    of_r = Settings((mirrored(DAY),), within=(Selector.net(within),))
    net = Gateways(Settings((DAY,)), of_r, nat=True).up(5.0)
    net.nat_address = ELSEWHERE
    net.traffic(0.5, 10.0)
    assert bool(moves(net.r)) == followed
    net.act(lambda: net.r.all.reconfigure(replace(of_r, within=None))).traffic(0.5, 15.0)
    assert len(moves(net.r)) == 1


def test_what_is_between_two_hosts_ends_with_one_of_their_addresses_and_not_with_a_port() -> None:
    ours, theirs = of_hosts()
    of_i = terms(local=ours, remote=theirs, transport=True, lifetime=Lifetime(86_400))
    seen, us = of_hosts(nat=True)
    of_r = replace(mirrored(of_i), remote=(seen,), local=(us,))
    net = Gateways(Settings((of_i,)), Settings((of_r,)), nat=True).up(5.0)
    remap(net).act(lambda: net.i.all.alive(())).traffic(0.5, 10.0)
    assert (len(net.lost), len(moves(net.r)), net.agree(1)) == (1, 1, True)
    net.nat_address = ELSEWHERE
    net.traffic(0.5, 11.0)
    assert "down: the peer has another address" in net.r.events
    assert "down: the peer has ended it" in net.i.events


def test_what_is_under_way_meanwhile_goes_there_too() -> None:
    """The initiator's last message of a quick mode comes from another port than its first."""
    lost: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        quick = ikev1.decode(data).header.exchange == Exchange.QUICK
        if quick and from_initiator and net.r.inbound and not lost:
            lost.append(data)
            remap(net)
            return None
        return data

    net = gateways(DAY, nat=True)
    net._alter = alter
    net.want().run(1.0)
    assert len(lost) == 1
    net.traffic(0.5, 30.0)
    assert net.agree(1)
    assert [installed.path for installed in net.r.outbound.values()] == [AFTER]
    assert [installed.path for installed in net.r.inbound.values()] == [AFTER]


def test_a_phase_1_from_another_port_shows_it_too() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    remap(net).nat_ports[500] = 20_500
    net.act(net.i.all.renew).run(10.0)
    assert moves(net.r) == [MovePath(tuple(net.r.inbound), AFTER)]
    net.traffic(0.5, 60.0)
    assert net.lost == []


def test_packets_show_it_when_the_isakmp_sa_is_gone() -> None:
    net = Gateways(Settings((DAY,)), Settings((mirrored(DAY),)), nat=True, calls=False).up(5.0)
    (session,) = net.r.all._sessions
    net.act(lambda: session.forget("gone"))
    assert net.r.all.isakmp_sas == ()
    remap(net).traffic(0.5, 10.0)
    assert len(net.lost) == 1
    assert net.r.all.path == AFTER


# --- who isn't followed -------------------------------------------------------------------------------------------


def test_who_is_behind_the_nat_itself_follows_nobody() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    spi = next(iter(net.i.inbound))
    elsewhere = Path(replace(OURS, port=4500), Endpoint(ELSEWHERE, 4500), natt=True)
    net.act(lambda: net.i.all.moved(spi, elsewhere))
    net.act(lambda: net.r.all._sessions.newest._exchanges._told.about_us(NotifyType.R_U_THERE, 7))  # type: ignore[union-attr]  # there is one
    net.i.core.now = net.now
    message = net.r.sent[-1]
    net.give(to_responder=False, data=message, path=elsewhere)
    assert (moves(net.i), net.i.all.path) == ([], Path(replace(OURS, port=4500), HERE, natt=True))


def test_without_a_nat_nobody_is_followed() -> None:
    for force_udp in (False, True):
        net = gateways(DAY, force_udp=force_udp).up(5.0)
        elsewhere = Path(HERE, Endpoint(ELSEWHERE, 4500), natt=True)
        for sa in net.r.all.isakmp_sas:
            sa.nat = Nat(here=False, there=False)  # as if the initiator didn't pretend that there is one
        net.act(lambda net=net, to=elsewhere: net.r.all.moved(next(iter(net.r.inbound)), to))  # type: ignore[misc]  # now
        assert moves(net.r) == []


def test_two_nats_keep_both_where_they_are() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    net.r.all.isakmp_sas[0].nat = Nat(here=True, there=True)
    remap(net).traffic(0.5, 7.0)
    assert moves(net.r) == []


def elsewhere_hears(net: Gateways, data: bytes) -> None:
    """The responder gets this from somebody at another address."""
    net.give(to_responder=True, data=data, path=Path(HERE, Endpoint(ELSEWHERE, 4500), natt=True))


def test_what_is_not_proved_or_was_here_before_moves_nothing() -> None:
    net = gateways(DAY, nat=True, dpd=20.0).up(5.0)
    net.run(60.0)
    quick = [data for data in net.i.sent if ikev1.decode(data).header.exchange == Exchange.QUICK]
    told = [data for data in net.i.sent if ikev1.decode(data).header.exchange == Exchange.INFORMATIONAL]
    assert len(quick) == 2
    assert told
    for data in [data for data in (*net.i.sent, *net.r.sent) if ikev1.decode(data).header.message_id]:
        elsewhere_hears(net, data)
        elsewhere_hears(net, data[:20] + b"new!" + data[24:])
        elsewhere_hears(net, data[:-16] + bytes(16))
    header = ikev1.Header(*net.r.all.isakmp_sas[0].cookies, Exchange.INFORMATIONAL, message_id=77)
    elsewhere_hears(net, ikev1.encode(header, [Notify(NotifyType.R_U_THERE)]))
    assert moves(net.r) == []
    assert net.r.all.path == BEFORE
    assert last_path(net.r) == BEFORE  # what was asked for again went there, too


def test_nothing_goes_back_to_port_500() -> None:
    net = gateways(DAY, nat=True).up(5.0)
    net.act(lambda: net.i.all._sessions.newest._exchanges._told.about_us(NotifyType.R_U_THERE, 7))  # type: ignore[union-attr]  # there is one
    net.give(to_responder=True, data=net.i.sent[-1], path=Path(THEIRS, Endpoint(NAT_ADDRESS, 10_500)))
    assert (moves(net.r), last_path(net.r)) == ([], BEFORE)


def test_who_has_not_come_in_yet_moves_nothing_but_its_own_answers() -> None:
    """A user has to be named behind phase 1, whose key is that of a group."""
    of_i = terms(lifetime=Lifetime(86_400))
    of_r = Settings((mirrored(of_i),), access=Access(Gate(Users().judge)))
    net = Gateways(Settings((of_i,), access=Client(user())), of_r, nat=True).up(5.0)
    passed = net._alter
    net._alter = lambda from_i, data: None if is_reply(from_i, data) else data  # the user's name and password
    remap(net).nat_ports[500] = 20_500
    net.act(net.i.all.renew).run(8.0)
    (_, coming) = net.r.all.sessions
    assert (coming.admitted, coming.sa.path) == (False, AFTER)
    assert (moves(net.r), net.r.all.path, net.r.all.sessions[0].sa.path) == ([], BEFORE, BEFORE)
    for port in (30_000, 30_001):
        remap(net, port).act(lambda: coming_says(net, coming.sa))
        assert coming.sa.path == Path(HERE, Endpoint(NAT_ADDRESS, port), natt=True)
    assert (moves(net.r), net.r.all.path, net.r.all.sessions[0].sa.path) == ([], BEFORE, BEFORE)
    net._alter = passed
    net.run(net.now + 30.0)
    assert coming.admitted
    assert [move.path.remote.port for move in moves(net.r)] == [30_001]


def is_reply(from_initiator: bool, data: bytes) -> bool:
    return from_initiator and ikev1.decode(data).header.exchange == Exchange.TRANSACTION


def coming_says(net: Gateways, sa: IsakmpSa) -> None:
    """Something proved, by the ISAKMP SA that isn't of use yet."""
    newest = next(each for each in net.i.all.sessions if each.sa.cookies == sa.cookies)
    newest._exchanges._told.about_us(NotifyType.R_U_THERE, 7)
    net.collect()
    message, arrived = net.i.sent[-1], net.seen(True, newest.sa.path)
    net.give(to_responder=True, data=message, path=arrived)
