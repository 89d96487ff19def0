"""docs/policy.md and ipsecd.policy(5) say what the schema says, and their examples work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ipsecd.policy.check import check
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS
from ipsecd.policy.proposals import NOT_YET
from tests.unit.policy.reference import DOCUMENTS, ROOT, SCHEMA, fields, kind, listed, marked, renewed

EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for number, text in enumerate(EXAMPLE.findall(document.read_text()), start=1):
            yield f"{document.name} {number}", text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_schema(document: Path) -> None:
    """If not: python -m tests.unit.policy.reference"""
    text = document.read_text()
    assert renewed(text, manual=document.name.endswith(".5.md")) == text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_part_of_the_schema_is_listed(document: Path) -> None:
    assert marked(document.read_text()) == {"File", *SCHEMA["$defs"]}


@pytest.mark.parametrize(("name", "text"), list(examples()), ids=[name for name, _ in examples()])
def test_an_example_has_no_mistakes(name: str, text: str) -> None:
    verdict = check(text, name)
    assert [str(mistake) for mistake in verdict.mistakes] == []
    assert verdict.refused == ()


def test_the_example_of_the_readme_works() -> None:
    [text] = re.findall(
        r"^    # /etc/ipsecd/policy.yaml\n(?:    .*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    verdict = check(dedent(text), "README.md")
    assert (verdict.mistakes, verdict.refused, verdict.notes) == ((), (), ())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_built_in_is_named(document: Path) -> None:
    text = document.read_text()
    assert [name for name in (*FILTER_LISTS, *FILTER_ACTIONS, *NOT_YET) if name not in text] == []


def test_a_table_row_shows_what_a_field_takes_and_its_default() -> None:
    """The tables are made by a program; these lines are what it should make."""
    rows = fields("Tunnel").splitlines() + fields("Rule").splitlines() + fields("Settings").splitlines()
    for row in (
        "| `name` | name | required | Unique in its policy; logs and `ipsecctl` call the rule so. |",
        "| `remote_port` | 1 to 65535 | `500` | The UDP port at which the peer listens for IKE. |",
        "| `filters` | list of [Filter](#filter) |  | The traffic; or else `filter_list`. |",
        "| `mask` | 1 to 4294967295 | `0x7000000` | The bits of the packet mark that ipsecd uses. |",
    ):
        assert row in rows
    assert "**remote_port**\n:   The UDP port at which the peer listens for IKE. (1 to 65535; default `500`)" in listed(
        "Tunnel"
    )


def test_kinds_are_said_in_words() -> None:
    schema = SCHEMA["$defs"]
    assert kind(schema["Filter"]["properties"]["protocol"], linked=True) == "protocol name or 0 to 255"
    assert kind(schema["Esp"]["properties"]["encryption"], linked=True) == (
        "encryption keyword or list of encryption keyword"
    )
    assert kind(schema["FilterAction"]["properties"]["fallback_to_clear"], linked=False) == (
        "`true`, `false` or FallbackToClear"
    )
    assert kind(schema["FilterAction"]["properties"]["security_methods"], linked=False) == (
        "list of SecurityMethod, 32 at most"
    )
