"""strongSwan as a peer: Debian's charon in a gateway's namespace, spoken to over vici.

The reference machine's kernel has no ESP, so charon carries packets itself, by its kernel-libipsec plugin: tunnel mode,
always in UDP, at most 1,400 octets inside. It needs a /run of its own, because its pid file has a fixed name. One on a
kernel that has ESP is in ``kernel_strongswan.py``.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vici

from tests.interop.peer import Peer
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

CHARON = "/usr/lib/ipsec/charon"
# bypass-lan isn't among them: it exempts every directly connected network, which is all there is here. The first
# plugin to offer an algorithm provides it: openssl stands before the portable ones.
PLUGINS = (
    "openssl random nonce aes md5 sha1 sha2 hmac xcbc cmac kdf gmp curve25519 chapoly ctr gcm ccm drbg "
    "pkcs1 pem x509 kernel-netlink socket-default vici xauth-generic"
)
Tree = Mapping[str, "str | int | Sequence[str] | Tree"]


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """What charon has beside a tunnel's pre-shared key. ``key`` is a private key of RSA in DER; ``authorities`` are
    certificates in DER of those that stand between its own certificate and one that the peer trusts. ``users`` are
    those of XAUTH with their passwords, a client's own or all of a gateway's; ``pools`` are in vici's terms."""

    key: bytes = b""
    authorities: tuple[bytes, ...] = ()
    users: Mapping[str, str] = field(default_factory=dict)
    pools: Tree = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """One connection ``t`` with one child ``c``, in swanctl's terms and with its proposal keywords."""

    local: str
    remote: str
    local_id: str
    remote_id: str
    psk: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    ike: str = "aes128gcm16-prfsha256-x25519"
    esp: str = "aes128gcm16-x25519"
    connection: Tree = field(default_factory=dict)  # more, or other, settings of the connection
    child: Tree = field(default_factory=dict)
    wallet: Wallet = field(default_factory=Wallet)

    def tree(self) -> dict[str, Any]:
        """The message of vici's load-conn. Nothing expires by itself unless a test wants it to."""
        child = {
            "local_ts": list(self.local_ts),
            "remote_ts": list(self.remote_ts),
            "esp_proposals": [self.esp],
            "rekey_time": "0",
        }
        return {
            "t": {
                "version": 2,
                "local_addrs": [self.local],
                "remote_addrs": [self.remote],
                "proposals": [self.ike],
                "mobike": "no",
                "encap": "yes",
                "rekey_time": "0",
                "local": {"auth": "psk", "id": self.local_id},
                "remote": {"auth": "psk", "id": self.remote_id},
                **self.connection,
                "children": {"c": child | dict(self.child)},
            }
        }


