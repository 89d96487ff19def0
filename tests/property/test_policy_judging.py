"""What is said of a packet, against a slow matcher in the words of docs/policy.md, and against what the floor's ruleset
and the SPD do with it, read rule by rule."""

from __future__ import annotations

from contextlib import nullcontext
from ipaddress import ip_address
from typing import NamedTuple

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.daemon.compose import spd_entries
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import PROTECT, Direction, Spd, SpdEntry
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.deciding import Way
from ipsecd.policy.floor import UNKNOWN_INTERFACE, entry_counters, ruleset
from ipsecd.policy.judging import Here, Judgement, Verdict, judge, ways
from ipsecd.policy.load import load_policy
from ipsecd.policy.plan import Plan
from ipsecd.policy.planning import plan
from ipsecd.policy.reach import Reach, parts, reached
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.selector import Address
from tests.property.policy_values import Tree
from tests.property.ruleset_reading import TUN, Passing, Reading, chains_of, sets_of
from tests.property.test_policy_branching import trees
from tests.property.test_policy_order import (
    ME,
    NAMED,
    Packet,
    Written,
    covers,
    covers_as_written,
    lists,
    packets,
    specific,
)

OURS: frozenset[Address] = frozenset(ME)
PASSES = (Verdict.CLEAR, Verdict.PERMIT, Verdict.EXEMPT, Verdict.SOFT)
TUNNEL = "tunnel: {local: 192.0.2.1, remote: 192.0.2.2}, authentication: [{psk: hq}]"

actions = st.lists(st.sampled_from(["permit", "block", "require-security"]), min_size=6, max_size=6)


def planned(filters: list[Written], chosen: list[str], default: str) -> Plan:
    """A rule for each filter, of these actions."""
    lines = (
        f"      - {{name: r{number}, action: {action}, filters: [{each}]"
        + (f", {TUNNEL}}}\n" if action == "require-security" else "}\n")
        for number, (each, action) in enumerate(zip(filters, chosen, strict=False))
    )
    head = f"assigned: p\ncredentials: {{hq: {{psk: {{file: hq}}}}}}\npolicies:\n  p:\n    default_action: {default}\n"
    policy_file = load_policy(f"{head}    rules:\n{''.join(lines)}", "p.yaml")
    return plan(policy_file, {"named.example": NAMED}.get, ME)  # type: ignore[arg-type]  # no other name is used


def flow_of(packet: Packet) -> Flow:
    return Flow.build(packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port)


# --- the slow matcher ---------------------------------------------------------------------------------------------


def back(packet: Packet) -> Packet:
    ports = packet.source_port, packet.destination_port
    one, two = ports if packet.protocol == 1 else ports[::-1]
    return Packet(packet.destination, packet.source, packet.protocol, one, two)


def covers_on(each: Written, action: str, packet: Packet, *, outbound: bool) -> bool:
    """A tunnel has two sides: ours is that of me, or else the source."""
    if action != "require-security":
        return covers(each, packet)
    from_us = packet if outbound else back(packet)
    return covers_as_written(each, back(from_us) if each.destination == "me" else from_us)


def slow(filters: list[Written], chosen: list[str], default: str, packet: Packet, way: Way) -> tuple[str, int | None]:
    """What becomes of it, and the number of the filter that decides; -1 is the default action."""
    order = sorted(range(len(filters)), key=lambda number: (specific(filters[number]), number))
    found = [
        (number, chosen[number], mine)
        for number in order
        if (mine := covers_on(filters[number], chosen[number], packet, outbound=way.outbound))
        or (way.forwarded and covers_on(filters[number], chosen[number], packet, outbound=not way.outbound))
    ]
    found += [(-1, "block", True)] if default == "block" else []
    own = next((one for one in found if one[2]), None)
    if found and found[0][1] == "block":
        return "block", found[0][0]
    if own is not None and own[1] != "block":
        return {"permit": "permit", "require-security": "protect"}[own[1]], own[0]
    blocks = any(action == "block" for _, action, _ in found)
    return "clear", found[0][0] if blocks else None


