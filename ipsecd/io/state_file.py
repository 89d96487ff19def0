"""What has to outlive the process, one small text a file: the last good floor, for the unit that loads it at boot
before any network is up, what the policy's DNS names last meant, and who has answered.

A file belongs to whoever its folder belongs to: what root has left there, who has run the daemon by hand, the user that
the service runs as can read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ipsecd.errors import KernelError


class StateFile:
    """One file, which is always either the previous text or the new one, never half of either; but what is appended
    may be there in part if the machine fails meanwhile. ``what`` it holds and what it costs to be without it are said
    in errors."""

    def __init__(self, path: Path, what: str, cost: str) -> None:
        self.path = path
        self._what = what
        self._cost = cost

    def save(self, text: str) -> None:
        """Replace the file; on disk when this returns. Raises KernelError and leaves the previous one."""
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                self._give(handle)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            self._sync_folder()
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise self._not_kept(error) from error

    def append(self, text: str) -> None:
        """Write this behind what is there; on disk when this returns. Raises KernelError, and then any part of it may
        be there."""
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._not_kept(error) from error

    def load(self) -> str | None:
        """What was saved last, or None. Raises KernelError if there is something that can't be read."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except PermissionError as error:
            hint = f"{self._cost}; chown --reference={self.path.parent} {self.path}"
            raise KernelError(f"can't read {self._what} from {self.path}: {error.strerror}", hint) from error
        except (OSError, UnicodeDecodeError) as error:
            raise KernelError(f"can't read {self._what} from {self.path}: {error}", self._cost) from error

    def remove(self) -> None:
        """Nothing is kept from now on."""
        try:
            self.path.unlink(missing_ok=True)
            self._sync_folder()
        except FileNotFoundError:  # nor a folder
            return
        except OSError as error:
            raise KernelError(f"can't remove {self.path}: {error.strerror}", "remove it by hand") from error

    def _not_kept(self, error: OSError) -> KernelError:
        return KernelError(f"can't keep {self._what} in {self.path}: {error.strerror}", self._cost)

    def _give(self, handle: int) -> None:
        """To the owner of the folder; only root can, and not every root."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):
                os.fchown(handle, owner.st_uid, owner.st_gid)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
