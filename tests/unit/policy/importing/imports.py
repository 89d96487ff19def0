"""Imports as tests look at them."""

from __future__ import annotations

from textwrap import dedent

import pytest

from ipsecd.errors import ConfigError
from ipsecd.policy.check import check
from ipsecd.policy.importing.formats import READERS
from ipsecd.policy.importing.imported import Imported
from ipsecd.policy.writing import to_yaml


def imported(reader: str, text: str) -> Imported:
    """What comes of a text, which is indented as the test likes; it passes the check."""
    found = READERS[reader](dedent(text), "f")
    assert check(to_yaml(found.tree), "y").mistakes == ()
    return found


def written(reader: str, text: str) -> str:
    """The policy file that comes of a text."""
    return to_yaml(imported(reader, text).tree)


def remarks(reader: str, text: str) -> list[str]:
    """What is remarked, a line each, without the file's name."""
    return [str(remark).removeprefix("f:") for remark in imported(reader, text).remarks]


def mistakes(reader: str, text: str) -> list[str]:
    """What is wrong with a text, likewise."""
    with pytest.raises(ConfigError) as caught:
        READERS[reader](dedent(text), "f")
    return [str(mistake).removeprefix("f:") for mistake in caught.value.mistakes]
