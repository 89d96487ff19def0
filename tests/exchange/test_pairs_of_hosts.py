"""Hosts with a rule that has a child for each pair of hosts: each pair has its own, and nobody gets another's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Child, Hosts, IkeConfig, Lifetime, Path, Peer, SharedKey
from ipsecd.ike.effects import Effect, GiveUp, Heard, Silent
from ipsecd.ike.sa import IkeSa
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Exchange, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_CLASSIC, FOREVER, IKE_CLASSIC, IKE_X25519, peer_b
from tests.exchange.interference import Refusing
from tests.exchange.lan import IP_A, IP_B, IP_C, NOBODY, A, B, C, Lan, child_at, known_by, pattern, rule_at
from tests.exchange.network import Datagram, Node, endpoint
from tests.exchange.transcript import Tap

OTHER_KEY = SharedKey("site", Secret(b"another key of forty octets or nearly so!"))
OTHER_A = "192.0.2.10"
TO_B, TO_C, TO_NOBODY = known_by(A, B), known_by(A, C), known_by(A, NOBODY)
PUT_DOWN = "it was put down by command"
TCP, UDP = 6, 17


def selectors(node: Node) -> dict[str, tuple[list[str], list[str]]]:
    """Of its SAs, by child."""
    return {sa.child: ([*map(str, sa.local)], [*map(str, sa.remote)]) for sa in node.inbound.values()}


def spis(node: Node) -> dict[str, bytes]:
    return {sa.child: sa.spi for sa in node.inbound.values()}


def wants(node: Node) -> list[str]:
    return sorted(node.ike._core.wanted._wants)


def calling(node: Node) -> int:
    return sum(sa.stage == "connecting" for sa in node.ike.status())


def up_with_both() -> Lan:
    lan = Lan()
    assert lan.up(lan.a, lan.b)
    assert lan.up(lan.a, lan.c)
    return lan


def farm() -> Lan:
    """Hosts b and c have one identity, so addresses alone tell them apart."""
    name = Identity.parse("farm.example")
    return Lan(a=rule_at(A, remote_id=name), b=rule_at(B, local_id=name), c=rule_at(C, local_id=name))


def tcp_at(address: str) -> Child:
    """Another child of the same rule, for TCP."""
    here, there = Selector.net(address, TCP), Selector.net("192.0.2.0/24", TCP)
    return replace(child_at(), id="8", name="lan/2", local=(here,), remote=(there,))


# --- coming up -------------------------------------------------------------------------------------------------------


def test_each_host_that_is_talked_to_has_sas_of_its_own() -> None:
    lan = up_with_both()
    assert lan.up(lan.b, lan.c)
    assert selectors(lan.a) == {TO_B: ([A], [B]), TO_C: ([A], [C])}
    assert sorted(sa.peer for sa in lan.a.ike.status()) == ["lan@192.0.2.2", "lan@192.0.2.3"]
    made = lan.a.events("child-established")
    assert [(each.fields["child"], each.fields["rule"]) for each in made] == [
        ("lan/1@192.0.2.2", "lan"),
        ("lan/1@192.0.2.3", "lan"),
    ]


def test_a_packet_to_a_host_that_has_an_sa_asks_for_nothing() -> None:
    lan = up_with_both()
    sent = len(lan.net.sent)
    lan.packet(lan.a, B)
    lan.packet(lan.b, A)
    assert len(lan.net.sent) == sent


def test_two_hosts_that_call_each_other_at_once_have_one_ike_sa_in_the_end() -> None:
    lan = Lan()
    lan.packet(lan.a, B)
    lan.packet(lan.b, A)
    lan.net.run(60)
    assert lan.have(lan.a, lan.b)
    assert len(lan.a.established) == 1
    assert lan.a.established == lan.b.established
    assert (lan.a.gave_up, lan.b.gave_up) == ([], [])


def test_all_that_a_rule_has_for_two_hosts_shares_an_ike_sa() -> None:
    lan = Lan(a=pattern(child_at(A), tcp_at(A)), b=pattern(child_at(B), tcp_at(B)))
    assert lan.up(lan.a, lan.b)
    lan.packet(lan.a, B, TCP, child="8")
    assert lan.net.run(30, until=lambda: len(lan.a.inbound) == 2)
    assert len(lan.a.established) == 1
    assert selectors(lan.a)[known_by(A, B, "8")] == (["192.0.2.1[tcp]"], ["192.0.2.2[tcp]"])


def test_what_several_rules_have_for_two_hosts_shares_it_too_whoever_has_called() -> None:
    udp = replace(child_at(), local=(Selector.net(A, UDP),), remote=(Selector.net("192.0.2.0/24", UDP),))
    web = pattern(tcp_at(A), name="web", proposals=(IKE_CLASSIC, IKE_X25519))
    lan = Lan(a=IkeConfig(hosts=(pattern(udp), web)), b=pattern(child_at(B, id="9"), tcp_at(B)))
    lan.packet(lan.a, B, UDP)
    assert lan.net.run(30, until=lambda: len(lan.a.inbound) == 1)
    lan.packet(lan.b, A, TCP, child="8")
    assert lan.net.run(30, until=lambda: len(lan.b.inbound) == 2)
    assert len(lan.a.established) == 1
    lan.reload(lan.a, pattern(udp), replace(web, name="net", dpd=9.0))
    assert sorted(selectors(lan.a)) == [TO_B, known_by(A, B, "8")]
    lan.reload(lan.a, pattern(udp))
    lan.reload(lan.a, pattern(udp), web)
    (sa,) = lan.a.ike._core.ikes.values()
    assert [peer.name for peer in sa.peers] == ["lan@192.0.2.2", "web@192.0.2.2"]


def test_hosts_of_one_identity_are_known_by_their_addresses() -> None:
    """Each of b and c says that it knows no other IKE SA; that is no word about the other's."""
    lan = farm()
    assert lan.up(lan.b, lan.a)
    assert lan.up(lan.c, lan.a)
    lan.net.run(60)
    assert sorted(selectors(lan.a)) == [TO_B, TO_C]


