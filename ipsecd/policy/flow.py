"""One direction of a pair of an entry, and its words in nftables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from ipsecd import limits
from ipsecd.policy.constant_sets import EITHER, OURS, PORTS, WITH_PORTS, WITH_TYPES
from ipsecd.policy.exempt import GROUPS
from ipsecd.policy.plan import Action
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Selector

LOCAL = {"saddr": "fib saddr type local", "daddr": f"fib daddr type {OURS}"}


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a pair of an entry, and what happens to its packets in nft's words. ``action`` says how strict
    that is; ``me`` is the side that is this machine, in nft's words too: saddr, daddr, or none. The kernel knows which
    addresses that are at each moment, also before anybody has told us of a new one."""

    action: Action
    source: Selector
    destination: Selector
    verdict: str
    me: str = ""
    far: str = ""  # the side that isn't ours, likewise
    by: str = ""  # the interfaces it covers packets on, in nft's words; empty: any
    while_clear: bool = False  # the verdict counts only for peers that are talked to in clear now

    @property
    def protocol(self) -> int:
        """A pair has one protocol, named by either side or by both; 0 is any."""
        return int(self.source.protocol or self.destination.protocol)

    @property
    def types(self) -> tuple[int, int]:
        """Of ICMP: the ports of either side hold type*256+code."""
        return self.destination.ports if self.source.ports == ANY_PORT else self.source.ports

    @property
    def certain(self) -> bool:
        """Whether the addresses alone decide if a packet belongs to it."""
        return not self.protocol and self.source.ports == self.destination.ports == ANY_PORT

    @property
    def opaque(self) -> bool:
        """Whether it is for packets without ports to see alone (RFC 4301 section 4.4.1.1)."""
        return OPAQUE in (self.source.ports, self.destination.ports)

    @property
    def portless(self) -> bool:
        """Whether it is for all packets of protocols that have no ports, if only for those."""
        ports = {self.source.ports, self.destination.ports}
        return self.opaque and ports <= {OPAQUE, ANY_PORT} and self.protocol not in (*WITH_PORTS, *WITH_TYPES)


def rule(flow: Flow, when: str = "") -> str:
    """The flow as a rule; ``when`` is ``ct original `` for what a packet was before its addresses were changed."""
    ports = ("ct original proto-src", "ct original proto-dst") if when else ("th sport", "th dport")
    transport = _transport(flow, ports)
    return (
        f"{addresses(flow, when)} {transport} {flow.verdict}"
        if transport
        else f"{addresses(flow, when)} {flow.verdict}"
    )


def addresses(flow: Flow, when: str = "") -> str:
    """Matches the flow's addresses, and its interfaces."""
    family = "ip" if flow.source.version == 4 else "ip6"
    sides = (("saddr", flow.source), ("daddr", flow.destination))
    given = [(side, selector) for side, selector in sides if side != flow.me and not selector.any_address]
    words = [f"{when}{family} {side} {range_of(selector)}" for side, selector in given]
    words = words or [f"meta nfproto ipv{flow.source.version}"]
    if flow.me:  # what a packet was for before NAT can't be asked of the routing tables; a group isn't this machine
        words.append(f"{when}{family} {flow.me} != {GROUPS[flow.source.version]}" if when else LOCAL[flow.me])
    return " ".join([*words, flow.by] if flow.by else words)


@lru_cache(maxsize=limits.FLOOR_WORDS)
def ends(verdict: str) -> bool:
    """Whether a verdict surely ends the search: not so, if it is one for peers in a set."""
    return _FINAL.fullmatch(verdict) is not None


_FINAL = re.compile(r'(meta mark set meta mark & \w+ \| \w+ )?(counter name "[^"]*" )?(return|drop|accept)')


def range_of(selector: Selector) -> str:
    """The addresses of a selector: one, a network or a range."""
    return _range(int(selector.start), int(selector.end), selector.version)


@lru_cache(maxsize=limits.FLOOR_WORDS)
def _range(first: int, last: int, version: int) -> str:
    kind = IPv4Address if version == 4 else IPv6Address
    return str(Selector(kind(first), kind(last)))


def span(numbers: tuple[int, int]) -> str:
    """One number, or the first and the last."""
    first, last = numbers
    return str(first) if first == last else f"{first}-{last}"


def _transport(flow: Flow, names: tuple[str, str]) -> str:
    """Protocol and ports."""
    protocol = flow.protocol
    if protocol in WITH_TYPES:
        return f"meta l4proto {protocol}" + ("" if flow.types == ANY_PORT else f" @th,0,16 {span(flow.types)}")
    if flow.portless:
        return f"meta l4proto {protocol}" if protocol else f"meta l4proto != {EITHER}"
    sides = zip(names, (flow.source.ports, flow.destination.ports), strict=True)
    ports = [f"{name} {span(numbers)}" for name, numbers in sides if numbers != ANY_PORT]
    if not protocol and ports:
        return " ".join([f"meta l4proto {PORTS}", *ports])
    return " ".join([f"meta l4proto {protocol}", *ports]) if protocol else ""
