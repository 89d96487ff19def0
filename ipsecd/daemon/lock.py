"""One daemon for each state folder, and so for each floor; and the folders it needs."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ipsecd.errors import OperatorError


def make_folder(folder: Path, mode: int) -> None:
    """A folder of this mode, and those missing above it; what is there stays as it is. Raises OperatorError."""
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            each.chmod(mode)  # whatever the umask
    except OSError as error:
        message = f"can't make the folder {error.filename}: {error.strerror}"
        raise OperatorError(message, "is ipsecd run as root?") from error


class Lock:
    """Held from construction until ``close``, or until the process is gone, however it goes."""

    def __init__(self, path: Path) -> None:
        """Makes the folder too. Raises OperatorError if another daemon holds the lock, or if it can't be made."""
        make_folder(path.parent, 0o700)
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