def number_of(judgement: Judgement) -> int | None:
    winner = judgement.winner
    if winner is None:
        return None
    return int(winner.rule.removeprefix("r")) if winner.rule else -1


world = (lists, actions, st.sampled_from(["permit", "block"]))


def mirrored(filters: list[Written], chosen: list[str]) -> list[Written]:
    """A tunnel carries both directions."""
    return [
        each if action != "require-security" else Written(**{**vars(each), "mirrored": True})
        for each, action in zip(filters, chosen, strict=False)
    ]


@given(*world, packets, st.booleans())
def test_what_is_said_is_what_a_slow_matcher_finds(
    written: list[Written], chosen: list[str], default: str, packet: Packet, arriving: bool
) -> None:
    filters = mirrored(written, chosen)
    whole = planned(filters, chosen, default)
    arriving = arriving and packet.source not in OURS  # what claims to be from us, the kernel itself drops
    for way in ways(flow_of(packet), Here(OURS), arriving=arriving):
        told = judge(whole, flow_of(packet), way, Here(OURS))
        if packet.source in OURS and packet.destination in OURS:
            assert told.verdict is Verdict.EXEMPT
        else:
            assert (told.verdict.value, number_of(told)) == slow(filters, chosen, default, packet, way)


@given(*world, packets.filter(lambda packet: packet.destination not in OURS or packet.source not in OURS))
def test_runners_up_decide_once_the_winner_is_gone(
    written: list[Written], chosen: list[str], default: str, packet: Packet
) -> None:
    filters = mirrored(written, chosen)
    whole = planned(filters, chosen, default)
    (way, *_) = ways(flow_of(packet), Here(OURS), arriving=packet.source not in OURS)
    if way.forwarded:
        return
    told = judge(whole, flow_of(packet), way, Here(OURS))
    for runner_up in told.runners_up:
        rest = Plan(entries=tuple(entry for entry in whole.entries if entry is not told.winner))
        told = judge(rest, flow_of(packet), way, Here(OURS))
        assert told.winner is runner_up.entry
        whole = rest


# --- the floor and the SPD ----------------------------------------------------------------------------------------


SIDES = {
    4: ["any", "me", "10.1.0.0/16", "10.2.0.0/16", "10.2.0.7", "10.3.0.1-10.3.0.9", "both.example", "192.0.2.2"],
    6: ["any", "me", "fd01::/48", "fd02::/48", "fd02::7", "2001:db8::1-2001:db8::9", "both.example"],
}
ANY_FAMILY = ["", "", "protocol: tcp", "protocol: tcp, destination_port: 80", "protocol: udp, source_port: 53"]
KINDS = {
    4: [*ANY_FAMILY, "protocol: gre", "protocol: icmp", "protocol: icmp, icmp_type: echo-request"],
    6: [*ANY_FAMILY, "protocol: icmpv6", "protocol: icmpv6, icmp_type: echo-request"],
}
ADDRESSES = [
    *(
        "10.1.0.1",
        "10.1.7.7",
        "10.2.0.7",
        "10.2.0.9",
        "10.3.0.5",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.9",
        "198.51.100.7",
        "224.0.1.99",
    ),
    *("fd01::", "fd01::1", "fd01::7", "fd02::7", "fd02::9", "2001:db8::7", "2001:db8:ffff::1", "ff05::99"),
]
NAMES = {
    "both.example": (ip_address("fd02::9"), ip_address("198.51.100.7")),
}
ERRORS = {1: (3, 11), 58: (1, 2, 3, 4)}
HERE = tuple(map(ip_address, ("10.1.0.1", "192.0.2.1", "fd01::1")))
ANYCASTS = frozenset(map(ip_address, ("fd01::", "fd02::")))
PEER = ip_address("192.0.2.2")
INTERFACES = Interfaces(("lan0",), ("ppp0",))  # and new0, which nobody has looked at yet
LOST, NEW = ip_address("192.0.2.9"), ip_address("10.3.0.5")


