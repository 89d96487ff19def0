"""Persistent rules: part of every plan, in front of the policy's rules, and alone where none is assigned."""

from __future__ import annotations

from ipsecd.policy.check import check
from ipsecd.policy.floor import ruleset
from ipsecd.policy.order import reason
from ipsecd.policy.plan import PERSISTENT, Plan, Settings
from tests.unit.policy.texts import load, mistakes, planned

FILE = """\
assigned: p
credentials: {hq: {psk: {file: hq.psk}}}
settings: {mtu: 1400}
persistent:
  rules:
    - {name: wide, filters: [{source: 10.1.0.0/16, destination: 10.0.0.0/8, protocol: tcp}], action: block}
    - {name: narrow, filters: [{source: 10.1.0.0/16, destination: 10.2.0.9}], action: permit}
    - {name: later, filters: [{source: me, destination: any}], action: block, enabled: false}
    - name: gate
      filters: [{source: 10.1.0.0/16, destination: 10.9.0.0/16}]
      action: require-security
      tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
      authentication: [{psk: hq}]
policies:
  p:
    default_action: block
    key_exchange: {dpd: 77}
    rules:
      - {name: narrow, filters: [{source: 10.1.0.0/16, destination: 10.2.0.9, protocol: tcp}], action: permit}
      - name: site
        filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]
        action: require-security
        tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
        authentication: [{psk: hq}]
"""
ALONE = FILE.replace("assigned: p\n", "")


def entries(plan: Plan) -> list[str]:
    return [entry.name for entry in plan.entries]


def test_they_stand_before_the_rules_of_the_policy_however_specific_these_are() -> None:
    made = planned(FILE)
    assert entries(made) == [
        "persistent:narrow/1",
        "persistent:gate/1",
        "persistent:wide/1",
        "narrow/1",
        "site/1",
        "default-action",
        "default-action-v6",
    ]
    assert [rule.name for rule in made.rules] == [
        "persistent:wide",
        "persistent:narrow",
        "persistent:gate",
        "narrow",
        "site",
    ]
    assert (made.policy, made.assigned) == ("p", True)


def test_why_one_stands_before_a_rule_of_the_policy_is_said_in_words() -> None:
    made = {entry.name: entry for entry in planned(FILE).entries}
    assert reason(made["persistent:wide/1"], made["narrow/1"]) == "persistent rules come first"
    assert reason(made["persistent:narrow/1"], made["persistent:wide/1"]) == "fewer addresses"
    assert reason(made["persistent:wide/1"], made["default-action"]) == "the default action comes last"


def test_a_protecting_one_shares_the_peer_of_the_policy() -> None:
    (peer,) = planned(FILE).peers
    assert (peer.name, [child.name for child in peer.children], peer.dpd) == (
        "persistent:gate",
        ["persistent:gate/1", "site/1"],
        77.0,
    )


def test_they_are_a_plan_of_their_own_where_no_policy_is_assigned() -> None:
    made = planned(ALONE)
    assert entries(made) == ["persistent:narrow/1", "persistent:gate/1", "persistent:wide/1"]
    assert (made.policy, made.assigned, made.settings) == (PERSISTENT, False, Settings(mtu=1_400))
    (peer,) = made.peers
    assert ([child.name for child in peer.children], peer.dpd) == (["persistent:gate/1"], 30.0)
    assert [credential.name for credential in made.credentials] == ["hq"]
    assert entries(planned(FILE.replace("assigned: p", "description: p"))) == entries(made)


def test_without_any_that_is_enabled_nothing_is_in_force() -> None:
    for rules in ("[]", "[{name: later, filters: [{source: me, destination: any}], action: block, enabled: false}]"):
        assert planned(f"persistent: {{rules: {rules}}}\n") == Plan()


def test_their_entries_stand_in_the_floor_in_that_order() -> None:
    floor = ruleset(planned(FILE))
    chain = floor[floor.index("\tchain blocked_clear {") :]
    first, second = chain.index("ip daddr 10.2.0.9 return"), chain.index("ip daddr 10.2.0.9 meta l4proto 6 return")
    assert first < chain.index("10.0.0.0/8 meta l4proto 6") < second


def test_their_names_are_their_own_but_told_among_them() -> None:
    double = FILE.replace("name: wide", "name: narrow")
    hint = "each rule of a policy needs a name of its own"
    assert mistakes(double) == [
        f"7:14: persistent.rules.1.name: another rule is called 'narrow', in line 6 ({hint})",
    ]


def test_what_check_says_of_them() -> None:
    text = """\
persistent:
  rules:
    - {name: a, filters: [{source: me, destination: dns}], action: permit}
    - {name: b, filters: [{source: me, destination: dns}], action: block}
policies: {p: {rules: [{name: c, filters: [{source: me, destination: dns}], action: block}]}}
"""
    how = "never matches: the filter in line 3 of rule 'persistent:a' covers the same and comes first"
    assert [line.removeprefix("p.yaml:") for line in check(text, "p.yaml").lines()] == [
        "1:1: no policy is assigned: the persistent rules hold alone (assigned: one of p) [note]",
        f"4:27: persistent.rules.1.filters.0: {how} [note]",
        f"5:44: policies.p.rules.0.filters.0: {how} [note]",
    ]
    assert load(text).sets == {"dns"}
