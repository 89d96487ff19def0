"""Where each cell of the table of docs/policies.md is in the sites, and the policies of both gateways for all of them
at once.

Behind gb is a network for each kind of peer, 10.2.16.0/24 and so on, and in it a block of 16 addresses for each action
that negotiates: its rule and its SA are for that block, and its cells are in it. What is permitted or blocked is a
single address in the block of the first such action, an exception to its rule. For each kind of peer gb has an address
of its own on the wire, where it is a gateway that protects, has no IKE, says nothing, or refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ipsecd.policy.actions import FilterAction
from ipsecd.policy.builtin import FILTER_ACTIONS
from tests.netns.flood import Flow
from tests.netns.gateway import others_table
from tests.netns.pair import KEY
from tests.netns.places import GA_LAN, GA_WAN, HA, HB, NET_A
from tests.netns.policy_table import PEERS, Cell
from tests.netns.sites import Sites

PORTS = {"whole": 4001, "fragmented": 4002}
GATEWAYS = {peer: f"192.0.2.{2 + index}" for index, peer in enumerate(PEERS)}
_OCTETS = {"whole": 0, "fragmented": 2_000}  # two fragments on a link of 1,500
_BEHIND = {4: "10.2.16.0/20", 6: "fd02:0:0:10::/60"}
_BLOCK, _FIRST_NETWORK = 16, 16
_OURS, _THEIRS = "gw.a.example", {peer: f"gw.{index}.example" for index, peer in enumerate(PEERS)}
_CREDENTIALS = ("peer", "refused")


@dataclass(frozen=True)
class Layout:
    """The cells of a table, each with addresses and a name of its own. ``actions`` are all that its rows may name."""

    cells: Sequence[Cell]
    actions: Mapping[str, FilterAction]

    # --- where they are -----------------------------------------------------------------------------------------------

    @property
    def names(self) -> dict[str, Cell]:
        return {f"c{number}": cell for number, cell in enumerate(self.cells)}

    def flows(self, place: str, wanted: Sequence[Cell]) -> list[Flow]:
        """What this place sends so that there are packets in these cells."""
        return [
            Flow(*self._ends(cell), name, PORTS[cell.packets], _OCTETS[cell.packets])
            for name, cell in self.names.items()
            if cell in wanted and sender(cell) == place
        ]

    def _ends(self, cell: Cell) -> tuple[str, str]:
        """Source and target."""
        near = (HA if cell.traffic == "forwarded" else GA_LAN)[cell.version]
        far = self._host(cell.action, cell.peer, cell.version)
        return (near, far) if cell.direction == "out" else (far, near)

    def hosts(self, version: int) -> set[str]:
        """The far addresses of all cells."""
        return {self._host(cell.action, cell.peer, version) for cell in self.cells}

    def _host(self, action: str, peer: str, version: int) -> str:
        if action in self._exceptions:
            return _address(peer, version, 2 + self._exceptions.index(action))
        return _address(peer, version, _BLOCK * self.negotiating.index(action) + 1)

    def _covered(self, action: str, peer: str, version: int) -> str:
        """What a rule with this action is for at that peer."""
        if action in self._exceptions:
            return self._host(action, peer, version)
        first = _address(peer, version, _BLOCK * self.negotiating.index(action))
        return f"{first}/{ {4: 28, 6: 124}[version] }"

    @property
    def _used(self) -> list[str]:
        return list(dict.fromkeys(cell.action for cell in self.cells))

    @property
    def negotiating(self) -> list[str]:
        """The actions that negotiate."""
        return [name for name in self._used if self.actions[name].action == "negotiate"]

    @property
    def _exceptions(self) -> list[str]:
        return [name for name in self._used if name not in self.negotiating]

    def sa(self, cell: Cell) -> str:
        """The child SA of a by which a packet in this cell crosses the wire; nothing if by none. What we block comes by
        the SA of the rule that it is an exception to."""
        blocked = cell.direction == "in" and cell.peer == "protects" and self.actions[cell.action].action == "block"
        if cell.passes != "protected" and not blocked:
            return ""
        action = self.negotiating[0] if blocked else cell.action
        return f"{rule_name(action, cell.peer)}/{ {4: 1, 6: 2}[cell.version] }"

    def peer_name(self, peer: str) -> str:
        """What a calls it: as its first rule for it."""
        return rule_name(self.negotiating[0], peer)

    def furnish(self, sites: Sites) -> None:
        """Give gb and hb their addresses, and have gb's kernel answer IKE as peers without an ipsecd do."""
        batch(sites, "hb", *(f"addr add {host} dev eth0 nodad" for version in (4, 6) for host in self.hosts(version)))
        batch(sites, "gb", *(f"addr add {gateway}/24 dev wan0" for gateway in list(GATEWAYS.values())[1:]))
        batch(sites, "gb", *(f"route add {net} via {HB[version]}" for version, net in _BEHIND.items()))
        ike = "udp dport { 500, 4500 }"
        others_table(
            sites,
            ("filter hook input priority 0", f"ip daddr {GATEWAYS['silent']} {ike} drop"),
            ("filter hook input priority 1", f"ip daddr {GATEWAYS['in clear']} {ike} reject"),
            place="gb",
        )

    # --- policies -----------------------------------------------------------------------------------------------------

    def files_of_a(self) -> dict[str, str]:
        return {"policy.yaml": self.policy_of_a(), "peer.psk": KEY, "refused.psk": f"another {KEY}"}

    def policy_of_a(self, *more: Mapping[str, Any]) -> str:
        """Two policies with the same rules, ``table`` and ``other``; in the first ``more`` besides."""
        policies = {"table": {"rules": [*self._rules_of_a(), *more]}, "other": {"rules": [*self._rules_of_a()]}}
        return _file("table", policies, self._own_actions())

    def _own_actions(self) -> dict[str, Any]:
        """Those that the policy file has to define."""
        own = [name for name in self._used if name not in FILTER_ACTIONS]
        return {name: self.actions[name].model_dump(mode="json", exclude_defaults=True) for name in own}

    def _rules_of_a(self) -> Iterator[dict[str, Any]]:
        for action in self._used:
            for peer in PEERS:
                filters = [_filter(NET_A[version], self._covered(action, peer, version)) for version in (4, 6)]
                name = rule_name(action, peer)
                if action in self.negotiating:
                    yield _negotiating(name, action, filters, _OURS, GA_WAN[4], _THEIRS[peer], GATEWAYS[peer])
                else:
                    yield {"name": name, "filters": filters, "action": action}

    def files_of_b(self) -> dict[str, str]:
        """gb protects and permits for some kinds of peer as they do, for one refuses, and has no rule for others."""
        rules = [*self._rules_of_b("protects"), *self._rules_of_b("lapses"), *self._lapse(), _refusing()]
        text = _file("far", {"far": {"rules": rules}}, {})
        return {"policy.yaml": text, "peer.psk": KEY, "refused.psk": f"no {KEY}"}

    def _rules_of_b(self, peer: str) -> Iterator[dict[str, Any]]:
        """The same as a's, but for what a blocks."""
        for action in self._used:
            filters = [_filter(self._covered(action, peer, version), NET_A[version]) for version in (4, 6)]
            name = rule_name(action, peer)
            if action in self.negotiating:
                ends = _THEIRS[peer], GATEWAYS[peer], _OURS, GA_WAN[4]
                yield _negotiating(name, "require-security", filters, *ends)
            elif self.actions[action].action == "permit":
                yield {"name": name, "filters": filters, "action": "permit"}

    def _lapse(self) -> Iterator[dict[str, Any]]:
        """What this peer sends, by whatever rule, leaves it in clear; what comes to it doesn't come in clear."""
        filters = [
            {**_filter(self._host(action, "lapses", version), NET_A[version]), "mirrored": False}
            for action in self._used
            for version in (4, 6)
        ]
        yield {"name": "lapse", "filters": filters, "action": "permit"}


