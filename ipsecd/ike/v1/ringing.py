"""A call by IKEv1, as it counts for who is silent and who has been heard (``silence.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ipsecd.ike.config import Path, Peer, Version

if TYPE_CHECKING:
    from ipsecd.ike.v1.party import Party


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Ringing:
    version: ClassVar[Version] = Version.IKEV1

    party: Party
    spi: bytes  # our cookie
    begun: float

    @property
    def connecting(self) -> bool:
        """Whether it's under way."""
        return self.party.ringing is self and self.party.association.calls.calling

    @property
    def path(self) -> Path:
        return self.party.calling.path

    @property
    def peers(self) -> tuple[Peer, ...]:
        return self.party.peers
