"""What ipsecd has in the kernel, as one thing: raised in order, kept against others, and lowered in reverse.

Order: the floor, then routing and the TUN; whoever opens the IKE sockets does it after that. So there is no moment in
which a packet could leave in clear, or be steered nowhere without being told so. Only ``lower`` removes the floor, the
rules and the ``unreachable`` route: when the process ends, however it ends, the TUN goes and those stay.

Six routing rules for each family, at consecutive preferences from the one configured:

    +0  the mark of steered packets         -> our table
    +1  the mark of packets out of the TUN, arriving by it -> +5
    +2  the mark of packets out of the TUN  -> our table
    +3  the mark of questions               -> the main table, but not its default routes
    +4  the mark of questions               -> unreachable
    +5  nothing

+1, +2 and +5 are there for the reverse path check (rp_filter), which asks by which interface a packet's source would
be reached, and would drop all that comes out of the TUN. With src_valid_mark on the TUN it asks with the packet's
mark. That lookup has another incoming interface than the packet's own, so +1 keeps the packet itself away from +2.
rp_filter 2 fails without this too: it wants an IPv4 address on the TUN, and a route to the source.

+3 and +4 answer the floor, which asks with a mark of its own which addresses have a route that leads nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from ipsecd.errors import KernelError
from ipsecd.io import advice
from ipsecd.io.lent import Lent, put, take
from ipsecd.io.netlink import DEFAULT_ROUTE, MAIN_TABLE, PROTOCOL, WORST_METRIC, Address, Netlink
from ipsecd.io.netlink_values import Link, Route, Rule
from ipsecd.io.nftables import Element, Nftables
from ipsecd.io.state_file import StateFile
from ipsecd.io.tun import Tun

Report = Callable[[str, str, dict[str, str]], None]  # event, level, fields

_NO_IPV6_HERE = {errno.EACCES, errno.ENODEV, errno.EINVAL}  # disable_ipv6, or an MTU below 1,280


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Names and numbers. The four marks lie in ``mask``: of packets to be steered, of our own sockets, of packets out
    of the TUN, and of questions. ``table`` is also the interface group of the TUN, ``without`` names offloads not to
    be used."""

    tun: str
    mtu: int
    mark: int
    own_mark: int
    inside_mark: int
    asking_mark: int
    mask: int
    table: int
    preference: int
    without: tuple[str, ...] = ()

    def rules(self, version: int) -> tuple[Rule, ...]:
        """In the order to add them: a rule that is gone to must be there first."""
        first = self.preference
        return (
            Rule(version, first + 5, "nop"),
            Rule(version, first + 4, "unreachable", 0, self.asking_mark, self.mask),
            Rule(version, first + 3, "table", MAIN_TABLE, self.asking_mark, self.mask, suppressed=DEFAULT_ROUTE),
            Rule(version, first + 1, "goto", first + 5, self.inside_mark, self.mask, self.tun),
            Rule(version, first + 2, "table", self.table, self.inside_mark, self.mask),
            Rule(version, first, "table", self.table, self.mark, self.mask),
        )

    def unreachable(self, version: int) -> Route:
        """Where steered packets end while there is no TUN."""
        return Route(version, self.table, "unreachable", metric=WORST_METRIC)

    def through(self, tun: Link, version: int) -> Route:
        return Route(version, self.table, "unicast", link=tun.index)


