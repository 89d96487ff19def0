"""Passwords as they are kept: what scrypt (RFC 7914) makes of them, in the form that others write, too:
``$scrypt$ln=15,r=8,p=1$SALT$HASH``, in base64 without padding."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from ipsecd import limits
from ipsecd.crypto.secret import Secret, equal

_FORM = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)", re.ASCII)
_HASH_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one hash: ``ln`` is the binary logarithm of scrypt's N. It takes ``memory`` octets."""

    ln: int = 15
    r: int = 8
    p: int = 1

    @property
    def memory(self) -> int:
        return 128 * self.r * ((1 << self.ln) + self.p)

    @property
    def bearable(self) -> bool:
        """Whether it's neither guessed too easily nor more than a gateway can bear for whoever asks."""
        enough = self.ln >= limits.SCRYPT_LEAST and self.r >= 8 and self.p >= 1
        return enough and self.memory * self.p <= limits.SCRYPT_MEMORY


@dataclass(frozen=True, slots=True)
class PasswordHash:
    cost: Cost
    salt: bytes
    octets: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """ValueError with a sentence for what isn't one, or not one that is borne."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("a hash reads $scrypt$ln=15,r=8,p=1$SALT$HASH")
        cost = Cost(*(int(each) for each in found.groups()[:3]))
        if not cost.bearable:
            least, most = limits.SCRYPT_LEAST, limits.SCRYPT_MEMORY >> 20
            raise ValueError(f"its cost isn't between ln={least},r=8,p=1 and {most} MiB of memory and work")
        salt, octets = (_decoded(each) for each in found.groups()[3:])
        if len(salt) < limits.MIN_SALT or len(octets) != _HASH_OCTETS:
            raise ValueError(f"it needs a salt of at least {limits.MIN_SALT} octets and a hash of {_HASH_OCTETS}")
        return cls(cost, salt, octets)

    @classmethod
    def of(cls, password: Secret, salt: bytes, cost: Cost = Cost()) -> PasswordHash:  # is frozen
        """It takes some 0.1 s."""
        return cls(cost, salt, _scrypt(password, salt, cost))

    def __str__(self) -> str:
        cost = f"ln={self.cost.ln},r={self.cost.r},p={self.cost.p}"
        return f"$scrypt${cost}${_encoded(self.salt)}${_encoded(self.octets)}"

    def verify(self, password: Secret) -> bool:
        """In time that depends on the cost and the length of the password alone."""
        return equal(_scrypt(password, self.salt, self.cost), self.octets)


def _scrypt(password: Secret, salt: bytes, cost: Cost) -> bytes:
    most = cost.memory + (1 << 20)  # OpenSSL counts a little more than RFC 7914
    return hashlib.scrypt(
        password.reveal(), salt=salt, n=1 << cost.ln, r=cost.r, p=cost.p, maxmem=most, dklen=_HASH_OCTETS
    )


def _encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("its salt or its hash isn't base64") from error
