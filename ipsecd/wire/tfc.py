"""What hides the sizes and the times of packets: traffic flow confidentiality (RFC 4303 sections 2.6 and 2.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipsecd import limits
from ipsecd.errors import LocalError

PATH_MTU: Final = 65_535
"""Padding to as much as the path takes, which is never more than this."""


@dataclass(frozen=True, slots=True)
class Tfc:
    """``padding``: what has fewer octets than this is sent as if it had so many, or as many as the path takes, if that
    is less; 0: each packet as it is. ``dummies`` carry nothing: so many a second, on average. Raises LocalError for
    what is out of bounds."""

    padding: int = 0
    dummies: int = 0

    def __post_init__(self) -> None:
        if self.padding > PATH_MTU or self.dummies > limits.MAX_DUMMIES:
            raise LocalError(f"no such padding, or too many dummies: {self.padding}, {self.dummies}")

    def __bool__(self) -> bool:
        return bool(self.padding or self.dummies)


NO_TFC = Tfc()
