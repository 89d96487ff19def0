"""Which packets a filter covers: its entries, for each family and each way a packet can go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.daemon.compose import spd_entries
from ipsecd.policy.expand import Sets
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan
from tests.unit.policy.texts import HOSTS, TUNNEL, load, planned, resolve, with_filters

BLOCK = "  action: block\n"
Rows = list[tuple[str, str, list[tuple[str, str]]]]


def rows(fields: str, rule: str = BLOCK) -> Rows:
    """Name, directions and (local, remote) pairs of the entries of one filter; the machine is 10.1.0.1 and fd01::1."""
    plan = planned(with_filters("{" + fields + "}", rule=rule), me=("10.1.0.1", "fd01::1"))
    return [
        (
            entry.name,
            "out" * entry.outbound + "in" * entry.inbound,
            [(str(local), str(remote)) for local, remote in entry.pairs],
        )
        for entry in plan.entries
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # me is always the local side
        ("source: me, destination: 10.2.0.0/16", [("r/1", "outin", [("10.1.0.1", "10.2.0.0/16")])]),
        ("source: 10.2.0.0/16, destination: me", [("r/1", "outin", [("10.1.0.1", "10.2.0.0/16")])]),
        ("source: me, destination: 10.2.0.0/16, mirrored: false", [("r/1", "out", [("10.1.0.1", "10.2.0.0/16")])]),
        ("source: 10.2.0.0/16, destination: me, mirrored: false", [("r/1", "in", [("10.1.0.1", "10.2.0.0/16")])]),
        # without me, a packet may cross this machine either way round
        ("source: 10.2.0.0/16, destination: 10.3.0.0/16",
         [("r/1", "outin", [("10.2.0.0/16", "10.3.0.0/16"), ("10.3.0.0/16", "10.2.0.0/16")])]),
        ("source: 10.2.0.0/16, destination: 10.3.0.0/16, mirrored: false",
         [("r/1", "out", [("10.2.0.0/16", "10.3.0.0/16")]), ("r/1-in", "in", [("10.3.0.0/16", "10.2.0.0/16")])]),
        ("source: 0.0.0.0/0, destination: 0.0.0.0/0", [("r/1", "outin", [("0.0.0.0/0", "0.0.0.0/0")])]),
        # any and me are of both families, the rest of the filter permitting
        ("source: any, destination: me",
         [("r/1", "outin", [("10.1.0.1", "0.0.0.0/0")]), ("r/1-v6", "outin", [("fd01::1", "::/0")])]),
        ("source: any, destination: 'fd02::/64'", [("r/1", "outin", [("::/0", "fd02::/64"), ("fd02::/64", "::/0")])]),
        ("source: me, destination: any, protocol: icmp", [("r/1", "outin", [("10.1.0.1[icmp]", "0.0.0.0/0[icmp]")])]),
        ("source: me, destination: any, protocol: icmpv6", [("r/1", "outin", [("fd01::1[icmpv6]", "::/0[icmpv6]")])]),
        # names are whatever they are now
        ("source: me, destination: both.example",
         [("r/1", "outin", [("10.1.0.1", "198.51.100.7"), ("10.1.0.1", "198.51.100.8")]),
          ("r/1-v6", "outin", [("fd01::1", "2001:db8::7")])]),
        ("source: me, destination: six.example", [("r/1-v6", "outin", [("fd01::1", "2001:db8::9")])]),
        ("source: 10.1.0.0/16, destination: six.example", []),
        ("source: me, destination: none.example", []),
        # ports stay with their side
        ("source: me, destination: 10.2.0.0/16, protocol: tcp, source_port: 1024-65535, destination_port: 443",
         [("r/1", "outin", [("10.1.0.1[tcp/1024-65535]", "10.2.0.0/16[tcp/443]")])]),
        ("source: 10.2.0.0/16, destination: me, protocol: tcp, destination_port: 22, mirrored: false",
         [("r/1", "in", [("10.1.0.1[tcp/22]", "10.2.0.0/16[tcp]")])]),
        ("source: me, destination: 10.2.0.0/16, protocol: 47",
         [("r/1", "outin", [("10.1.0.1[ipprotocol_47]", "10.2.0.0/16[ipprotocol_47]")])]),
        # an ICMP message stands on the side of whoever may send it: type*256+code, and all codes if none is named
        ("source: me, destination: 10.2.0.0/16, protocol: icmp, icmp_type: echo-request",
         [("r/1", "outin", [("10.1.0.1[icmp/2048-2303]", "10.2.0.0/16[icmp/2048-2303]")])]),
        ("source: me, destination: 10.2.0.0/16, protocol: icmp, icmp_type: 3, icmp_code: 1, mirrored: false",
         [("r/1", "out", [("10.1.0.1[icmp/769]", "10.2.0.0/16[icmp]")])]),
        ("source: 10.2.0.0/16, destination: me, protocol: icmp, icmp_type: 8, icmp_code: 0, mirrored: false",
         [("r/1", "in", [("10.1.0.1[icmp]", "10.2.0.0/16[icmp/2048]")])]),
        ("source: me, destination: any, protocol: icmpv6, icmp_type: echo-request",
         [("r/1", "outin", [("fd01::1[icmpv6/32768-33023]", "::/0[icmpv6/32768-33023]")])]),
    ],
)  # fmt: skip
def test_a_filter_covers(fields: str, expected: Rows) -> None:
    assert rows(fields) == expected


def test_the_source_of_a_protected_filter_is_the_side_behind_us() -> None:
    assert rows("source: 10.1.0.0/16, destination: 10.2.0.0/16", TUNNEL) == [
        ("r/1", "outin", [("10.1.0.0/16", "10.2.0.0/16")])
    ]
    assert rows("source: 10.2.0.0/16, destination: me", TUNNEL) == [("r/1", "outin", [("10.1.0.1", "10.2.0.0/16")])]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp, destination_port: 80",
         [("r/1", "outin", [("10.1.0.0/16[tcp]", "10.2.0.0/16[tcp/80]")]),
          ("r/1-back", "outin", [("10.2.0.0/16[tcp/80]", "10.1.0.0/16[tcp]")])]),
        ("source: 10.1.0.0/16, destination: 10.1.0.0/16", [("r/1", "outin", [("10.1.0.0/16", "10.1.0.0/16")])]),
        ("source: me, destination: 10.2.0.0/16", [("r/1", "outin", [("10.1.0.1", "10.2.0.0/16")])]),
        ("source: 10.2.0.0/16, destination: me", [("r/1", "outin", [("10.1.0.1", "10.2.0.0/16")])]),
    ],
)  # fmt: skip
def test_without_a_tunnel_this_machine_may_be_on_either_side_of_a_filter(fields: str, expected: Rows) -> None:
    assert rows(fields, HOSTS) == expected


def symbolic(fields: str, me: tuple[str, ...] = ()) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Name, number of pairs, and the pairs that name no address of this machine, of the entries of one filter."""
    plan = planned(with_filters("{" + fields + "}", rule=BLOCK), me=me)
    return [
        (entry.name, len(entry.pairs), [(str(local), str(remote)) for local, remote in entry.me])
        for entry in plan.entries
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("source: me, destination: any",
         [("r/1", 0, [("0.0.0.0", "0.0.0.0/0")]), ("r/1-v6", 0, [("::", "::/0")])]),
        ("source: 10.2.0.0/16, destination: me, protocol: tcp, destination_port: 22, mirrored: false",
         [("r/1", 0, [("0.0.0.0[tcp/22]", "10.2.0.0/16[tcp]")])]),
        ("source: me, destination: both.example, protocol: icmp",
         [("r/1", 0, [("0.0.0.0[icmp]", "198.51.100.7[icmp]"), ("0.0.0.0[icmp]", "198.51.100.8[icmp]")])]),
        ("source: me, destination: none.example", []),
    ],
)  # fmt: skip
def test_me_covers_this_machine_before_it_has_an_address(fields: str, expected: object) -> None:
    assert symbolic(fields) == expected


