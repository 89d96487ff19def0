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
from collections.abc import Iterator
from typing import Any

import structlog

import ipsecd
from ipsecd import limits
from ipsecd.crypto import selftest
from ipsecd.daemon.assignment import Assigned, Assignment, chosen
from ipsecd.daemon.boot import Boot
from ipsecd.daemon.control import Access, ControlServer, Handler
from ipsecd.daemon.failures import Failures
from ipsecd.daemon.following import Following
from ipsecd.daemon.force import Force
from ipsecd.daemon.ground import Host
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.judging import Judging
from ipsecd.daemon.keyring import Sources
from ipsecd.daemon.lock import alone, make_folder
from ipsecd.daemon.log import Log
from ipsecd.daemon.losses import tell_losses
from ipsecd.daemon.options import Options
from ipsecd.daemon.prepare import Outline, outline, read_policy
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.resolver import Resolver
from ipsecd.daemon.summary import summary
from ipsecd.daemon.surroundings import Surroundings
from ipsecd.daemon.systemd import Systemd
from ipsecd.daemon.wellknown import WellKnown
from ipsecd.errors import ConfigError, IpsecdError, KernelError, LocalError, OperatorError
from ipsecd.ike.effects import Report
from ipsecd.io.clock import Clock
from ipsecd.io.netlink import Netlink
from ipsecd.io.nftables import Nftables
from ipsecd.io.outside import Outside
from ipsecd.io.owner import Owner
from ipsecd.policy.diff import PlanDiff
from ipsecd.policy.floor import TABLE
from ipsecd.policy.plan import Plan

log = structlog.get_logger()

_REFUSALS = (ConfigError, OperatorError, KernelError)  # what isn't among them is a fault of ours