def test_whoever_knows_another_ike_sa_of_an_identity_does_not_say_that_it_knows_none() -> None:
    """The other end may go by identities alone."""
    ours, farm = Identity.parse("a.example"), Identity.parse("farm.example")
    others = {"local_id": farm, "remote_id": ours}
    lan = Lan(a=rule_at(A, local_id=ours, remote_id=farm), b=rule_at(B, **others), c=rule_at(C, **others))
    tap = Tap(lan.net)
    assert lan.up(lan.a, lan.b)
    assert lan.up(lan.a, lan.c)
    said = [line for line in tap.lines() if line.startswith("a -> IKE_AUTH")]
    assert ["INITIAL_CONTACT" in line for line in said] == [True, False]


# --- what can't be ---------------------------------------------------------------------------------------------------


def test_a_host_with_another_key_is_refused_and_the_others_are_not() -> None:
    lan = Lan(c=rule_at(C, shared_keys=(OTHER_KEY,)))
    assert lan.up(lan.a, lan.b)
    assert not lan.up(lan.a, lan.c)
    assert selectors(lan.a).keys() == {TO_B}
    (given,) = lan.a.gave_up
    assert (given.child, given.reason) == (
        TO_C,
        "the peer refuses our identity or our credential (AUTHENTICATION_FAILED)",
    )
    (failed,) = lan.a.events("auth-failed")
    assert (failed.fields["rule"], failed.fields["peer"]) == ("lan", "lan@192.0.2.3")


def test_a_host_that_is_somebody_else_is_refused() -> None:
    lan = Lan(b=rule_at(B, local_id=Identity.parse("b.example")))
    assert not lan.up(lan.a, lan.b)
    assert not lan.up(lan.b, lan.a)
    asked = "the peer asks for 192.0.2.2; towards 192.0.2.1 we are b.example"
    assert lan.b.events("auth-failed")[0].fields["reason"] == asked
    unknown = "no rule for this address names the remote identity b.example"
    assert lan.a.events("auth-failed")[-1].fields["reason"] == unknown
    assert lan.a.inbound == {}


def test_a_host_that_says_it_is_another_is_refused() -> None:
    lan = Lan(b=rule_at(B, local_id=Identity.parse(C)))
    assert not lan.up(lan.b, lan.a)
    assert lan.a.inbound == {}
    assert not lan.a.established


