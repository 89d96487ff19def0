"""Where an IKE SA stands between its first message and its last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class Stage(Enum):
    CONNECTING = "connecting"  # we began it and don't know yet who answers
    HALF_OPEN = "half-open"  # we answered IKE_SA_INIT and don't know yet who asked
    SPARE = "spare"  # made by a rekey: the heir, or one too many, which its maker deletes
    ESTABLISHED = "established"
    REPLACED = "replaced"  # its heir has the children; a Delete ends it
    CLOSING = "closing"  # our Delete is queued or on its way
    GONE = "gone"  # repeats of the last request are still answered for a while


@dataclass(slots=True)
class Rival:
    """The heir that the peer made of an IKE SA while our own rekey of it was under way (RFC 7296 section 2.8.2)."""

    sa: IkeSa
    lowest_nonce: bytes

    @property
    def stands(self) -> bool:
        """Whether its maker hasn't deleted it by now."""
        return self.sa.stage is Stage.SPARE