class Charon(Peer):
    """A charon, told of one tunnel."""

    def __init__(self, folder: Path, tunnel: Tunnel) -> None:
        super().__init__(folder)
        self._tunnel = tunnel

    def start(self) -> None:
        """Start charon and load the tunnel."""
        configuration = self._folder / "strongswan.conf"
        configuration.write_text(render({"charon": self.settings()}))
        self.launch(configuration)
        connection = eventually(self.connected, "charon listens at its vici socket")
        self._session = vici.Session(connection)
        self._load()

    def tell(self, tunnel: Tunnel) -> None:
        """From now on it has this tunnel, and no other."""
        self._session.unload_conn({"name": "t"})
        for pool in self._tunnel.wallet.pools:
            self._session.unload_pool({"name": pool})
        self._session.clear_creds()
        self._tunnel = tunnel
        self._load()

    def _load(self) -> None:
        tunnel, wallet = self._tunnel, self._tunnel.wallet
        if tunnel.psk:
            identities = [tunnel.local_id, tunnel.remote_id]
            self._session.load_shared({"type": "IKE", "data": tunnel.psk, "owners": identities})
        for user, password in wallet.users.items():
            self._session.load_shared({"type": "XAUTH", "data": password, "owners": [user]})
        if wallet.key:
            self._session.load_key({"type": "rsa", "data": wallet.key})
        for authority in wallet.authorities:
            self._session.load_cert({"type": "X509", "flag": "CA", "data": authority})
        for name, pool in wallet.pools.items():
            self._session.load_pool({name: pool})
        self._session.load_conn(tunnel.tree())

    @abstractmethod
    def launch(self, configuration: Path) -> None:
        """Start it with this strongswan.conf."""

    @abstractmethod
    def connected(self) -> socket.socket | None:
        """A connection to its vici socket, if it listens already. Raises RuntimeError if it has ended."""

    def settings(self) -> dict[str, Any]:
        """Of charon's section in strongswan.conf."""
        log = {"path": str(self._folder / "log"), "flush_line": "yes", "default": 1, "ike": 2}
        return {"load": PLUGINS, "retransmit_timeout": "1.0", "filelog": {"log": log}}

    def initiate(self, *, wait: bool = True) -> None:
        """Set up the tunnel; raises vici's CommandException with charon's reason, unless nobody waits for it."""
        _exhaust(self._session.initiate({"child": "c", "ike": "t", "timeout": 20_000 if wait else -1}))

    def terminate(self, what: str = "ike") -> None:
        """Delete the IKE SA (``ike``) or only the child (``child``)."""
        _exhaust(self._session.terminate({what: {"ike": "t", "child": "c"}[what], "timeout": 20_000}))

    def rekey(self, what: str) -> None:
        self._session.rekey({what: {"ike": "t", "child": "c"}[what]})

    def forget(self) -> None:
        """Delete every SA there is, whatever becomes of it."""
        if self.all_sas():
            _exhaust(self._session.terminate({"ike": "t", "force": "yes", "timeout": 20_000}))

    def all_sas(self) -> list[dict[str, Any]]:
        """The IKE SAs, those too that are coming or going, with their ``child-sas``, as vici tells them, in text."""
        return [_text(sa) for event in self._session.list_sas() for sa in event.values()]

    def sas(self) -> list[dict[str, Any]]:
        """The established ones."""
        return [sa for sa in self.all_sas() if sa["state"] == "ESTABLISHED"]

    def children(self) -> list[dict[str, Any]]:
        """The child SAs that carry traffic."""
        children = [child for sa in self.sas() for child in sa["child-sas"].values()]
        return [child for child in children if child["state"] == "INSTALLED"]

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


class StrongSwan(Charon):
    """A charon in namespace ``place``; ``charon`` adds to strongswan.conf's section, or replaces what is there."""

    def __init__(self, sites: Sites, place: str, folder: Path, tunnel: Tunnel, charon: Tree | None = None) -> None:
        super().__init__(folder, tunnel)
        self._sites, self._place, self._charon = sites, place, dict(charon or {})
        self._vici = folder / "vici"

    @property
    def pid(self) -> int:
        return self._process.pid

    def launch(self, configuration: Path) -> None:
        self._vici.unlink(missing_ok=True)
        shell = f"mount -t tmpfs none /run && STRONGSWAN_CONF={configuration} exec {CHARON}"
        output = (self._folder / "output").open("w")
        self._process = self._sites.popen(self._place, ["sh", "-c", shell], stdout=output, stderr=subprocess.STDOUT)

    def connected(self) -> socket.socket | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"charon ended: {(self._folder / 'output').read_text()}")
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._vici))
        except OSError:
            connection.close()
            return None
        connection.settimeout(60)
        return connection

    def settings(self) -> dict[str, Any]:
        plugins = {"vici": {"socket": f"unix://{self._vici}"}}
        return {**super().settings(), "load": f"kernel-libipsec {PLUGINS}", "plugins": plugins, **self._charon}

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def render(tree: Tree, depth: int = 0) -> str:
    """The text of a strongswan.conf."""
    indent = "  " * depth
    lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key} {{", render(value, depth + 1), f"{indent}}}"]
        else:
            lines.append(f"{indent}{key} = {value}")
    return "\n".join(lines)


def _exhaust(stream: Any) -> None:
    for _ in stream:
        pass


def _text(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode()
        case list():
            return [_text(item) for item in value]
        case dict():
            return {key: _text(item) for key, item in value.items()}
    return value
