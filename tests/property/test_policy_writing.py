"""What is written as YAML is what was to be written: to ipsecd, and to PyYAML, which reads YAML 1.1."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecd.policy.load import load_policy
from ipsecd.policy.parsing import parse
from ipsecd.policy.writing import to_yaml
from tests.property import policy_values
from tests.property.test_policy_yaml import scalars

readable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
descriptions = st.one_of(readable, scalars, st.text("ab:#-,{}[]'\"\\ \n", max_size=9), st.just("long " * 60))


@given(policy_values.policy_files(later=True))
def test_any_policy_file_is_read_back_equal_and_written_alike_again(tree: dict[str, Any]) -> None:
    text = to_yaml(tree)
    found = load_policy(text, "f")
    assert found.tree.value == yaml.safe_load(text) == tree
    assert to_yaml(yaml.safe_load(text)) == text
    assert found.content == load_policy(yaml.safe_dump(tree), "f").content


@given(descriptions, descriptions)
@example("a: b", "a #b")
@example("fd01::", "12:30")
@example("...", "---")
@example("a,", "\U0001f512\u2028\u0085\ufeff")
def test_any_text_is_read_back_as_it_was(one: str, other: str) -> None:
    """In a block, and in the one line of a mapping, as a value and as a key."""
    tree: dict[str, Any] = {
        "description": one,
        "filter_lists": {"l": [{"source": "me", "destination": "any", "description": other}]},
        "policies": {other: {"description": one, "rules": [{"name": "r", "description": other}]}},
    }
    text = to_yaml(tree)
    assert (parse(text, "f").value, parse(text, "f").mistakes) == (tree, [])
    assert yaml.safe_load(text) == tree
