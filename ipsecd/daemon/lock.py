"""One daemon for each network namespace, whose tables, rules and routes it keeps, and one for each state folder, where
the floor of one namespace is kept. They go together as a rule, but neither is the other."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from ipsecd.errors import OperatorError

_NAME = "\0ipsecd"
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


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


class NamespaceLock:
    """Held from construction until ``close``, or until the process is gone, however it goes.

    It is the name of an abstract socket, since such names are those of a network namespace, whatever files its
    processes see. Anybody there can take the name first, as anybody can take UDP port 4500: then no daemon starts, and
    the floor stands.
    """

    def __init__(self, name: str = _NAME) -> None:
        """Raises OperatorError if another daemon holds it."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(name)
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise OperatorError(f"can't lock this network namespace: {error.strerror}") from error
            message = f"another ipsecd, process {_holder(name)}, runs in this network namespace"
            raise OperatorError(message, "stop it first; ipsecctl talks to one that runs") from None

    def close(self) -> None:
        self._socket.close()


class FolderLock:
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
            hint = "it runs in another network namespace: give this one another --state-dir"
            raise OperatorError(message, hint) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only daemon of this network namespace, and of the folder of ``path``. Raises OperatorError."""
    with contextlib.closing(NamespaceLock()), contextlib.closing(FolderLock(path)):
        yield


def _holder(name: str) -> str:
    """The process that holds a name, as far as it can be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(name)
            process, _, _ = _CREDENTIALS.unpack(
                asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
        except OSError:
            return "unknown"
    return str(process)