class KernelState:
    """The floor, the rules, the routes and the TUN of one daemon."""

    def __init__(
        self,
        netlink: Netlink,
        nftables: Nftables,
        store: StateFile,
        settings: KernelSettings,
        report: Report,
        new_tun: Callable[[Tun], None],
    ) -> None:
        """``new_tun`` is called with a TUN that takes the place of a lost one; the old one is closed behind it, so
        whoever reads from it must let go there."""
        self.settings = settings
        self.tun: Tun | None = None
        self._netlink = netlink
        self._nftables = nftables
        self._store = store
        self._report = report
        self._new_tun = new_tun
        self.floor = ""  # what stands, or should
        self.kept = ""  # of it, for the next boot
        self._added = ""  # what stands with it, and isn't kept
        self.exceptions: Callable[[], tuple[Element, ...]] = tuple  # what passes it for a while; never at a boot
        self._lent = Lent()  # what the TUN has, or should have
        self._index = 0
        self._lost = False
        self._floor_lock = asyncio.Lock()  # of its own: the floor waits for nothing else
        self._lock = asyncio.Lock()

    async def check_name(self) -> None:
        """Raises KernelError if the TUN's name belongs to an interface of somebody else: better before anything has
        changed than after."""
        if await self._netlink.link(self.settings.tun) is not None:
            what = f"there is an interface {self.settings.tun} already, and it isn't ours"
            raise KernelError(what, "remove it, or set another name: settings: {tun: NAME}")

    async def raise_floor(self, text: str, added: str = "", kept: str = "") -> None:
        """Put this floor in the place of the one before, in one step, with what is ``added`` to it for now, and keep it
        without that, or instead of it what is to be ``kept``, for the next boot.

        Raises KernelError. A floor that can't be kept on disk is reported, and stands all the same.
        """
        async with self._floor_lock:
            if text + added != self._nftables.text or not await self._nftables.holds():
                readable = not self._nftables.unreadable
                await self._nftables.replace(text + added, self.exceptions())
                if readable and self._nftables.unreadable:
                    self._report("floor-not-owned", "warning", {"reason": self._nftables.unreadable})
            self.floor, self._added = text, added
        try:
            if self.kept != (kept or text):
                self._store.save(kept or text)
            self.kept = kept or text
        except KernelError as error:
            self._report("floor-not-saved", "warning", {"error": error.message, "hint": error.hint})

    async def raise_tun(self) -> Tun:
        """Routing first, then the interface; packets come out of it from then on. Raises KernelError."""
        async with self._lock:
            await self._raise_routing()
            return await self._make_tun()

    async def set_mtu(self, mtu: int) -> None:
        """Give the TUN another MTU. Raises KernelError."""
        async with self._lock:
            self.settings = replace(self.settings, mtu=mtu)
            if self.tun is not None:
                self.tun.set_mtu(mtu)

    async def lend(self, lent: Lent) -> None:
        """Give the TUN this, and take away what it has had before. It goes with the TUN, and another one that takes its
        place has it again. Raises KernelError."""
        async with self._lock:
            before, self._lent = self._lent, lent
            link = await self._netlink.link(self.settings.tun)
            if self.tun is None or self._lost or link is None or link.index != self._index:
                return  # the next one gets it
            await put(lent, self._netlink, self.settings.tun, self._index)
            await take(before, lent, self._netlink, self._index)
            await self._add_routes(link)  # with the last address the kernel drops all routes of IPv4 through it

    def tun_lost(self) -> None:
        """What the TUN object holds is no longer an interface, whatever there may be of that name: ``restore`` makes
        another."""
        self._lost = True

    async def restore_floor(self, *, gone: bool = False) -> tuple[str, ...]:
        """Look at the floor and put it back if it is missing or changed; its name if it was. ``gone`` says that it is
        known to be missing: then it is put back first and looked at afterwards. Raises KernelError."""
        async with self._floor_lock:
            if not self.floor or (not gone and await self._nftables.holds()):
                return ()
            await self._nftables.replace(self.floor + self._added, self.exceptions())
            return ("floor",)

    async def let_pass(self, begin: Collection[Element], end: Collection[Element]) -> None:
        """Let these pass the floor, each for its whole time and no longer, whatever becomes of this process, and those
        not any more. Unless ``exceptions`` has it too, an exception goes with the floor. Raises KernelError."""
        async with self._floor_lock:
            if self.floor:
                await self._nftables.change(begin, end)

    async def restore(self) -> tuple[str, ...]:
        """Look at everything but the floor and put back what is missing or changed; the names of what was. Raises
        KernelError."""
        async with self._lock:
            if self.tun is None:
                return ()
            restored = await self._raise_routing()
            link = await self._netlink.link(self.settings.tun)
            if self._lost:
                self.tun.close()  # it may still have the name
                self._new_tun(await self._make_tun())
                restored.append("tun")
            elif link is None or link.index != self._index:
                lost = self.tun
                self._new_tun(await self._make_tun())
                lost.close()
                restored.append("tun")
            else:
                restored += await self._repair_tun(self.tun, link)
            return tuple(restored)

    async def problems(
        self,
        local: Mapping[str, tuple[Address, Address]],
        ranges: Collection[tuple[Address, Address]],
        inside: tuple[str, ...],
        outside: tuple[str, ...],
    ) -> tuple[str, ...]:
        """Settings of this machine that keep packets from passing as they should, each with what changes it. ``local``
        are networks that have to be inside, with their first and last addresses; ``ranges`` are first and last of all
        that is local to a rule; ``inside`` the names of the interfaces that are inside, or else ``outside`` of those
        that aren't."""
        tun = await self._netlink.link(self.settings.tun)
        found = list(advice.bridges(await self._netlink.links()))
        if tun is not None:
            addresses = await self._netlink.addresses()
            marks = self.settings.mark, self.settings.inside_mark
            found += await advice.reverse_path(self._netlink, tun, addresses, *marks)
            found += advice.forwarding(tun, ranges, [address for _, address in addresses])
        found += await advice.both_sides(self._netlink, local, inside, outside, self.settings.asking_mark)
        return tuple(found)

    async def lower(self) -> None:
        """Remove all of ours, also from the disk. Raises KernelError; ``restore`` then puts back what is gone."""
        async with self._floor_lock, self._lock:
            await flush(self._netlink, self._nftables, self._store)
            self.floor = self.kept = ""
            self.close()

    def close(self) -> None:
        """Stop, leaving all but the TUN."""
        if self.tun is not None:
            self.tun.close()
            self.tun = None

    async def _raise_routing(self) -> list[str]:
        """Rules and unreachable routes, in that order; what a former run left with other numbers goes."""
        restored = []
        wanted = [rule for version in self._netlink.versions for rule in self.settings.rules(version)]
        there = await self._netlink.rules()
        ends = [self.settings.unreachable(version) for version in self._netlink.versions]
        routes = await self._netlink.routes()
        for route in ends:
            if route not in routes:
                await self._netlink.add_route(route)
                restored.append("route")
        for rule in set(there) - set(wanted):
            await self._netlink.remove_rule(rule)
        for rule in wanted:
            if rule not in there:
                await self._netlink.add_rule(rule)
                restored.append("rule")
        for route in routes:
            if route.kind == "unreachable" and route not in ends:
                await self._netlink.remove_route(route)
        return restored

    async def _make_tun(self) -> Tun:
        tun = Tun(self.settings.tun, self.settings.mtu, self.settings.without)
        try:
            link = await self._netlink.quieten(tun.name, self.settings.table)
            tun.up()
            await self._add_routes(link)
        except KernelError:
            tun.close()
            raise
        self.tun, self._index, self._lost = tun, link.index, False
        await put(self._lent, self._netlink, self.settings.tun, self._index)
        return tun

    async def _repair_tun(self, tun: Tun, link: Link) -> list[str]:
        restored = []
        if link.mtu != self.settings.mtu:
            tun.set_mtu(self.settings.mtu)
            restored.append("tun-mtu")
            link = await self._netlink.link(tun.name) or link  # across 1,280 octets IPv6 comes or goes
        if link.generates or not link.reverse_mark or link.group != self.settings.table:
            tun.down()  # addresses it has already given itself go with that
            await self._netlink.quieten(tun.name, self.settings.table)
            tun.up()
            restored.append("tun-settings")
        if not link.up:
            tun.up()
            restored.append("tun-up")
        if await self._add_routes(link):
            restored.append("route")
        if await put(self._lent, self._netlink, tun.name, link.index):
            restored.append("address")
        return restored

    async def _add_routes(self, link: Link) -> bool:
        """The default routes through the TUN; True if one was added."""
        there = await self._netlink.routes()
        added = False
        for route in (self.settings.through(link, version) for version in self._netlink.versions):
            if route not in there:
                added |= await self._add_route(route)
        return added

    async def _add_route(self, route: Route) -> bool:
        try:
            await self._netlink.add_route(route)
        except KernelError as error:
            if route.version == 6 and error.errno in _NO_IPV6_HERE:
                return False  # what is steered meets the unreachable route
            raise
        return True


async def flush(netlink: Netlink, nftables: Nftables, store: StateFile) -> None:
    """Remove what any run of ipsecd has left: rules and routes of our protocol number, the table, the saved floor.
    In reverse of the order in which it was raised; needs no policy and no daemon. Raises KernelError."""
    for rule in sorted(await netlink.rules(), key=lambda rule: (rule.version, rule.action == "nop", rule.preference)):
        await netlink.remove_rule(rule)
    for route in await netlink.routes():
        await netlink.remove_route(route)
    await nftables.remove()
    store.remove()
    left = (*await netlink.rules(), *await netlink.routes())
    if left or await nftables.exists():
        raise KernelError(f"still there after removal: {left or nftables.table}", f"protocol number {PROTOCOL} is ours")
