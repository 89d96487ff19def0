"""One-way filters of rules that negotiate: two halves of a tunnel are one child, and one alone is for its direction."""

from __future__ import annotations

import pytest

from ipsecd.policy.plan import Plan
from tests.unit.policy.texts import TUNNEL, load, mistakes, planned, with_filters, with_rules

OUT = "{source: 10.1.0.0/16, destination: 10.2.0.0/16, mirrored: false}"
BACK = "{source: 10.2.0.0/16, destination: 10.1.0.0/16, mirrored: false}"
Rows = list[tuple[str, str, str, list[tuple[str, str]]]]


def rules(*rules: tuple[str, str], more: str = "") -> str:
    """A policy file with these rules: name, and filters in YAML's flow form."""
    each = "".join(f"- name: {name}\n  filters: [{filters}]\n{TUNNEL}" for name, filters in rules)
    return with_rules(each, more)


def rows(plan: Plan) -> Rows:
    """Name, child, directions and (local, remote) pairs of each entry."""
    return [
        (
            entry.name,
            entry.child,
            "out" * entry.outbound + "in" * entry.inbound,
            [(str(local), str(remote)) for local, remote in entry.pairs],
        )
        for entry in plan.entries
    ]


def children(plan: Plan) -> list[tuple[str, list[str], list[str]]]:
    """Name and selectors of each child there is."""
    found = (child for peer in plan.peers for child in peer.children)
    return [(child.name, [*map(str, child.local)], [*map(str, child.remote)]) for child in found]


NETS = [("10.1.0.0/16", "10.2.0.0/16")]


def test_two_filters_of_one_rule_are_one_child() -> None:
    plan = planned(with_filters(OUT, BACK))
    assert rows(plan) == [("r/1", "r/1", "out", NETS), ("r/2", "r/1", "in", NETS)]
    assert children(plan) == [("r/1", ["10.1.0.0/16"], ["10.2.0.0/16"])]
    assert [rule.children for rule in plan.rules] == [("r/1",)]


def test_two_rules_of_one_tunnel_are_one_child_and_either_has_it() -> None:
    plan = planned(rules(("to-hq", OUT), ("from-hq", BACK)))
    assert rows(plan) == [("to-hq/1", "to-hq/1", "out", NETS), ("from-hq/1", "to-hq/1", "in", NETS)]
    assert children(plan) == [("to-hq/1", ["10.1.0.0/16"], ["10.2.0.0/16"])]
    assert [(rule.name, rule.peer, rule.children) for rule in plan.rules] == [
        ("to-hq", "to-hq", ("to-hq/1",)),
        ("from-hq", "to-hq", ("to-hq/1",)),
    ]


def test_the_child_of_a_rule_that_merges_is_its_own_and_what_has_no_half_there_keeps_another() -> None:
    text = rules(("to-hq", OUT), ("from-hq", f"{BACK}, {{source: me, destination: 10.9.9.9, mirrored: false}}"))
    plan = planned(text.replace("authentication", "children: merged\n        authentication"), me=("10.1.0.1",))
    assert [(name, child) for name, child, *_ in rows(plan)] == [
        ("from-hq/2", "from-hq"),
        ("to-hq/1", "to-hq"),
        ("from-hq/1", "to-hq"),
    ]
    assert children(plan) == [
        ("to-hq", ["10.1.0.0/16"], ["10.2.0.0/16"]),
        ("from-hq", ["10.1.0.1"], ["10.9.9.9"]),
    ]


def test_the_side_of_me_is_ours_wherever_its_filter_stands() -> None:
    into = "{source: any, destination: me, mirrored: false}"
    plan = planned(with_filters(into, "{source: me, destination: any, mirrored: false}"), me=("10.1.0.1", "fd01::1"))
    four, six = [("10.1.0.1", "0.0.0.0/0")], [("fd01::1", "::/0")]
    assert sorted(rows(plan)) == [
        ("r/1", "r/1", "in", four),
        ("r/1-v6", "r/1-v6", "in", six),
        ("r/2", "r/1", "out", four),
        ("r/2-v6", "r/1-v6", "out", six),
    ]
    assert len(children(plan)) == 2


