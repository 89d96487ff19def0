"""The kernel state of a daemon in a place of the sites, without its daemon: marks, table and TUN are real, and nobody
seals what comes out of the TUN."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ipsecd.daemon.ground import kernel_settings
from ipsecd.io.clock import Clock
from ipsecd.io.keeper import Keeper
from ipsecd.io.kernel_state import KernelState
from ipsecd.io.netlink import Netlink
from ipsecd.io.nftables import Nftables
from ipsecd.io.outside import Outside
from ipsecd.io.state_file import StateFile
from ipsecd.io.tun import Tun
from ipsecd.io.watch import RoutingWatch, TableWatch
from ipsecd.policy import floor
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.forwarded import local_ranges
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.policy.sides import local_networks
from ipsecd.wire.selector import Selector
from tests.netns import reading
from tests.netns.capture import PATIENCE
from tests.netns.places import NET_A, NET_B
from tests.netns.sites import Sites

T = TypeVar("T")


def entry(action: Action, local: Selector, remote: Selector, name: str = "rule/1") -> Entry:
    return Entry(name, name.partition("/")[0], action, ((local, remote),))


def between_sites(action: Action, protocol: int = 0, ports: tuple[int, int] = (0, 65_535)) -> Plan:
    """Both networks of the sites, IPv4 and IPv6, seen from ga; ``ports`` are those of the far side."""
    return Plan(
        policy="test",
        entries=tuple(
            entry(
                action,
                Selector.net(NET_A[version], protocol),
                Selector.net(NET_B[version], protocol, ports),
                f"rule/{version}",
            )
            for version in (4, 6)
        ),
    )


def others_table(sites: Sites, *chains: tuple[str, str], place: str = "ga") -> None:
    """A table of somebody else in ga: for each chain what stands behind ``type``, and its one rule."""
    lines = [f"chain c{number} {{ type {base}; {rule}; }}" for number, (base, rule) in enumerate(chains)]
    sites.run(place, ["nft", "-f", "-"], stdin="\n".join(["table inet others {", *lines, "}", ""]))


class Gateway:
    """Kernel state for a plan in ``place``, raised on entering unless ``raised`` is False. Its event loop runs in a
    thread of that place. Leaving ends it as the end of a process would: the TUN goes, all else stays."""

    def __init__(self, sites: Sites, folder: Path, plan: Plan, *, place: str = "ga", raised: bool = True) -> None:
        self.sites, self.place, self.plan = sites, place, plan
        self._raised = raised
        self.saved = folder / f"floor-{place}.nft"
        self.events: list[tuple[str, dict[str, str]]] = []
        self.new_tuns: list[Tun] = []
        self.address_news = 0
        self._keeping: tuple[Future[None], ...] = ()
        self._out_of_tun: list[bytes] = []

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"loop in {self.place}", daemon=True)
        self.sites.inside(self.place, self._thread.start)
        self.do(self._build())
        if self._raised:
            self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _build(self) -> None:
        settings = self.plan.settings
        self.netlink, self.nftables = Netlink(), Nftables(floor.TABLE)
        self.around = Outside(self.netlink)
        self.watches = TableWatch(floor.TABLE), RoutingWatch(settings.table)
        self.state = KernelState(
            self.netlink,
            self.nftables,
            StateFile(self.saved, "the floor", "gone at a reboot"),
            replace(kernel_settings(settings), mtu=settings.mtu or 1_400),
            self._report,
            self.new_tuns.append,
        )
        self.keeper = Keeper(self.state, *self.watches, self._report, self._addresses, lambda: None, Clock())

    async def _end(self) -> None:
        for keeping in self._keeping:
            keeping.cancel()
        self.state.close()
        for watch in self.watches:
            watch.close()
        self.netlink.close()

    def _report(self, event: str, level: str, fields: dict[str, str]) -> None:
        self.events.append((event, fields))

    def _addresses(self) -> None:
        self.address_news += 1

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, what: Callable[[], None]) -> None:
        """Call something in the gateway's loop."""
        self._loop.call_soon_threadsafe(what)

    def up(self) -> None:
        self.raise_floor()
        self.do(self.state.raise_tun())

    def raise_floor(self) -> None:
        """The floor for the outside and the interfaces as they are now."""
        links = ((link.name, link.kind) for link in self.do(self.netlink.links()))
        interfaces = Interfaces.of(self.plan.settings, links)
        self.do(self.state.raise_floor(floor.ruleset(self.plan, self.outside(), interfaces)))

    def outside(self, *peers: str) -> tuple[str, ...]:
        """The interfaces that lead outside, unless the plan says which lead inside."""
        settings, addresses = self.plan.settings, map(ip_address, peers)
        return () if settings.inside else self.do(self.around.look(addresses, settings.own_mark, settings.tun))

    def problems(self) -> tuple[str, ...]:
        sides = self.plan.settings.inside, self.outside()
        return self.do(self.state.problems(local_networks(self.plan), local_ranges(self.plan), *sides))

    def keep(self) -> None:
        """Let the keeper run from now on."""
        work = self.keeper.keep_floor(), self.keeper.keep_rest()
        self._keeping = tuple(asyncio.run_coroutine_threadsafe(each, self._loop) for each in work)

    @property
    def tun(self) -> Tun:
        assert self.state.tun is not None
        return self.state.tun

    def out_of_tun(self, mark: bytes) -> list[bytes]:
        """The packets with this mark that the kernel gave to the TUN so far, but for those that were asked for before.
        Others are kept until somebody asks for them."""
        packets = self._out_of_tun + reading.packets(self.tun, 1_000)
        self._out_of_tun = [packet for packet in packets if mark not in packet]
        return [packet for packet in packets if mark in packet]

    def wait_in_tun(self, mark: bytes, packets: int = 1) -> list[bytes]:
        """The next packets with this mark that the kernel gives to the TUN; fails if fewer come."""
        end, found = time.monotonic() + PATIENCE, self.out_of_tun(mark)
        while len(found) < packets:
            assert time.monotonic() < end, f"{len(found)} packets with {mark!r} went into the TUN"
            select.select([self.tun], [], [], 0.2)
            found += self.out_of_tun(mark)
        return found

    def into_tun(self, packets: Iterable[bytes]) -> None:
        """What the inbound road would do with opened packets."""
        for packet in packets:
            assert self.tun.write(packet)

    def without(self, chain: str, words: str) -> None:
        """Take out of a chain of the floor the rules with these words: the control of a test, as without that check."""
        where = ["inet", floor.TABLE, chain]
        rules = self.sites.run(self.place, ["nft", "-a", "list", "chain", *where]).stdout.splitlines()
        handles = [rule.rpartition(" ")[2] for rule in rules if words in rule]
        assert handles, f"no rule with {words} in {chain}"
        for handle in handles:
            self.sites.run(self.place, ["nft", "delete", "rule", *where, "handle", handle])

    def counters(self) -> dict[str, int]:
        return {name: packets for name, packets in self.do(self.nftables.counters()).items() if packets}
