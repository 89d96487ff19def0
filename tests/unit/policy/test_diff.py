"""The difference of two plans: a reload touches exactly what it names."""

from __future__ import annotations

import pytest

from ipsecd.policy.diff import DEFAULT, PlanDiff, diff
from ipsecd.policy.plan import Plan
from tests.unit.policy.texts import TUNNEL, planned, with_rules

NETS = "  filters: [{source: 10.1.0.0/16, destination: 10.2.0.0/16}]\n"
RULE = "- name: a\n" + NETS + TUNNEL
OTHER = "- name: b\n  filters: [{source: 10.1.0.0/16, destination: 10.3.0.0/16}]\n" + TUNNEL
THIRD = "- {name: c, filters: [{source: me, destination: 10.4.0.0/16}], action: block}\n"


def changed(old: str, new: str, replacement: str) -> PlanDiff:
    """The difference that replacing a part of the first of three rules makes."""
    text = with_rules(RULE + OTHER + THIRD)
    assert old in text
    return diff(planned(text), planned(text.replace(old, new, 1) if replacement == "first" else text.replace(old, new)))


def test_equal_plans_differ_in_nothing() -> None:
    plan = planned(with_rules(RULE + OTHER + THIRD))
    found = diff(plan, planned("# moved down by a line\n" + with_rules(RULE + OTHER + THIRD)))
    assert found == PlanDiff(kept=("a", "b", "c"))
    assert found.empty
    assert str(found) == "no difference"


def test_rules_are_added_and_removed() -> None:
    old, new = planned(with_rules(RULE + OTHER)), planned(with_rules(OTHER + THIRD))
    assert diff(old, new) == PlanDiff(added=("c",), removed=("a",), kept=("b",))
    assert diff(Plan(), new) == PlanDiff(added=("b", "c"))
    assert diff(new, Plan()) == PlanDiff(removed=("b", "c"))
    assert str(diff(old, new)) == "added: c; removed: a"
    assert not diff(old, new).empty


def test_a_log_line_has_room_for_what_is_removed_behind_a_thousand_rules_that_are_added() -> None:
    added = tuple(f"r{number}" for number in range(1_020))
    shown = ", ".join(f"r{number}" for number in range(20))
    assert str(PlanDiff(added=added, removed=("a",))) == f"added: {shown} and 1,000 more; removed: a"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("destination: 10.2.0.0/16", "destination: 10.2.0.0/17"),
        ("remote: 192.0.2.2", "remote: 192.0.2.3"),
        ("action: require-security\n", "action: require-security\n        start: always\n"),
        ("action: require-security\n", "action: require-security\n        identity: {remote: x.example}\n"),
        ("action: require-security\n", "action: require-security\n        encapsulation: udp\n"),
        ("action: require-security\n", "action: require-security\n        children: merged\n"),
    ],
)
def test_a_change_of_one_rule_leaves_the_others_alone(old: str, new: str) -> None:
    found = changed(old, new, "first")
    assert (found.changed, found.kept, found.empty) == (("a",), ("b", "c"), False)


def test_a_change_of_a_credential_changes_the_rules_that_use_it() -> None:
    found = changed("file: hq.psk", "file: new.psk", "all")
    assert (found.changed, found.kept) == (("a", "b"), ("c",))


def test_a_description_changes_nothing() -> None:
    assert changed("name: a\n", "name: a\n        description: other words\n", "first").empty


def test_what_concerns_all_rules_is_named() -> None:
    old = with_rules(RULE + THIRD)
    new = old.replace("    rules:", "    key_exchange: {cookie_threshold: 5, ports: {ike: 501}}\n    rules:")
    found = diff(planned(old), planned(new + "settings: {mtu: 1400}\n"))
    named = ("key_exchange.ports.ike", "key_exchange.cookie_threshold", "settings")
    assert (found.for_all_rules, found.kept) == (named, ("a", "c"))
    assert str(found) == "for all rules: key_exchange.ports.ike, key_exchange.cookie_threshold, settings"


def test_the_default_action_counts_as_a_rule() -> None:
    old = with_rules(THIRD)
    new = old.replace("    rules:", "    default_action: block\n    rules:")
    assert diff(planned(old), planned(new)) == PlanDiff(added=(DEFAULT,), kept=("c",))


def test_what_is_exempt_concerns_all_rules() -> None:
    old = with_rules(THIRD)
    found = diff(planned(old), planned(old.replace("    rules:", "    exemptions: {kerberos: true}\n    rules:")))
    assert (found.for_all_rules, found.kept) == (("exemptions",), ("c",))
    assert str(found) == "for all rules: exemptions"


def test_rules_that_change_places_are_kept_and_their_order_is_named() -> None:
    """Their filters are equally specific, so the order of the file decides."""
    found = diff(planned(with_rules(RULE + OTHER)), planned(with_rules(OTHER + RULE)))
    assert (found.changed, found.kept, found.for_all_rules) == ((), ("b", "a"), ("order of filters",))
    assert not found.empty


def test_a_name_that_resolves_anew_changes_its_rule_alone() -> None:
    text = with_rules("- {name: d, filters: [{source: me, destination: one.example}], action: block}\n" + RULE)
    found = diff(planned(text.replace("one.example", "six.example")), planned(text))
    assert (found.changed, found.kept) == (("d",), ("a",))


def test_keys_and_usability_count_as_a_difference() -> None:
    assert not PlanDiff(kept=("a",), credentials=("hq",)).empty
    found = PlanDiff(kept=("a",), credentials=("hq",), usable=("a",), unusable=("b", "c"))
    assert str(found) == "credentials: hq; usable: a; unusable: b, c"
