"""What strangers can make IKEv1 do, and what they can't (C3, C5, C16, C17)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike import hosts
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.v1.special import Special
from ipsecd.wire import ikev1
from ipsecd.wire.registry_v1 import Exchange
from tests.exchange import lan
from tests.exchange.gateways import KEY, A, B, child_of_a, mirrored
from tests.exchange.v1_desks import IKE_CBC, V1, Desks, pair, peer_a, peer_b

EXPOSED = Special(i_accept_offline_guessing=True)


def to_b(source: str = A, port: int = 500) -> Path:
    return Path(Endpoint(ip_address(B), 500), Endpoint(ip_address(source), port))


def first_message(number: int = 0, *, exposed: bool = False) -> bytes:
    """Of a phase 1 that somebody begins as gateway a would."""
    net = pair(peer_b(special=EXPOSED if exposed else None), seed=f"first {number}")
    net.want(net.a)
    return net.a.sent[0]


def test_a_flood_from_the_address_of_a_peer_leaves_what_there_is_alone_and_keeps_it_out_of_nothing() -> None:
    net = pair()
    net.want(net.a).run(5.0)
    spis = set(net.b.inbound)
    for number in range(40):
        for again in range(5):
            net.give(first_message(number * 5 + again), to_b())
        net.run(0.25)
    assert (set(net.b.inbound), net.b.established) == (spis, 1)
    assert net.b.core.guard.half_open == 0
    assert len(net.b.desk._door.half_open) <= limits.MAX_HALF_OPEN_PER_ADDRESS
    net.do(net.a, lambda desk: desk.put_down_peer("b", "enough")).run(1.0)
    net.want(net.a).run(5.0)  # with the flood's last ones still there
    assert net.agree(1)
    net.do(net.b, lambda desk: desk.rekey_peer("a")).run(2.0)
    assert net.b.events("ike-rekeyed")


def test_first_messages_from_everywhere_are_taken_at_a_bounded_rate_and_none_is_kept_for_long() -> None:
    net = pair(of_b=peer_a(remotes=()))
    data = [first_message(number) for number in range(30)]
    for number in range(3_000):
        source = str(ip_address("203.0.0.0") + number)
        net.give(data[number % 30], to_b(source))
    answered = len(net.b.sent)
    assert limits.PHASE_1_BURST <= answered <= limits.PHASE_1_BURST + 20
    assert net.b.core.counters["phase-1-rate"] == 3_000 - answered
    assert len(net.b.desk._door.half_open) == answered
    net.run(limits.HALF_OPEN_LIFETIME + 1.0)
    assert (net.b.desk._door.half_open, net.b.core.promised) == ((), set())
    assert net.b.core.timers.deadline() is None


def test_the_oldest_that_nobody_goes_on_behind_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HALF_OPEN", 10)
    net = pair(of_b=peer_a(remotes=()))
    for number in range(25):
        net.give(first_message(number), to_b(str(ip_address("203.0.113.0") + number)))
    assert net.b.core.counters["half-open-displaced"] == 15
    net.want(net.a).run(5.0)
    assert net.agree(1)


def test_in_aggressive_mode_no_more_is_done_for_strangers_than_ikev2_would() -> None:
    net = pair(of_b=peer_a(special=EXPOSED, remotes=()))
    for number in range(60):
        net.give(first_message(number, exposed=True), to_b(str(ip_address("203.0.113.0") + number)))
    refused = net.b.core.counters["reflected"]  # test keys are few, so some have chosen ours
    assert len(net.b.sent) == net.b.core.guard.half_open == limits.COOKIE_THRESHOLD - refused
    assert net.b.core.counters["phase-1-load"] == 60 - limits.COOKIE_THRESHOLD
    net.run(limits.HALF_OPEN_LIFETIME + 1.0)
    assert net.b.core.guard.half_open == 0


def test_a_first_message_again_is_answered_again_and_seldom() -> None:
    net = pair()
    data = first_message()
    for _ in range(30):
        net.give(data, to_b())
    assert len(net.b.sent) == 1 + limits.REPEAT_BURST
    assert len(set(net.b.sent)) == 1
    net.give(data, to_b("203.0.113.9"))  # who is somebody else
    assert len(net.b.sent) == 1 + limits.REPEAT_BURST + 1 - (net.b.core.counters["no-rule-for-peer"] == 0)


def test_errors_in_clear_are_told_seldom() -> None:
    other = replace(IKE_CBC, prf=())
    net = pair(of_b=peer_a(proposals=(other,)))
    for number in range(50):
        net.give(first_message(number), to_b())
        net.run(0.05)
    assert limits.ERROR_BURST <= len(net.b.sent) <= limits.ERROR_BURST + 10
    assert net.b.core.counters["complaint-withheld"] + net.b.core.counters["phase-1-rate"] > 0


@pytest.mark.parametrize("kind", [1, 3, 33, 99, 243, 244, 245, 246])
def test_other_exchanges_are_answered_with_nothing_and_disturb_nothing(kind: int) -> None:
    net = pair()
    net.want(net.a).run(5.0)
    spis, sent = set(net.b.inbound), len(net.b.sent)
    for theirs in (b"somebody", *(bytes.fromhex(sa.spi_i) for sa in net.b.desk.status())):
        for ours in (ikev1.NO_COOKIE, *(bytes.fromhex(sa.spi_r) for sa in net.b.desk.status())):
            for flags in (0, 1):
                header = ikev1.Header(theirs, ours, Exchange(kind), ikev1.Flag(flags), 7)
                net.give(ikev1.encode(header, ()) + (b"x" * 16 if flags else b""), to_b())
    assert (set(net.b.inbound), len(net.b.sent), net.b.established) == (spis, sent, 1)


def test_nothing_that_is_not_authentic_ends_a_call() -> None:
    net = pair()
    net.want(net.a)
    cookie = ikev1.decode(net.a.sent[0]).header.cookie_i
    for exchange in (Exchange.INFORMATIONAL, Exchange.MAIN, Exchange.QUICK, Exchange.TRANSACTION):
        for ours in (ikev1.NO_COOKIE, b"whatever"):
            header = ikev1.Header(cookie, ours, exchange, message_id=9)
            net.give(ikev1.encode(header, ()), Path(Endpoint(ip_address(A), 500), Endpoint(ip_address(B), 500)))
    net.run(5.0)
    assert net.agree(1)


def test_as_many_ike_sas_as_may_be_leave_strangers_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    net = pair()
    net.want(net.a).run(5.0)
    monkeypatch.setattr(limits, "MAX_IKE_SAS", 1)
    net.give(first_message(), to_b())
    assert net.b.core.counters["too-many-ike-sas"] == 1


def test_a_first_message_costs_the_same_however_many_rules_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(
        peer_a(mirrored(child_of_a(f"c{number}")), name=f"p{number}", remotes=(ip_address("10.9.0.0") + number,))
        for number in range(500)
    )
    net = Desks((B, IkeConfig((*others, peer_a()))))
    looked: list[str] = []
    before = net.a.desk._book.menu.to_answer
    monkeypatch.setattr(net.a.desk._book.menu, "to_answer", lambda peer: looked.append(peer.name) or before(peer))
    net.give(first_message(), to_b())
    assert looked == ["a"]
    assert len(net.a.sent) == 1


def test_a_wrong_key_counts_as_half_open_until_its_time_is_over() -> None:
    net = pair(peer_b(shared_keys=(replace(peer_b().shared_keys[0], key=Secret(b"another")),)))
    net.want(net.a).run(1.0)
    assert net.b.core.guard.half_open == 1
    net.run(120.0)
    assert net.b.core.guard.half_open == 0


def test_of_a_thousand_keys_those_that_can_not_be_tried_are_not_compared_for_whoever_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = mirrored(child_of_a())
    rules = [
        peer_a(
            replace(child, id=f"net {number}"),
            name=f"a {number}",
            remotes=(),
            shared_keys=(replace(KEY, key=Secret(b"%032d" % number)),),
        )
        for number in range(1_000)
    ]
    net = Desks((A, IkeConfig((peer_b(),))), (B, IkeConfig(tuple(rules))))
    compared = []
    same = Secret.__eq__
    monkeypatch.setattr(Secret, "__eq__", lambda one, two: compared.append(1) or same(one, two))
    net.want(net.a).run(1.0)
    first = len(compared)
    assert net.b.core.counters["wrong-key"] == 1
    assert first < limits.MAX_CANDIDATES**2
    net.do(net.a, lambda desk: desk.put_down_peer("b", "again")).want(net.a).run(1.0)
    assert net.b.core.counters["wrong-key"] == 2
    assert len(compared) == first


def test_for_a_stranger_not_all_filters_of_a_rule_between_hosts_are_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (child,) = lan.rule_at(lan.B).children
    children = tuple(replace(child, id=f"7 {port}", name=f"lan/{port}") for port in range(300))
    rule = lan.rule_at(lan.B, proposals=(IKE_CBC,), versions=V1, children=children)
    net = Desks((A, IkeConfig((peer_b(),))), (B, IkeConfig(hosts=(rule,))))
    looked = []
    cut = hosts._cut
    monkeypatch.setattr(hosts, "_cut", lambda *side: looked.append(1) or cut(*side))
    here = Endpoint(ip_address(lan.B), 500)
    net.b.address = here.address
    for number in range(3):
        net.give(first_message(number), Path(here, Endpoint(ip_address("192.0.2.20") + number, 500)))
    assert len(net.b.sent) == 3
    assert len(looked) == 6  # both sides of one filter, for each


@pytest.mark.parametrize("exposed", [False, True], ids=["main mode", "aggressive mode"])
def test_what_was_answered_is_said_again_to_nobody_else(exposed: bool) -> None:
    special = EXPOSED if exposed else None
    net = pair(peer_b(special=special), peer_a(special=special, remotes=()))
    net.alter = lambda end, data: None if end is net.a and data[19] & 1 else data  # nothing that is encrypted arrives
    net.want(net.a).run(1.0)
    said, before = net.a.sent, len(net.b.sent)
    # what is behind phase 1, too, has the answer of aggressive mode said again to who goes on without having proved it
    behind = ikev1.encode_sealed(ikev1.Header(said[-1][:8], said[-1][8:16], Exchange.QUICK, message_id=7), 8, bytes(32))
    again = behind if exposed else said[1]
    net.give(again, to_b("203.0.113.9"))
    assert len(net.b.sent) == before
    net.give(again, to_b())
    assert len(net.b.sent) == before + 1
