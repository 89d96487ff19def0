"""Files and folders that nobody else can read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ipsecd.cli.program import FAILED, Failure
from ipsecd.cli.whole_file import put


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is. Raises Failure."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(FAILED, f"can't make the folder {folder}: {error.strerror}") from None


def write_private(path: Path, lines: Iterable[str]) -> None:
    """Put a fresh file of mode 0600 there, instead of whatever has that name. Raises Failure."""
    put(path, "".join(f"{line}\n" for line in lines), 0o600)