@pytest.mark.parametrize(
    "asked",
    [Selector.net(C), Selector.net("192.0.2.0/24"), Selector.net("198.51.100.0/24"), Selector.net("0.0.0.0/0")],
    ids=str,
)
def test_no_host_gets_selectors_for_another_host(asked: Selector) -> None:
    """b is a gateway that asks for what isn't its own."""
    child = replace(child_at(), id="net", local=(asked,), remote=(Selector.net(A),))
    greedy = _gateway(child)
    lan = Lan(b=IkeConfig((greedy,)))
    lan.net.carry_out(lan.b, lan.b.ike.up("net", lan.net.now))
    lan.net.run(30)
    if asked.contains(Selector.net(B)):
        assert selectors(lan.a) == {TO_B: ([A], [B])}
    else:
        assert lan.a.inbound == {}
        assert (
            lan.a.events("child-failed")[0].fields["reason"].startswith(f"the peer asks for {A} here and {asked} there")
        )


@pytest.mark.parametrize("asked", ["192.0.2.10", "198.51.100.0/24"])
def test_no_host_gets_selectors_for_an_address_that_it_has_not_called(asked: str) -> None:
    lan = Lan(a=rule_at(A, OTHER_A), b=IkeConfig((_gateway(replace(child_at(B, remote=asked), id="net")),)))
    lan.net.carry_out(lan.b, lan.b.ike.up("net", lan.net.now))
    lan.net.run(30)
    assert lan.a.inbound == {}


def test_a_proof_that_seems_to_come_from_another_host_opens_nothing_of_that_host() -> None:
    lan = farm()

    def disguise(datagram: Datagram) -> Datagram:
        auth = datagram.source.address == IP_B and datagram.data[18] == Exchange.IKE_AUTH
        return replace(datagram, source=endpoint(C, 4500)) if auth else datagram

    lan.net.hook = disguise
    assert not lan.up(lan.b, lan.a)
    assert lan.a.inbound == {}
    assert not lan.a.established


def test_whoever_seems_to_be_at_another_address_gets_nothing_of_that_host_by_a_reload() -> None:
    lan = farm()
    assert lan.up(lan.b, lan.a)
    elsewhere = Path(endpoint(A, 4500), endpoint(C, 4500), natt=True)
    lan.net.carry_out(lan.a, lan.a.ike.peer_moved(next(iter(lan.a.inbound)), elsewhere, lan.net.now))
    (sa,) = lan.a.ike._core.ikes.values()
    assert sa.path == elsewhere
    before = spis(lan.a)
    lan.reload(lan.a, rule_at(A, dpd=9.0, remote_id=Identity.parse("farm.example")))
    assert [peer.remotes for peer in sa.peers] == [(IP_B,)]
    assert spis(lan.a) == before


def test_another_host_that_answers_a_call_opens_nothing_of_its_own() -> None:
    lan = farm()

    def divert(datagram: Datagram) -> Datagram:
        """What a says to b goes to c."""
        there = endpoint(C, datagram.destination.port)
        return replace(datagram, destination=there) if datagram.destination.address == IP_B else datagram

    lan.net.hook = divert
    assert not lan.up(lan.a, lan.b)
    assert [[peer.remotes for peer in sa.peers] for sa in lan.a.ike._core.ikes.values() if sa.settled] in (
        [],
        [[(IP_B,)]],
    )
    assert all(str(sa.remote[0]) == B for sa in lan.a.inbound.values())


def _gateway(*children: Child) -> Peer:
    """Host a, as a policy of host b with a tunnel has it."""
    ours, theirs = Identity.parse(B), Identity.parse(A)
    return peer_b(*children, name="a", local=IP_B, remotes=(IP_A,), local_id=ours, remote_id=theirs)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (known_by("198.51.100.1", B), "198.51.100.1 is no address of ours in the rule"),
        (known_by(A, "198.51.100.1"), "the rule isn't for 198.51.100.1"),
        (known_by(A, "224.0.0.1"), "224.0.0.1 is the address of many hosts at once"),
        (known_by(A, A), "192.0.2.1 is an address of this machine"),
        (known_by(A, B, "9"), "no such child is configured"),
        ("9", "no such child is configured"),
    ],
)
def test_packets_between_two_hosts_that_can_not_negotiate_are_told_why(key: str, reason: str) -> None:
    lan = Lan()
    lan.net.carry_out(lan.a, lan.a.ike.acquire(key, None, lan.net.now))
    assert lan.a.gave_up == [GiveUp(key, reason)]
    assert lan.net.sent == []
    assert wants(lan.a) == []


# --- who has to call -------------------------------------------------------------------------------------------------


