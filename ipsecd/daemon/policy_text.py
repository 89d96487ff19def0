"""The text of a policy file, from the disk."""

from __future__ import annotations

from errno import EACCES
from pathlib import Path

from ipsecd import limits
from ipsecd.errors import ConfigError, Mistake, OperatorError


def read_text(path: Path, hint: str, what: str = "the policy") -> str:
    """The text of a policy file, or of what else it is that messages are to call it. Raises ConfigError if it isn't
    UTF-8, or OperatorError if it can't be read, with this hint unless it is for want of permission."""
    try:
        with path.open("rb") as file:
            octets = file.read(limits.MAX_POLICY_FILE + 1)
    except OSError as error:
        if error.errno == EACCES:
            hint = f"who may, ls -l {path} and its folders say; root may"
        raise OperatorError(f"can't read {what} {path}: {error.strerror}", hint) from None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        column = error.start - octets.rfind(b"\n", 0, error.start)
        message = Mistake(str(path), line, column, "", "isn't UTF-8", "save the file as UTF-8")
        raise ConfigError((message,)) from None
