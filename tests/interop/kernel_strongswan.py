"""strongSwan in a guest, whose kernel does what charon negotiates; and ipsecd at the other end."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.interop.ipsecd import Ipsecd
from tests.interop.kernel import Guest
from tests.interop.kernel_gateway import Gateway
from tests.interop.pair import Pair, at_work
from tests.interop.strongswan import CHARON, Charon, Tunnel
from tests.interop.traffic import at_once, received
from tests.netns.places import GA_WAN, GB_LAN, GB_WAN

VICI = (GB_LAN[4], 4502)


class KernelStrongSwan(Charon):
    """A charon in the guest. ``name`` is that of its folder in the guest's."""

    def __init__(self, gateway: Gateway, name: str, tunnel: Tunnel) -> None:
        super().__init__(gateway.guest.folder / name, tunnel)
        self._sites, self._guest = gateway.sites, gateway.guest

    def launch(self, configuration: Path) -> None:
        self._command = self._guest.start("env", f"STRONGSWAN_CONF={configuration}", CHARON)

    def connected(self) -> socket.socket | None:
        if self._guest.ended(self._command):
            raise RuntimeError(f"charon ended: {self._guest.said(self._command, 'errors')}")
        try:  # from behind it, where no policy is in the way
            return self._sites.inside("hb", lambda: socket.create_connection(VICI, 60))
        except ConnectionRefusedError:
            return None

    def settings(self) -> dict[str, Any]:
        plugins = {"vici": {"socket": "tcp://{}:{}".format(*VICI)}}
        return {**super().settings(), "plugins": plugins}

    def log(self) -> str:
        self._guest.run("sync")  # what it has written is in the guest's memory until then
        return super().log()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._guest.end(self._command, number)


@dataclass(frozen=True)
class Told:
    """What both sides are told: ipsecd's files and strongSwan's tunnel. ``hosts``: it is for what the two send each
    other, else for the networks behind them, in these ``versions`` of IP. ``native`` is the IP protocol, ESP or AH,
    that crosses the wire; nothing: ESP in UDP."""

    files: Mapping[str, str]
    tunnel: Tunnel
    versions: tuple[int, ...] = (4,)
    hosts: bool = False
    native: str = ""

    @property
    def guest(self) -> str:
        """Where the guest itself answers."""
        return (GB_WAN if self.hosts else GB_LAN)[self.versions[0]]


class Networks(Pair):
    """The hosts behind both sides are what is protected."""

    def carries(self, version: int = 4, size: int = 56) -> bool:
        return all(
            received(self.sites.run(source, at_once(self.host(target, version), size), check=False).stdout) == 3
            for source, target in ((self.near, self.far), (self.far, self.near))
        )


@dataclass(frozen=True)
class Hosts(Pair):
    """Both sides are themselves what is protected. The far one has no namespace, but the guest."""

    guest: Guest

    def host(self, place: str, version: int = 4) -> str:
        return (GA_WAN if place == self.near else GB_WAN)[version]

    def carries(self, version: int = 4, size: int = 56) -> bool:
        there = self.sites.run(self.near, at_once(self.host(self.far, version), size), check=False).stdout
        back = self.guest.run(*at_once(self.host(self.near, version), size), check=False).output
        return received(there) == received(back) == 3


@contextlib.contextmanager
def kernel_pair(gateway: Gateway, folder: Path, told: Told) -> Iterator[Pair]:
    """ipsecd in ga and strongSwan in the guest, as long as this is entered."""
    ours = Ipsecd(gateway.sites, "ga", folder / "ours", told.files)
    theirs = KernelStrongSwan(gateway, folder.name, told.tunnel)
    near, far = ("ga", "gb") if told.hosts else ("ha", "hb")
    kind: Callable[..., Pair] = partial(Hosts, guest=gateway.guest) if told.hosts else Networks
    with at_work(gateway.sites, ours, theirs, near, far, kind, told.native) as both:
        yield both