def test_me_says_the_same_whatever_the_addresses_are() -> None:
    assert symbolic("source: me, destination: 10.2.0.0/16", ("10.1.0.1", "10.1.0.2", "fd01::1")) == [
        ("r/1", 2, [("0.0.0.0", "10.2.0.0/16")])
    ]
    assert symbolic("source: 10.1.0.0/16, destination: 10.2.0.0/16")[0][2] == []


def test_without_an_address_me_has_no_child_and_no_entry_in_the_data_plane() -> None:
    plan = planned(with_filters("{source: me, destination: any}"), me=("10.1.0.1",))
    assert [(entry.name, entry.child) for entry in plan.entries] == [("r/1", "r/1"), ("r/1-v6", "")]
    assert [child.name for child in plan.peers[0].children] == ["r/1"]
    assert [entry.name for entry in spd_entries(plan, {"r/1": "1"})] == ["r/1"]


def test_me_is_as_specific_as_one_address_even_if_it_has_none() -> None:
    text = with_filters("{source: 10.1.0.0/31, destination: any}", "{source: me, destination: any}", rule=BLOCK)
    assert [entry.name for entry in planned(text, me=()).entries] == ["r/2", "r/1", "r/2-v6"]


SETS = Sets({"dns": (ip_address("192.0.2.53"), ip_address("2001:db8::53")), "dhcp": (ip_address("192.0.2.67"),)})


