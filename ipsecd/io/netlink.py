"""Routing rules, routes, links and addresses, over rtnetlink.

Everything written is read back and compared as a whole value: the library drops keywords it doesn't know without a
word, and a rule that lost its mark would steer every packet of the machine. What is ours carries our protocol
number, by which a later run of ipsecd, or one without its policy, finds it again; nothing else is touched.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute, NetlinkError
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST

from ipsecd.errors import REPORT, KernelError
from ipsecd.io.link_settings import quiet_link
from ipsecd.io.netlink_values import Link, Route, Rule, link_of, route_of, rule_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PROTOCOL = 50  # who made a route or rule (rtnetlink(7), rtm_protocol): a number nobody else has; that of ESP
WORST_METRIC = 4_294_967_295
MAIN_TABLE, _LOCAL_TABLE = 254, 255
DEFAULT_ROUTE = 3  # prefixes no longer than this lead everywhere, by whatever name: also 0.0.0.0/1, 2000::/3

_FAMILY = {4: AF_INET, 6: AF_INET6}
_UNNAMED = {4: str(IPv4Address(0)), 6: str(IPv6Address(0))}  # the network of a route that leads everywhere
_UNICAST, _BROADCAST, _ANYCAST = 1, 3, 4  # RTN_UNICAST, RTN_BROADCAST, RTN_ANYCAST
_WHOLE_ROUTE = 0x2000  # RTM_F_FIB_MATCH: answer with the route as it stands in its table, with every next hop
_RTM_NEWLINK = 16
_IFA_F_NODAD, _IFA_F_DADFAILED = 0x02, 0x08


class Netlink:
    """A conversation with the kernel of the network namespace it was opened in."""

    def __init__(self) -> None:
        self._route = AsyncIPRoute(strict_check=True)
        self._dumping = asyncio.Lock()
        self.versions = tuple(version for version, family in _FAMILY.items() if _spoken(family))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._route.close()

    async def _dump(self, ask: Callable[..., Any], **keys: Any) -> list[Any]:
        """All there is of a kind. One question after the other: the kernel refuses a second one meanwhile (EBUSY)."""
        async with self._dumping:
            return [message async for message in await ask("dump", **keys)]

    # --- rules and routes -------------------------------------------------------------------------------------------

    async def rules(self) -> tuple[Rule, ...]:
        """The rules that are ours, of both families, in order of preference."""
        found: list[Rule] = []
        for version in self.versions:
            dump = await self._dump(self._route.rule, family=_FAMILY[version])
            found += [rule_of(message) for message in dump if message.get_attr("FRA_PROTOCOL") == PROTOCOL]
        return tuple(found)

    async def add_rule(self, rule: Rule) -> None:
        """Add a rule and see that it is there as asked; raises KernelError, leaving none that says something else."""
        await self._change("add", rule)
        present = [other for other in await self.rules() if _place(other) == _place(rule)]
        if present != [rule]:
            for other in present:
                await self.remove_rule(other)
            raise KernelError(f"asked for {rule}, the kernel has {present}", REPORT)

    async def remove_rule(self, rule: Rule) -> None:
        """Remove one of ours; none is fine too."""
        await self._change("del", rule)

    async def routes(self) -> tuple[Route, ...]:
        """The routes that are ours, of both families and every table."""
        found: list[Route] = []
        for version in self.versions:
            dump = await self._dump(self._route.route, family=_FAMILY[version], proto=PROTOCOL)
            found += [route_of(message) for message in dump if message["proto"] == PROTOCOL]
        return tuple(found)

    async def add_route(self, route: Route) -> None:
        """Add a route and see that it is there as asked; raises KernelError."""
        await self._change_route("add", route)
        present = await self.routes()
        if route not in present:
            raise KernelError(f"asked for {route}, the kernel has {present}", REPORT)

    async def remove_route(self, route: Route) -> None:
        """Remove one of ours; none is fine too."""
        await self._change_route("del", route)

    async def _change(self, command: str, rule: Rule) -> None:
        keys: dict[str, Any] = {"action": {"table": "to_tbl"}.get(rule.action, rule.action)}
        if rule.action == "table":
            keys["table"] = rule.target
        if rule.action == "goto":
            keys["goto"] = rule.target
        if rule.mask:
            keys |= {"fwmark": rule.mark, "fwmask": rule.mask}
        if rule.interface:
            keys["iifname"] = rule.interface
        if rule.suppressed is not None:
            keys["suppress_prefixlen"] = rule.suppressed
        try:
            await self._route.rule(
                command, family=_FAMILY[rule.version], priority=rule.preference, protocol=PROTOCOL, **keys
            )
        except NetlinkError as error:
            _tolerate(error, command, f"routing rule {rule.preference}")

    async def _change_route(self, command: str, route: Route) -> None:
        keys: dict[str, Any] = {"type": route.kind, "dst": route.destination, "table": route.table, "proto": PROTOCOL}
        if route.kind == "unicast":
            keys |= {"oif": route.link, "scope": "link" if route.version == 4 else "universe"}
        if route.source:
            keys["prefsrc"] = route.source
        if route.metric:
            keys["priority"] = route.metric
        try:
            await self._route.route(command, family=_FAMILY[route.version], **keys)
        except NetlinkError as error:
            _tolerate(error, command, f"route in table {route.table}")

    # --- links and addresses ----------------------------------------------------------------------------------------

    async def link(self, name: str) -> Link | None:
        """The interface of that name, if there is one."""
        try:
            (message,) = await self._route.link("get", ifname=name)
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise _said_no(error, f"can't look at interface {name}") from error
        return link_of(message)

    async def links(self) -> tuple[Link, ...]:
        """Every interface."""
        return tuple(link_of(message) for message in await self._dump(self._route.link))

    async def quieten(self, name: str, group: int) -> Link:
        """Make an interface fit for our packets alone, before it is up: no IPv6 addresses by itself, its reverse path
        check by mark, and its group. Raises KernelError if it isn't so afterwards."""
        link = await self.link(name)
        if link is None:
            raise KernelError(f"interface {name} is gone", "something else removed it")
        message = quiet_link(link.index, group, ipv6=link.generates)
        try:
            async for _ in await self._route.nlm_request(
                message, msg_type=_RTM_NEWLINK, msg_flags=NLM_F_REQUEST | NLM_F_ACK
            ):
                pass
        except NetlinkError as error:
            raise _said_no(error, f"can't configure interface {name}") from error
        link = await self.link(name)
        if link is None or link.generates or not link.reverse_mark or link.group != group:
            raise KernelError(f"interface {name} didn't take its settings: {link}", "please report this as a bug")
        return link

    async def addresses(self) -> tuple[tuple[str, Address], ...]:
        """Our own addresses with the interface each is on. Those found double are left out; those still being checked
        are not, as they may already be in use (RFC 4429)."""
        names = {link.index: link.name for link in await self.links()}
        found = []
        for message in await self._dump(self._route.addr):
            flags = message.get_attr("IFA_FLAGS") or message["flags"]
            if message["family"] == AF_INET6 and flags & _IFA_F_DADFAILED:
                continue
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            found.append((names.get(message["index"], ""), ip_address(text)))
        return tuple(found)

    async def add_address(self, link: int, address: Address) -> None:
        """Give the interface of that index an address, and no network with it. Raises KernelError."""
        await self._change_address("add", link, address)

    async def remove_address(self, link: int, address: Address) -> None:
        """Take one away again; none is fine too."""
        await self._change_address("del", link, address)

    async def _change_address(self, command: str, link: int, address: Address) -> None:
        flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}  # nobody else is on that link
        try:
            await self._route.addr(command, index=link, address=str(address), prefixlen=address.max_prefixlen, **flags)
        except NetlinkError as error:
            _tolerate(error, command, f"address {address}")

    async def broadcasts(self) -> tuple[Address, ...]:
        """The addresses that reach all hosts of a network this machine is on; there are none of IPv6."""
        return await self._local(AF_INET, _BROADCAST)

    async def anycasts(self) -> tuple[Address, ...]:
        """The addresses that this machine hears and that others may have too, as all routers of an IPv6 network have
        its subnet-router anycast address (RFC 4291 section 2.6.1)."""
        return await self._local(AF_INET, _ANYCAST) + await self._local(AF_INET6, _ANYCAST)

    async def _local(self, family: int, kind: int) -> tuple[Address, ...]:
        """The addresses of one kind in the table of the machine's own."""
        dump = await self._dump(self._route.route, family=family, table=_LOCAL_TABLE)
        return tuple(ip_address(route.get_attr("RTA_DST")) for route in dump if route["type"] == kind)

    async def named(self) -> tuple[Network, ...]:
        """All networks that routes lead to, and that routing rules ask for, in whatever table."""
        found: dict[Network, None] = {}
        for version in self.versions:
            for ask, key in ((self._route.route, "RTA_DST"), (self._route.rule, "FRA_DST")):
                for message in await self._dump(ask, family=_FAMILY[version]):
                    text = message.get_attr(key) or _UNNAMED[version]
                    found[ip_network((text, message["dst_len"]), strict=False)] = None
        return tuple(found)

    async def source_for(self, remote: Address, mark: int) -> Address | None:
        """The address the kernel would send from to reach ``remote`` with a socket of that mark; None: no route."""
        route = await self._route_to(remote, mark)
        text = route.get_attr("RTA_PREFSRC") if route is not None else None
        return ip_address(text) if text else None

    async def interfaces_to(self, remote: Address, mark: int) -> tuple[int, ...]:
        """The indexes of the interfaces by which the kernel may send to ``remote`` with that mark: several where a
        route has several next hops, none without a route, and none to an address of our own."""
        route = await self._route_to(remote, mark, _WHOLE_ROUTE)
        if route is None or route["type"] != _UNICAST:
            return ()
        if hops := route.get_attr("RTA_MULTIPATH"):
            return tuple(dict.fromkeys(hop["oif"] for hop in hops))
        index = route.get_attr("RTA_OIF")
        if index is None:  # the kernel names a nexthop object alone (nexthop_compat_mode); then one way must do
            chosen = await self._route_to(remote, mark)
            index = chosen.get_attr("RTA_OIF") if chosen is not None else None
        return (index,) if index is not None else ()

    async def _route_to(self, remote: Address, mark: int, flags: int = 0) -> Any:
        try:
            (message,) = await self._route.route(
                "get", family=_FAMILY[remote.version], dst=str(remote), mark=mark, flags=flags
            )
        except NetlinkError:
            return None
        return message

    async def would_accept(self, source: Address, destination: Address, link: Link, mark: int = 0) -> bool:
        """Whether a packet that came in by ``link`` with that mark passes the kernel's checks of its source."""
        try:
            await self._route.route(
                "get", family=_FAMILY[source.version], dst=str(destination), src=str(source), iif=link.index, mark=mark
            )
        except NetlinkError as error:
            return error.code not in {errno.EXDEV, errno.EINVAL}
        return True


def _spoken(family: int) -> bool:
    """Whether this kernel speaks that IP version at all (``ipv6.disable=1`` on its command line)."""
    try:
        socket(family, SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _place(rule: Rule) -> tuple[int, int]:
    return rule.version, rule.preference


def _tolerate(error: NetlinkError, command: str, what: str) -> None:
    """Adding what is there and removing what isn't are no mistakes: what counts is read back."""
    if error.code == errno.EEXIST and command == "add":
        return
    if error.code in {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL} and command == "del":
        return
    raise _said_no(error, f"can't {command} a {what}") from error


def _said_no(error: NetlinkError, what: str) -> KernelError:
    hint = "ipsecd needs CAP_NET_ADMIN" if error.code in {errno.EPERM, errno.EACCES} else ""
    return KernelError(f"{what}: {error.args[-1]}", hint, errno=error.code)
