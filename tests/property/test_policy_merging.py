"""However a policy file is written, another put into it leaves what was there and adds what is new."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from ipsecd.errors import ConfigError
from ipsecd.policy.merging import SECTIONS, merge
from ipsecd.policy.parsing import parse
from ipsecd.policy.writing import to_yaml
from tests.property.policy_values import policy_files

trees = policy_files(later=True)


@given(trees, trees, st.sampled_from(["ours", "block", "flow", "commented"]), st.booleans())
def test_both_are_in_what_comes_of_it(old: dict[str, Any], new: dict[str, Any], style: str, replace: bool) -> None:
    text = yaml.safe_dump(old, default_flow_style=style == "flow") if style in ("block", "flow") else to_yaml(old)
    if style == "commented":
        text = "".join(f"{line}\n# {line}\n\n" for line in text.splitlines())
    assume(parse(text, "f").mistakes == [])
    clash = any(old[each][name] != new[each][name] for each in SECTIONS for name in old[each].keys() & new[each].keys())
    try:
        found = merge(text, "f", new, replace=replace)
    except ConfigError:
        assert clash
        assert not replace
        return
    assert replace or not clash
    expected = old | {section: {**old[section], **new[section]} for section in SECTIONS}
    assert parse(found.text, "f").value == expected
    assert found.kept or style == "flow"


@given(trees, trees, st.sets(st.sampled_from(SECTIONS)))
def test_every_comment_stays_as_long_as_nothing_is_replaced(
    old: dict[str, Any], new: dict[str, Any], in_one_line: set[str]
) -> None:
    lines = []
    for section, value in old.items():
        if section in in_one_line:
            flow = yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=False)
            lines.append(f"{section}: {flow.strip()}")
        else:
            lines += to_yaml({section: value}).splitlines()
    comments = [f"# comment {number}." for number in range(len(lines))]
    text = "".join(f"{line}  {comment}\n" for line, comment in zip(lines, comments, strict=True))
    assume(parse(text, "f").mistakes == [])
    try:
        found = merge(text, "f", new)
    except ConfigError:
        return
    assert [comment for comment in comments if comment not in found.text] == []
