"""What is measured: two gateways that carry traffic between their networks, in one way or another."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.netns.sites import Sites


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Running:
    """Both gateways at work, and nothing negotiated yet."""

    call: Callable[[], None] = _nothing  # what makes side a call; nothing if the first packet does
    daemons: list[int] = field(default_factory=list)  # their process ids, after the call: a's, then b's
    renew: Callable[[], None] | None = None  # end the IKE SA and make another, called by side a
    ask: Callable[[], AbstractContextManager[Callable[[], object]]] | None = None  # what b's control process answers


class Contestant(ABC):
    """``needs`` are programs and their Debian packages, ``sites`` the options of the Sites it wants besides those that
    are measured. A VPN that only adds routes gets no default ones, so that nothing goes in clear before it is there."""

    needs: Mapping[str, str] = {}
    sites: ClassVar[Mapping[str, Any]] = {"default_routes": False}
    in_clear: bool = False

    @abstractmethod
    def version(self) -> str:
        """What its program calls itself."""

    @abstractmethod
    def run(self, sites: Sites, folder: Path) -> AbstractContextManager[Running]:
        """Start both gateways; ``folder`` is empty and its own."""


def first_line(*command: str | Path) -> str:
    """What a program says first when asked for its version; some fail all the same."""
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
