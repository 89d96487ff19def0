"""Text that others chose, and lists of any length, made fit for a log, a terminal or a table."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecd import limits


def printable(text: str, limit: int = limits.LOGGED_TEXT) -> str:
    """The text with each character that could move a cursor, end a line or turn the writing direction shown as an
    escape (``\\x1b``, ``\\u202e``), cut to ``limit`` characters. Applying it twice changes nothing more."""
    if len(text) > limit:
        text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(text: str, limit: int = limits.LOGGED_TEXT) -> str:
    """The text between quotation marks, escaped once."""
    shown = printable(text, limit)
    mark = '"' if "'" in shown else "'"
    return f"{mark}{shown}{mark}"


def first_of(names: Sequence[str], shown: int) -> str:
    """The first few, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