def test_a_host_that_only_responds_never_calls_and_answers_who_does() -> None:
    lan = Lan(a=rule_at(A, responds=True))
    lan.packet(lan.a, B)
    lan.net.carry_out(lan.a, lan.a.ike.up(TO_B, lan.net.now))
    assert lan.net.sent == []
    assert lan.a.gave_up == [GiveUp(TO_B, "it is the peer that has to ask for it")] * 2
    assert len(lan.a.events("child-failed")) == 1
    assert lan.up(lan.b, lan.a)
    lan.net.carry_out(lan.a, lan.a.ike.rekey("7", lan.net.now))
    lan.net.run(10)
    assert lan.have(lan.a, lan.b)
    assert len(lan.a.events("child-rekeyed")) == 1


def test_a_host_that_only_responds_does_not_call_when_the_peer_rekeys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = Lan(a=pattern(child_at(A, lifetime=Lifetime(600)), responds=True))
    assert lan.up(lan.b, lan.a)
    Refusing(monkeypatch, lan.b, NotifyType.NO_ADDITIONAL_SAS)
    lan.net.run(700)
    assert lan.a.events("ike-calling") == []
    assert lan.a.inbound == {}


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_host_of_which_nothing_is_left_is_forgotten() -> None:
    lan = up_with_both()
    lan.packet(lan.a, NOBODY)
    assert wants(lan.a) == [TO_B, TO_C, TO_NOBODY]
    lan.net.run(100)
    assert [each.child for each in lan.a.gave_up] == [TO_NOBODY]
    assert wants(lan.a) == [TO_B, TO_C]
    lan.net.carry_out(lan.b, lan.b.ike.down_peer("lan@192.0.2.1", lan.net.now))
    lan.net.run(10)
    assert wants(lan.a) == [TO_C]
    assert wants(lan.c) == [known_by(C, A)]


def test_a_host_that_is_asked_again_while_its_sa_ends_is_not_forgotten() -> None:
    lan = up_with_both()
    for node, address in ((lan.a, A), (lan.b, B)):
        lan.reload(node, pattern(child_at(address, proposals=(ESP_CLASSIC,))))
    lan.packet(lan.a, B)
    lan.net.run(10)
    assert lan.have(lan.a, lan.b)
    assert wants(lan.a) == [TO_B]


def test_so_many_hosts_are_called_at_a_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HOSTS_CALLED", 6)
    monkeypatch.setattr(limits, "MAX_NEW_HOSTS_CALLED", 4)
    lan = Lan()
    for last in range(100, 120):
        lan.packet(lan.a, f"192.0.2.{last}")
    assert calling(lan.a) == 4
    why = "4 hosts are being called already, and the rest of 6 is for those that have answered before"
    assert {each.reason for each in lan.a.gave_up} == {why}
    assert len(lan.a.gave_up) == 16
    (told,) = lan.a.events("child-failed")
    assert (told.fields["rule"], told.fields["point"]) == ("lan", "me")
    assert len(wants(lan.a)) == 4
    lan.net.run(2)
    lan.packet(lan.a, NOBODY)
    assert len(lan.a.gave_up) == 17
    lan.net.run(100)
    assert calling(lan.a) == 0
    assert wants(lan.a) == []
    assert lan.up(lan.a, lan.b)
    assert len(lan.a.events("child-failed")) == 1


def test_as_soon_as_one_call_less_is_under_way_the_next_host_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NEW_HOSTS_CALLED", 1)
    lan = Lan()
    lan.packet(lan.a, NOBODY)
    lan.packet(lan.a, B)
    assert calling(lan.a) == 1
    lan.net.carry_out(lan.a, lan.a.ike.down_peer("lan@192.0.2.77", lan.net.now))
    lan.packet(lan.a, B)
    assert calling(lan.a) == 1


def test_a_packet_that_asks_for_an_sa_asks_none_of_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = up_with_both()
    for last in range(100, 200):
        lan.packet(lan.a, f"192.0.2.{last}")
    assert calling(lan.a) == 100
    asked = set()

    def ask(sa: IkeSa, name: str) -> object:
        asked.add(sa)
        return object.__getattribute__(sa, name)

    monkeypatch.setattr(IkeSa, "__getattribute__", ask)
    for host in (B, C, NOBODY, "192.0.2.150", "192.0.2.150"):
        lan.packet(lan.a, host)
    monkeypatch.undo()
    assert calling(lan.a) == 101
    assert {sa.name for sa in asked} == {f"lan@{host}" for host in (B, C, NOBODY, "192.0.2.150")}
    assert len(asked) == 4


