"""One policy file put into another, between its lines."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.merging import merge
from ipsecd.policy.parsing import parse

COMMENTED = """\
# Ours.
assigned: p        # in force

credentials:
  # where keys are
  hq: {psk: {file: hq.psk}}

  lab: {psk: {file: lab.psk}}   # at home

# What holds:
policies:
  p:
    rules: []      # none yet
  # and another
  q: {rules: []}
# The end.
"""
LAB: dict[str, Any] = {"psk": {"file": "new.psk"}}
RULE: dict[str, Any] = {
    "name": "r",
    "action": "permit",
    "filters": [{"source": "me", "destination": "any"}],
}


def merged(text: str, new: dict[str, Any], *, replace: bool = False) -> str:
    """The text that comes of it, in which the old one was kept."""
    found = merge(text, "p.yaml", new, replace=replace)
    assert found.kept
    return found.text


def test_new_things_stand_at_the_end_of_their_section_and_all_else_stays() -> None:
    new = {
        "credentials": {"x": LAB},
        "filter_actions": {"a": {"action": "block"}},
        "policies": {"m": {"rules": [RULE]}},
    }
    assert merged(COMMENTED, new) == (
        """\
# Ours.
assigned: p        # in force

credentials:
  # where keys are
  hq: {psk: {file: hq.psk}}

  lab: {psk: {file: lab.psk}}   # at home
  x: {psk: {file: new.psk}}

# What holds:
policies:
  p:
    rules: []      # none yet
  # and another
  q: {rules: []}
  m:
    rules:
      - name: r
        filters:
          - {source: me, destination: any}
        action: permit
# The end.

filter_actions:
  a:
    action: block
"""
    )


def test_new_sections_stand_behind_what_is_new_in_a_section_at_the_end_of_the_file() -> None:
    new = {"filter_actions": {"a": {"action": "block"}}, "policies": {"m": {"rules": []}}}
    assert merged("policies:\n  p: {rules: []}      # ours\n", new) == (
        """\
policies:
  p: {rules: []}      # ours
  m:
    rules: []

filter_actions:
  a:
    action: block
"""
    )


def test_what_is_replaced_goes_with_its_own_lines_alone() -> None:
    assert merged(COMMENTED, {"credentials": {"lab": LAB}, "policies": {"p": {"rules": [RULE]}}}, replace=True) == (
        """\
# Ours.
assigned: p        # in force

credentials:
  # where keys are
  hq: {psk: {file: hq.psk}}

  lab: {psk: {file: new.psk}}

# What holds:
policies:
  p:
    rules:
      - name: r
        filters:
          - {source: me, destination: any}
        action: permit
  # and another
  q: {rules: []}
# The end.
"""
    )


def test_names_that_are_taken_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        merge(COMMENTED, "p.yaml", {"credentials": {"lab": LAB}, "policies": {"q": {"rules": [RULE]}}})
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "p.yaml:8:3: credentials.lab: there is a credential 'lab' already",
        "p.yaml:15:3: policies.q: there is a policy 'q' already",
    ]


def test_what_both_have_alike_changes_nothing() -> None:
    assert merged(COMMENTED, {"credentials": {"hq": {"psk": {"file": "hq.psk"}}}}) == COMMENTED


def test_a_section_in_one_line_is_written_anew() -> None:
    text = "policies: {p: {rules: []}}  # ours\n# end\n"
    assert merged(text, {"policies": {"m": {"rules": []}}}) == (
        "policies:  # ours\n  p:\n    rules: []\n  m:\n    rules: []\n# end\n"
    )


def test_the_comments_of_a_section_in_one_line_stay() -> None:
    text = "credentials: {a#b: {psk: {file: '#1.psk'}}}  # those of the lab\n# The rest:\npolicies: {p: {rules: []}}\n"
    assert merged(text, {"credentials": {"x": LAB}}) == (
        "credentials:  # those of the lab\n"
        '  "a#b": {psk: {file: "#1.psk"}}\n'
        "  x: {psk: {file: new.psk}}\n"
        "# The rest:\n"
        "policies: {p: {rules: []}}\n"
    )


def test_comments_between_the_lines_of_a_section_that_is_written_anew_stand_below_its_name() -> None:
    text = (
        "credentials: { # ours\n  a: {psk: {file: a.psk}}, # of the office\n  # not in use:\n"
        "  b: {psk: {file: b.psk}} }\npolicies: {p: {rules: []}}  # none\n"
    )
    assert merged(text, {"credentials": {"x": LAB}}) == (
        "credentials:  # ours\n  # of the office\n  # not in use:\n"
        "  a: {psk: {file: a.psk}}\n  b: {psk: {file: b.psk}}\n  x: {psk: {file: new.psk}}\n"
        "policies: {p: {rules: []}}  # none\n"
    )


@pytest.mark.parametrize(
    "text",
    ["{policies: {p: {rules: []}}}  # all of it\n", "policies: {p: {rules: []}}\n...\n"],
    ids=["a file in one line", "a file with an end"],
)
def test_a_text_that_lines_cannot_be_put_into_is_written_anew(text: str) -> None:
    found = merge(text, "p.yaml", {"credentials": {"x": LAB}})
    assert not found.kept
    expected = {"credentials": {"x": LAB}, "policies": {"p": {"rules": []}}}
    assert parse(found.text, "f").value == expected


PERSISTENT: dict[str, Any] = {"boot": "block", "persistent": {"rules": [RULE]}}
WRITTEN = """
boot: block

persistent:
  rules:
    - name: r
      filters:
        - {source: me, destination: any}
      action: permit
"""


def test_a_boot_mode_and_persistent_rules_come_along_where_there_are_none() -> None:
    assert merged(COMMENTED, PERSISTENT) == COMMENTED + WRITTEN


def test_a_boot_mode_and_persistent_rules_take_the_place_of_others_as_a_whole_and_only_when_told_to() -> None:
    text = "boot: permit  # for now\n\n# Always:\npersistent:\n  rules: []\n" + COMMENTED
    with pytest.raises(ConfigError) as caught:
        merge(text, "p.yaml", PERSISTENT)
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "p.yaml:1:1: boot: there is a boot mode already",
        "p.yaml:4:1: persistent: there are persistent rules already",
    ]
    replaced = WRITTEN.replace("\n\npersistent", "\n\n# Always:\npersistent").lstrip("\n")
    assert merged(text, PERSISTENT, replace=True) == replaced + COMMENTED


def test_assignment_and_settings_of_the_new_file_do_not_come_with_it() -> None:
    assert merged(COMMENTED, {"assigned": "n", "settings": {"mtu": 1400}, "policies": {}}) == COMMENTED
