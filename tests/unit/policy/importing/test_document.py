"""docs/import.md shows what an import comes to."""

from __future__ import annotations

import re

from ipsecd.policy.importing.formats import READERS, format_of
from tests.unit.policy.importing.imports import remarks, written
from tests.unit.policy.reference import ROOT

DOCUMENT = (ROOT / "docs" / "import.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(text)


def test_the_example_becomes_what_is_shown() -> None:
    assert format_of(block("bat")) == "netsh"
    assert written("netsh", block("bat")) == block("yaml")


def test_the_remarks_of_the_example_are_those_that_are_named() -> None:
    said = "\n".join(remarks("netsh", block("bat")))
    assert "5:119: the pre-shared key isn't carried over: write it into secrets/hq.psk" in said
    assert "6:34: joined with the rule of line 5" in said
    assert "offers what is obsolete: 3des" in said
    assert "(the key)" not in said


def test_every_format_is_named() -> None:
    assert {word for word in re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE) if word in {"auto", *READERS}} == {
        "auto",
        *READERS,
    }
