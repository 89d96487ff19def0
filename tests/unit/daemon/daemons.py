"""Whole daemons in this process: all of ipsecd but the kernel, the sockets and the signals, which are stood in for.

::

    async with Daemon(tmp_path / "a", policy_text) as a:      # what `ipsecd run` does, until the block ends
        await a.ctl("status")                                 # what `ipsecctl status` does

Daemons that share a ``Network`` exchange datagrams by their addresses; nothing waits for real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock

import structlog
from click.testing import CliRunner, Result

from ipsecd import limits
from ipsecd.cli import ipsecctl
from ipsecd.daemon import app as app_module
from ipsecd.daemon import commands as commands_module
from ipsecd.daemon import force as force_module
from ipsecd.daemon import ground as ground_module
from ipsecd.daemon import lock as lock_module
from ipsecd.daemon import protection as protection_module
from ipsecd.daemon.app import App
from ipsecd.daemon.commands import Commands
from ipsecd.daemon.log import Log, use
from ipsecd.daemon.log_sinks import Line
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.daemon.options import Options
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.systemd import Systemd
from ipsecd.dataplane.results import Out, OutRun
from ipsecd.errors import KernelError
from ipsecd.io.nftables import Element
from ipsecd.io.state_file import StateFile
from ipsecd.io.tun import NOTHING_LEFT, TunRead
from ipsecd.io.udp import Received
from ipsecd.wire.selector import Address
from ipsecd.wire.udpencap import NON_ESP_MARKER

KEY = "correct horse battery staple"
PATIENCE = 30  # seconds; only ends a wait for what never comes
_whose: contextvars.ContextVar[Daemon] = contextvars.ContextVar("whose turn it is")


def policy(*rules: str, here: str = "192.0.2.1", there: str = "192.0.2.2", **more: str) -> str:
    """A policy file of rules in YAML's flow form; without one, rule ``site`` between 10.1.0.0/16 and 10.2.0.0/16.
    ``more`` are lines of the policy."""
    shown = "".join(f"      - {each}\n" for each in rules or (rule(here=here, there=there),))
    lines = "".join(f"    {name}: {value}\n" for name, value in more.items())
    return (
        "assigned: sites\n"
        "credentials: {peer: {psk: {file: peer.psk}}}\n"
        "policies:\n"
        f"  sites:\n{lines}"
        f"    rules:\n{shown}"
    )


def rule(
    name: str = "site",
    near: str | tuple[str, ...] = "10.1.0.0/16",
    *far: str,
    here: str = "192.0.2.1",
    there: str = "192.0.2.2",
    psk: str = "peer",
    action: str = "require-security",
    **more: str,
) -> str:
    """One protecting rule in YAML's flow form, with a filter for each pair of ``near`` and ``far``."""
    pairs = itertools.product((near,) if isinstance(near, str) else near, far or ("10.2.0.0/16",))
    filters = ", ".join(f"{{source: {source}, destination: {destination}}}" for source, destination in pairs)
    words = [
        f"name: {name}",
        f"filters: [{filters}]",
        f"action: {action}",
        f"tunnel: {{local: {here}, remote: {there}}}",
        f"authentication: [{{psk: {psk}}}]",
        *(f"{key}: {value}" for key, value in more.items()),
    ]
    return "{" + ", ".join(words) + "}"


class Lines:
    """Keeps what is logged, in the place of the thread that would write it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.dropped = 0

    def put(self, line: Line) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


class Manager(Systemd):
    """The service manager, as far as it waits for the daemon to be ready."""

    def __init__(self) -> None:
        super().__init__({}, 1)
        self.told = asyncio.Event()

    def ready(self, status: str) -> None:
        self.told.set()


class Everybody:
    """The log of this process: that of the daemon whose turn it is."""

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        _whose.get().log.emit(level, event, fields)


class Table:
    """The nftables table: ``there`` is what the kernel has, ``text`` what this daemon has put there; ``counted`` are
    its counters, or why they can't be read."""

    def __init__(self) -> None:
        self.text = self.there = ""
        self.replaced = 0
        self.counted: dict[str, int] | KernelError = {}

    async def replace(self, text: str) -> None:
        self.text = self.there = text
        self.replaced += 1

    async def exists(self) -> bool:
        return bool(self.there)

    async def remove(self) -> None:
        self.text = self.there = ""

    async def counters(self) -> dict[str, int]:
        if isinstance(self.counted, KernelError):
            raise self.counted
        return self.counted


