"""libreswan in a guest, whose kernel does what pluto negotiates. It is told of the same tunnel as strongSwan.

Debian's package can't be installed beside strongSwan, so its files are in a folder of their own, and the guest has them
in the place of its /usr/libexec, where pluto looks for its other programs.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

from scripts.packages import LIBRESWAN
from tests.interop.kernel import Answer
from tests.interop.kernel_gateway import Gateway
from tests.interop.peer import Peer
from tests.interop.strongswan import Tunnel
from tests.interop.waiting import eventually

PROGRAMS, RUN = "/usr/libexec", "/run/pluto"
PLUTO, WHACK, ADDCONN = (f"{PROGRAMS}/ipsec/{program}" for program in ("pluto", "whack", "addconn"))
NAME = "t"  # of the connection
_WORDS = {  # strongSwan's keywords: pluto's
    "aes128gcm16": "aes_gcm128",
    "aes256gcm16": "aes_gcm256",
    "sha256": "sha2_256",
    "sha384": "sha2_384",
    "sha512": "sha2_512",
    "modp2048": "dh14",
    "modp3072": "dh15",
    "ecp256": "dh19",
    "x25519": "dh31",
}
_GROUPS = ("dh14", "dh15", "dh19", "dh31")


class KernelLibreswan(Peer):
    """A pluto in the guest. ``name`` is that of its folder in the guest's."""

    def __init__(self, gateway: Gateway, name: str, tunnel: Tunnel) -> None:
        super().__init__(gateway.guest.folder / name)
        self._guest, self._tunnel = gateway.guest, tunnel

    def start(self) -> None:
        for name, text in (("ipsec.conf", configuration(self._tunnel)), ("secrets", f': PSK "{self._tunnel.psk}"\n')):
            (self._folder / name).write_text(text)
        database = self._folder / "nss"  # of certificates; it must be there, if empty
        database.mkdir()
        subprocess.run(["certutil", "-N", "-d", f"sql:{database}", "--empty-password"], check=True)
        there = f"mountpoint -q {PROGRAMS} || mount -t hostfs -o {LIBRESWAN}{PROGRAMS} none {PROGRAMS}"
        self._guest.run("sh", "-c", f"{there}; mkdir -p {RUN}")
        options = {"config": "ipsec.conf", "secretsfile": "secrets", "nssdir": "nss", "logfile": "log", "ipsecdir": "."}
        words = [word for option, name in options.items() for word in (f"--{option}", self._folder / name)]
        self._command = self._guest.start(PLUTO, "--nofork", "--rundir", RUN, *words)
        eventually(self._listens, "pluto listens")
        self._guest.run(ADDCONN, "--ctlsocket", f"{RUN}/pluto.ctl", "--config", self._folder / "ipsec.conf", NAME)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if not self._guest.ended(self._command):
            self._guest.end(self._command, number)

    def initiate(self) -> None:
        self._whack("--initiate")

    def terminate(self) -> None:
        self._whack("--terminate")

    def rekey(self, what: str) -> None:
        """By IKEv1 pluto replaces nothing before its time: it has one more child beside the one that there is."""
        words = {"ike": "--rekey-ike", "child": "--rekey-ipsec"}
        # whoever waits for it may wait for the end of what is replaced, which pluto can forget to tell
        self._whack("--initiate" if _by_ikev1(self._tunnel) else words[what], "--asynchronous")

    def log(self) -> str:
        path = self._folder / "log"
        self._guest.run("sync")  # what it has written is in the guest's memory until then
        return path.read_text(errors="replace") if path.exists() else ""

    def _whack(self, *words: str) -> Answer:
        """Have it do something for the connection; raises with what it says if it fails."""
        return self._guest.run(WHACK, "--rundir", RUN, "--name", NAME, *words)

    def _listens(self) -> bool:
        if self._guest.ended(self._command):
            raise RuntimeError(f"pluto ended: {self._guest.said(self._command, 'errors')}{self.log()}")
        return self._guest.run(WHACK, "--rundir", RUN, "--listen", check=False).status == 0


def configuration(tunnel: Tunnel) -> str:
    """The text of its ipsec.conf."""
    setup = {"ikev1-policy": "accept", "dnssec-enable": "no"}
    sections = (("config setup", setup), (f"conn {NAME}", dict(_connection(tunnel))))
    lines = (f"{head}\n" + "".join(f"    {key}={value}\n" for key, value in words.items()) for head, words in sections)
    return "".join(lines)


def _connection(tunnel: Tunnel) -> Iterator[tuple[str, str]]:
    """Nothing expires by itself within a test. There is a route for everything, so no script has to make one."""
    yield "ikev2", "no" if _by_ikev1(tunnel) else "yes"
    yield "auto", "ignore"  # it is added by name
    yield "authby", "secret"
    for side, address, identity, networks in (
        ("left", tunnel.local, tunnel.local_id, tunnel.local_ts),
        ("right", tunnel.remote, tunnel.remote_id, tunnel.remote_ts),
    ):
        yield side, address
        yield f"{side}id", identity if identity[0].isdigit() or ":" in identity else f"@{identity}"
        yield f"{side}updown", "%disabled"
        if networks != ("dynamic",):
            [network] = networks  # an SA of pluto's is for one pair of them
            yield f"{side}subnet", network
    yield "type", str(tunnel.child.get("mode", "tunnel"))
    yield "encapsulation", {"yes": "yes", "no": "auto"}[str(tunnel.connection.get("encap", "yes"))]
    yield "ike", _suite(tunnel.ike, ";")
    ah = tunnel.child.get("ah_proposals")
    yield "phase2", "ah" if ah else "esp"
    suite = _suite(tunnel.esp, "-")
    yield "phase2alg", suite
    yield "pfs", "yes" if suite.endswith(_GROUPS) else "no"


def _by_ikev1(tunnel: Tunnel) -> bool:
    return tunnel.connection.get("version") == 1


def _suite(proposal: str, before_group: str) -> str:
    """One of strongSwan's proposals in pluto's words."""
    words = [_WORDS.get(word, word) for word in proposal.split("-") if word != "esn"]
    groups = [word for word in words if word in _GROUPS]
    others = [word.removeprefix("prf") for word in words if word not in _GROUPS]
    return before_group.join(["-".join(others), *groups])
