"""ipsecd, with one security method."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import ipsecd
from scripts.measuring.contestants.contestant import Contestant, Running
from scripts.measuring.contestants.sides import A, B, Side
from tests.interop.ipsecd import Ipsecd as Daemon
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

IKE, CHILD = "peer:measured", "measured/1"  # what `ipsecctl` calls them


class Ipsecd(Contestant):
    """It takes packets that have a way, and lets none of them go in clear: default routes may stand."""

    sites: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, method: str, encapsulation: str = "udp", *, in_clear: bool = False) -> None:
        """``method`` is what a policy says about it."""
        self.in_clear = in_clear
        self._words = {"method": method, "encapsulation": encapsulation}

    def version(self) -> str:
        command = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(command, text=True, capture_output=True, check=False).stdout.strip()
        return f"ipsecd {ipsecd.__version__} {commit}".strip()

    @contextmanager
    def run(self, sites: Sites, folder: Path) -> Iterator[Running]:
        key = secrets.token_urlsafe(32)
        with self._daemon(sites, B, folder, key) as b, self._daemon(sites, A, folder, key) as a:
            for daemon in (a, b):
                daemon.ask("log-level", level="error")
            yield Running(daemons=[a.pid, b.pid], renew=lambda: _renew(a), ask=b.asking)

    def _daemon(self, sites: Sites, side: Side, folder: Path, key: str) -> Daemon:
        return Daemon(sites, side.place, folder / side.side, {"policy.yaml": self.policy(side), "peer.psk": key})

    def policy(self, side: Side) -> str:
        """The policy file of this side."""
        return side.configuration("ipsecd.yaml", **self._words)


def _renew(daemon: Daemon) -> None:
    daemon.ask("down", name=IKE)
    eventually(lambda: not daemon.children(), "the child SA is gone")
    daemon.ask("up", name=CHILD)
    eventually(daemon.children, "the child SA is up")