@st.composite
def filters(draw: st.DrawFn, *, protects: bool) -> Tree:
    version = draw(st.sampled_from([4, 4, 6]))
    source, destination = draw(
        st.tuples(*[st.sampled_from(SIDES[version])] * 2).filter(lambda two: two != ("me", "me"))
    )
    kind: Tree = yaml.safe_load(f"{{{draw(st.sampled_from(KINDS[version]))}}}")
    return {"source": source, "destination": destination, "mirrored": protects or draw(st.booleans()), **kind}


@st.composite
def to_the_peer(draw: st.DrawFn) -> Tree:
    """A filter of a rule that may fall back to clear: its remote side is the peer alone."""
    kind: Tree = yaml.safe_load(f"{{{draw(st.sampled_from(KINDS[4]))}}}")
    return {"source": draw(st.sampled_from(["any", "me", "10.1.0.0/16"])), "destination": str(PEER), **kind}


@st.composite
def policies(draw: st.DrawFn) -> Tree:
    """Rules of one or two filters each, of either family, some for one type of connection."""
    typed = draw(st.booleans())
    rules: list[Tree] = []
    for number in range(draw(st.integers(0, 5))):
        action = draw(st.sampled_from(["permit", "block", "require-security", "let-in", "falls", "request-security"]))
        protects, falls = action not in ("permit", "block"), action in ("falls", "request-security")
        some = draw(st.lists(to_the_peer() if falls else filters(protects=protects), min_size=1, max_size=2))
        rule = {"name": f"r{number}", "filters": some, "action": action}
        more = yaml.safe_load(f"{{{TUNNEL}}}") if protects else {}
        if protects and draw(st.booleans()):
            del more["tunnel"]
        if typed:
            rule["connections"] = draw(st.sampled_from(["all", "lan", "remote-access"]))
        rules.append(rule | more)
    policy = {"rules": rules, "default_action": draw(st.sampled_from(["permit", "block"]))}
    let_in = {"action": "negotiate", "inbound_passthrough": True}
    falls_back = {"action": "negotiate", "fallback_to_clear": True}
    named = {
        "credentials": {"hq": {"psk": {"file": "hq"}}},
        "filter_actions": {"let-in": let_in, "falls": falls_back},
    }
    return {"assigned": "p", **named, "policies": {"p": policy}}


@st.composite
def flows(draw: st.DrawFn, *, errors: bool = False) -> Flow:
    addresses = st.sampled_from([*map(ip_address, ADDRESSES)])
    source = draw(addresses.filter(lambda address: not address.is_multicast))
    destination = draw(addresses.filter(lambda address: address.version == source.version and address != source))
    ports = st.sampled_from([53, 80, 1_024])
    icmp = 1 if source.version == 4 else 58
    if errors:
        return Flow.build(source, destination, icmp, draw(st.sampled_from(ERRORS[icmp])) * 256)
    protocol = draw(st.sampled_from([6, 6, 17, 132, 47, icmp]))
    if protocol == icmp:
        kind = draw(st.sampled_from([None, 0, 3, 8, 128]))
        return Flow.build(source, destination, protocol, None if kind is None else kind * 256 + draw(st.integers(0, 1)))
    if protocol == 47 or draw(st.integers(0, 3)) == 0:
        return Flow.build(source, destination, protocol)
    return Flow.build(source, destination, protocol, draw(ports), draw(ports))


def plan_of(tree: Tree, me: tuple[Address, ...]) -> Plan:
    policy_file = load_policy(yaml.safe_dump(tree), "p.yaml")
    return plan(policy_file, lambda name: NAMES.get(name, ()), me)


