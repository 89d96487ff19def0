"""Users and what their passwords are held against: a line ``NAME:HASH`` for each, where ``#`` begins a comment line.

All hashes of a table cost the same, and so does a name that isn't in it: how long an answer takes doesn't tell who is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd import limits
from ipsecd.crypto.scrypt_hash import Cost, PasswordHash
from ipsecd.crypto.secret import Secret
from ipsecd.errors import OperatorError

_HINT = "each line reads NAME:$scrypt$ln=15,r=8,p=1$SALT$HASH"
_NOBODY = bytes(32)


class UserTable:
    """OperatorError with the line for the first mistake in ``text``; no part of a hash is in it. ``name`` is what the
    file is called there."""

    def __init__(self, text: str, name: str) -> None:
        self._users: dict[str, PasswordHash] = {}
        for number, user, hashed in _lines(text, name):
            if user in self._users:
                raise OperatorError(f"{name}:{number}: this user is in it twice", "leave one line of each user")
            first = next(iter(self._users.values()), hashed)
            if hashed.cost != first.cost:
                raise OperatorError(
                    f"{name}:{number}: this hash costs something else than the first one",
                    "make all of them with the same ln, r and p, so that the time of an answer tells nothing",
                )
            self._users[user] = hashed
        if len(self._users) > limits.MAX_USERS:
            raise OperatorError(f"{name}: {len(self._users)} users", f"a table has up to {limits.MAX_USERS}")
        cost = next((each.cost for each in self._users.values()), Cost())
        self._nobody = PasswordHash(cost, bytes(limits.MIN_SALT), _NOBODY)

    def __len__(self) -> int:
        return len(self._users)

    def verify(self, user: str, password: Secret) -> bool:
        """Whether it's the password of this user. It takes as long as scrypt does, some 0.1 s: not a thing for a thread
        that has something else to do."""
        known = self._users.get(user)
        right = (known or self._nobody).verify(password)
        return right and known is not None


def _lines(text: str, name: str) -> Iterator[tuple[int, str, PasswordHash]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        user, colon, hashed = line.strip().partition(":")
        if not user or not colon or len(user.encode()) > limits.MAX_USER_NAME:
            raise OperatorError(f"{name}:{number}: not a name of up to {limits.MAX_USER_NAME} octets and a hash", _HINT)
        try:
            yield number, user, PasswordHash.parse(hashed)
        except ValueError as error:
            raise OperatorError(f"{name}:{number}: {error}", _HINT) from None