def test_that_too_many_hosts_are_called_is_told_again_when_it_happens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NEW_HOSTS_CALLED", 2)
    lan = Lan()
    for _ in range(2):
        for last in range(100, 110):
            lan.packet(lan.a, f"192.0.2.{last}")
        lan.net.run(100)
    assert len(lan.a.events("child-failed")) == 2


def test_who_tries_thousands_of_hosts_keeps_none_away_that_has_answered_before_or_calls() -> None:
    lan = Lan(a=pattern(child_at(A, remote="0.0.0.0/0")))
    for number in range(1_024):
        lan.packet(lan.a, f"10.0.{number >> 8}.{number & 255}")
    assert calling(lan.a) == 768
    lan.packet(lan.a, B)
    assert lan.a.gave_up[-1].child == TO_B
    lan.packet(lan.a, B, known=True)
    assert lan.net.run(30, until=lambda: lan.have(lan.a, lan.b))
    assert lan.up(lan.c, lan.a)
    assert calling(lan.a) == 768


def test_of_hosts_that_have_answered_before_no_more_are_called_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HOSTS_CALLED", 3)
    monkeypatch.setattr(limits, "MAX_NEW_HOSTS_CALLED", 2)
    lan = Lan()
    for last in range(100, 105):
        lan.packet(lan.a, f"192.0.2.{last}", known=True)
    assert calling(lan.a) == 3
    assert {each.reason for each in lan.a.gave_up} == {"3 hosts are being called already"}


def test_hosts_that_call_us_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NEW_HOSTS_CALLED", 0)
    lan = Lan()
    lan.packet(lan.a, B)
    assert calling(lan.a) == 0
    monkeypatch.undo()
    assert lan.up(lan.b, lan.a)


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_rule_is_put_down_with_all_its_hosts_and_brought_up_with_those() -> None:
    lan = up_with_both()
    lan.net.carry_out(lan.a, lan.a.ike.down("7", lan.net.now))
    lan.net.run(1)
    assert lan.a.inbound == {}
    assert len(lan.a.established) == 2
    assert [lan.a.ike.held(key) for key in ("7", TO_B, TO_C, TO_NOBODY)] == [True] * 4
    for host in (B, NOBODY):
        lan.packet(lan.a, host)
    assert lan.a.gave_up == [GiveUp(TO_B, PUT_DOWN), GiveUp(TO_NOBODY, PUT_DOWN)]
    assert wants(lan.a) == [TO_B, TO_C]
    lan.net.carry_out(lan.a, lan.a.ike.up("7", lan.net.now))
    lan.net.run(1)
    assert sorted(selectors(lan.a)) == [TO_B, TO_C]
    assert not lan.a.ike.held("7")


def test_one_host_is_put_down_and_stays_down_alone() -> None:
    lan = up_with_both()
    lan.net.carry_out(lan.a, lan.a.ike.down(TO_B, lan.net.now))
    lan.net.run(1)
    assert selectors(lan.a).keys() == {TO_C}
    lan.packet(lan.a, B)
    assert lan.a.gave_up == [GiveUp(TO_B, PUT_DOWN)]
    lan.net.carry_out(lan.a, lan.a.ike.up(TO_B, lan.net.now))
    lan.net.run(1)
    assert sorted(selectors(lan.a)) == [TO_B, TO_C]


def test_a_host_that_was_put_down_before_it_was_ever_called_stays_down() -> None:
    lan = Lan()
    lan.net.carry_out(lan.a, lan.a.ike.down(TO_B, lan.net.now))
    for _ in range(2):
        lan.packet(lan.a, B)
        lan.reload(lan.a, rule_at(A, OTHER_A))
    assert lan.a.gave_up == [GiveUp(TO_B, PUT_DOWN)] * 2
    assert lan.up(lan.a, lan.c)


def test_a_rule_that_is_down_is_up_again_for_the_host_that_calls() -> None:
    lan = Lan()
    lan.net.carry_out(lan.a, lan.a.ike.down("7", lan.net.now))
    assert lan.up(lan.b, lan.a)
    assert not lan.a.ike.held(TO_B)
    assert lan.a.ike.held("7")
    lan.net.carry_out(lan.a, lan.a.ike.rekey(TO_B, lan.net.now))
    lan.net.run(10)
    assert lan.have(lan.a, lan.b)


