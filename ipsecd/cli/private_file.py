"""Files and folders that nobody else can read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ipsecd.cli.program import FAILED, Failure


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is. Raises Failure."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(FAILED, f"can't make the folder {folder}: {error.strerror}") from None


def write_private(path: Path, lines: Iterable[str]) -> None:
    """Put a fresh file of mode 0600 there. What has that name is replaced and neither opened nor followed: it may be
    somebody else's file, held open, or a link. Raises Failure."""
    fresh = ""
    try:
        descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # O_EXCL, O_NOFOLLOW, 0600
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        Path(fresh).replace(path)
    except OSError as error:
        if fresh:
            with contextlib.suppress(OSError):
                Path(fresh).unlink()
        raise Failure(FAILED, f"can't write {path}: {error.strerror}") from None