class Kernel:
    """What the daemon has put into the kernel, as far as a test wants to know. ``refuses`` makes the next floor, or
    the removal, fail."""

    def __init__(self, settings: Any, table: Table, store: StateFile) -> None:
        self.settings = settings
        self.tun: Tun | None = None
        self.floor = self.kept = ""
        self._table = table
        self._store = store
        self.refuses: dict[str, KernelError] = {}
        self.lowered = False
        self.lowering: asyncio.Event | None = None  # set once the removal has begun, which then never ends
        self.arrived: list[bytes] = []  # what came out of the tunnel
        self.restored = 0
        self.found: tuple[str, ...] = ()  # problems
        self.exceptions: Callable[[], tuple[Element, ...]] = tuple
        self.passing: dict[str, float] = {}  # seconds for which an address passes the floor

    async def check_name(self) -> None:
        pass

    async def raise_floor(self, text: str, added: str = "", kept: str = "") -> None:
        if error := self.refuses.pop("floor", None):
            raise error
        await self._table.replace(text + added)
        self.floor, self.kept = text, kept or text
        self._store.save(self.kept)

    async def raise_tun(self) -> Tun:
        if error := self.refuses.pop("tun", None):
            raise error
        self.tun = Tun(self.arrived)
        return self.tun

    async def problems(self, *around: object) -> tuple[str, ...]:
        """``found``; ``looked_at`` is what was looked for it with."""
        self.looked_at = around
        return self.found

    async def let_pass(self, begin: Collection[Element], end: Collection[Element]) -> None:
        for exception in end:
            self.passing.pop(exception.value, None)
        self.passing |= {exception.value: exception.seconds for exception in begin}

    async def restore_floor(self, *, gone: bool = False) -> tuple[str, ...]:
        return ()

    async def restore(self) -> tuple[str, ...]:
        self.restored += 1
        return ()

    async def lower(self) -> None:
        if error := self.refuses.pop("lower", None):
            raise error
        if self.lowering is not None:
            await self._table.remove()
            self.lowering.set()
            await asyncio.Event().wait()
        self.floor = ""
        await self._table.remove()
        self._store.remove()
        self.lowered = True
        self.close()

    def close(self) -> None:
        if self.tun is not None:
            self.tun.close()
            self.tun = None


class Tun:
    """A device whose other end is in the test's hands."""

    def __init__(self, arrived: list[bytes]) -> None:
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.drops: Counter[str] = Counter()
        self.offloads = frozenset({"tun-tso"})
        self._arrived = arrived

    def fileno(self) -> int:
        return self.ours.fileno()

    def send(self, packet: bytes) -> None:
        """A packet that the kernel steers into the tunnel."""
        self._theirs.send(packet)

    def read(self) -> TunRead | None:
        with contextlib.suppress(BlockingIOError):
            return TunRead(memoryview(self.ours.recv(65_536)), bytearray(NOTHING_LEFT))
        return None

    def write(self, packet: bytes | memoryview, *, head: bytes) -> bool:
        assert head == NOTHING_LEFT
        self._arrived.append(bytes(packet))
        return True

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()


@dataclass
class Network:
    """Where datagrams go: to the daemon that has their address, at the loop's next turn."""

    daemons: dict[Address, Daemon] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)

    def carry(self, data: bytes, source: tuple[Address, int], target: tuple[Address, int]) -> None:
        self.sent.append(data)
        daemon = self.daemons.get(target[0])
        if daemon is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(daemon.receive, data, source, target, context=daemon.context)


class Sockets:
    """Sends into the network. Nothing is read from it: the network calls."""

    def __init__(self, daemon: Daemon, ike_port: int, natt_port: int, native: NativeSockets) -> None:
        self._daemon = daemon
        self.native = native
        self.ports = (ike_port, natt_port)
        self.offloads = frozenset({"udp-gro"})
        self.read_here: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def send(self, data: bytes, path: Any) -> None:
        source = (self._daemon.address, path.local.port)
        data = NON_ESP_MARKER + data if path.natt else data
        self._daemon.network.carry(data, source, (path.remote.address, path.remote.port))

    def keepalive(self, _path: Any) -> None:
        pass

    def send_esp(self, out: Out | OutRun) -> None:
        outside, octets = out.outside, out.octets
        data = out.datagram if isinstance(out, Out) else bytes(out.datagrams)
        source = (self._daemon.address, outside.local_port)
        for at in range(0, len(data), octets):
            self._daemon.network.carry(data[at : at + octets], source, (outside.remote, outside.remote_port))

    def counters(self) -> Counter[str]:
        return Counter()

    def heard(self) -> Counter[str]:
        return Counter()

    def close(self) -> None:
        pass


