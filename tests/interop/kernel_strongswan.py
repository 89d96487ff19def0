"""strongSwan in a guest, whose kernel does what charon negotiates."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_pair import Told, facing
from tests.interop.pair import Both
from tests.interop.strongswan import CHARON, Charon, Tunnel
from tests.netns.places import GB_LAN

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


@contextlib.contextmanager
def kernel_pair(gateway: Gateway, folder: Path, told: Told) -> Iterator[Both[KernelStrongSwan]]:
    """ipsecd in ga and strongSwan in the guest, as long as this is entered."""
    with facing(gateway, folder, told, KernelStrongSwan(gateway, folder.name, told.tunnel)) as both:
        yield both
