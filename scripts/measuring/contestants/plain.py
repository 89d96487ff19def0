"""No VPN: the gateways route. What the machine, iperf3 and ping can do at most."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from scripts.measuring.contestants.contestant import Contestant, Running
from scripts.measuring.contestants.sides import MTU
from tests.netns.sites import Sites


class Plain(Contestant):
    sites: ClassVar[Mapping[str, Any]] = {"wan_mtu": MTU}
    in_clear = True

    def version(self) -> str:
        return f"Linux {platform.release()}"

    @contextmanager
    def run(self, sites: Sites, folder: Path) -> Iterator[Running]:  # noqa: ARG002  routing needs neither
        yield Running()
