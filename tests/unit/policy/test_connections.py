"""Types of connection: which interface is of which, and what the floor makes of rules for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.policy.check import check
from ipsecd.policy.connections import Interfaces, connection
from ipsecd.policy.floor import ruleset
from ipsecd.policy.plan import Action, Entry, Plan, Settings
from ipsecd.policy.unsupported import unsupported
from ipsecd.wire.selector import Selector
from tests.unit.policy.texts import TUNNEL, load, planned, with_rules

NEAR, FAR, ALL = map(Selector.net, ("10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0"))
PROTECT = Entry("a/1", "a", Action.PROTECT, ((NEAR, FAR),), connections="remote-access")
BLOCK = Entry("b/1", "b", Action.BLOCK, ((ALL, ALL),), connections="lan")
INTERFACES = Interfaces(("eth0", "lan0"), ("ppp0",))
LAN, REMOTE = "@lan", "@remote_access"
ROUTE = "fib daddr . mark oifname"
ROUTED_LAN, ROUTED_REMOTE = "@lan_by_route", "@remote_access_by_route"


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("eth0", "", "lan"),
        ("br0", "bridge", "lan"),
        ("ppp0", "", "remote-access"),
        ("provider", "ppp", "remote-access"),
        ("tap3", "tun", "remote-access"),
        ("wg-office", "wireguard", "remote-access"),
        ("wwp0s20", "", "remote-access"),
        ("modem", "wwan", "remote-access"),
        ("wlan0", "", "lan"),
        ("wg-lab", "wireguard", "lan"),
        ("eth7", "", "remote-access"),
    ],
)
def test_the_kind_of_an_interface_tells_its_type_unless_the_policy_names_it(name: str, kind: str, found: str) -> None:
    settings = Settings(lan=("wg-lab",), remote_access=("eth7",))
    assert connection(settings, name, kind) == found


def test_loopback_and_the_tun_are_of_no_type() -> None:
    links = (("lo", ""), ("ppp0", "ppp"), ("ipsecd0", "tun"), ("lan0", "veth"), ("eth0", ""))
    assert Interfaces.of(Settings(), links) == INTERFACES
    assert [INTERFACES.type_of(name) for name in ("eth0", "ppp0", "lo", "gone")] == ["lan", "remote-access", "", ""]
    assert str(INTERFACES) == "lan: eth0, lan0; remote-access: ppp0"
    assert str(Interfaces()) == "none"


@pytest.mark.parametrize("name", ['a"b', "eth*", "*", "a\\b"])
def test_a_name_that_nft_takes_for_another_is_of_no_type_and_in_no_rule(name: str) -> None:
    found = Interfaces.of(Settings(), (("lan0", ""), (name, "")))
    assert found == Interfaces(("lan0",))
    assert name not in ruleset(Plan("p", entries=(PROTECT,)), (), found)


def chain(name: str, *entries: Entry) -> list[str]:
    lines = ruleset(Plan("p", entries=entries), ("eth0",), INTERFACES).splitlines()
    start = lines.index(f"\tchain {name} {{")
    return [line.strip() for line in lines[start + 1 : lines.index("\t}", start)]]


@pytest.mark.parametrize(
    ("name", "protecting", "blocking"),
    [
        ("leaving", f"oifname {REMOTE}", f"oifname {LAN}"),
        ("arriving", f"iifname {REMOTE}", f"iifname {LAN}"),
        ("blocked", f"iifname {REMOTE} return", f"oifname {LAN} counter"),
        ("blocked_ahead", f"fib daddr . mark oifname {ROUTED_REMOTE} return", f"iifname {LAN} counter"),
        ("blocked_emerging", f"fib daddr oifname {ROUTED_REMOTE} return", f"fib daddr oifname {ROUTED_LAN} counter"),
        ("blocked_emerging", f"fib saddr oifname {ROUTED_REMOTE} return", f"fib saddr oifname {ROUTED_LAN} counter"),
        ("blocked_emerged", f"oifname {REMOTE} return", f"fib saddr oifname {ROUTED_LAN} counter"),
        ("leaving_crossing", f"oifname {REMOTE}", f"oifname {LAN} return"),
        ("arriving_crossing", f"iifname {REMOTE}", f"iifname {LAN} return"),
        ("steer", f"oifname {REMOTE}", f"oifname {LAN}"),
        ("steer_crossing", f"{ROUTE} {ROUTED_REMOTE}", f"{ROUTE} {ROUTED_LAN} return"),
        ("steer_emerging", f"fib daddr oifname {ROUTED_REMOTE}", f"fib daddr oifname {ROUTED_LAN} return"),
        ("arriving_original", f"iifname {REMOTE}", f"iifname {LAN}"),
        ("leaving_quoted_v4", f"oifname {REMOTE}", f"oifname {LAN}"),
        ("arriving_quoted_v4", f"iifname {REMOTE}", f"iifname {LAN}"),
        ("arriving_pieces", f"iifname {REMOTE}", None),
    ],
)  # fmt: skip
def test_a_rule_for_one_type_asks_in_each_chain_for_the_interface(
    name: str, protecting: str, blocking: str | None
) -> None:
    """That a packet is going to leave by is asked of the routes, before it is routed."""
    rules = chain(name, PROTECT, BLOCK)
    assert any(protecting in rule for rule in rules)
    assert all(REMOTE in rule or LAN in rule for rule in rules if not rule.startswith("fib daddr type local"))
    assert blocking is None or any(blocking in rule for rule in rules)


def test_a_forwarded_packet_is_held_against_blocks_by_the_way_that_is_known_at_that_hook() -> None:
    tun = Settings().table
    assert chain("arriving_through", PROTECT, BLOCK) == ["jump blocked_ahead", "goto arriving_crossing"]
    for name, other, of_tun in (
        ("steer_forwarded", f"iifgroup != {tun} jump blocked_ahead", f"iifgroup {tun} jump blocked_emerging"),
        ("through_us", f"iifgroup != {tun} jump blocked", f"iifgroup {tun} oifgroup != {tun} jump blocked_emerged"),
        ("to_wire", f"iif != 0 iifgroup != {tun} jump blocked", f"iifgroup {tun} jump blocked_past"),
    ):
        assert {other, of_tun} <= set(chain(name, PROTECT, BLOCK))


def test_behind_all_hooks_a_block_for_one_type_is_asked_of_the_way_out_alone_and_holds_back_no_other() -> None:
    """What came out of the TUN has been held against it before, by where it came from."""
    rules = chain("blocked_past", PROTECT, BLOCK)
    assert [rule for rule in rules if rule.endswith("drop")] == [
        f'meta nfproto ipv4 oifname {LAN} counter name "drops.b/1" drop'
    ]
    assert "ip saddr 10.2.0.0/16 ip daddr 10.1.0.0/16 return" in rules


def test_what_came_out_of_the_tun_may_go_to_everybody_by_the_rule_of_its_type() -> None:
    """A narrower rule of the other type, to which not any address is local, has no say."""
    anywhere = replace(PROTECT, pairs=((ALL, FAR),))
    assert chain("anywhere", replace(PROTECT, connections="lan"), anywhere) == [
        f"ip saddr 10.2.0.0/16 ip daddr 10.1.0.0/16 fib saddr oifname {ROUTED_LAN} return",
        f"ip saddr 10.2.0.0/16 fib saddr oifname {ROUTED_REMOTE} accept",
    ]


def test_a_fragment_is_held_against_its_side_though_a_block_for_one_type_may_be_meant() -> None:
    first = replace(BLOCK, connections="lan", pairs=PROTECT.pairs)
    assert len(chain("entering_pieces", first, PROTECT)) == len(chain("entering_pieces", PROTECT)) == 1


@pytest.mark.parametrize("name", ["arriving", "arriving_crossing"])
def test_a_passthrough_for_one_type_lets_in_what_arrives_by_it(name: str) -> None:
    assert [rule for rule in chain(name, PROTECT) if rule.endswith("drop")] != []
    assert [rule for rule in chain(name, replace(PROTECT, passthrough=True)) if rule.endswith("drop")] == []


def test_what_goes_by_an_unknown_interface_is_dropped_behind_what_is_exempt() -> None:
    known = '{ "eth0", "lan0", "ppp0", "ipsecd0" }'
    for base, direction, exempt in (("from_wire", "iifname", "arriving"), ("to_wire", "oifname", "departing")):
        rules = chain(base, PROTECT)
        start = rules.index(f"jump exempt_{exempt}") + 1
        assert rules[start : start + 2] == [
            f'{direction} != {known} counter name "unknown-interface" drop',
            f'{direction} "ipsecd0" counter name "unknown-interface" drop',
        ]


def test_a_policy_for_all_connections_asks_for_no_interface() -> None:
    plain = ruleset(Plan("p", entries=(replace(PROTECT, connections=""), replace(BLOCK, connections=""))), ("eth0",))
    assert "ppp0" not in plain
    assert "_ahead" not in plain
    assert plain.count("unknown-interface") == 1  # the counter


RULE = "- {{name: {}, filters: [{{{}}}], action: {}, connections: {}}}\n"
SITE = "- name: site\n  filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]\n" + TUNNEL


def test_entries_and_peers_have_the_type_of_their_rule() -> None:
    text = with_rules(SITE + "  connections: lan\n" + RULE.format("b", "source: me, destination: any", "block", "all"))
    plan = planned(text + "settings: {connections: {lan: [wg0], remote_access: [eth1]}}\n")
    assert {(entry.rule, entry.connections) for entry in plan.entries} == {("b", ""), ("site", "lan")}
    assert [peer.connections for peer in plan.peers] == ["lan"]
    assert (plan.settings.lan, plan.settings.remote_access) == (("wg0",), ("eth1",))
    assert plan.by_connection
    assert not planned(with_rules(SITE)).by_connection


def notes(*kinds: str) -> list[str]:
    """What is said of filters that cover the same, for these types of connection."""
    actions = ("permit", "block", "permit")
    rules = (
        RULE.format(f"r{number}", "source: me, destination: 10.2.0.5", action, kind)
        for number, (kind, action) in enumerate(zip(kinds, actions, strict=False))
    )
    text = with_rules("".join(rules)).replace("credentials: {hq: {psk: {file: hq.psk}}}", "description: types")
    return [note.message for note in check(text, "p.yaml").notes]


def test_filters_for_different_types_have_nothing_in_common_and_both_types_are_all() -> None:
    assert notes("lan", "remote-access") == notes("lan") == []
    first = "never matches: the filter in line 6 of rule 'r0' covers the same and comes first"
    assert notes("all", "lan") == notes("lan", "lan") == [first]
    assert notes("lan", "all") == [
        "is as specific as the filter in line 6 of rule 'r0', which comes first and wins where both match"
    ]
    both = "the filters in line 6 of rule 'r0' and in line 7 of rule 'r1' cover all of it and come first"
    assert notes("lan", "remote-access", "all") == [f"never matches: {both}"]


@pytest.mark.parametrize(
    "text",
    [
        RULE.format("x", "source: 10.1.0.5, destination: 10.2.0.5", "block", "lan") + SITE,
        SITE + "  connections: lan\n" + SITE.replace("site", "other") + "  connections: remote-access\n",
        SITE.replace("remote: 192.0.2.2", "remote: any")
        + "  identity: {remote: gw.example}\n  connections: remote-access\n",
        RULE.format("each", "source: me, destination: any", "require-security", "lan").replace(
            "connections", "authentication: [{psk: hq}], connections"
        ),
    ],
    ids=["a block before another type", "a tunnel for each type", "peers from anywhere", "pairs of hosts"],
)
def test_any_rule_may_be_for_one_type_beside_any_other_and_a_default_response(text: str) -> None:
    policy = with_rules(text).replace("    rules:", "    default_response: {authentication: [{psk: hq}]}\n    rules:")
    assert unsupported(load(policy)) == ()
    assert planned(policy).by_connection