def test_one_host_of_a_rule_that_is_down_stays_brought_up_whatever_becomes_of_its_calls() -> None:
    lan = Lan()
    lan.net.carry_out(lan.a, lan.a.ike.down("7", lan.net.now))
    lan.net.carry_out(lan.a, lan.a.ike.up(TO_NOBODY, lan.net.now))
    lan.net.run(1_000)
    assert calling(lan.a) == 0
    lan.packet(lan.a, NOBODY)
    assert calling(lan.a) == 1
    assert PUT_DOWN not in [told.reason for told in lan.a.gave_up]
    lan.packet(lan.a, B)
    assert lan.a.gave_up[-1] == GiveUp(TO_B, PUT_DOWN)
    lan.net.carry_out(lan.a, lan.a.ike.down("7", lan.net.now))
    lan.net.run(1_000)
    assert lan.a.ike.held(TO_NOBODY)


@pytest.mark.parametrize(("name", "left"), [("lan", []), ("lan@192.0.2.2", [TO_C])])
def test_a_peer_is_put_down_with_its_ike_sa_and_so_are_all_of_a_rule(name: str, left: list[str]) -> None:
    lan = up_with_both()
    lan.net.carry_out(lan.a, lan.a.ike.down_peer(name, lan.net.now))
    lan.net.run(1)
    assert sorted(selectors(lan.a)) == left
    assert len(lan.a.established) == len(left)
    assert lan.a.ike.held(TO_B)
    assert lan.a.ike.held(TO_C) == (name == "lan")


@pytest.mark.parametrize(("key", "replaced"), [("7", {TO_B, TO_C}), (TO_B, {TO_B})])
def test_one_host_or_all_of_a_rule_get_new_keys(key: str, replaced: set[str]) -> None:
    lan = up_with_both()
    before = spis(lan.a)
    lan.net.carry_out(lan.a, lan.a.ike.rekey(key, lan.net.now))
    lan.net.run(10)
    after = spis(lan.a)
    assert {child for child in before if after[child] != before[child]} == replaced
    assert wants(lan.a) == [TO_B, TO_C]
    assert lan.have(lan.a, lan.b)
    assert lan.have(lan.a, lan.c)


@pytest.mark.parametrize(("name", "times"), [("lan", 2), ("lan@192.0.2.2", 1)])
def test_ike_sas_of_one_host_or_of_all_of_a_rule_are_rekeyed(name: str, times: int) -> None:
    lan = up_with_both()
    lan.net.carry_out(lan.a, lan.a.ike.rekey_peer(name, lan.net.now))
    lan.net.run(10)
    assert len(lan.a.events("ike-rekeyed")) == times


def test_what_a_child_is_called_is_known_of_rules_and_of_hosts() -> None:
    lan = up_with_both()
    assert [lan.a.ike.called(key) for key in ("7", TO_B, TO_NOBODY)] == ["lan/1", "lan/1@192.0.2.2", ""]


# --- reload ----------------------------------------------------------------------------------------------------------

STAYS = {
    "nothing changes": rule_at(A),
    "the rule is renamed": pattern(child_at(A, name="net/1", rule="net"), name="net"),
    "another address of ours": rule_at(A, OTHER_A),
    "more hosts": pattern(child_at(A, remote="192.0.0.0/16")),
    "fewer hosts": pattern(child_at(A, remote="192.0.2.0/30")),
    "one more child": pattern(child_at(A), tcp_at(A)),
    "liveness": rule_at(A, dpd=5.0),
    "it only responds": rule_at(A, responds=True),
}


@pytest.mark.parametrize("new", STAYS.values(), ids=STAYS)
def test_what_the_new_rule_still_allows_stays_up(new: Hosts) -> None:
    lan = up_with_both()
    before, ikes = spis(lan.a), lan.a.established
    lan.reload(lan.a, new)
    lan.net.run(10)
    assert (spis(lan.a), lan.a.established) == (before, ikes)
    assert wants(lan.a) == [TO_B, TO_C]
    assert lan.a.events("ike-closed") == []


ENDS = {
    "our address is gone": (rule_at(OTHER_A), []),
    "the host is gone": (pattern(child_at(A, remote=C)), [TO_C]),
    "the rule is gone": (None, []),
    "another key": (rule_at(A, shared_keys=(OTHER_KEY,)), []),
    "another identity": (rule_at(A, local_id=Identity.parse("a.example")), []),
    "other algorithms": (pattern(child_at(A, proposals=(ESP_CLASSIC,))), []),
    "other traffic": (pattern(replace(tcp_at(A), id="7")), []),
}


