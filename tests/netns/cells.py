"""Where each cell of the table of docs/policies.md is in the sites.

Behind gb is a network for each kind of peer, 10.2.16.0/24 and so on, and in it a block of 16 addresses for each action
that negotiates: its rule and its SA are for that block, and its cells are in it. What is permitted or blocked is a
single address in the block of the first such action, an exception to its rule. For each kind of peer gb has addresses
of its own on the wire, where it is a gateway that protects, has no IKE, says nothing, or refuses. Fallback to clear is
for these alone, so an action that has it has its cells at the gateways themselves, and a rule for each family. So has
any action if its rules have no tunnels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product

from ipsecd.policy.actions import FilterAction
from ipsecd.wire.hostpair import pair_name
from tests.netns.flood import Flow
from tests.netns.gateway import others_table
from tests.netns.places import GA_LAN, GA_WAN, HA, HB, NET_A
from tests.netns.policy_table import PEERS, Cell
from tests.netns.sites import Sites

PORTS = {"whole": 4001, "fragmented": 4002}
GATEWAYS = {peer: {4: f"192.0.2.{number}", 6: f"2001:db8::{number}"} for number, peer in enumerate(PEERS, 2)}
PLACES = ("ha", "ga", "gb", "hb")  # that send what is in cells
_VERSIONS = (4, 6)
_OCTETS = {"whole": 0, "fragmented": 2_000}  # two fragments on a link of 1,500
_BEHIND = {4: "10.2.16.0/20", 6: "fd02:0:0:10::/60"}
_BLOCK, _FIRST_NETWORK = 16, 16
_INDEX = {"local": 1, "forwarded": 2}  # of a filter for the gateway


@dataclass(frozen=True)
class Rule:
    """A rule of ga. ``pairs`` are its filters, from ga's side to the peer's; ``version`` is that of its tunnel."""

    name: str
    action: str
    peer: str
    pairs: tuple[tuple[str, str], ...]
    version: int = 4
    tunnel: bool = True


@dataclass(frozen=True)
class Layout:
    """The cells of a table, each with addresses and a name of its own. ``actions`` are all that its rows may name. Only
    one of those that negotiate can be at the gateways themselves. Without ``tunnels`` all cells are local.
    ``native`` is what crosses the wire as an IP protocol, ESP or AH; if nothing is named, that is ESP in UDP."""

    cells: Sequence[Cell]
    actions: Mapping[str, FilterAction]
    tunnels: bool = True
    native: str = ""

    # --- packets ------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> dict[str, Cell]:
        return {f"c{number}": cell for number, cell in enumerate(self.cells)}

    def flows(self, place: str, wanted: Sequence[Cell]) -> list[Flow]:
        """What this place sends so that there are packets in these cells."""
        return [
            Flow(*self._ends(cell), name, PORTS[cell.packets], _OCTETS[cell.packets])
            for name, cell in self.names.items()
            if cell in wanted and self.sender(cell) == place
        ]

    def sender(self, cell: Cell) -> str:
        """The place that sends what is in a cell."""
        return self._near(cell) if cell.direction == "out" else self._far(cell)

    def receiver(self, cell: Cell) -> str:
        """The place that it is sent to."""
        return self._far(cell) if cell.direction == "out" else self._near(cell)

    def _near(self, cell: Cell) -> str:
        return "ha" if cell.traffic == "forwarded" else "ga"

    def _far(self, cell: Cell) -> str:
        return "gb" if self._at_gateway(cell.action) else "hb"

    def _ends(self, cell: Cell) -> tuple[str, str]:
        """Source and target."""
        own = GA_WAN if self._at_gateway(cell.action) else GA_LAN
        near = (HA if cell.traffic == "forwarded" else own)[cell.version]
        far = self._host(cell.action, cell.peer, cell.version)
        return (near, far) if cell.direction == "out" else (far, near)

    # --- addresses ----------------------------------------------------------------------------------------------------

    def hosts(self, version: int) -> set[str]:
        """The addresses behind gb of all cells that are there."""
        behind = (cell for cell in self.cells if not self._at_gateway(cell.action))
        return {self._host(cell.action, cell.peer, version) for cell in behind}

    def _host(self, action: str, peer: str, version: int) -> str:
        if self._at_gateway(action):
            return GATEWAYS[peer][version]
        if action in self._exceptions:
            return _address(peer, version, 2 + self._exceptions.index(action))
        return _address(peer, version, self._block(action) + 1)

    def _covered(self, action: str, peer: str, version: int) -> str:
        """What a rule with this action is for at that peer."""
        if action in self._exceptions:
            return self._host(action, peer, version)
        return f"{_address(peer, version, self._block(action))}/{ {4: 28, 6: 124}[version] }"

    def _block(self, action: str) -> int:
        return _BLOCK * self.negotiating.index(action)

    @property
    def used(self) -> list[str]:
        """The actions of the cells."""
        return list(dict.fromkeys(cell.action for cell in self.cells))

    @property
    def negotiating(self) -> list[str]:
        """Those that negotiate."""
        return [name for name in self.used if self.actions[name].action == "negotiate"]

    @property
    def _exceptions(self) -> list[str]:
        return [name for name in self.used if name not in self.negotiating]

    def _at_gateway(self, action: str) -> bool:
        given = self.actions[action]
        return given.fallback_to_clear is not None or (given.action == "negotiate" and not self.tunnels)

    # --- rules --------------------------------------------------------------------------------------------------------

    def rules(self, *peers: str) -> Iterator[Rule]:
        """All that ga has, or those for these kinds of peers."""
        for action, peer in product(self.used, peers or PEERS):
            if self._at_gateway(action):
                yield from (self._for_gateway(action, peer, version) for version in _VERSIONS)
            else:
                pairs = ((NET_A[version], self._covered(action, peer, version)) for version in _VERSIONS)
                yield Rule(_name(action, peer), action, peer, tuple(pairs))

    def _for_gateway(self, action: str, peer: str, version: int) -> Rule:
        there = GATEWAYS[peer][version]
        pairs = ("me", there), (NET_A[version], there)
        name = _name(action, peer, str(version))
        return Rule(name, action, peer, pairs if self.tunnels else pairs[:1], version, self.tunnels)

    def negotiated(self, peer: str) -> list[Rule]:
        """The rules for this kind of peer that negotiate."""
        return [rule for rule in self.rules(peer) if rule.action in self.negotiating]

    def sa(self, cell: Cell) -> str:
        """The child SA of ga by which a packet in this cell crosses the wire; nothing if by none. What we block comes
        by the SA of the rule that it is an exception to."""
        blocked = cell.direction == "in" and cell.peer == "protects" and self.actions[cell.action].action == "block"
        if cell.passes != "protected" and not blocked:
            return ""
        action = self.negotiating[0] if blocked else cell.action
        if self._at_gateway(action):
            name = f"{_name(action, cell.peer, str(cell.version))}/{_INDEX[cell.traffic]}"
            hosts = ip_address(GATEWAYS[cell.peer][cell.version]), ip_address(GA_WAN[cell.version])
            return name if self.tunnels else pair_name(name, *hosts)
        return f"{_name(action, cell.peer)}/{ {4: 1, 6: 2}[cell.version] }"

    def firsts(self, peer: str) -> list[Rule]:
        """The first of the rules for a peer, for each family of its tunnels: ga calls it as that is called."""
        return list({rule.version: rule for rule in reversed(self.negotiated(peer))}.values())

    # --- the sites ----------------------------------------------------------------------------------------------------

    def furnish(self, sites: Sites) -> None:
        """Give gb and hb their addresses, and have gb's kernel answer IKE as peers without an ipsecd do."""
        batch(
            sites, "hb", *(f"addr add {host} dev eth0 nodad" for version in _VERSIONS for host in self.hosts(version))
        )
        more = list(GATEWAYS.values())[1:]
        batch(sites, "gb", *(f"addr add {gateway[4]}/24 dev wan0" for gateway in more))
        batch(sites, "gb", *(f"addr add {gateway[6]}/64 dev wan0 nodad" for gateway in more))
        batch(sites, "gb", *(f"route add {net} via {HB[version]}" for version, net in _BEHIND.items()))
        others_table(
            sites,
            ("filter hook input priority 0", _ike_to("silent", "drop")),
            ("filter hook input priority 1", _ike_to("in clear", "reject")),
            place="gb",
        )


def _ike_to(peer: str, verdict: str) -> str:
    addresses = GATEWAYS[peer]
    return "; ".join(
        f"{header} daddr {addresses[version]} udp dport {{ 500, 4500 }} {verdict}"
        for header, version in (("ip", 4), ("ip6", 6))
    )


def _address(peer: str, version: int, last: int) -> str:
    network = _FIRST_NETWORK + PEERS.index(peer)
    return f"10.2.{network}.{last}" if version == 4 else f"fd02:0:0:{network:x}::{last:x}"


def _name(action: str, peer: str, *more: str) -> str:
    return "-".join((action, peer, *more)).replace(" ", "-")


def batch(sites: Sites, place: str, *commands: str) -> None:
    """Many commands for ``ip`` at once."""
    sites.run(place, ["ip", "-batch", "-"], stdin="\n".join([*commands, ""]))
