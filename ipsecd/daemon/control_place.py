"""Where the control socket stands: nothing else is ever removed to make room for it."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

from ipsecd import limits
from ipsecd.errors import OperatorError

_ELSEWHERE = "--control names another place"


class Place:
    """A listening socket at a path, of mode 0660 from its first moment on. It takes the place of a socket that nobody
    listens at any more, and of nothing else. ``group`` may connect too. Raises OperatorError."""

    def __init__(self, path: Path, group: int | None) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        before = os.umask(0o117)
        try:
            _make_room(path)
            self.listener.bind(str(path))
            self._identity = _identity(path)
            if group is not None and path.stat().st_gid != group:  # a hardened service may not even call chown
                os.chown(path, -1, group)
            self.listener.listen(limits.CONTROL_CLIENTS)
        except OSError as error:
            self.listener.close()
            raise OperatorError(f"can't listen at {path}: {error.strerror or error}", _ELSEWHERE) from error
        except OperatorError:
            self.listener.close()
            raise
        finally:
            os.umask(before)

    def leave(self) -> None:
        """Remove the socket, if it's still ours that stands there. The listener has to be closed after that."""
        if _identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)


def _make_room(path: Path) -> None:
    """Remove a socket that a daemon now dead has left. Raises OperatorError for whatever else is there, and OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OperatorError(f"{path} is no socket, so it isn't replaced", _ELSEWHERE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:  # a full queue, a socket of another type: somebody is there
            raise OperatorError(f"{path} is in use: {error.strerror}", _ELSEWHERE) from error
        else:
            pid, *_ = struct.unpack("iII", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            raise OperatorError(f"process {pid} listens at {path}", f"stop it, or {_ELSEWHERE}")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells this file from another of the same name; None if it's gone."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
