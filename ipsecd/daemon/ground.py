"""What stands in the kernel whatever becomes of the daemon: the floor first, then what lies on it, kept against
everybody from its first moment on. A policy in force stands on such a ground; without a policy it may stand alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from ipsecd import limits
from ipsecd.daemon.boot import Boot
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.judging import Judging
from ipsecd.errors import KernelError
from ipsecd.ike.effects import Report
from ipsecd.io.clock import Clock
from ipsecd.io.keeper import Keeper
from ipsecd.io.kernel_state import KernelSettings, KernelState
from ipsecd.io.netlink import Netlink
from ipsecd.io.nftables import Nftables
from ipsecd.io.state_file import StateFile
from ipsecd.io.tun import Tun
from ipsecd.io.watch import RoutingWatch, TableWatch
from ipsecd.policy.floor import TABLE
from ipsecd.policy.marks import asking_mark, inside_mark
from ipsecd.policy.plan import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Host:
    """What a ground stands on, and whom it tells. ``store`` has the last floor, ``boot`` what the boot adds to each,
    ``heard`` the peers that have answered, ``spoken`` those that have proved themselves by IKEv2; ``judging`` looks at
    users' passwords. ``reports`` sees what the negotiation reports; ``addresses`` is
    called when this machine's addresses or its ways out may have changed; ``failed`` when nothing can be protected any
    more, with the reason. ``without`` names offloads of the kernel that aren't used, ``inline`` says that packets are
    carried by this process."""

    netlink: Netlink
    nftables: Nftables
    store: StateFile
    boot: Boot
    heard: StateFile
    spoken: StateFile
    judging: Judging
    guard: Guard
    clock: Clock
    reports: Callable[[Report], None]
    addresses: Callable[[], None]
    failed: Callable[[str], None]
    without: tuple[str, ...] = ()
    inline: bool = False


class Ground:
    """``new_tun`` is called with a TUN that takes the place of a lost one, ``moved`` when links, addresses or default
    routes of this machine may have changed, ``rerouted`` when other routes or rules may have. Made inside a running
    event loop."""

    def __init__(
        self,
        settings: Settings,
        host: Host,
        new_tun: Callable[[Tun], None],
        moved: Callable[[], None],
        rerouted: Callable[[], None],
    ) -> None:
        numbers = kernel_settings(settings, host.without)
        self.kernel = KernelState(host.netlink, host.nftables, host.store, numbers, report, new_tun)
        self._host = host
        self._moved = moved
        self._rerouted = rerouted
        self._table = settings.table
        self._keeper: Keeper | None = None
        self._keeping: list[asyncio.Task[None]] = []
        self._open = contextlib.ExitStack()

    async def raise_floor(self, text: str) -> None:
        """Put this floor in the place of the one before, with what the boot adds, and keep what is here from then on.
        Raises KernelError."""
        if self._keeper is None:  # it listens before there is anything to lose
            table = self._open.enter_context(contextlib.closing(TableWatch(TABLE)))
            routing = self._open.enter_context(contextlib.closing(RoutingWatch(self._table)))
            news = self._moved, self._rerouted
            self._keeper = Keeper(self.kernel, table, routing, report, *news, self._host.clock)
        await self.kernel.raise_floor(text, self._host.boot.added)
        self._keep(self._keeper)

    async def end_boot(self) -> None:
        """A policy is in force: what the boot has added goes. Raises KernelError."""
        if self._host.boot.added:
            await self.kernel.raise_floor(self.kernel.floor, kept=self.kernel.kept)
        self._host.boot.over()

    async def put_back(self, text: str, kept: str = "") -> None:
        """After a failure: the floor as it was before, kept as before. That this fails too is told."""
        try:
            await self.kernel.raise_floor(text, self._host.boot.added, kept)
        except KernelError as error:
            report("floor-not-as-before", "error", {"reason": str(error)})
        if self._keeper is not None:
            self._keep(self._keeper)

    async def lower(self) -> None:
        """Remove everything of ours from the kernel. Raises KernelError; then it stands as before, and is kept, as it
        does if whoever waits for this is told to stop."""
        floor, kept = self.kernel.floor, self.kernel.kept
        await self.let_go()
        try:
            await self.kernel.lower()
        except BaseException:
            await self.put_back(floor, kept)
            if self._keeper is not None:
                await self._keeper.restore()
            raise

    def tun_lost(self) -> None:
        """Whoever uses the TUN finds that it is gone."""
        if self._keeper is not None:
            self._keeper.tun_lost()

    async def let_go(self) -> None:
        """Keep it no longer."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._keeping.clear()

    def close(self) -> None:
        """All but the TUN stays."""
        self._open.close()
        self.kernel.close()

    def _keep(self, keeper: Keeper) -> None:
        if not self._keeping:
            work = (keeper.keep_floor, keeper.keep_rest)
            self._keeping = [asyncio.create_task(self._guarded(keep, keeper)) for keep in work]

    async def _guarded(self, keep: Callable[[], Awaitable[None]], keeper: Keeper) -> None:
        """A fault costs a pause and a look at everything, not the keeping."""
        while True:
            with self._host.guard.over("the kernel's state"):
                await keep()
            await asyncio.sleep(limits.RESTORE_PAUSE)
            with self._host.guard.over("the kernel's state"):
                await keeper.restore()


def kernel_settings(settings: Settings, without: tuple[str, ...] = ()) -> KernelSettings:
    """The numbers that the kernel's state is made with."""
    return KernelSettings(
        tun=settings.tun,
        mtu=settings.mtu if settings.mtu is not None else limits.TUN_MTU,
        mark=settings.mark,
        own_mark=settings.own_mark,
        inside_mark=inside_mark(settings),
        asking_mark=asking_mark(settings),
        mask=settings.mask,
        table=settings.table,
        preference=settings.preference,
        without=without,
    )


def report(event: str, level: str, fields: dict[str, str]) -> None:
    """Log what has become of the kernel's state."""
    getattr(log, level)(event, **fields)
