"""Who may come in by XAUTH, from a file that nobody else may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.crypto.user_table import UserTable
from ipsecd.daemon.owned_file import File, owner_option, read_owned
from ipsecd.errors import OperatorError


def _how_to_put_it(path: Path) -> str:
    return f"install {owner_option()}-m 600 /dev/null {path}; ipsecd hash-password USER, and its line goes there"


_USERS = File("users file", most=limits.MAX_USERS_FILE, put_it=_how_to_put_it)


@dataclass(frozen=True, slots=True)
class Users:
    """``text`` is what two are compared by."""

    text: Secret
    table: UserTable = field(compare=False)


def read_users(path: Path, users: frozenset[int]) -> Users:
    """``users`` are those of this machine that the file may belong to. Raises OperatorError, with no part of a hash in
    it."""
    octets = read_owned(path, users, _USERS)
    if len(octets) > _USERS.most:
        raise OperatorError(f"the users file {path} has more than {_USERS.most} octets", f"{limits.MAX_USERS} users")
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise OperatorError(f"{path}:{line}: isn't UTF-8", "save the file as UTF-8") from None
    return Users(Secret(octets), UserTable(text, str(path)))
