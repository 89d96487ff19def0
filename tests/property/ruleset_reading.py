"""The floor's ruleset, read rule by rule as nftables does, for one packet that passes through the hooks.

What it can't read it refuses, so no rule is passed over in silence. Routes are as they should be: whatever is asked of
the routing tables, a forwarded packet comes from the side where its source is, and goes where its destination is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from ipsecd.ipsec.selectors import UNSEEN, Flow
from ipsecd.policy.deciding import Seen
from ipsecd.policy.plan import Settings
from ipsecd.wire.selector import Address

WIRE, TUN, LOOPBACK = "wire0", "ipsecd0", "lo"


@dataclass
class Passing:
    """A packet on its way: ``iif`` is empty if this machine has sent it. ``quoted`` is what an ICMP error is about.
    ``clear`` are the peers in the sets of those that pass in clear. ``way_out`` is where the routes lead without
    a mark, and ``way_back`` where they lead to its source."""

    flow: Flow
    ours: frozenset[Address]
    iif: str = WIRE
    oif: str = WIRE
    mark: int = 0
    quoted: Flow | None = None
    clear: frozenset[Address] = frozenset()
    way_out: str = WIRE
    way_back: str = WIRE
    anycasts: frozenset[Address] = frozenset()
    counted: list[str] = field(default_factory=list)

    @property
    def opaque(self) -> bool:
        return Seen(self.flow, self.ours).opaque

    def kind(self, address: Address) -> str:
        """What the routing tables say of an address."""
        if address in self.ours or address.is_loopback:
            return "local"
        if address in self.anycasts:
            return "anycast"
        if address.is_multicast:
            return "multicast"
        return "broadcast" if str(address) == "255.255.255.255" else "unicast"


def chains_of(text: str) -> dict[str, list[str]]:
    """The rules of each chain of a table."""
    found: dict[str, list[str]] = {}
    rules: list[str] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"\tchain (\S+) \{", line):
            rules = found.setdefault(match[1], [])
        elif line.startswith("\t\t") and not line.startswith("\t\ttype "):
            rules.append(line.strip())
    return found


def sets_of(text: str) -> dict[str, str]:
    """The members of each set of a table that nobody can change, by the word that asks for it."""
    declared = re.findall(
        r"\tset (\S+) \{\n\t\ttype(?:of)? [^\n]+\n\t\tflags constant\n\t\telements = (\{ .* \})\n\t\}", text
    )
    return {f"@{name}": members for name, members in declared}


SETS = {
    "@with_ports": "{ 6, 17, 33, 132, 136 }",
    "@with_types": "{ 1, 58 }",
    "@with_ports_or_types": "{ 6, 17, 33, 132, 136, 1, 58 }",
    "@ours": "{ local, anycast }",
    "@to_us": "{ local, broadcast, anycast, multicast }",
    "@lan": '{ "lan0", "ipsecd0" }',
    "@lan_by_route": '{ "lan0", "ipsecd0" }',
    "@remote_access": '{ "ppp0", "ipsecd0" }',
    "@remote_access_by_route": '{ "ppp0", "ipsecd0" }',
}


class Reading:
    """The chains of a table, and its sets."""

    def __init__(
        self,
        chains: Mapping[str, Sequence[str]],
        settings: Settings = Settings(),  # noqa: B008  frozen
        sets: Mapping[str, str] = SETS,
    ) -> None:
        self._chains = chains
        self._settings = settings
        self._sets = sets

    def accepts(self, chain: str, packet: Passing) -> bool:
        """Whether a base chain lets a packet go on."""
        return self.verdict(chain, packet) != "drop"

    def verdict(self, chain: str, packet: Passing) -> str:
        """What a chain says of a packet: accept, drop, or return for falling out of it."""
        for rule in self._chains[chain]:
            said = self._rule(self._spelled(rule), packet)
            if said == "return":
                return "return"
            if said:
                return said if said in ("accept", "drop") else self.verdict(said.removeprefix("goto "), packet)
        return "return"

    def _spelled(self, rule: str) -> list[str]:
        """Its words, with the members of sets in place of their names."""
        return [word for each in rule.split() for word in self._sets.get(each, each).split()]

    def _rule(self, words: list[str], packet: Passing) -> str:
        """Its verdict if it matches, a chain that it goes to, or nothing."""
        while words:
            match words:
                case ["counter", "name", name, *words]:
                    packet.counted.append(name.strip('"'))
                case ["meta", "mark", "set", "meta", "mark", "&", kept, "|", value, *words]:
                    packet.mark = packet.mark & int(kept, 16) | int(value, 16)
                case ["ct", "zone", "set", _, *words]:  # with what it is put together, not what becomes of it
                    pass
                case ["jump", chain, *words]:
                    if (said := self.verdict(chain, packet)) != "return":
                        return said
                case ["goto", chain]:
                    return f"goto {chain}"
                case ["accept" | "drop" | "return" as verdict]:
                    return verdict
                case _:
                    matched, words = self._match(words, packet)
                    if not matched:
                        return ""
        return ""

    def _match(self, words: list[str], packet: Passing) -> tuple[bool, list[str]]:
        flow = packet.flow
        source, destination = flow.addresses()
        match words:
            case ["iif", *rest]:
                return _holds(rest, int(bool(packet.iif)))
            case ["iifname" | "oifname" as which, *rest]:
                return _holds(rest, packet.iif if which == "iifname" else packet.oif)
            case ["iifgroup" | "oifgroup" as which, *rest]:
                tun = (packet.iif if which == "iifgroup" else packet.oif) == TUN
                return _holds(rest, self._settings.table if tun else 0)
            case ["ip", "frag-off", "&", "0x3fff", "!=", "0", *rest]:
                return flow.version == 4 and packet.opaque, rest
            case ["exthdr", "frag", "exists", *rest]:
                return flow.version == 6 and packet.opaque, rest
            case ["frag", "nexthdr", *rest]:
                holds, rest = _holds(rest, flow.protocol)
                return flow.version == 6 and packet.opaque and holds, rest
            case ["ip", "option", _, "exists", *rest] | ["rt", "seg-left", ">", "0", *rest]:
                return False, rest
            case ["ct", "state", _, *rest]:
                return True, rest
            case ["ct", "direction", "original", "ct", "status", "dnat", *_]:
                return False, []
            case ["ct", "original", "proto-src" | "proto-dst" as end, *rest]:
                return self._match(["th", {"proto-src": "sport", "proto-dst": "dport"}[end], *rest], packet)
            case ["ct", "original", *rest]:  # nobody has changed it
                return self._match(rest, packet)
            case ["meta", "mark", "&", mask, *rest]:
                return _holds(rest, packet.mark & int(mask, 16))
            case ["meta", "nfproto", family, *rest]:
                return family == f"ipv{flow.version}", rest
            case ["meta", "l4proto", *rest]:
                return _holds(rest, flow.protocol)
            case ["fib", "saddr" | "daddr" as side, "type", *rest]:
                return _holds(rest, packet.kind(source if side == "saddr" else destination))
            case ["fib", "daddr", ".", "mark", "oifname", *rest] | ["fib", "daddr", "oifname", *rest]:
                return _holds(rest, packet.way_out)
            case ["fib", "saddr", "oifname", *rest]:
                return _holds(rest, packet.way_back)
            case ["fib", *rest] if "missing" in rest:
                return False, rest[rest.index("missing") + 1 :]
            case ["fib", "daddr", ".", "mark", "type", "unicast", *rest]:
                return True, rest
            case ["ip" | "ip6", "saddr" | "daddr" as side, "@clear_ipv4" | "@clear_ipv6", *rest]:
                return (source if side == "saddr" else destination) in packet.clear, rest
            case ["ip" | "ip6" as family, "saddr" | "daddr" as side, *rest]:
                matched, rest = _holds(rest, source if side == "saddr" else destination)
                return matched and family == {4: "ip", 6: "ip6"}[flow.version], rest
            case ["udp", "sport" | "dport" as side, *rest]:
                matched, rest = _holds(rest, flow.source_port if side == "sport" else flow.destination_port)
                return matched and flow.protocol == 17, rest
            case ["th", "sport" | "dport" as side, *rest]:
                return _holds(rest, flow.source_port if side == "sport" else flow.destination_port)
            case ["icmpv6", "type", *rest]:
                matched, rest = _holds(rest, flow.source_port >> 8)
                return matched and flow.protocol == 58, rest
            case ["ip6", "hoplimit", number, *rest]:
                return flow.version == 6 and number == "64", rest
            case [raw, *rest] if raw.startswith("@nh,"):
                version, address = {
                    "@nh,96,32": (4, source),
                    "@nh,128,32": (4, destination),
                    "@nh,64,128": (6, source),
                    "@nh,192,128": (6, destination),
                }[raw]
                assert version == flow.version, f"another field stands there: {' '.join(words)}"
                return _holds(rest, int(address))
            case [raw, "&", "0x0", "==", "0x0", *rest] if raw.startswith("@th,0,"):
                return not packet.opaque, rest
            case [raw, *rest] if raw.startswith("@th,"):
                return _holds(rest, _raw(packet, raw))
        raise ValueError(f"can't read {' '.join(words)}")


def _raw(packet: Passing, place: str) -> int:
    """What stands there in an ICMP message: type and code, and behind its header the packet that it quotes."""
    if place in ("@th,0,16", "@th,0,8"):
        return packet.flow.source_port >> (0 if place.endswith("16") else 8)
    quoted = packet.quoted
    if quoted is None:
        return UNSEEN
    source, destination = map(int, quoted.addresses())
    protocol, port = quoted.protocol, quoted.source_port
    if packet.flow.version == 4:
        return {"@th,136,8": protocol, "@th,224,16": port, "@th,160,32": source, "@th,192,32": destination}[place]
    return {"@th,112,8": protocol, "@th,384,16": port, "@th,128,128": source, "@th,256,128": destination}[place]


def _holds(words: list[str], value: object) -> tuple[bool, list[str]]:
    """Whether the value is what the words ask for, which are a number, a name, a network, a range or a set of these, or
    on one side of one."""
    if words[0] in ("<", ">="):
        return (_number(value) < _number(words[1])) == (words[0] == "<"), words[2:]
    negated = words[0] == "!="
    if words[0] in ("!=", "=="):
        words = words[1:]
    if words[0] == "{":
        end = words.index("}")
        wanted, rest = "".join(words[1:end]).split(","), words[end + 1 :]
    else:
        wanted, rest = [words[0]], words[1:]
    return any(_is(value, one) for one in wanted) != negated, rest


def _number(value: object) -> int:
    text = str(value)
    return int(ip_address(text)) if ":" in text or "." in text else int(text, 0)


def _is(value: object, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted.strip('"')
    if isinstance(value, int):
        first, _, last = ("17" if wanted == "UDP" else wanted).partition("-")
        return int(first, 0) <= value <= int(last or first, 0)
    return _address_is(value, wanted)  # type: ignore[arg-type]  # the third kind of value there is


def _address_is(address: Address, wanted: str) -> bool:
    first, dash, last = wanted.partition("-")
    if dash:
        return int(ip_address(first)) <= int(address) <= int(ip_address(last))
    return address in ip_network(wanted)