class Road(NamedTuple):
    """The interfaces by which a packet comes, and by which the routes say it leaves."""

    came_by: str
    leaves_by: str

    def here(self, ours: frozenset[Address], excepted: frozenset[Address] = frozenset()) -> Here:
        back, forth = (frozenset({INTERFACES.type_of(name)}) for name in self)
        return Here(ours, forth=forth, back=back, anycasts=ANYCASTS, excepted=excepted)


names = st.sampled_from(["lan0", "lan0", "ppp0", "new0"])
roads = st.builds(Road, names, names)


class Machine:
    """What the floor and the SPD of a plan do with a packet."""

    def __init__(self, whole: Plan, ours: frozenset[Address], excepted: frozenset[Address] = frozenset()) -> None:
        self.plan, self.ours, self.excepted = whole, ours, excepted
        self.children = {child.name: child for peer in whole.peers for child in peer.children}
        self.spds: dict[str, Spd] = {}
        text = ruleset(whole, interfaces=INTERFACES)
        self.floor = Reading(chains_of(text), whole.settings, sets_of(text))

    def through(self, packet: Passing, *hooks: str) -> bool:
        return all(self.floor.accepts(hook, packet) for hook in hooks)

    def spd(self, interface: str) -> Spd:
        """The one that the data plane has where the far end of a packet is reached by this interface."""
        if interface not in self.spds:
            types = frozenset({INTERFACES.type_of(interface)})
            reach = Reach.of((part, types) for part in parts(()))
            self.spds[interface] = Spd(self.rows(reached(self.plan, reach)))
        return self.spds[interface]

    def rows(self, inside: Plan) -> tuple[SpdEntry, ...]:
        """The SPD of a plan that is for what is reached."""
        return spd_entries(inside, {name: name for name in self.children})

    def tunnel(self, flow: Flow, road: Road, direction: Direction) -> str:
        """What the data plane does with a packet that was steered to it, or came out of an SA. Of two hosts, one has to
        be this machine."""
        interface = road.leaves_by if direction is Direction.OUTBOUND else road.came_by
        entry = self.spd(interface).lookup(flow, direction)
        if entry is None or entry.action != PROTECT:
            return "drop"
        child = pattern_id(entry.child)
        near = flow.addresses()[0 if direction is Direction.OUTBOUND else 1]
        alone = near in self.ours and near in {each.start for each in self.children[child].local}
        return f"protect {child}" if child == entry.child or alone else "drop"

    def does(self, flow: Flow, way: Way, road: Road, quoted: Flow | None = None) -> str:
        """``clear``, ``block`` for one that the floor drops, or what the data plane does with it."""
        came_by = "" if way is Way.SENT else road.came_by
        packet = Passing(
            flow, self.ours, iif=came_by, oif=road.leaves_by, quoted=quoted, way_out=road.leaves_by,
            way_back=road.came_by, clear=self.excepted, anycasts=ANYCASTS,
        )  # fmt: skip
        match way:
            case Way.SENT:
                before, after = ("steer_local",), ("from_us", "to_wire_unchanged", "to_wire")
            case Way.RECEIVED:
                before, after = (), ("from_wire", "to_us")
            case Way.ENTERING:
                before, after = (), ("from_wire",)
            case Way.LEAVING:
                packet.iif = self._goes_on_from(flow, road, quoted)
                before, after = ("from_wire", "steer_forwarded"), ("through_us", "to_wire_unchanged", "to_wire")
        if not self.through(packet, *before):
            return "block"
        settings = self.plan.settings
        steered = before and packet.mark & settings.mask == settings.mark
        packet.oif = TUN if steered else road.leaves_by
        if not self.through(packet, *after):
            stopped = packet.counted[-1] == UNKNOWN_INTERFACE or self._action(packet.counted[-1]) == "protect"
            inside = self.tunnel(flow, road, Direction.INBOUND) if not way.outbound else "drop"
            return ("drop" if stopped else "block") if inside == "drop" else inside
        return self.tunnel(flow, road, Direction.OUTBOUND) if steered else "clear"

    def _goes_on_from(self, flow: Flow, road: Road, quoted: Flow | None) -> str:
        """Where a packet was before it leaves. The TUN, so that what it enters by has no say, unless that is asked for
        which way it has come."""
        clear = self.plan.by_connection and self.does(flow, Way.ENTERING, road, quoted) == "clear"
        return road.came_by if clear else TUN

    def goes_on(self, flow: Flow, road: Road, quoted: Flow | None = None) -> bool:
        """Whether a packet that is forwarded gets so far that it leaves, if that makes a difference."""
        stopped = ("block", "drop")
        return not self.plan.by_connection or self.does(flow, Way.ENTERING, road, quoted) not in stopped

    def stops_a_piece(self, flow: Flow, road: Road) -> bool:
        """Before it is put together with others."""
        piece = Passing(flow, self.ours, road.came_by, clear=self.excepted)
        return not self.floor.accepts("pieces_from_wire", piece)

    def _action(self, counter: str) -> str:
        counted = entry_counters(self.plan, {counter: 1})
        [entry] = [each for each in self.plan.entries if counted[each.name].drops]
        return entry.action.value