class Netlink:
    """The addresses and the way out of one machine."""

    versions = (4, 6)

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def addresses(self) -> tuple[tuple[str, Address], ...]:
        return ("lo", ip_address("127.0.0.1")), ("wan0", self._daemon.address)

    async def broadcasts(self) -> tuple[Address, ...]:
        return (ip_address("192.0.2.255"),)

    async def anycasts(self) -> tuple[Address, ...]:
        return self._daemon.anycasts

    async def source_for(self, _remote: Address, _mark: int) -> Address:
        return self._daemon.address

    async def links(self) -> tuple[Any, ...]:
        return tuple(
            SimpleNamespace(index=index, name=name, kind="") for index, name in enumerate(self._daemon.interfaces)
        )

    async def interfaces_to(self, remote: Address, _mark: int) -> tuple[int, ...]:
        ways = (way for network, way in self._daemon.routes.items() if remote in ip_network(network))
        return (self._daemon.interfaces.index(next(ways, self._daemon.way_out)),)

    async def named(self) -> tuple[Any, ...]:
        return tuple(map(ip_network, self._daemon.routes))


class Daemon:
    """Runs while it is entered, in a folder of its own. ``kernel`` and ``protection`` are those of now."""

    def __init__(
        self,
        folder: Path,
        text: str,
        *,
        network: Network | None = None,
        address: str = "192.0.2.1",
        key: str = KEY,
        kind: str = "plain",
        level: str = "info",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.network = network or Network()
        self.address = ip_address(address)
        self.interfaces = ("lo", "wan0", "wan1")
        self.way_out = "wan0"
        self.routes: dict[str, str] = {}  # of networks that aren't reached by the way out, the interface
        self.anycasts: tuple[Address, ...] = ()  # as the kernel gives them to a router
        self.kernels: list[Kernel] = []
        self.flushed = 0
        self.in_clear: list[tuple[bytes, Address]] = []
        self.write("policy.yaml", text)
        self.write("peer.psk", key)
        self.told = Lines()
        self.log = Log(self.told, kind=kind, level=level)  # type: ignore[arg-type]  # as much of a writer as it uses
        self.options = Options(folder / "policy.yaml", folder / "state", folder / "control", "", inline=True)
        self.manager = Manager()
        self.app = App(self.options, self.log, self.manager)
        self.table = Table()
        self.app._nftables = self.table  # type: ignore[assignment]  # as much of a table as it uses

    def send(self, packet: bytes, destination: Address) -> bool:
        """A packet leaves in clear, past the floor."""
        self.in_clear.append((packet, destination))
        return True

    def close(self) -> None:
        """As a sender of such packets, it holds nothing."""

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    @property
    def protection(self) -> Protection:
        assert self.app.protection is not None
        return self.app.protection

    @property
    def kernel(self) -> Kernel:
        return self.kernels[-1]

    @property
    def events(self) -> list[str]:
        """The events logged so far."""
        return [line.event for line in self.told.lines]

    def texts(self, event: str) -> list[str]:
        """What was logged of an event, without the time and the level."""
        return [line.text[13 + 8 :] for line in self.told.lines if line.event == event]

    def receive(self, data: bytes, source: tuple[Address, int], target: tuple[Address, int]) -> None:
        if self.app.protection is None:
            return
        wires = self.app.protection.wires
        natt = target[1] == self.app.protection.prepared.plan.natt_port
        opened: Any = SimpleNamespace(port=target[1], natt=natt)
        with self.app.guard.over("a datagram"):
            wires._roads.received[: len(data)] = data
            now = self.app.clock.now()
            wires._receive(opened, Received(len(data), len(data), *source, target[0], 0), now)
            wires._conductor.results(wires._roads.from_udp_end(now), now)
        wires.rearm()

    # --- its life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._world = _world()
        self._world.__enter__()
        self.context = contextvars.copy_context()
        self.context.run(_whose.set, self)
        work = self.app.run(Commands(self.app).handlers())
        self.running = asyncio.create_task(work, context=self.context)
        ready = asyncio.create_task(self.manager.told.wait())
        await asyncio.wait({ready, self.running}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.running.done():
            self._world.__exit__(None, None, None)
            await self.running
        self.network.daemons[self.address] = self
        return self

    async def __aexit__(self, *_: object) -> None:
        self.app._end("the test")
        await self.running
        self.network.daemons.pop(self.address, None)
        self._world.__exit__(None, None, None)
        gc.unfreeze()

    # --- commands ----------------------------------------------------------------------------------------------------

    async def ctl(self, *words: str, code: int = 0) -> Result:
        """Run `ipsecctl WORDS` beside the daemon."""
        done = await asyncio.to_thread(ctl, self.options.control, *words)
        assert done.exit_code == code, [done.output, *(line.text for line in self.told.lines if line.event == "fault")]
        return done


def ctl(control: Path, *words: str) -> Result:
    """Run `ipsecctl WORDS` in this thread."""
    return CliRunner().invoke(ipsecctl.main, ["--control", str(control), *words], prog_name="ipsecctl")


async def settled() -> None:
    """Let every datagram that is under way arrive and be answered."""
    for _ in range(100):
        await asyncio.sleep(0)


# --- what stands in for the kernel -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _world() -> Iterator[None]:
    """The modules are everybody's, so what is replaced in them asks whose turn it is."""
    with (
        mock.patch.object(ground_module, "KernelState", _kernel),
        mock.patch.object(ground_module, "TableWatch", _watch),
        mock.patch.object(ground_module, "RoutingWatch", _watch),
        mock.patch.object(protection_module, "Sockets", _sockets),
        mock.patch.object(protection_module.NativeSockets, "opened", _no_raw_sockets),
        mock.patch.object(protection_module, "RawSender", _raw_sender),
        mock.patch.object(app_module, "Netlink", _netlink),
        mock.patch.object(lock_module, "NamespaceLock", _no_lock),
        mock.patch.object(force_module, "flush", _flush),
        mock.patch.object(commands_module, "Nftables", _nftables),
        mock.patch.object(limits, "GOODBYE", 0.0),
        mock.patch.object(logging.getLogger(), "handlers", []),
    ):
        before = structlog.get_config()
        use(Everybody())  # type: ignore[arg-type]  # as much of a log as it uses
        yield
        structlog.configure(**before)


def _kernel(_net: Any, table: Any, store: Any, settings: Any, _report: Any, _new_tun: Any) -> Kernel:
    kernels = _whose.get().kernels
    kernels.append(Kernel(settings, table, store))
    return kernels[-1]


def _watch(*_: object) -> Any:
    return SimpleNamespace(wait=asyncio.Event().wait, close=lambda: None)


def _no_lock() -> Any:
    """These daemons share this process's network namespace, and don't touch it."""
    return SimpleNamespace(close=lambda: None)


def _sockets(
    ike_port: int, natt_port: int, _mark: int, _without: tuple[str, ...], *, native: NativeSockets, apart: bool
) -> Sockets:
    assert not apart
    return Sockets(_whose.get(), ike_port, natt_port, native)


def _no_raw_sockets(_mark: int, *, needed: bool) -> NativeSockets:
    """There would be no room for those of two daemons in one network."""
    assert not needed
    return NativeSockets()


def _raw_sender() -> Daemon:
    return _whose.get()


def _nftables(_: str) -> Table:
    return _whose.get().table


def _netlink() -> Netlink:
    return Netlink(_whose.get())


async def _flush(_netlink: Any, table: Table, store: StateFile) -> None:
    _whose.get().flushed += 1
    await table.remove()
    store.remove()


def beside(folder: Path, scenario: Callable[[Daemon], Awaitable[None]], text: str = "", **options: Any) -> None:
    """Run a scenario beside one daemon."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Daemon(folder, text or policy(), **options) as daemon:
            await scenario(daemon)

    asyncio.run(main())


def mirrored(**more: str) -> str:
    """Rule ``site`` as the other end of a pair has it."""
    return rule("site", "10.2.0.0/16", "10.1.0.0/16", here="192.0.2.2", there="192.0.2.1", **more)


def policies_by(method: str) -> tuple[str, str]:
    """Those of a pair that has one security method, in YAML's flow form."""
    own = f"filter_actions: {{own: {{action: negotiate, security_methods: [{method}]}}}}\n"
    return policy(rule(action="own")) + own, policy(mirrored(action="own")) + own


@contextlib.asynccontextmanager
async def pair(
    folder: Path, of_a: str | None = None, of_b: str | None = None, **options: Any
) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """Two daemons, 192.0.2.1 with 10.1.0.0/16 and 192.0.2.2 with 10.2.0.0/16."""
    network = Network()
    a = Daemon(folder / "a", of_a or policy(), network=network, **options)
    b = Daemon(folder / "b", of_b or policy(mirrored()), network=network, address="192.0.2.2", **options)
    async with a, b:
        yield a, b