class App:
    """One daemon."""

    def __init__(self, options: Options, journal: Log, systemd: Systemd) -> None:
        self.options = options
        self.journal = journal
        self.guard = Guard()
        self.clock = Clock()
        self.started = self.clock.now()
        self.failures = Failures()
        self._systemd = systemd
        self._nftables = Nftables(TABLE, Owner(TABLE))
        self._resolver = Resolver(options.names, self.clock.now)
        self._well_known = WellKnown(options.sets)
        self._assignment = Assignment(options.assignment)
        self._boot = Boot(options)
        self._changing = asyncio.Lock()
        self._moved = asyncio.Event()  # this machine's addresses or its ways out may have changed
        self._hangup = asyncio.Event()
        self._stop = asyncio.Event()
        self._cause = ""
        self.failed = False  # whether it ends because it can't go on
        self._force: Force | None = None

    @property
    def protection(self) -> Protection | None:
        """The policy in force, None while none is."""
        return self._force.protection if self._force else None

    @property
    def assigned(self) -> Assigned:
        """Which policy is assigned, and by whom."""
        return self._begun().assigned

    @property
    def bare(self) -> bool:
        """Whether the floor of an earlier policy stands without one."""
        return self._force is not None and self._force.bare is not None

    @property
    def around(self) -> Surroundings:
        """What a policy depends on besides the file."""
        return self._begun().around

    async def run(self, handlers: dict[str, Handler]) -> None:
        """Until a signal ends it. Raises IpsecdError if it can't start. However it ends, the last floor stands."""
        try:
            make_folder(self.options.control.parent, 0o755)  # members of the group have to get through it
            with alone(self.options.lock):
                self._boot.begin()
                try:
                    async with Netlink() as netlink:
                        self._force = Force(self._host(netlink), self._surroundings(netlink))
                        await self._run(self._force, handlers)
                except BaseException:
                    await self._raise_last_floor()
                    raise
        except IpsecdError as error:
            _tell_failure("start-failed", error)
            raise

    async def _run(self, force: Force, handlers: dict[str, Handler]) -> None:
        self._handle_signals()
        self._test_algorithms()
        log.info("starting", version=ipsecd.__version__, file=self.options.policy)
        if self.options.group_given and self.options.group and self.options.group_id is None:
            log.warning("group-unknown", group=self.options.group)
        server = ControlServer(handlers, self.journal, self.guard, Access(os.geteuid(), self.options.group_id))
        try:
            server.claim(self.options.control)  # first: a daemon that is already there isn't to be disturbed
            await force.begin(await self._sketch())
            self._assignment.settle(force.assigned)
            self._keep_boot()
        except BaseException:
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
        """Read the policy file again and put in force what has changed. Raises ConfigError, OperatorError or
        KernelError, and has then changed nothing."""
        force = self._begun()
        async with self._changing:
            try:
                difference = await force.change(await self._sketch())
            except _REFUSALS as error:
                _tell_failure("reload-failed", error)
                raise
            self._assignment.settle(force.assigned)
        self._changed(difference)
        return difference

    async def assign(self, policy: str) -> PlanDiff:
        """Read the policy file again and put this policy of it in force, now and at each start, until the file or
        another command says otherwise. Raises ConfigError, OperatorError or KernelError, and has then changed
        nothing."""
        force = self._begun()
        async with self._changing:
            try:
                file = read_policy(self.options.policy)
                assigned = chosen(file, policy)
                sketch = await outline(file, assigned, force.around)
                with self._assignment.choosing(assigned):
                    difference = await force.change(sketch)
            except _REFUSALS as error:
                _tell_failure("assign-failed", error)
                raise
        log.info("assigned", policy=policy, by=assigned.by)
        self._changed(difference)
        return difference

    def _changed(self, difference: PlanDiff) -> None:
        self.failures.keep(self._untouched(difference))
        self._keep_boot()
        self._resolver.hurry()

    def _untouched(self, difference: PlanDiff) -> Iterator[str]:
        """The rules that are as they were, and so are their keys."""
        plan = self.protection.prepared.plan if self.protection else Plan()
        changed = set(difference.credentials)
        peers = {peer.name for peer in plan.peers if changed.isdisjoint((*peer.shared_keys, *peer.certificates))}
        for rule in plan.rules:
            if rule.name in difference.kept and (not rule.peer or rule.peer in peers):
                yield rule.name

    async def unassign(self) -> None:
        """Take the policy out of force, and everything of ours but persistent rules out of the kernel, until the file
        or another command says otherwise. Raises ConfigError, OperatorError or KernelError; a policy that was in force
        is in force then."""
        force = self._begun()
        async with self._changing:
            assigned = Assigned(None, self._said())
            try:
                rest = await self._rest(assigned)
                with self._assignment.choosing(assigned):
                    await force.unassign(assigned, rest)
            except _REFUSALS as error:
                _tell_failure("unassign-failed", error)
                raise
        if self.protection is None:
            self._boot.over()
            log.warning("unassigned", cause="put out of force by command")
        else:
            log.warning("unassigned-but-persistent", cause="put out of force by command")

    async def _rest(self, assigned: Assigned) -> Outline | None:
        """What is in force without a policy: the persistent rules that are in force now, unless the file has none any
        more; None if there is nothing."""
        file = self.protection.prepared.file if self.protection is not None else None
        with contextlib.suppress(ConfigError, OperatorError):
            now = read_policy(self.options.policy)
            file = (file or now) if any(now.persistent()) else None
        return await outline(file, assigned, self.around) if file is not None else None

    def summary(self) -> str:
        """The state in a few words."""
        return summary(self.protection, bare=self.bare)

    async def _sketch(self) -> Outline:
        file = read_policy(self.options.policy)
        return await outline(file, self._assignment.under(file), self.around)

    def _said(self) -> str | None:
        """What the policy file assigns: now, or if it can't be used now, when it was read last."""
        try:
            return read_policy(self.options.policy).content.assigned
        except (ConfigError, OperatorError):
            return self.assigned.said

    def _begun(self) -> Force:
        if self._force is None:
            raise LocalError("nothing can be in force before the daemon runs")
        return self._force

    async def _raise_last_floor(self) -> None:
        """Something has failed: see that the last good floor stands, so that nothing leaves in clear. It is put in
        the place of whatever may be there under its name."""
        try:
            if text := self._nftables.text or self._saved_floor():
                await self._nftables.replace(text)
                log.warning("last-floor-stands")
        except KernelError as error:
            _tell_failure("no-floor", error)

    def _saved_floor(self) -> str:
        """The last good floor, with what the boot adds; empty if there is none. Raises KernelError."""
        saved = self.options.floor.load()
        if saved == "":
            raise KernelError(f"{self.options.floor.path} is empty", "ipsecd flush, if nothing is to be protected")
        return "" if saved is None else saved + self._boot.added

    def _keep_boot(self) -> None:
        if self.protection is not None:
            self._boot.keep(self.protection.prepared.file.content.boot)

    # --- the world changes ------------------------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        around = self._moved, self._resolver, self._well_known
        following = Following(*around, self._sets, self._follow, self.guard, self.clock)
        losses = tell_losses(lambda: self.protection, self.guard)
        works = (*following.works(), self._tick(), self._reload_on_signal(), losses)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            await self._stop.wait()
            if self.protection is not None:
                log.info("stopping", cause=self._cause)
            elif self.bare:
                log.info("stopping-bare", cause=self._cause)
            else:
                log.info("stopping-unprotected", cause=self._cause)
            for task in tasks:
                task.cancel()

    async def _wind_up(self, server: ControlServer) -> None:
        """Hang up and say goodbye, in bounded time."""
        try:
            async with asyncio.timeout(limits.EXIT_TIME):
                await server.close()
                async with self._changing:
                    await self._begun().stop()
        except TimeoutError:
            log.warning("stop-hurried", seconds=limits.EXIT_TIME)

    def _sets(self) -> frozenset[str]:
        """The well-known sets of the policy in force."""
        return self.protection.prepared.sets if self.protection is not None else frozenset()

    async def _follow(self) -> None:
        async with self._changing:
            try:
                await self._begun().follow()
            except _REFUSALS as error:
                _tell_failure("policy-does-not-follow", error)

    async def _tick(self) -> None:
        """Signs of life, and what else happens each second."""
        interval = min(1.0, self._systemd.watchdog_interval or 1.0)
        shown = ""
        while True:
            self._systemd.alive()
            self.journal.tell_suppressed()
            with self.guard.over("a suspend"):
                self._woke(self.clock.slept())
            with self.guard.over("a look at the data plane"):
                if self.protection is not None:
                    self.protection.look_after()
            with self.guard.over("the status line"):
                if shown != (shown := self.summary()):
                    self._systemd.status(shown)
            await asyncio.sleep(interval)

    def _woke(self, seconds: float) -> None:
        if seconds >= limits.SLEPT:
            log.info("slept", seconds=seconds)
            self._moved.set()
            self._resolver.hurry()
            if self.protection is not None:
                self.protection.wake()

    def _reported(self, report: Report) -> None:
        if report.level == "warning":  # an attempt has failed: maybe a name has moved
            self._resolver.hurry()
        self.failures.note(report, self.clock.now())

    # --- surroundings -----------------------------------------------------------------------------------------------

    def _surroundings(self, netlink: Netlink) -> Surroundings:
        users = frozenset({0, os.geteuid()})
        sources = Sources(self.options.policy.parent, os.environ.get("CREDENTIALS_DIRECTORY"), users)
        outside = Outside(netlink)
        here = netlink.addresses, netlink.source_for, outside.look
        kinds = netlink.broadcasts, netlink.anycasts
        links = netlink.links, netlink.interfaces_to
        return Surroundings(self._resolver, self._well_known, sources, *here, *kinds, *links, netlink.named)

    def _host(self, netlink: Netlink) -> Host:
        files = self.options.floor, self._boot, self.options.heard, self.options.spoken
        common = Judging(self.guard), self.guard, self.clock
        tell = self._reported, self._moved.set, self._give_up
        options = self.options.without, self.options.inline
        return Host(netlink, self._nftables, *files, *common, *tell, *options)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        loop.set_exception_handler(self._lost)

    def _give_up(self, reason: str) -> None:
        """Packets can't be carried any more. Whoever has started this may start it again; the floor stands."""
        log.error("giving-up", reason=reason)
        self.failed = True
        self._end(reason)

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
