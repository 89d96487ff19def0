"""wireguard-go: Debian's, or a newer one by its path."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scripts.measuring.contestants.contestant import Contestant, Running, first_line
from scripts.measuring.contestants.sides import MTU, A, B, Side
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

PORT = 51_820


class WireguardGo(Contestant):
    def __init__(self, program: str = "") -> None:
        self._program = program or "wireguard-go"
        self.needs = {} if program else {"wireguard-go": "wireguard-go"}

    def version(self) -> str:
        return first_line(self._program, "--version")

    @contextmanager
    def run(self, sites: Sites, folder: Path) -> Iterator[Running]:
        keys = {side.side: X25519PrivateKey.generate() for side in (A, B)}
        yield Running(daemons=[self._daemon(sites, side, folder, keys) for side in (A, B)])

    def _daemon(self, sites: Sites, side: Side, folder: Path, keys: dict[str, X25519PrivateKey]) -> int:
        """It has a /run of its own, as its socket has a fixed name; configured there, it calls at the first packet."""
        shell = f"mount -t tmpfs none /run && LOG_LEVEL=silent exec {shlex.quote(self._program)} -f wg0"
        with (folder / f"output-{side.side}").open("w") as output:
            process = sites.popen(side.place, ["sh", "-c", shell], stdout=output, stderr=subprocess.STDOUT)
        place = Path(f"/proc/{process.pid}/root/run/wireguard/wg0.sock")
        eventually(lambda: process.poll() is not None or place.exists(), "wireguard-go listens")
        private, public = keys[side.side], keys[side.other].public_key()
        words = {"private": private.private_bytes_raw().hex(), "public": public.public_bytes_raw().hex()}
        _tell(place, side.configuration("wireguard.uapi", port=PORT, **words))
        sites.run(side.place, ["ip", "link", "set", "wg0", "mtu", str(MTU), "up"])
        sites.run(side.place, ["ip", "route", "add", side.far, "dev", "wg0"])
        return process.pid


def _tell(place: Path, request: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(place))
        connection.sendall(request.encode())
        answer = b""
        with suppress(TimeoutError):
            while not answer.endswith(b"\n\n"):
                answer += connection.recv(4_096) or b"\n\n"
    if b"errno=0" not in answer:
        raise RuntimeError(f"wireguard-go: {answer.decode()}")