def _address(peer: str, version: int, last: int) -> str:
    network = _FIRST_NETWORK + PEERS.index(peer)
    return f"10.2.{network}.{last}" if version == 4 else f"fd02:0:0:{network:x}::{last:x}"


def _filter(source: str, destination: str) -> dict[str, Any]:
    return {"source": source, "destination": destination}


def _negotiating(
    name: str, action: str, filters: list[dict[str, Any]], us: str, here: str, them: str, there: str
) -> dict[str, Any]:
    return {
        "name": name,
        "filters": filters,
        "action": action,
        "tunnel": {"local": here, "remote": there},
        "identity": {"local": us, "remote": them},
        "authentication": [{"psk": "refused" if GATEWAYS["refuses"] in (here, there) else "peer"}],
    }


def _refusing() -> dict[str, Any]:
    """A rule of b that a calls, and that another key is for."""
    ends = _THEIRS["refuses"], GATEWAYS["refuses"], _OURS, GA_WAN[4]
    return _negotiating("refuses", "require-security", [_filter("10.8.0.0/24", "10.9.0.0/24")], *ends)


def _file(assigned: str, policies: Mapping[str, Any], actions: Mapping[str, Any]) -> str:
    credentials = {name: {"psk": {"file": f"{name}.psk"}} for name in _CREDENTIALS}
    text = {"assigned": assigned, "credentials": credentials, "filter_actions": actions, "policies": policies}
    return yaml.safe_dump(text, sort_keys=False)


def rule_name(action: str, peer: str) -> str:
    """The rule of a for this action and peer."""
    return f"{action}-{peer}".replace(" ", "-")


def sender(cell: Cell) -> str:
    """The place that sends what is in a cell."""
    if cell.direction == "in":
        return "hb"
    return "ga" if cell.traffic == "local" else "ha"


def batch(sites: Sites, place: str, *commands: str) -> None:
    """Many commands for ``ip`` at once."""
    sites.run(place, ["ip", "-batch", "-"], stdin="\n".join([*commands, ""]))
