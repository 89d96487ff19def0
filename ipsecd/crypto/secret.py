"""A key that doesn't show itself: no repr, no pickle, wiped on request, compared in constant time."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Octets that must not appear in logs, events, status or exceptions. ``wipe`` overwrites our copy."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray | memoryview) -> None:
        self._octets = bytearray(octets)

    def reveal(self) -> bytes:
        """The octets, for a primitive that needs them now. Don't keep the result."""
        return bytes(self._octets)

    def wipe(self) -> None:
        """Overwrite our copy. What a library copied, or ``reveal`` returned, can't be reached from here."""
        for index in range(len(self._octets)):
            self._octets[index] = 0

    def __len__(self) -> int:
        return len(self._octets)

    def __repr__(self) -> str:
        return f"Secret({len(self._octets)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and equal(self._octets, other._octets)

    def __hash__(self) -> int:
        raise TypeError("a Secret can't be hashed")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


def equal(one: bytes | bytearray | memoryview, two: bytes | bytearray | memoryview) -> bool:
    """Whether two octet strings are the same, in time that depends on their lengths alone."""
    return hmac.compare_digest(one, two)
