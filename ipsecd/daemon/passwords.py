"""Lines of a users file: what ``ipsecd hash-password`` makes of a name and a password."""

from __future__ import annotations

from ipsecd import limits
from ipsecd.crypto.entropy import SystemEntropy
from ipsecd.crypto.scrypt_hash import PasswordHash
from ipsecd.crypto.secret import Secret
from ipsecd.errors import OperatorError


def users_line(user: str | None, password: bytes) -> str:
    """``USER:HASH``, or the hash alone. Raises OperatorError for what would never come in."""
    if user is not None:
        _check_name(user)
    if not password:
        raise OperatorError("an empty password is none")
    if len(password) > limits.MAX_PASSWORD:
        raise OperatorError(f"a password has up to {limits.MAX_PASSWORD} octets")
    secret = Secret(password)
    hashed = PasswordHash.of(secret, SystemEntropy().octets(limits.MIN_SALT))
    secret.wipe()
    return str(hashed) if user is None else f"{user}:{hashed}"


def _check_name(user: str) -> None:
    """What a line of the file would be read back as something else."""
    if not user or user != user.strip() or not user.isprintable() or ":" in user or user.startswith("#"):
        what = "not a user's name: it is printable, without a colon, and begins with neither # nor a blank"
        raise OperatorError(what, "the name is what the client sends by XAUTH")
    if len(user.encode(errors="surrogateescape")) > limits.MAX_USER_NAME:
        raise OperatorError(f"a user's name has up to {limits.MAX_USER_NAME} octets")