@pytest.mark.parametrize(("new", "left"), ENDS.values(), ids=ENDS)
def test_what_the_new_rule_does_not_allow_ends(new: Hosts | None, left: list[str]) -> None:
    lan = up_with_both()
    lan.reload(lan.a, *([new] if new else []))
    lan.net.run(10)
    assert sorted(selectors(lan.a)) == left
    assert wants(lan.a) == left


def test_a_call_whose_address_is_gone_is_given_up() -> None:
    lan = Lan()
    lan.packet(lan.a, NOBODY)
    lan.net.run(1)
    lan.reload(lan.a, rule_at(OTHER_A))
    assert [each.child for each in lan.a.gave_up] == [TO_NOBODY]
    assert calling(lan.a) == 0
    assert wants(lan.a) == []


def test_a_rule_that_is_down_is_down_whatever_it_is_now() -> None:
    lan = up_with_both()
    lan.net.carry_out(lan.a, lan.a.ike.down("7", lan.net.now))
    lan.net.run(1)
    lan.reload(lan.a, rule_at(A, OTHER_A))
    lan.packet(lan.a, NOBODY)
    lan.reload(lan.a, pattern(child_at(A, id="9")))
    assert lan.a.ike.held("9")
    lan.reload(lan.a, pattern(child_at(A, id="9", name="another/1")))
    assert lan.a.ike.held("9")
    lan.reload(lan.a, pattern(child_at(A, id="11", name="third/1")))
    assert not lan.a.ike.held("11")


def test_a_peer_that_is_named_from_now_on_keeps_its_ike_sa_and_the_reverse() -> None:
    lan = up_with_both()
    ikes = lan.a.established
    ours, theirs = Identity.parse(A), Identity.parse(B)
    child = replace(child_at(A, remote=B), id="b", start=True)
    named = peer_b(child, local=IP_A, remotes=(IP_B,), local_id=ours, remote_id=theirs, lifetime=FOREVER)
    lan.reload(lan.a, peers=(named,))
    lan.net.run(10)
    assert selectors(lan.a) == {"b": ([A], [B])}
    assert len(lan.a.established) == 1
    lan.reload(lan.a, rule_at(A))
    lan.net.run(10)
    assert lan.a.inbound == {}
    lan.packet(lan.a, B)
    lan.net.run(10)
    assert lan.have(lan.a, lan.b)
    assert len(lan.a.established) == 1
    assert set(lan.a.established) < set(ikes)


def test_which_of_our_keys_a_host_takes_is_known_after_a_reload() -> None:
    old = replace(OTHER_KEY, name="old")
    keys = (old, *rule_at(A).shared_keys)
    lan = Lan(a=rule_at(A, shared_keys=keys))
    assert lan.up(lan.a, lan.b)
    assert len(lan.a.events("credential-refused")) == 1
    lan.reload(lan.a, rule_at(A, shared_keys=keys, dpd=9.0))
    lan.net.carry_out(lan.b, lan.b.ike.down_peer("lan", lan.net.now))
    lan.net.run(10)
    assert wants(lan.a) == []
    assert lan.up(lan.a, lan.b)
    assert len(lan.a.events("credential-refused")) == 1


def test_a_reload_while_hosts_call_each_other_loses_nothing() -> None:
    lan = Lan()
    lan.packet(lan.a, B)
    lan.net.run(0.015)
    lan.reload(lan.a, rule_at(A, OTHER_A))
    lan.reload(lan.b, pattern(child_at(B, remote="192.0.0.0/16")))
    assert lan.net.run(30, until=lambda: lan.have(lan.a, lan.b))
    assert lan.a.gave_up == []
    assert [sa.peer for sa in lan.a.ike.status()] == ["lan@192.0.2.2,192.0.2.1"]


# --- silence ---------------------------------------------------------------------------------------------------------

FALLS = child_at(A, fallback=3.0)


def told(node: Node) -> list[Effect]:
    return [effect for effect in node.effects if isinstance(effect, Silent | Heard)]


def test_a_host_that_does_not_answer_is_silent_and_the_others_are_heard() -> None:
    lan = Lan(a=pattern(FALLS))
    lan.packet(lan.a, NOBODY)
    assert lan.up(lan.a, lan.b)
    lan.net.run(20)
    nobody = ip_address(NOBODY)
    assert told(lan.a) == [Heard((IP_B,)), Silent(TO_NOBODY, nobody)]
    lan.net.run(100)
    assert lan.a.gave_up == [GiveUp(TO_NOBODY, "the peer doesn't answer")]
    lan.packet(lan.a, NOBODY)
    lan.net.run(4)
    assert told(lan.a)[2:] == [Silent(TO_NOBODY, nobody)]


