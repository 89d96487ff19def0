"""What a rule for one type of connection is where no interface is seen: for those addresses that routes lead to so."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.policy.reach import Reach, Types, out_of_reach, parts, reached
from ipsecd.wire.selector import Selector
from tests.unit.policy.texts import HOSTS, TUNNEL, planned, with_rules

LAN, REMOTE = frozenset({"lan"}), frozenset({"remote-access"})
NEAR, FAR, ALL = map(Selector.net, ("10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"))
PROTECT = Entry("a/1", "a", Action.PROTECT, ((NEAR, FAR),), child="a", connections="lan")


def reach(*told: tuple[str, Types]) -> Reach:
    """Where these networks lead, in order; what lies between them isn't reached."""
    return Reach.of(((ip_network(text)[0], ip_network(text)[-1]), types) for text, types in told)


HALF = reach(("10.2.0.0/17", LAN), ("10.2.128.0/17", REMOTE))


def entries(*given: Entry, where: Reach = HALF) -> list[tuple[str, str, list[str]]]:
    return [
        (entry.name, entry.action.value, [str(remote) for _, remote in entry.pairs])
        for entry in reached(Plan("p", entries=given), where).entries
    ]


def test_addresses_are_cut_where_networks_begin_and_end_and_where_those_do_that_are_of_nobody() -> None:
    found = list(parts(map(ip_network, ("10.0.0.0/8", "10.1.0.0/16", "fd01::/16"))))
    assert [str(first) for first, _ in found if first.version == 4] == [
        "0.0.0.0", "0.0.0.1", "1.0.0.0", "10.0.0.0", "10.1.0.0", "10.2.0.0", "11.0.0.0", "127.0.0.0", "128.0.0.0",
        "224.0.0.0", "240.0.0.0", "255.255.255.255",
    ]  # fmt: skip
    assert [str(first) for first, _ in found if first.version == 6] == [
        "::", "::1", "::2", "fd01::", "fd02::", "ff00::",
    ]  # fmt: skip
    assert found[11] == (IPv4Address("255.255.255.255"),) * 2


def test_parts_that_follow_each_other_and_are_reached_alike_are_one() -> None:
    one = reach(("10.0.0.0/9", LAN), ("10.128.0.0/9", LAN), ("11.0.0.0/8", REMOTE), ("fd00::/8", REMOTE))
    assert one == reach(("10.0.0.0/8", LAN), ("11.0.0.0/8", REMOTE), ("fd00::/8", REMOTE))
    assert [str(each) for each in one.everything("remote-access")] == ["11.0.0.0/8", "fd00::/8"]


def test_an_entry_for_one_type_is_for_what_is_reached_so_and_others_stay_as_they_are() -> None:
    block = replace(PROTECT, name="b/1", action=Action.BLOCK, connections="remote-access", child="")
    every = replace(PROTECT, name="c/1", connections="")
    assert entries(PROTECT, block, every) == [
        ("a/1", "protect", ["10.2.0.0/17"]),
        ("b/1", "block", ["10.2.128.0/17"]),
        ("c/1", "protect", ["10.2.0.0/16"]),
    ]
    assert entries(PROTECT, every, where=Reach()) == [("c/1", "protect", ["10.2.0.0/16"])]


def test_protocol_and_ports_and_the_near_side_stay() -> None:
    far = Selector.net("10.2.0.0/16", 6, (443, 443))
    [entry] = reached(Plan("p", entries=(replace(PROTECT, pairs=((NEAR, far),)),)), HALF).entries
    assert entry.pairs == ((NEAR, Selector.net("10.2.0.0/17", 6, (443, 443))),)


def test_where_either_type_may_be_meant_a_rule_for_one_discards() -> None:
    """And where its own type is no part of it, it isn't for that."""
    both = reach(("10.2.0.0/17", LAN | REMOTE), ("10.2.128.0/17", REMOTE | {""}))
    every = replace(PROTECT, name="c/1", connections="")
    assert entries(PROTECT, every, where=both) == [
        ("a/1", "block", ["10.2.0.0/17"]),
        ("c/1", "protect", ["10.2.0.0/16"]),
    ]
    remote = replace(PROTECT, connections="remote-access")
    assert entries(remote, where=both) == [("a/1", "block", ["10.2.0.0/17", "10.2.128.0/17"])]
    assert all(entry.child == "" for entry in reached(Plan("p", entries=(remote,)), both).entries)


def test_a_plan_that_asks_for_no_type_is_what_it_is() -> None:
    plan = planned(with_rules("- name: r\n  filters: [{source: me, destination: 10.2.0.0/16}]\n" + HOSTS))
    assert reached(plan, HALF) is plan


def test_a_rule_for_each_pair_of_hosts_is_for_hosts_that_are_reached_so() -> None:
    rule = "- name: r\n  filters: [{source: me, destination: 10.2.0.0/16}]\n  connections: lan\n" + HOSTS
    plan = planned(with_rules(rule))
    [peer] = reached(plan, HALF).peers
    assert [str(each) for child in peer.children for each in child.remote] == ["10.2.0.0/17"]
    assert out_of_reach(reached(plan, HALF)) == {}
    elsewhere = reached(plan, reach(("10.2.0.0/16", REMOTE)))
    assert out_of_reach(elsewhere) == {"r": "nobody it is for is reached by lan connections"}


def test_who_calls_from_anywhere_may_do_so_from_where_that_type_leads() -> None:
    anywhere = TUNNEL.replace("remote: 192.0.2.2", "remote: any") + "  identity: {remote: gw.example}\n"
    rule = "- name: r\n  filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]\n" + anywhere
    plan = planned(with_rules(rule + "  connections: remote-access\n"))
    [peer] = reached(plan, HALF).peers
    assert peer.within == (Selector.net("10.2.128.0/17"),)
    [child] = peer.children
    assert child.remote == (FAR,)
    nowhere = reached(plan, reach(("10.0.0.0/8", LAN)))
    assert out_of_reach(nowhere) == {"r": "nobody it is for is reached by remote-access connections"}
    assert planned(with_rules(rule)).peers[0].within is None


def test_a_peer_with_an_address_is_left_to_whoever_looks_for_it() -> None:
    rule = "- name: r\n  filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]\n  connections: lan\n" + TUNNEL
    plan = planned(with_rules(rule))
    assert reached(plan, HALF).peers == plan.peers
    assert plan.peers[0].remotes == (ip_address("192.0.2.2"),)