def said(judgement: Judgement) -> str:
    if judgement.verdict in PASSES or judgement.clear_too:
        return "clear"
    return f"protect {judgement.child}" if judgement.verdict is Verdict.PROTECT else judgement.verdict.value


@given(
    policies(), flows(), roads, st.booleans(), st.sampled_from(["same", "lost", "new"]),
    st.sampled_from([frozenset(), frozenset({PEER})]), st.booleans(),
)  # fmt: skip
def test_what_is_said_is_what_the_floor_and_the_data_plane_do(
    tree: Tree, flow: Flow, road: Road, arriving: bool, addresses: str, excepted: frozenset[Address], many: bool
) -> None:
    """Also where this machine has an address that the plan doesn't know of, or has lost one, whatever the interfaces by
    which a packet goes, while a peer has a soft SA, and where rules are trees, as many are."""
    whole = plan_of(tree, (*HERE, LOST) if addresses == "lost" else HERE)
    ours = frozenset((*HERE, NEW) if addresses == "new" else HERE)
    with trees() if many else nullcontext():
        machine = Machine(whole, ours, excepted)
    found = ways(flow, road.here(ours), arriving=arriving)
    if not arriving and flow.addresses()[0] == LOST:
        found = (Way.SENT,)
    for way in found:
        here = road.here(ours, excepted)
        told = judge(whole, flow, way, here)
        if told.verdict is Verdict.EXEMPT or (way is Way.LEAVING and not machine.goes_on(flow, road)):
            continue
        assert said(told) == machine.does(flow, way, road), told
        goes_on = way is not Way.ENTERING or said(judge(whole, flow, Way.LEAVING, here)) == "clear"
        assert way.outbound or said(told) != "clear" or not goes_on or not machine.stops_a_piece(flow, road)


@given(policies(), flows(errors=True), flows(), roads, st.booleans())
def test_an_error_that_passes_in_spite_of_what_it_quotes_does_not_pass_unremarked(
    tree: Tree, error: Flow, quoted: Flow, road: Road, many: bool
) -> None:
    whole = plan_of(tree, HERE)
    if error.version != quoted.version:
        return
    ours = frozenset(HERE)
    with trees() if many else nullcontext():
        machine = Machine(whole, ours)
    for way in ways(error, road.here(ours), arriving=False):
        if way is Way.LEAVING and not machine.goes_on(error, road, quoted):
            continue
        told = judge(whole, error, way, road.here(ours))
        does = machine.does(error, way, road, quoted)
        if (told.verdict in (Verdict.CLEAR, Verdict.PERMIT) or told.clear_too) and does != "clear":
            assert told.why.endswith("an error about what a rule protects is dropped all the same")
        elif told.verdict is not Verdict.EXEMPT:
            assert said(told) == does