def test_a_host_that_calls_us_is_heard_and_so_is_one_that_refuses_us() -> None:
    lan = Lan(a=pattern(FALLS), b=rule_at(B, shared_keys=(OTHER_KEY,)))
    assert lan.up(lan.c, lan.a)
    assert not lan.up(lan.a, lan.b)
    assert told(lan.a) == [Heard((IP_C,)), Heard((IP_B,))]


@pytest.mark.parametrize(
    "hosts",
    [rule_at(A), pattern(child_at(A), replace(FALLS, id="8", remote=(Selector.net("198.51.100.0/24"),)))],
    ids=["no child", "none that is for this host"],
)
def test_where_nothing_may_fall_back_who_answers_is_told_and_nobody_is_silent(hosts: Hosts) -> None:
    lan = Lan(a=hosts)
    lan.packet(lan.a, NOBODY)
    assert lan.up(lan.a, lan.b)
    lan.net.run(100)
    assert told(lan.a) == [Heard((IP_B,))]


def test_a_reload_is_told_of_the_hosts_there_are() -> None:
    lan = Lan(a=pattern(FALLS))
    assert lan.up(lan.a, lan.b)
    lan.reload(lan.a, pattern(replace(FALLS, fallback=5.0)))
    assert told(lan.a) == [Heard((IP_B,))] * 2


def test_no_more_hosts_are_told_of_than_whoever_is_told_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HEARD", 0)
    lan = Lan(a=pattern(FALLS))
    assert lan.up(lan.a, lan.b)
    assert lan.up(lan.a, lan.c)
    assert told(lan.a) == [Heard((IP_B,))]  # one too many: whoever remembers them knows that, too


def test_that_a_host_cannot_be_reached_is_told_of_that_host() -> None:
    lan = Lan()
    lan.packet(lan.a, NOBODY)
    lan.net.carry_out(lan.a, lan.a.ike.unreachable(endpoint(NOBODY), "refused", lan.net.now))
    (told,) = lan.a.events("ike-unreachable")
    assert (told.fields["peer"], told.fields["rule"]) == ("lan@192.0.2.77", "lan")


def test_the_hosts_of_a_pattern_have_so_many_ike_sas_together_and_the_oldest_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PATTERN", 1)
    lan = Lan()
    assert lan.up(lan.b, lan.a)
    lan.packet(lan.c, A)
    assert lan.net.run(30, until=lambda: lan.have(lan.c, lan.a) and not lan.b.inbound)
    assert sorted(selectors(lan.a)) == [TO_C]


def test_they_take_no_room_from_other_patterns_or_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS_PER_PATTERN", 1)
    for_c = replace(child_at(A, remote=f"{C}/32"), id="8", name="other/1", rule="other")
    other = pattern(for_c, name="other", shared_keys=(OTHER_KEY,))
    only_b = pattern(child_at(A, remote=f"{B}/32"))
    lan = Lan(a=IkeConfig(hosts=(only_b, other)), c=pattern(child_at(C), shared_keys=(OTHER_KEY,)))
    assert lan.up(lan.b, lan.a)
    lan.packet(lan.c, A)
    assert lan.net.run(30, until=lambda: len(lan.a.inbound) == 2)
    assert sorted(selectors(lan.a)) == [TO_B, known_by(A, C, "8")]


def test_that_a_host_cannot_be_reached_is_told_of_rules_that_call_it() -> None:
    own = IkeConfig(hosts=(rule_at(A), rule_at(A, name="default-response", responds=True)))
    lan = Lan(a=own)
    lan.net.carry_out(lan.a, lan.a.ike.unreachable(endpoint(NOBODY), "refused", lan.net.now))
    (told,) = lan.a.events("ike-unreachable")
    assert told.fields["peer"] == "lan@192.0.2.77"


def test_a_call_ends_when_the_new_policy_calls_no_such_host() -> None:
    lan = Lan()
    lan.packet(lan.a, NOBODY)
    assert len(lan.a.ike.status()) == 1
    lan.reload(lan.a, rule_at(A, name="default-response", responds=True))
    assert lan.a.ike.status() == []
    assert [told.fields["reason"] for told in lan.a.events("ike-called-off")] == ["the policy has changed"]
