"""Paths into a policy file, and what of them is never shown.

Below credentials, and where rules name one, somebody may have put the key itself where only its place or its name
belongs: as a value, as a key, as a tag. So nothing from there is repeated but the words of the grammar, and the names
of credentials that are whole.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ipsecd.printable import printable

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "str | int | bool | dict[str, Value] | list[Value]"

CREDENTIAL_KINDS: Final = ("psk", "certificate", "kerberos")
_HOLDERS = frozenset({"credentials", "authentication", "xauth", *CREDENTIAL_KINDS})
_SECTIONS = frozenset({"credentials", "filter_lists", "filter_actions", "policies"})  # of things that have names
PRIVATE_FIELDS: Final = frozenset(
    {
        *CREDENTIAL_KINDS,
        *("file", "systemd", "command", "chain", "key", "authorities", "keytab", "principal"),
        *("user", "password", "users", "hybrid"),
    }
)
_HIDDEN = "…"


def is_private(path: Path) -> bool:
    """Whether the value at this path may be a key."""
    named = path[:1] and path[0] in _SECTIONS
    return any(step in _HOLDERS for index, step in enumerate(path) if not (named and index == 1))


def is_private_key(path: Path, whole: Value) -> bool:
    """Whether the last step of this path is a word that may be a key, in a file of this value."""
    step = path[-1]
    if isinstance(step, int) or step in PRIVATE_FIELDS or not is_private(path[:-1]):
        return False
    return path[:-1] != ("credentials",) or not _is_credential(whole, step)


def dotted(path: Path, whole: Value) -> str:
    """The path as people read it, ``policies.branch.rules.0``, in a file of this value."""
    steps = (_HIDDEN if is_private_key(path[: end + 1], whole) else str(path[end]) for end in range(len(path)))
    return printable(".".join(steps))


def _is_credential(whole: Value, name: str) -> bool:
    credentials = whole.get("credentials") if isinstance(whole, dict) else None
    body = credentials.get(name) if isinstance(credentials, dict) else None
    return isinstance(body, dict) and not body.keys().isdisjoint(CREDENTIAL_KINDS)
