"""What a request is answered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd.wire.payloads import AnyPayload


@dataclass(frozen=True, slots=True)
class Reply:
    """The response's payloads, and what happens once it has left."""

    payloads: tuple[AnyPayload, ...] = ()
    then: Callable[[], None] | None = None
