"""Peer-chosen text can't forge log lines or terminal output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.printable import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gw.hq.example", "gw.hq.example"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil", "\\u202eevil"),
        ("\x00", "\\x00"),
        ("\ud800", "\\ud800"),
        ("Zürich", "Zürich"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * 5_000) == "x" * 255 + "…"
    assert printable("x" * 256) == "x" * 256


@pytest.mark.parametrize(
    ("text", "shown"),
    [("hq", "'hq'"), ("a\x1b[31mb", "'a\\x1b[31mb'"), ("it's", '"it\'s"'), ("back\\slash", "'back\\slash'")],
)
def test_quoted_text_is_escaped_once(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.text())
def test_the_result_is_printable_bounded_and_stable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= limits.LOGGED_TEXT
    assert printable(shown) == shown
