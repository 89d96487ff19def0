"""A policy in force: the kernel's state, the sockets, the negotiation and the roads, and how they come and go.

Up in this order: floor, routing and TUN, sockets, negotiation. Down in reverse, and the floor stays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog

from ipsecd import limits
from ipsecd.crypto.entropy import SystemEntropy
from ipsecd.daemon.effects import Conductor
from ipsecd.daemon.fixed import check_fixed
from ipsecd.daemon.ground import Ground, Host
from ipsecd.daemon.heard import HeardPeers
from ipsecd.daemon.keylog import Keys
from ipsecd.daemon.lent import LentAddresses, networks_behind
from ipsecd.daemon.native_sockets import NativeSockets
from ipsecd.daemon.paths import Paths
from ipsecd.daemon.plane import Apart, Inline, Measures, Plane
from ipsecd.daemon.prepare import Outline, Prepared, difference
from ipsecd.daemon.responding import Responding
from ipsecd.daemon.sockets import Sockets
from ipsecd.daemon.softsas import SoftSas
from ipsecd.daemon.spoken import SpokenPeers
from ipsecd.daemon.telling import tell_plan
from ipsecd.daemon.udp_alone import udp_alone
from ipsecd.daemon.v2_alone import v2_alone
from ipsecd.daemon.wires import TunPort, Wires
from ipsecd.dataplane.messages import Counters, Heard, Release, SetSpd
from ipsecd.dataplane.results import Result
from ipsecd.errors import OperatorError
from ipsecd.ike import Ike
from ipsecd.ike.status import IkeSaStatus
from ipsecd.io.link_mtu import LinkMtus
from ipsecd.io.netlink import Network
from ipsecd.io.raw import RawSender
from ipsecd.io.tun import Tun
from ipsecd.policy.diff import PlanDiff
from ipsecd.policy.forwarded import local_ranges
from ipsecd.policy.plan import Plan
from ipsecd.policy.sides import local_networks

log = structlog.get_logger()

_NO_RAW_SOCKETS = "systemctl restart ipsecd tells why; it needs CAP_NET_RAW for them"

Complete = Callable[[], Awaitable[Prepared]]
"""The policy with its keys, which may take a while."""


class Protection:
    """One policy in force, from ``start`` to ``stop``. Made inside a running event loop."""

    def __init__(self, sketch: Outline, host: Host) -> None:
        self.keys = Keys()
        self.ground = Ground(sketch.plan.settings, host, self._new_tun, self._moved, self._rerouted)
        self.kernel = self.ground.kernel
        self._sketch = sketch
        self._host = host
        self._port = TunPort(self._tun_lost)
        self._generation = 0
        self._reading = False
        self._looking: asyncio.TimerHandle | None = None
        self._problems: tuple[str, ...] = ()  # of this machine, that have been told
        self._open = contextlib.AsyncExitStack()  # what must be closed again, in reverse

    async def start(self, complete: Complete) -> None:
        """Put everything in its place, the floor first: it needs no key, and may not have to wait for one. Raises
        IpsecdError; the floor stands then, if the kernel took it."""
        try:
            await self.kernel.check_name()
            await self.ground.raise_floor(self._sketch.floor)
            self.prepared = await complete()
            await self._start()
            async with self.responding.alone:
                await self.ground.end_boot()
        except BaseException:
            await self.ground.let_go()
            await self._open.aclose()
            self.ground.close()
            raise

    async def _start(self) -> None:
        plan = self.prepared.plan
        native = NativeSockets.opened(plan.settings.own_mark, needed=plan.native)
        self._open.callback(native.close)
        self._native = bool(native.versions)
        self._spoken = SpokenPeers(self._host.spoken, self._doubted)
        self._open.push_async_callback(self._spoken.close)
        self.prepared = self._possible(self.prepared)
        lent = LentAddresses(self.kernel, self._behind, self._host.guard)
        self._open.push_async_callback(lent.close)
        entropy = SystemEntropy()
        self._begin_soft()
        self._begin_responding()
        self.negotiation = Ike(self.prepared.config, entropy, self._spoken.known)
        self._open.callback(self._host.judging.over)
        tun = self._port.tun = await self.kernel.raise_tun()
        await self._tell_problems()
        apart, ports = not self._host.inline, (plan.ike_port, plan.natt_port)
        self._sockets = Sockets(*ports, plan.settings.own_mark, self._host.without, native=native, apart=apart)
        self.offloads = tun.offloads | self._sockets.offloads
        self._open.callback(self._sockets.close)
        links = LinkMtus(plan.settings.own_mark)
        self._open.callback(links.close)
        self._paths = Paths(links.to, believe="packet-too-big" in plan.settings.believe_icmp)
        measures, clock = Measures(self.kernel.settings.mtu, float(plan.settings.pmtu_age)), self._host.clock.now
        plane = Apart(measures, tun, self, self._host.guard, clock) if apart else Inline(measures, tun)
        self._plane: Plane = plane
        self._conductor = Conductor(
            self.negotiation,
            plane.roads,
            self._sockets,
            self._port,
            self.keys,
            self._paths,
            self.soft,
            self.responding,
            self._spoken,
            lent,
            self._host.guard,
            window=plan.settings.replay_window,
            on_report=self._host.reports,
        )
        self.wires = Wires(
            self.negotiation,
            plane.front,
            self._conductor,
            self._sockets,
            self._port,
            self._paths,
            self._host.guard,
            clock,
            apart=plane.apart,
        )
        self._open.push_async_callback(plane.stop)
        await plane.start(tun, self._sockets)
        self._set_spd()
        self._tell_plan()
        self.wires.connect()
        self._reading = True
        self._open.callback(self.wires.disconnect)
        self._host.judging.serve(self.prepared.ring.users, self._resume)
        self.wires.turn(self.negotiation.start)
        self._rerouted()  # nobody has told of what has changed since the routes were looked at

    def check(self, sketch: Outline) -> None:
        """Raises OperatorError if this can't take the place of what is in force."""
        check_fixed(self.prepared.plan, sketch)
        if sketch.plan.native and not self._native:
            raise OperatorError("there are no raw sockets for native encapsulation", _NO_RAW_SOCKETS)

    def _begin_soft(self) -> None:
        """Be ready to talk in clear to whoever may be talked to so."""
        sender, heard = RawSender(), HeardPeers(self._host.heard)
        self._open.callback(sender.close)
        guard, clock = self._host.guard, self._host.clock.now
        self.soft = SoftSas(self.kernel, heard, sender, self._hand_back, guard, clock)
        self._open.push_async_callback(self.soft.close)
        self.soft.assign(self.prepared.plan, self.prepared.ids, self.prepared.reach)
        self.kernel.exceptions = self.soft.exceptions

    def _begin_responding(self) -> None:
        """Be ready to protect what hosts ask for that no rule says anything about."""
        guard, clock = self._host.guard, self._host.clock.now
        self.responding = Responding(self.kernel, self.prepared, self._turned, guard, clock)
        self._open.push_async_callback(self.responding.close)

    async def change(self, new: Prepared) -> PlanDiff:
        """Put another plan in force in the place of this one, touching only what differs; all of it or nothing.

        The floor changes first, in one transaction, then the SPD, then the negotiation. In between each packet meets
        what one of the two plans says of it, or both, or is dropped: what the new floor steers and the old SPD doesn't
        know goes nowhere. So nothing is open that neither plan opens, and what both protect is protected throughout.

        Raises KernelError, or whatever else has gone wrong: then this plan is in force as before, though SAs that the
        other one would have ended may have to be negotiated again.
        """
        old, new = self.prepared, self._possible(new)
        async with self.responding.alone:
            try:
                await self.responding.stand(new)
                self._take(new)
            except BaseException:
                await self._go_back(old)
                raise
        self.soft.over()
        if (new.unusable, new.absent, new.plan.peers) != (old.unusable, old.absent, old.plan.peers):
            self._tell_plan()
        with self._host.guard.over("a look at the kernel's settings"):
            await self._tell_problems()
        return difference(old, new)

    def _possible(self, prepared: Prepared) -> Prepared:
        """As far as this machine can do it, and as far as is known who speaks IKEv2."""
        config = prepared.config if self._native else udp_alone(prepared.config)
        return replace(prepared, config=v2_alone(config) if self._spoken.doubt else config)

    def _behind(self, peer: str) -> frozenset[Network]:
        """The networks that the SAs of the peer of this name lead to."""
        found = next((each for each in self.prepared.config.peers if each.name == peer), None)
        return networks_behind(found) if found is not None else frozenset()

    def _doubted(self) -> None:
        """It isn't known any more who speaks IKEv2."""
        asyncio.get_running_loop().call_soon(self._speak_v2)

    def _speak_v2(self) -> None:
        self.prepared = self._possible(self.prepared)
        if self._reading:
            self.wires.turn(lambda now: self.negotiation.reconfigure(self.prepared.config, now))

    def _take(self, new: Prepared) -> None:
        """Give the roads and the negotiation another plan."""
        old, self.prepared = self.prepared, new
        self.responding.assign(new)
        self.soft.assign(new.plan, new.ids, new.reach)
        self._host.judging.serve(new.ring.users, self._resume)
        if new.entries != old.entries:
            self._set_spd()
        again = new.plan.policy != old.plan.policy  # under which nobody has been heard yet, whatever SAs there are
        if new.config != old.config or again:
            self.wires.turn(lambda now: self.negotiation.reconfigure(new.config, now))

    async def _go_back(self, old: Prepared) -> None:
        """A change has failed somewhere on its way: undo what it has done, in reverse."""
        if self.prepared is not old:
            with self._host.guard.over("going back to the policy before"):
                self._take(old)
        floor = self.responding.floor(old)
        await self.ground.put_back(floor, old.floor)
        if self.kernel.floor == floor:
            with self._host.guard.over("going back to the floor before"):
                await self.responding.stand(old)

    @property
    def plan(self) -> Plan:
        """The plan in force, with what hosts have negotiated by the default response."""
        return self.responding.plan

    def sas(self) -> list[IkeSaStatus]:
        """The negotiation's SAs as they are now."""
        self.wires.turn(self.negotiation.timer)  # it knows no other time than that of its last turn
        return self.negotiation.status()

    def held(self, child: str) -> bool:
        """Whether an operator has put the child of this name down."""
        return self.negotiation.held(self.prepared.ids[child])

    async def counters(self) -> Counters:
        """What the roads have counted until now."""
        return await self._plane.counters()

    @property
    def data_plane(self) -> str:
        """Where packets are carried."""
        return self._plane.name

    def processes(self) -> dict[str, int | None]:
        """The processes that carry packets besides this one, by road."""
        return self._plane.pids()

    def drops(self) -> Counter[str]:
        """Packets and datagrams that got no further than the negotiation, the sockets or the TUN, by reason."""
        total = self.negotiation.counters + self._sockets.counters() + self._port.drops + self.soft.drops
        return total + self.kernel.tun.drops if self.kernel.tun is not None else total

    def heard(self) -> Counter[str]:
        """Errors about datagrams that were sent, and what became of them."""
        return self._sockets.heard() + self._paths.heard

    def look_after(self) -> None:
        """Every now and then."""
        if self._reading:
            self._plane.look_after()

    def wake(self) -> None:
        """The machine has slept."""
        self.wires.wake()
        self.wires.turn(self.negotiation.woke)

    async def stop(self, reason: str) -> None:
        """Say goodbye to the peers and let go of everything but the floor, in bounded time."""
        with self._host.guard.over("the goodbyes"):
            self.wires.turn(lambda now: self.negotiation.shutdown(reason, now))
        await asyncio.sleep(limits.GOODBYE)
        await self.ground.let_go()
        self.keys.forget()
        self._reading = False
        await self._open.aclose()
        self.ground.close()

    async def lower(self) -> None:
        """Remove everything of ours from the kernel, and stop: the policy is no longer in force. Raises KernelError;
        then the policy is still in force, and what was removed already is put back."""
        async with self.responding.alone:
            await self.ground.lower()
        await self.stop("the policy was put out of force by command")

    # --- what the data plane brings about -----------------------------------------------------------------------

    def results(self, results: Iterable[Result], now: float) -> None:
        """Its reports."""
        self._conductor.results(results, now)
        self.wires.rearm()

    def path_heard(self, heard: Heard) -> None:
        """It has heard of an error about a datagram."""
        self.wires.heard(heard)

    def tun_lost(self, reason: str) -> None:
        """It finds the TUN device gone."""
        self._port.lost(reason)

    def plane_failed(self, reason: str) -> None:
        """It can't be kept running: the floor alone protects."""
        self._host.failed(reason)

    def plane_again(self) -> None:
        """It has been started again, and knows nothing: what it had carried is negotiated anew, a few SAs at a time."""
        self._set_spd()
        self.wires.look_at_links(anew=True)
        spis = deque(self.negotiation.inbound_spis())
        self._negotiate_again(spis)

    def _negotiate_again(self, spis: deque[bytes]) -> None:
        some = [spis.popleft() for _ in range(min(limits.RENEGOTIATE_AT_ONCE, len(spis)))]
        if some and self._reading:
            self.wires.turn(lambda now: self.negotiation.lost(tuple(some), now))
            asyncio.get_running_loop().call_later(limits.RENEGOTIATE_REST, self._negotiate_again, spis)

    def _turned(self) -> None:
        """The negotiation has been told something beside its turns."""
        self.wires.rearm()

    def _resume(self, action: Callable[[], None]) -> None:
        """What the negotiation has waited for is known."""
        self.wires.turn(lambda now: self.negotiation.resume(action, now))

    def _tun_lost(self) -> None:
        self.ground.tun_lost()

    def _moved(self) -> None:
        self._host.addresses()
        if self._reading:
            self.wires.look_at_links()

    def _rerouted(self) -> None:
        """Other routes than those of everybody, which matter where rules ask for one type of connection."""
        plan = self.prepared.plan if self._reading else self._sketch.plan
        if plan.by_connection and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(limits.ROUTES_REST, self._look_at_routes)

    def _look_at_routes(self) -> None:
        self._looking = None
        self._host.addresses()

    def _new_tun(self, tun: Tun) -> None:
        self._port.tun = tun
        if self._reading:
            self.wires.watch_tun()
            self._plane.new_tun(tun)

    def _hand_back(self, child: str) -> None:
        """What waits for this child may leave in clear."""
        self._conductor.tell_roads(Release(child), self._host.clock.now())

    def _set_spd(self) -> None:
        self._generation += 1
        self._conductor.tell_roads(SetSpd(self._generation, self.prepared.entries), self._host.clock.now())

    async def _tell_problems(self) -> None:
        """What of this machine is in the way of the plan now, and wasn't before. Raises KernelError."""
        plan = self.prepared.plan
        sides = plan.settings.inside, self.prepared.outside
        found = await self.kernel.problems(local_networks(plan), local_ranges(plan), *sides)
        for problem in found:
            if problem not in self._problems:
                log.warning("kernel-setting", problem=problem)
        self._problems = found

    def _tell_plan(self) -> None:
        """What an operator should know of the plan that is in force from now on; keys are kept if it says so."""
        if not tell_plan(self.prepared):
            self.keys.forget()
