"""Message IDs of an ISAKMP SA: each begins one exchange and no more, so what is recorded and sent again has no effect.

Only the IDs of messages that are proved are remembered, so strangers can't use them up.
"""

from __future__ import annotations

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core


class MessageIds:
    """Those that an ISAKMP SA has had, of all its exchanges behind phase 1 and of both sides."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._used = {0}  # phase 1

    @property
    def exhausted(self) -> bool:
        """The SA has to be replaced."""
        return len(self._used) > limits.MAX_MESSAGE_IDS

    def fresh(self) -> int:
        """One for an exchange of ours."""
        while (id_ := int.from_bytes(self._core.entropy.octets(4), "big")) in self._used:
            pass
        self._used.add(id_)
        return id_

    def check(self, id_: int) -> None:
        """PeerError("message-id-replayed" | "too-many-exchanges") unless the peer may begin one with it."""
        if id_ in self._used:
            raise PeerError("message-id-replayed", "an exchange that is over, or phase 1")
        if self.exhausted:
            raise PeerError("too-many-exchanges", "of one ISAKMP SA")

    def use(self, id_: int) -> None:
        """The peer has proved a message that begins an exchange."""
        self._used.add(id_)
