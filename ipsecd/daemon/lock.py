"""One daemon for each state folder, and so for each floor."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ipsecd.errors import OperatorError


class Lock:
    """Held from construction until ``close``, or until the process is gone, however it goes."""

    def __init__(self, path: Path) -> None:
        """Raises OperatorError if another daemon holds it, or if the file can't be made."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise OperatorError(f"can't open the lock {path}: {error.strerror}", "is ipsecd run as root?") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            message = f"another ipsecd, process {holder}, holds {path}"
            raise OperatorError(message, "stop it, or give this one another --state-dir") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)
