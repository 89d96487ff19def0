"""Small texts that other programs keep: read as they are at this moment, wherever they may be."""

from __future__ import annotations

import os
from pathlib import Path

from ipsecd import limits
from ipsecd.errors import KernelError


def tail(path: Path) -> str:
    """The end of a file, as much as is worth reading; nothing if there is no such file. Raises KernelError if it can't
    be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limits.MAX_SYSTEM_FILE))
            return file.read(limits.MAX_SYSTEM_FILE).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise KernelError(
            f"can't read {path}: {error.strerror}", f"the user of ipsecd has to be able to read {path}"
        ) from error
