"""Files that are always either what they were or what they become, never half of either."""

from __future__ import annotations

import contextlib
import os
import tempfile
from errno import EACCES, ENOENT
from pathlib import Path

from ipsecd.cli.program import FAILED, Failure

_FOR_ALL = 0o644


def put(path: Path, text: str, mode: int) -> None:
    """Put a fresh file of this mode there. What has that name is replaced and neither opened nor followed: it may be
    somebody else's file, held open, or a link. Raises Failure."""
    _put(path, text, mode, None)


def rewrite(path: Path, text: str) -> None:
    """Put this text into a file, behind a link if it is one: whose it is and who may read it stays as it was. A new one
    everybody may read. Raises Failure."""
    try:
        path = path.resolve()
        before = path.stat() if path.exists() else None
    except (OSError, RuntimeError) as error:  # pathlib's word for a link that leads to itself is another in 3.13
        raise _failure(path, error) from None
    _put(path, text, before.st_mode & 0o777 if before else _FOR_ALL, before)


def _put(path: Path, text: str, mode: int, owner: os.stat_result | None) -> None:
    fresh = ""
    try:
        descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # O_EXCL, O_NOFOLLOW, 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(fresh).replace(path)
    except OSError as error:
        if fresh:
            with contextlib.suppress(OSError):
                Path(fresh).unlink()
        raise _failure(path, error) from None


def _failure(path: Path, error: Exception) -> Failure:
    if not isinstance(error, OSError):
        return Failure(FAILED, f"can't write {path}: {error}")
    hint = {ENOENT: f"mkdir -p {path.parent} makes the folder", EACCES: "root may"}.get(error.errno or 0, "")
    return Failure(FAILED, f"can't write {path}: {error.strerror}", hint)
