"""The daemon: starts, puts the policy in force, keeps it in force as the world changes, reloads, and stops.

What changes what is in force (start, reload, new addresses, unassign) happens one after the other, under one lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from typing import Any

import structlog

import ipsecd
from ipsecd import limits
from ipsecd.crypto import selftest
from ipsecd.daemon.control import Access, ControlServer, Handler
from ipsecd.daemon.failures import Failures
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.keyring import Sources
from ipsecd.daemon.lock import Lock, make_folder
from ipsecd.daemon.log import Log
from ipsecd.daemon.options import Options
from ipsecd.daemon.prepare import Prepared, Surroundings, prepare, read_policy
from ipsecd.daemon.protection import Host, Protection
from ipsecd.daemon.resolver import Resolver
from ipsecd.daemon.systemd import Systemd
from ipsecd.errors import ConfigError, IpsecdError, KernelError, OperatorError
from ipsecd.ike.effects import Report
from ipsecd.io.clock import Clock
from ipsecd.io.floor_store import FloorStore
from ipsecd.io.kernel_state import flush
from ipsecd.io.netlink import Netlink
from ipsecd.io.nftables import Nftables
from ipsecd.policy.diff import PlanDiff, diff
from ipsecd.policy.floor import TABLE
from ipsecd.policy.plan import Plan
from ipsecd.wire.selector import Address

log = structlog.get_logger()

_REFUSALS = (ConfigError, OperatorError, KernelError)  # what isn't among them is a fault of ours


class App:
    """One daemon. ``protection`` is the policy in force, None while none is assigned."""

    def __init__(self, options: Options, journal: Log, systemd: Systemd) -> None:
        self.options = options
        self.journal = journal
        self.guard = Guard()
        self.clock = Clock()
        self.started = self.clock.now()
        self.protection: Protection | None = None
        self.resolver = Resolver()
        self.failures = Failures()
        self._systemd = systemd
        self._store = FloorStore(options.floor)
        self._changing = asyncio.Lock()
        self._look = asyncio.Event()  # names or addresses may mean something else now
        self._hangup = asyncio.Event()
        self._stop = asyncio.Event()
        self._cause = ""

    async def run(self, handlers: dict[str, Handler]) -> None:
        """Until a signal ends it. Raises IpsecdError if it can't start; the last good floor stands then."""
        try:
            with contextlib.closing(self._take_place()):
                async with Netlink() as netlink:
                    self._netlink = netlink
                    await self._run(handlers)
        except IpsecdError as error:
            _tell_failure("start-failed", error)
            raise

    def _take_place(self) -> Lock:
        """Make the folders, and be the only daemon in them."""
        make_folder(self.options.control.parent, 0o755)  # members of the group have to get through it
        return Lock(self.options.lock)

    async def _run(self, handlers: dict[str, Handler]) -> None:
        self._handle_signals()
        self._test_algorithms()
        log.info("starting", version=ipsecd.__version__, file=self.options.policy)
        if self.options.group_given and self.options.group and self.options.group_id is None:
            log.warning("group-unknown", group=self.options.group)
        server = ControlServer(handlers, self.journal, self.guard, Access(os.geteuid(), self.options.group_id))
        try:
            server.claim(self.options.control)  # first: a daemon that is already there isn't to be disturbed
            prepared = await prepare(read_policy(self.options.policy), self._surroundings())
            await self._put_in_force(prepared)
        except BaseException:
            await self._raise_last_floor()
            await server.close()
            raise
        try:
            await server.start()
            self._systemd.ready(self.summary())
            log.info("ready", summary=self.summary())
            gc.freeze()  # what lives now lives long: full collections needn't look at it
            await self._until_stopped()
        finally:
            self._systemd.stopping()
            await self._wind_up(server)
        log.info("stopped")

    async def reload(self) -> PlanDiff:
        """Read the policy file again and put in force what has changed; a file that assigns none takes the policy out
        of force. Raises ConfigError, OperatorError or KernelError, and has then changed nothing."""
        async with self._changing:
            try:
                prepared = await prepare(read_policy(self.options.policy), self._surroundings())
                return await self._put_in_force(prepared)
            except _REFUSALS as error:
                _tell_failure("reload-failed", error)
                raise

    async def unassign(self) -> None:
        """Take the policy out of force, and everything of ours out of the kernel, until the next reload. Raises
        KernelError; a policy that was in force is in force then."""
        async with self._changing:
            try:
                await self._unassign("put out of force by command")
            except KernelError as error:
                _tell_failure("unassign-failed", error)
                raise

    def summary(self) -> str:
        """The state in a few words."""
        if self.protection is None:
            return "no policy is assigned, nothing is protected"
        plan = self.protection.prepared.plan
        rules = "1 rule" if len(plan.rules) == 1 else f"{len(plan.rules)} rules"
        children = sum(len(sa.children) for sa in self.protection.sas())
        return f"policy {plan.policy}, {rules}, {children} child SAs"

    async def addresses(self) -> frozenset[Address]:
        """This machine's addresses. Raises KernelError."""
        return frozenset(address for _, address in await self._netlink.addresses())

    # --- what is in force -------------------------------------------------------------------------------------------

    async def _put_in_force(self, prepared: Prepared) -> PlanDiff:
        before = Plan() if self.protection is None else self.protection.prepared.plan
        if not prepared.plan.policy:
            difference = PlanDiff(removed=diff(before, Plan()).removed)
            await self._unassign(f"{self.options.policy} assigns none")
        elif self.protection is None:
            protection = Protection(prepared, self._host())
            await protection.start()
            self.protection = protection
            difference = PlanDiff(added=diff(before, prepared.plan).added)
        else:
            difference = await self.protection.change(prepared)
            if difference.empty:
                log.info("policy-unchanged")
            else:
                log.info("policy-changed", difference=difference)
        self.failures.keep(rule.name for rule in prepared.plan.rules)
        self._look.set()
        return difference

    async def _unassign(self, cause: str) -> None:
        if self.protection is not None:
            await self.protection.lower()
            self.protection = None
        else:  # nothing in force in this process, but maybe left by the one before
            await flush(self._netlink, Nftables(TABLE), self._store)
        log.warning("unassigned", cause=cause)

    async def _raise_last_floor(self) -> None:
        """The start has failed: see that the floor of the last good policy stands, so that nothing leaves in clear."""
        nftables = Nftables(TABLE)
        try:
            text = self._store.load()
            if text is not None and not await nftables.exists():
                await nftables.replace(text)
            if text is not None:
                log.warning("last-floor-stands")
        except KernelError as error:
            _tell_failure("no-floor", error)

    # --- the world changes ------------------------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (self._follow(), self._tick(), self._reload_on_signal())]
            await self._stop.wait()
            if self.protection is None:
                log.info("stopping-unprotected", cause=self._cause)
            else:
                log.info("stopping", cause=self._cause)
            for task in tasks:
                task.cancel()

    async def _wind_up(self, server: ControlServer) -> None:
        """Hang up and say goodbye, in bounded time."""
        try:
            async with asyncio.timeout(limits.EXIT_TIME):
                await server.close()
                async with self._changing:
                    if self.protection is not None:
                        await self.protection.stop()
        except TimeoutError:
            log.warning("stop-hurried", seconds=limits.EXIT_TIME)

    async def _follow(self) -> None:
        """Ask for DNS names again, and look at our addresses again, when there is a reason or it's time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.RESOLVE_AGAIN):
                    await self._look.wait()
            self._look.clear()
            with self.guard.over("names and addresses"):
                await self._look_again()
            await asyncio.sleep(limits.RESOLVE_REST)

    async def _look_again(self) -> None:
        await self.resolver.refresh(self.resolver.names)
        async with self._changing:
            if self.protection is None:
                return
            now = self.protection.prepared
            try:
                prepared = await prepare(now.file, self._surroundings(), now.ring)
                if prepared.plan != now.plan:
                    difference = await self.protection.change(prepared)
                    log.info("policy-follows", difference=difference)
            except _REFUSALS as error:
                _tell_failure("policy-does-not-follow", error)

    async def _tick(self) -> None:
        """Signs of life, and what else happens each second."""
        interval = min(1.0, self._systemd.watchdog_interval or 1.0)
        shown = ""
        while True:
            self._systemd.alive()
            self.journal.tell_suppressed()
            if shown != (shown := self.summary()):
                self._systemd.status(shown)
            await asyncio.sleep(interval)

    def _reported(self, report: Report) -> None:
        if report.level == "warning" and self.resolver.names:  # an attempt has failed: maybe a name has moved
            self._look.set()
        self.failures.note(report, self.clock.now())

    # --- surroundings -----------------------------------------------------------------------------------------------

    def _surroundings(self) -> Surroundings:
        users = frozenset({0, os.geteuid()})
        sources = Sources(self.options.policy.parent, os.environ.get("CREDENTIALS_DIRECTORY"), users)
        return Surroundings(self.resolver, sources, self._netlink.addresses, self._netlink.source_for)

    def _host(self) -> Host:
        return Host(self._netlink, self._store, self.guard, self.clock, self._reported, self._look.set)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        loop.set_exception_handler(self._lost)

    def _end(self, cause: str) -> None:
        self._cause = cause
        self._stop.set()

    async def _reload_on_signal(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            self._systemd.reloading(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000)
            with self.guard.over("a reload"), contextlib.suppress(*_REFUSALS):  # reload has told the log
                await self.reload()
            self._systemd.ready(self.summary())

    def _lost(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody waited for has failed."""
        error = context.get("exception")
        with self.guard.over("a task"):
            raise error if isinstance(error, Exception) else RuntimeError(context.get("message"))

    def _test_algorithms(self) -> None:
        for name, reason in selftest.run().items():
            log.error("algorithm-withdrawn", algorithm=name, reason=reason)


def _tell_failure(event: str, error: IpsecdError) -> None:
    """One line for each mistake of a policy, then what it has led to."""
    reason = str(error)
    if isinstance(error, ConfigError):
        for mistake in error.mistakes:
            log.error("policy-mistake", mistake=mistake)
        reason = error.summary
    log.error(event, reason=reason)