def test_ports_and_messages_change_sides_with_their_addresses() -> None:
    web = "protocol: tcp, mirrored: false"
    out = f"{{source: 10.1.0.0/16, destination: 10.2.0.0/16, destination_port: 80, {web}}}"
    back = f"{{source: 10.2.0.0/16, source_port: 80, destination: 10.1.0.0/16, {web}}}"
    assert children(planned(with_filters(out, back))) == [("r/1", ["10.1.0.0/16[tcp]"], ["10.2.0.0/16[tcp/80]"])]
    same = f"{{source: 10.2.0.0/16, destination: 10.1.0.0/16, destination_port: 80, {web}}}"
    assert len(children(planned(with_filters(out, same)))) == 2  # other traffic
    pings = [each.replace("mirrored", "protocol: icmp, icmp_type: echo-request, mirrored") for each in (OUT, BACK)]
    echo = "[icmp/2048-2303]"
    assert children(planned(with_filters(*pings))) == [("r/1", [f"10.1.0.0/16{echo}"], [f"10.2.0.0/16{echo}"])]


def test_a_range_may_be_written_in_two_ways() -> None:
    back = "{source: 10.2.0.0-10.2.255.255, destination: 10.1.0.0/255.255.0.0, mirrored: false}"
    assert children(planned(with_filters(OUT, back))) == [("r/1", ["10.1.0.0/16"], ["10.2.0.0/16"])]


def test_a_half_that_is_said_twice_is_still_one() -> None:
    assert [(name, way) for name, _, way, _ in rows(planned(with_filters(OUT, BACK, BACK, OUT)))] == [
        ("r/1", "out"),
        ("r/2", "in"),
        ("r/3", "in"),
        ("r/4", "out"),
    ]


@pytest.mark.parametrize(
    ("each", "way"),
    [
        (OUT, "out"),
        ("{source: me, destination: 10.2.0.0/16, mirrored: false}", "out"),
        ("{source: 10.2.0.0/16, destination: me, mirrored: false}", "in"),
    ],
)
def test_a_filter_without_its_other_half_covers_its_direction_alone(each: str, way: str) -> None:
    plan = planned(with_filters(each), me=("10.1.0.1",))
    assert [(name, child, found) for name, child, found, _ in rows(plan)] == [("r/1", "r/1", way)]
    assert [name for name, *_ in children(plan)] == ["r/1"]


@pytest.mark.parametrize(
    "text",
    [
        rules(("a", OUT), ("b", BACK)).replace("192.0.2.2}", "192.0.2.3}", 1),  # another tunnel
        with_filters(OUT, BACK.replace(", mirrored: false", "")),  # a mirrored filter has both
        with_rules(f"- name: a\n  filters: [{OUT}]\n  action: permit\n- name: b\n  filters: [{BACK}]\n{TUNNEL}"),
    ],
)
def test_the_source_is_our_side_where_no_filter_of_the_same_tunnel_is_the_other_half(text: str) -> None:
    *_, last = (child for child in children(planned(text)))
    assert last[1:] == (["10.2.0.0/16"], ["10.1.0.0/16"])


def test_a_persistent_rule_may_have_the_other_half() -> None:
    persistent = f"persistent:\n  rules:\n    - name: first\n      filters: [{OUT}]\n"
    text = rules(("r", BACK), more=persistent + "".join(f"    {line}\n" for line in TUNNEL.splitlines()))
    assert rows(planned(text)) == [
        ("persistent:first/1", "persistent:first/1", "out", NETS),
        ("r/1", "persistent:first/1", "in", NETS),
    ]


