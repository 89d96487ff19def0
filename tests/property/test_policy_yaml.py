"""What a policy file means to ipsecd it means to every reader: PyYAML, which reads YAML 1.1, is the other opinion."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecd.policy.addresses import Kind, address_set
from ipsecd.policy.parsing import parse
from ipsecd.policy.scalars import SurpriseError, plain

# YAML 1.2 core schema: what it takes for something else than text
_CORE = re.compile(
    r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)

scalars = st.one_of(
    st.text("0123456789_:.+-", max_size=9),
    st.text("0123456789abcdefxXoObBeE_+-.", max_size=9),
    st.text("nNoOyYeEsStTrRuUfFaAlL~=<", max_size=5),
    st.from_regex(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}Z?)?", fullmatch=True),
)
texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)  # what JSON escapes alike
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.booleans(), st.integers(-(10**18), 10**18), texts, scalars.filter(bool)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


@given(scalars)
@example("1:2:3:4:5:6:7:8")
@example("0x1F")
@example("0_.")
@example(":")
def test_an_unquoted_scalar_that_is_accepted_is_read_alike_by_yaml_1_1_and_1_2(text: str) -> None:
    try:
        found = plain(text)
    except SurpriseError:
        return
    assert bool(_CORE.fullmatch(text)) == (not isinstance(found, str))
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    assert tag == type(found).__name__
    assert isinstance(found, str) or yaml.safe_load(text) == found


@given(st.dictionaries(st.text(min_size=1, max_size=8), values, min_size=1, max_size=4), st.booleans())
def test_what_pyyaml_writes_is_read_back_as_it_was(value: dict[str, Any], flow: bool) -> None:
    """It quotes what YAML 1.1 would misread; what 1.2 alone would misread is refused, not misread."""
    tree = parse(yaml.safe_dump(value, default_flow_style=flow), "f")
    assert tree.mistakes or tree.value == value


@given(values)
def test_what_is_written_as_json_is_read_back_as_it_was(value: Any) -> None:
    text = json.dumps({"a": value}, ensure_ascii=True)
    assert parse(text, "f").value == {"a": value}
    assert parse(text, "f").mistakes == []


@given(st.ip_addresses())
def test_an_address_is_read_as_itself(address: Any) -> None:
    found = address_set(str(address))
    assert (found.kind, found.first, found.last) == (Kind.RANGE, address, address)


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_subnet_is_read_if_nothing_stands_behind_its_prefix(address: Any, prefix: int) -> None:
    prefix = min(prefix, address.max_prefixlen)
    host_bits = address.max_prefixlen - prefix
    start = type(address)(int(address) >> host_bits << host_bits)
    found = address_set(f"{start}/{prefix}")
    assert found.first == start
    assert found.last is not None
    assert int(found.last) - int(start) + 1 == 1 << host_bits


@given(st.text(max_size=40))
def test_any_text_is_a_name_an_address_or_refused(text: str) -> None:
    """Only Complaint, which is a ValueError, comes out."""
    try:
        found = address_set(text)
    except ValueError:
        return
    assert address_set(f"{found.text}." if found.kind is Kind.NAME else found.text) == found
