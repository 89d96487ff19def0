"""Whose fault it is.

Every error raised inside ipsecd belongs to someone: the peer, the operator, the kernel, or us. The border of
each room catches exactly these; nothing else is expected to cross it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REPORT: Final = "please report this as a bug in ipsecd"  # the next step where only we can be at fault


class IpsecdError(Exception):
    """The parent of all errors; never raised itself."""


class PeerError(IpsecdError):
    """The peer broke a protocol rule.

    ``reason`` is a stable, lower-case, hyphenated word that counters, logs and tests use (``bad-icv``).
    ``notify`` is the IKE notify type (RFC 7296 section 3.10.1) that answers it, or None to stay silent;
    ``data`` is the notify's data.
    """

    def __init__(self, reason: str, detail: str = "", *, notify: int | None = None, data: bytes = b"") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.notify = notify
        self.data = data


class WireError(PeerError):
    """Octets that can't be what they claim to be. ``offset`` counts from the start of the outermost buffer."""

    def __init__(self, reason: str, detail: str = "", *, offset: int = 0, notify: int | None = None) -> None:
        super().__init__(reason, f"{detail} at offset {offset}" if detail else f"at offset {offset}", notify=notify)
        self.offset = offset


class Refused(IpsecdError):
    """Well-formed, but policy says no. ``reason`` and ``notify`` as in PeerError."""

    def __init__(self, reason: str, detail: str = "", *, notify: int | None = None, data: bytes = b"") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.notify = notify
        self.data = data


class LocalError(IpsecdError):
    """Our own misuse of our own code: a bug."""


class OperatorError(IpsecdError):
    """What the operator asked for can't be done. ``hint`` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint


class KernelError(IpsecdError):
    """The kernel said no, or did something else than was asked. ``hint`` says what to do next."""

    def __init__(self, message: str, hint: str = "", *, errno: int | None = None) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a policy file. Lines and columns count from 1; ``path`` reads ``policies.branch.rules.0``."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        what = f"{self.path}: {self.message}" if self.path else self.message
        return where + what + (f" ({self.hint})" if self.hint else "")


class ConfigError(IpsecdError):
    """A policy file that can't be used, with every mistake found in it, in file order."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes

    @property
    def summary(self) -> str:
        """How much is wrong, in a few words."""
        count = len(self.mistakes)
        return "1 mistake in the policy" if count == 1 else f"{count} mistakes in the policy"


class Unsupported(ConfigError):
    """A good policy file whose assigned policy uses what this release doesn't do."""

    @property
    def summary(self) -> str:
        """How much isn't supported, in a few words."""
        count = len(self.mistakes)
        what = "something that isn't" if count == 1 else f"{count} things that aren't"
        return f"the policy uses {what} supported yet"