def test_two_halves_have_to_be_negotiated_alike() -> None:
    own = "filter_actions: {own: {action: negotiate, df: set, inbound_passthrough: true}}\n"
    text = rules(("to-hq", OUT), ("from-hq", BACK), more=own)
    head, tail = text.split("- name: from-hq")
    asked = tail.replace("require-security", "own").replace("[{psk: hq}]", "[{psk: hq}]\n        start: always")
    said = "and one SA pair carries both: start and df must be the same (or one filter that is mirrored says both)"
    assert mistakes(f"{head}- name: from-hq{asked}") == [
        "12:19: policies.p.rules.1.filters.0: this is the way back of the filter in line 7 of rule 'to-hq', " + said
    ]
    hiding = own.replace("df: set", "tfc: {padding: mtu}")
    (mistake,) = mistakes(f"{head}- name: from-hq{asked}".replace(own, hiding))
    assert "start and tfc must be the same" in mistake
    resting = own.replace("df: set", "inactivity: 300")
    text = f"{head}- name: from-hq{tail.replace('require-security', 'own')}".replace(own, resting)
    (mistake,) = mistakes(text)
    assert "inactivity must be the same" in mistake
    alike = own.replace("df: set, ", "")
    load(f"{head}- name: from-hq{tail.replace('require-security', 'own')}".replace(own, alike))  # what isn't negotiated


def test_a_filter_of_a_list_is_told_of_where_the_list_is_used() -> None:
    text = rules(("to-hq", OUT), ("from-hq", BACK), more=f"filter_lists: {{back: [{BACK}]}}\n")
    text = text.replace(f"filters: [{BACK}]\n", "filter_list: back\n        start: always\n")
    assert [line.partition(": this is")[0] for line in mistakes(text)] == ["12:22: policies.p.rules.1.filter_list"]


HOSTS = TUNNEL.replace("  tunnel: {local: 192.0.2.1, remote: 192.0.2.2}\n", "")


def test_of_a_rule_without_a_tunnel_this_machine_may_be_on_either_side() -> None:
    """So one direction between two networks is the way out of the one and the way in to the other."""
    there = [("10.2.0.0/16", "10.1.0.0/16")]
    assert rows(planned(with_filters(OUT, rule=HOSTS))) == [
        ("r/1", "r/1", "out", NETS),
        ("r/1-in", "r/1-in", "in", there),
    ]
    assert rows(planned(with_filters(OUT, BACK, rule=HOSTS))) == [
        ("r/1", "r/1", "out", NETS),
        ("r/1-in", "r/1-in", "in", there),
        ("r/2", "r/1-in", "out", there),
        ("r/2-in", "r/1", "in", NETS),
    ]


def test_two_hosts_have_one_child_for_two_halves() -> None:
    out, back = (
        "{source: me, destination: 10.2.0.9, mirrored: false}",
        "{source: 10.2.0.9, destination: me, mirrored: false}",
    )
    plan = planned(with_filters(back, out, rule=HOSTS), me=("10.1.0.1",))
    pairs = [("10.1.0.1", "10.2.0.9")]
    assert rows(plan) == [("r/1", "r/1", "in", pairs), ("r/2", "r/1", "out", pairs)]
    assert children(plan) == [("r/1", ["10.1.0.1"], ["10.2.0.9"])]


def test_hosts_of_two_rules_for_all_that_goes_one_way_are_no_halves_of_each_other() -> None:
    """What is the same both ways has no other half: the first rule covers it all."""
    everything = "filters: [{source: any, destination: any, mirrored: false}], action: require-security"
    text = with_rules(
        f"- {{name: a, {everything}, authentication: [{{psk: hq}}]}}\n"
        f"- {{name: b, {everything}, authentication: [{{psk: hq}}], identity: {{local: b.example}}}}\n"
    )
    found = [(name, child) for name, child, _, _ in rows(planned(text))]
    four = [("a/1", "a/1"), ("a/1-in", "a/1"), ("b/1", "b/1"), ("b/1-in", "b/1")]
    assert [each for each in found if "v6" not in each[0]] == four


def test_the_same_once_more_is_the_way_back_if_it_is_negotiated_alike() -> None:
    both = "{source: any, destination: any, mirrored: false}"
    [first, second] = [row for row in rows(planned(rules(("a", both), ("b", both)))) if "v6" not in row[0]]
    assert (first[:3], second[:3]) == (("a/1", "a/1", "out"), ("b/1", "a/1", "in"))
    text = rules(("a", both), ("b", both)).replace("name: b\n", "name: b\n        identity: {local: b.example}\n")
    [first, second] = [row for row in rows(planned(text)) if "v6" not in row[0]]
    assert (first[:3], second[:3]) == (("a/1", "a/1", "out"), ("b/1", "b/1", "out"))
