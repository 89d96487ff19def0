"""The text of a policy file, from the disk."""

from __future__ import annotations

from pathlib import Path

from ipsecd import limits
from ipsecd.errors import ConfigError, Mistake, OperatorError


def read_text(path: Path, hint: str = "") -> str:
    """The text of a policy file. Raises ConfigError if it isn't UTF-8, or OperatorError, with this hint, if it can't be
    read."""
    try:
        with path.open("rb") as file:
            octets = file.read(limits.MAX_POLICY_FILE + 1)
    except OSError as error:
        raise OperatorError(f"can't read the policy {path}: {error.strerror}", hint) from None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        column = error.start - octets.rfind(b"\n", 0, error.start)
        message = Mistake(str(path), line, column, "", "isn't UTF-8", "save the file as UTF-8")
        raise ConfigError((message,)) from None
