"""Files that what we believe or keep secret depends on: nobody else may be able to read, replace or redirect them."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ipsecd import limits
from ipsecd.errors import OperatorError


def _copy_it(path: Path) -> str:
    return f"install {owner_option()}-m 600 FILE {path}"


@dataclass(frozen=True, slots=True)
class File:
    """``what`` people call it. ``private``: others may not read it either. ``put_it`` says how one that is missing
    comes to its place."""

    what: str
    private: bool = True
    most: int = limits.CREDENTIAL_OCTETS
    put_it: Callable[[Path], str] = _copy_it


def read_owned(path: Path, users: frozenset[int], file: File) -> bytes:
    """What is in a file that belongs to one of ``users``, or one octet more than is accepted.

    Raises OperatorError. What is checked is the file that was opened, so it can't be exchanged in between.
    """
    check_way(path, users)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _not_opened(path, file, error) from None
    try:
        _check(path, file, os.fstat(descriptor), users)
        return read_some(descriptor, file.most)
    finally:
        os.close(descriptor)


def read_some(descriptor: int, most: int) -> bytes:
    """All there is to read, or one octet more than is accepted."""
    octets = b""
    while len(octets) <= most:
        more = os.read(descriptor, most + 1 - len(octets))
        if not more:
            break
        octets += more
    return octets


def _check(path: Path, file: File, status: os.stat_result, users: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OperatorError(f"the {file.what} {path} isn't a regular file")
    if status.st_uid not in users:
        message = f"the {file.what} {path} belongs to user {_user(status.st_uid)}, and ipsecd runs as {_user()}"
        raise OperatorError(message, f"chown {_user()} {path}")
    mode = stat.S_IMODE(status.st_mode)
    if file.private and mode & 0o077:
        raise OperatorError(f"the {file.what} {path} is open to others (mode {mode:04o})", f"chmod 600 {path}")
    if mode & 0o022:
        raise OperatorError(f"others may write to the {file.what} {path} (mode {mode:04o})", f"chmod go-w {path}")


def check_way(path: Path, users: frozenset[int]) -> None:
    """Nobody else may be able to put another file in this one's place: not in its folder, nor in those above it."""
    for folder in (
        path.resolve().parents if path.is_symlink() else (path.parent.resolve(), *path.parent.resolve().parents)
    ):
        try:
            status = folder.stat()
        except FileNotFoundError:  # nor is the file there: whoever opens it will say so
            continue
        except OSError as error:
            raise OperatorError(f"{folder}: {error.strerror}") from None
        if status.st_uid not in users:
            owner = _user(status.st_uid)
            message = f"{path} can be exchanged by user {owner}, whose folder {folder} is; ipsecd runs as {_user()}"
            raise OperatorError(message, f"run ipsecd as {owner}, or chown {_user()} {folder}")
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            message = f"{path} can be exchanged by others: they may write to {folder}"
            raise OperatorError(message, f"chmod go-w {folder}")


def _not_opened(path: Path, file: File, error: OSError) -> OperatorError:
    match error.errno:
        case errno.ENOENT:
            return OperatorError(f"the {file.what} {path} doesn't exist", file.put_it(path))
        case errno.ELOOP:
            return OperatorError(f"the {file.what} {path} is a symbolic link", "name the file it leads to")
        case errno.EACCES:
            hint = f"chown {_user()} {path}, and see that {_user()} may enter its folder"
            return OperatorError(f"ipsecd may not read the {file.what} {path}", hint)
        case _:
            return OperatorError(f"the {file.what} {path} can't be opened: {error.strerror}")


def owner_option() -> str:
    """What makes ``install`` give a file to the user of this process."""
    return f"-o {_user()} " if os.geteuid() else ""


def _user(number: int | None = None) -> str:
    """The name of a user; of that of this process without a number."""
    number = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # it has no name, as happens in containers
        return str(number)