def sets(fields: str, rule: str = BLOCK, empty: frozenset[str] = frozenset()) -> Plan:
    text = with_filters("{" + fields + "}", rule=rule)
    return plan(load(text), resolve, (ip_address("10.1.0.1"),), sets=replace(SETS, empty=empty))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("source: me, destination: dns, protocol: udp, destination_port: 53",
         [("r/1", [("0.0.0.0[udp]", "192.0.2.53[udp/53]")]), ("r/1-v6", [("::[udp]", "2001:db8::53[udp/53]")])]),
        ("source: dhcp, destination: me", [("r/1", [("0.0.0.0", "192.0.2.67")])]),
        ("source: me, destination: default-gateway", []),
        ("source: dhcp, destination: 'fd01::/64'", []),
    ],
)  # fmt: skip
def test_a_well_known_set_is_what_it_is_now(fields: str, expected: object) -> None:
    made = sets(fields)
    found = [(entry.name, [(str(local), str(remote)) for local, remote in entry.me]) for entry in made.entries]
    assert found == expected
    assert made.unresolved == (("default-gateway",) if "gateway" in fields else ())


def test_a_set_that_is_empty_now_still_protects_and_blocks_what_it_was_but_permits_nothing() -> None:
    fields = "source: 10.1.0.0/16, destination: dhcp"
    for rule in (BLOCK, TUNNEL):
        made = sets(fields, rule, frozenset({"dhcp"}))
        assert [(entry.name, str(entry.pairs[0][1])) for entry in made.entries] == [("r/1", "192.0.2.67")]
        assert made.unresolved == ()
    assert [entry.name for entry in sets(fields, "  action: permit\n").entries] == ["r/1"]
    made = sets(fields, "  action: permit\n", frozenset({"dhcp"}))
    assert (made.entries, made.unresolved) == ((), ("dhcp",))


def test_the_sets_are_those_that_enabled_rules_of_the_assigned_policy_name() -> None:
    text = """\
    assigned: p
    filter_lists: {servers: [{source: me, destination: dns}, {source: dhcp, destination: me}]}
    policies:
      p:
        rules:
          - {name: a, filter_list: servers, action: permit}
          - {name: b, filters: [{source: me, destination: default-gateway}], action: permit, enabled: false}
      other: {rules: [{name: c, filters: [{source: me, destination: wins}], action: permit}]}
    """
    assert load(text).sets == {"dns", "dhcp"}
    assert load(text.replace("    assigned: p\n", "")).sets == frozenset()


def test_a_name_that_is_gone_still_protects_and_blocks_what_it_meant_but_permits_nothing() -> None:
    def made(rule: str) -> Plan:
        text = with_filters("{source: 10.1.0.0/16, destination: one.example}", rule=rule)
        return plan(load(text), resolve, (), frozenset({"one.example"}))

    for rule in (BLOCK, TUNNEL):
        assert [(entry.name, str(entry.pairs[0][1])) for entry in made(rule).entries] == [("r/1", "198.51.100.7")]
        assert made(rule).unresolved == ()
    assert made("  action: permit\n").entries == ()
    assert made("  action: permit\n").unresolved == ("one.example",)
