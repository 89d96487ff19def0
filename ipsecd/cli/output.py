"""Standard output, for tables."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

_WIDE: Final = 200  # columns where nobody sees the edge: a pipe, a file


def output() -> Console:
    """A console that takes text as it is."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(markup=False, emoji=False, highlight=False, width=width)
