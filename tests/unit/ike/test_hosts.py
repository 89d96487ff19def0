"""What a pattern makes of two hosts: nothing but the two, under a name of their own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike.config import AhProposal, Child, Endpoint, Hosts, IkeConfig, Path, Peer
from ipsecd.ike.hosts import caller, pair, pairs, pairs_with, why_none
from ipsecd.ike.pad import callers
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Integ
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import peer_b
from tests.exchange.lan import A, B, C, child_at, pattern, rule_at

TCP = 6
OTHER_A, SIX_A, SIX_B = "192.0.2.10", "2001:db8::1", "2001:db8::2"


def between(hosts: Hosts, local: str, remote: str) -> Peer | None:
    return pair(hosts, ip_address(local), ip_address(remote))


def made(hosts: Hosts, local: str = A, remote: str = B) -> Peer:
    peer = between(hosts, local, remote)
    assert peer is not None
    return peer


def sides(child: Child) -> tuple[list[str], list[str]]:
    return [str(each) for each in child.local], [str(each) for each in child.remote]


def test_it_is_a_peer_with_nothing_but_the_two_addresses() -> None:
    hosts = rule_at(A, dpd=7.0, keylog=True, fragmentation=False)
    assert made(hosts) == Peer(
        name="lan@192.0.2.2",
        local=ip_address(A),
        remotes=(ip_address(B),),
        local_id=Identity.parse(A),
        remote_id=Identity.parse(B),
        shared_keys=hosts.shared_keys,
        proposals=hosts.proposals,
        children=(
            replace(
                hosts.children[0],
                id="7@192.0.2.1@192.0.2.2",
                name="lan/1@192.0.2.2",
                local=(Selector.net(A),),
                remote=(Selector.net(B),),
            ),
        ),
        lifetime=hosts.lifetime,
        dpd=7.0,
        keylog=True,
        fragmentation=False,
        pattern="lan",
    )


def test_the_identities_of_the_rule_go_before_addresses() -> None:
    ours, theirs = Identity.parse("a.example"), Identity.parse("b.example")
    peer = made(rule_at(A, local_id=ours, remote_id=theirs, responds=True))
    assert (peer.local_id, peer.remote_id, peer.responds) == (ours, theirs, True)
    peer = made(rule_at(A, remote_id=theirs))
    assert (peer.local_id, peer.remote_id) == (Identity.parse(A), theirs)


def test_a_limit_of_the_rule_is_that_of_each_pair() -> None:
    assert made(rule_at(A, sessions=2)).sessions == 2


def test_protocols_and_ports_stay() -> None:
    web = (Selector.net("192.0.2.0/24", TCP, (443, 443)), Selector.net("198.51.100.0/24", TCP, (80, 80)))
    (child,) = made(pattern(replace(child_at(), local=(Selector.net(A, TCP),), remote=web))).children
    assert sides(child) == (["192.0.2.1[tcp]"], ["192.0.2.2[tcp/443]"])


def test_selectors_that_say_the_same_of_the_two_hosts_stand_once() -> None:
    wide = (Selector.net("192.0.2.0/24"), Selector.net("192.0.0.0/16"), Selector.net("192.0.2.0/25", TCP))
    (child,) = made(pattern(replace(child_at(A), remote=wide))).children
    assert sides(child) == (["192.0.2.1"], ["192.0.2.2"])


def test_children_that_are_not_for_both_hosts_are_left_out() -> None:
    children = (
        child_at(A, id="1", remote=C),
        child_at(A, id="2"),
        child_at(OTHER_A, id="3"),
        child_at(A, id="4", remote=B),
    )
    assert [child.id for child in made(pattern(*children)).children] == [
        "2@192.0.2.1@192.0.2.2",
        "4@192.0.2.1@192.0.2.2",
    ]


def test_of_a_child_whose_sides_are_of_two_protocols_nothing_is_left() -> None:
    mixed = replace(child_at(), local=(Selector.net(A, TCP),), remote=(Selector.net(B, 17),))
    assert between(pattern(mixed), A, B) is None


@pytest.mark.parametrize(
    ("local", "name", "child"),
    [
        (A, "lan@192.0.2.2,192.0.2.1", "lan/1@192.0.2.2,192.0.2.1"),
        (OTHER_A, "lan@192.0.2.2,192.0.2.10", "lan/1@192.0.2.2,192.0.2.10"),
    ],
)
def test_with_several_addresses_of_ours_names_have_both(local: str, name: str, child: str) -> None:
    for hosts in (rule_at(A, OTHER_A), pattern(child_at(A), child_at(OTHER_A)), rule_at("192.0.2.0/28")):
        peer = made(hosts, local)
        assert (peer.name, [each.name for each in peer.children]) == (name, [child])


def test_an_address_of_the_other_family_makes_no_name_longer() -> None:
    hosts = pattern(child_at(A, SIX_A, remote="192.0.2.0/24"), child_at(A, SIX_A, id="8", remote="2001:db8::/64"))
    assert made(hosts).name == "lan@192.0.2.2"
    peer = made(hosts, SIX_A, SIX_B)
    assert (peer.name, peer.local_id, peer.remote_id) == (
        "lan@2001:db8::2",
        Identity.parse(SIX_A),
        Identity.parse(SIX_B),
    )
    assert [child.id for child in peer.children] == ["8@2001:db8::1@2001:db8::2"]


OURS = (A, "fe80::1", SIX_A)
ANY = pattern(child_at(*OURS, remote="0.0.0.0/0"), child_at(*OURS, id="8", remote="::/0"))


@pytest.mark.parametrize(
    ("local", "remote", "why"),
    [
        (A, SIX_B, "192.0.2.1 and 2001:db8::2 are of two IP versions"),
        (A, "224.0.0.251", "224.0.0.251 is the address of many hosts at once"),
        (A, "255.255.255.255", "255.255.255.255 is the address of many hosts at once"),
        (SIX_A, "ff02::1", "ff02::1 is the address of many hosts at once"),
        (A, "0.0.0.0", "0.0.0.0 is no address of another host"),
        (SIX_A, "::", ":: is no address of another host"),
        (A, "127.0.0.1", "127.0.0.1 is no address of another host"),
        (A, A, "192.0.2.1 is an address of this machine"),
        ("fe80::1", "fe80::2", "IKE can't tell on which link fe80::2 is"),
        ("fe80::1", SIX_B, "IKE can't tell on which link fe80::1 is"),
        ("198.51.100.7", B, "198.51.100.7 is no address of ours in the rule"),
    ],
)
def test_some_two_addresses_are_no_pair_of_hosts(local: str, remote: str, why: str) -> None:
    assert between(ANY, local, remote) is None
    assert why_none(ANY, ip_address(local), ip_address(remote)) == why


def test_a_host_that_the_rule_is_not_for_is_none_of_its_peers() -> None:
    assert between(rule_at(A), A, "198.51.100.7") is None
    assert why_none(rule_at(A), ip_address(A), ip_address("198.51.100.7")) == "the rule isn't for 198.51.100.7"


def test_those_that_a_path_is_of_stand_between_peers_that_name_its_end_and_those_from_anywhere() -> None:
    path = Path(Endpoint(ip_address(A), 500), Endpoint(ip_address(B), 500))
    named = peer_b(name="named", remotes=(ip_address(B),))
    anywhere = peer_b(name="anywhere", remotes=())
    patterns = (rule_at(A), rule_at(C), rule_at(A, name="more"))
    assert [peer.name for peer in pairs(patterns, ip_address(A), ip_address(B))] == ["lan@192.0.2.2", "more@192.0.2.2"]
    found = callers((anywhere, named), patterns, path)
    assert [peer.name for peer in found] == ["named", "lan@192.0.2.2", "more@192.0.2.2", "anywhere"]


def test_a_peer_that_is_not_where_the_policy_has_it_is_of_no_pair() -> None:
    path = Path(Endpoint(ip_address(A), 500), Endpoint(ip_address(C), 500))
    patterns = (rule_at(A),)

    def names(peer: Peer) -> list[str]:
        return [each.name for each in pairs_with(peer, patterns, path)]

    assert names(peer_b(remotes=(ip_address(B), ip_address(C)))) == ["lan@192.0.2.3"]
    assert names(peer_b(remotes=(ip_address(B),))) == []
    assert names(peer_b(remotes=())) == []
    assert names(made(rule_at(A))) == ["lan@192.0.2.2"]


def test_a_peer_is_made_once_as_long_as_somebody_has_it() -> None:
    hosts = rule_at(A)
    peer = made(hosts)
    assert made(hosts) is peer
    assert made(hosts, remote=C) is not peer


def test_nothing_is_kept_of_a_peer_that_nobody_has() -> None:
    hosts = rule_at(A)
    made(hosts)
    assert dict(hosts.made) == {}


def test_a_pattern_that_is_as_before_stays_with_the_peers_made_after_it() -> None:
    before = IkeConfig(hosts=(rule_at(A), rule_at(A, name="other")))
    same, changed = IkeConfig(hosts=(rule_at(A), rule_at(A, name="other", dpd=7.0))).following(before).hosts
    assert same is before.hosts[0]
    assert changed == rule_at(A, name="other", dpd=7.0)


def test_of_many_filters_those_of_the_two_hosts_are_found_in_their_order() -> None:
    wide = replace(child_at(A, remote="192.0.2.0/24"), id="8", name="lan/8")
    others = [replace(child_at(A, remote=f"198.51.100.{n}/32"), id=f"o{n}", name=f"lan/o{n}") for n in range(200)]
    exact = replace(child_at(A, remote=f"{B}/32"), id="9", name="lan/9")
    peer = made(pattern(wide, *others, exact))
    assert [child.id for child in peer.children] == ["8@192.0.2.1@192.0.2.2", "9@192.0.2.1@192.0.2.2"]


def test_who_may_be_anybody_has_one_child_and_one_of_ah_if_there_is_such() -> None:
    (esp,) = rule_at(A).children
    ah = replace(esp, id="8", name="lan/2", proposals=(AhProposal((Integ.HMAC_SHA2_256_128,)),))
    for children, name in (((esp, esp), "lan/1@192.0.2.2"), ((esp, ah), "lan/2@192.0.2.2")):
        peer = caller(rule_at(A, children=children), ip_address(A), ip_address(B))
        assert peer is not None
        assert [child.name for child in peer.children] == [name]
    assert caller(rule_at(A), ip_address(A), ip_address("203.0.113.9")) is None
