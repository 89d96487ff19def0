"""What the link towards a peer carries: the MTU of the interface that the kernel would send by, or less if the route or
IPv6's router says so.

Path MTUs that the kernel has learned from ICMP don't count: anybody can make those. The kernel answers a question of
rtnetlink before the call that asks it returns, so nobody has to wait here.
"""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from pyroute2.netlink import NLM_F_REQUEST, nlmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ipsecd.errors import KernelError
from ipsecd.limits import MAX_UDP_DATAGRAM

Address = IPv4Address | IPv6Address
Message = TypeVar("Message", bound=nlmsg)

_GET_LINK, _GET_ROUTE, _ANSWER = 18, 26, {18: 16, 26: 24}  # rtnetlink(7)
_FIB_MATCH = 0x2000  # RTM_F_FIB_MATCH: the route itself, not what was made of it for this destination
_FAMILIES = {4: (socket.AF_INET, 32), 6: (socket.AF_INET6, 128)}


class LinkMtus:
    """Asks for packets that carry ``mark``. Raises KernelError if there is no netlink."""

    def __init__(self, mark: int) -> None:
        self._mark = mark
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
        except OSError as error:
            raise KernelError(f"can't ask for routes: {error.strerror}") from error

    def close(self) -> None:
        self._socket.close()

    def to(self, remote: Address, local: Address) -> int | None:
        """The largest IP packet from ``local`` that can be sent towards ``remote``; None if nothing can."""
        taken = self._route(remote, local, 0)
        index = taken.get_attr("RTA_OIF") if taken is not None else None
        link = self._link(index) if index else None
        route = self._route(remote, local, _FIB_MATCH)
        if link is None or route is None:
            return None
        limits: list[int | None] = [
            link.get_attr("IFLA_MTU"),
            route.get_nested("RTA_METRICS", "RTAX_MTU"),
            MAX_UDP_DATAGRAM,
        ]
        if remote.version == 6:
            limits.append(_router_mtu(link))
        return min(limit for limit in limits if limit)

    def _route(self, remote: Address, local: Address, flags: int) -> Any:
        family, bits = _FAMILIES[remote.version]
        question = rtmsg()
        question["family"], question["dst_len"], question["src_len"], question["flags"] = family, bits, bits, flags
        question["attrs"] = [("RTA_DST", str(remote)), ("RTA_SRC", str(local)), ("RTA_MARK", self._mark)]
        return self._ask(question, _GET_ROUTE, rtmsg)

    def _link(self, index: int) -> Any:
        question = ifinfmsg()
        question["index"] = index
        return self._ask(question, _GET_LINK, ifinfmsg)

    def _ask(self, question: nlmsg, kind: int, answer: type[Message]) -> Message | None:
        question["header"]["type"], question["header"]["flags"] = kind, NLM_F_REQUEST
        question.encode()
        with contextlib.suppress(OSError):
            self._socket.sendto(question.data, (0, 0))
            message = answer(self._socket.recv(MAX_UDP_DATAGRAM))
            message.decode()
            return message if message["header"]["type"] == _ANSWER[kind] else None
        return None


def _router_mtu(link: Any) -> int | None:
    """What IPv6 takes for the link's MTU, once a router has said (RFC 4861 section 4.6.4)."""
    inet6 = link.get_nested("IFLA_AF_SPEC", "AF_INET6")
    conf = inet6.get_attr("IFLA_INET6_CONF") if inet6 is not None else None
    return int(conf["mtu"]) if conf else None
