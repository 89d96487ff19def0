"""One elementary operation that we initiate: build a request, then process its response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ipsecd import limits
from ipsecd.ike.exchange import Admitted, Row
from ipsecd.wire.payloads import AnyPayload

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class Task(ABC):
    """Tasks of an IKE SA wait in its queue and are carried out one at a time; a rekey hands those left to the heir.

    ``response`` is the row of the answer. ``on_child`` and ``on_ike`` say what it makes or ends, which decides
    collisions (RFC 7296 section 2.25).
    """

    response: ClassVar[Row]
    tries: ClassVar[int] = limits.RETRANSMIT_TRIES
    on_child: ClassVar[bool] = False
    on_ike: ClassVar[bool] = False
    makes: str | None = None  # the identifier of the child it is to make an SA of

    @abstractmethod
    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        """The request; None if there is nothing left to do."""

    @abstractmethod
    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """The response came. PeerError if what it says can't be."""

    def elsewhere(self) -> Task | None:
        """What is left to do on the IKE SA that takes the place of this one."""
        return self

    def abandon(self, sa: IkeSa, reason: str) -> None:  # noqa: B027  # most tasks leave nothing behind
        """The task won't be carried out, or its response won't come; ``reason`` is plain words."""
