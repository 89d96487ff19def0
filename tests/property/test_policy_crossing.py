"""What the chains for forwarded packets say, evaluated rule by rule, is what stands in their description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import example, given
from hypothesis import strategies as st

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy import classify
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import ANY_PORT, Selector
from tests.property.ruleset_reading import Passing, Reading

TCP = 6
NETWORKS = ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.1/32", "10.2.0.1/32")
HOSTS = tuple(map(IPv4Address, ("10.1.0.1", "10.1.0.2", "10.2.0.1", "10.2.0.2", "10.3.0.1", "192.0.2.1")))


@dataclass(frozen=True)
class Packet:
    """``port`` is that of the destination of a TCP packet; None: it can't be seen. ``clear`` are the peers that are
    talked to in clear when it comes."""

    source: IPv4Address
    destination: IPv4Address
    port: int | None
    clear: frozenset[IPv4Address] = frozenset()
    came_by: str = "lan0"
    leaves_by: str = "lan0"


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    action = draw(st.sampled_from(Action))
    port = draw(st.sampled_from((ANY_PORT, (80, 80), (443, 443))))
    protocol = TCP if port != ANY_PORT else draw(st.sampled_from((0, TCP)))
    local = Selector.net(draw(st.sampled_from(NETWORKS)), protocol)
    remote = Selector.net(draw(st.sampled_from(NETWORKS)), protocol, port)
    outbound, inbound = draw(st.sampled_from(((True, True), (True, False), (False, True))))
    passthrough, fallback = (action is Action.PROTECT and draw(st.booleans()) for _ in range(2))
    return Entry("e/1", "e", action, ((local, remote),), outbound, inbound, passthrough=passthrough, fallback=fallback)


packets = st.builds(
    Packet,
    st.sampled_from(HOSTS),
    st.sampled_from(HOSTS),
    st.sampled_from((80, 443, 22, None)),
    st.frozensets(st.sampled_from(HOSTS)),
)
ways = st.sampled_from((classify.out, classify.into))


def verdict(entry: Entry) -> str:
    return {
        Action.PERMIT: "return",
        Action.BLOCK: 'counter name "blocked" drop',
        Action.PROTECT: 'counter name "protected" drop',
    }[entry.action]


def met(found: Sequence[Entry], way: classify.Way) -> Sequence[Entry]:
    """The entries as the floor has them for what goes that way."""
    return classify.let_in(found) if way is classify.into else found


def said(chains: classify.Chains, name: str, packet: Packet) -> str:
    """What the chain says of a TCP packet: return, or the kind of drop."""
    ports = () if packet.port is None else (1_024, packet.port)
    flow = Flow.build(packet.source, packet.destination, TCP, *ports)
    passing = Passing(flow, frozenset(), packet.came_by, packet.leaves_by, clear=packet.clear)
    return " ".join([Reading(chains).verdict(name, passing), *passing.counted])


def crossing(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    blocked = classify.blocked("blocked", found, (classify.out, classify.into), verdict)
    own = classify.crossing("crossing", met(found, way), way, verdict)
    return {"c": ["jump blocked", "goto crossing"], **blocked, **own}


def covers(way: classify.Way, entry: Entry, packet: Packet) -> bool | None:
    """Whether the entry covers the packet that way; None: it may, as far as can be seen."""
    for flow in way(entry, entry.action, ""):
        ends = (flow.source, packet.source), (flow.destination, packet.destination)
        if all(int(selector.start) <= int(address) <= int(selector.end) for selector, address in ends):
            ports = {flow.source.ports, flow.destination.ports} - {ANY_PORT}
            if packet.port is None:
                return True if flow.certain else None
            seen = (flow.source.ports, 1_024), (flow.destination.ports, packet.port)
            return not ports or all(first <= port <= last for (first, last), port in seen)
    return False


def passes(way: classify.Way, entry: Entry, packet: Packet) -> bool:
    """Whether what this entry protects passes in clear that way."""
    remote = packet.source if way is classify.into else packet.destination
    return (way is classify.into and entry.passthrough) or (entry.fallback and remote in packet.clear)


def meant(way: classify.Way, first: Entry | None, same: Entry | None, packet: Packet) -> str:
    """What becomes of a forwarded packet that ``first`` covers in either direction, and ``same`` in this one."""
    if first is not None and first.action is Action.BLOCK:
        return "drop blocked"
    if same is not None and same.action is Action.PROTECT and not passes(way, same, packet):
        return "drop protected"
    return "return"


A, B, EVERYBODY = (Selector.net(network) for network in ("10.1.0.1/32", "10.2.0.1/32", "0.0.0.0/0"))
WEB = Selector.net("10.2.0.0/16", TCP, (80, 80))
BEHIND_A_PERMIT = [
    Entry("in/1", "in", Action.PERMIT, ((B, A),), outbound=False),
    Entry("web/1", "web", Action.PROTECT, ((Selector.net("10.1.0.0/16", TCP), WEB),)),
    Entry("rest/1", "rest", Action.BLOCK, ((EVERYBODY, EVERYBODY),)),
]


BESIDE_A_FALLBACK = [
    Entry("web/1", "web", Action.PROTECT, ((Selector.net("10.1.0.0/16", TCP), WEB),), fallback=True),
    Entry("rest/1", "rest", Action.PROTECT, ((EVERYBODY, EVERYBODY),)),
]


@given(st.lists(entries(), max_size=6), packets.filter(lambda packet: packet.port is not None), ways)
@example(BEHIND_A_PERMIT, Packet(HOSTS[0], HOSTS[2], 22), classify.out)
def test_a_block_counts_if_it_is_the_first_and_a_protect_if_it_is_the_first_of_its_direction(
    found: Sequence[Entry], packet: Packet, way: classify.Way
) -> None:
    chains = crossing(found, way)
    other = classify.into if way is classify.out else classify.out
    first = next((entry for entry in found if covers(way, entry, packet) or covers(other, entry, packet)), None)
    same = next((entry for entry in found if covers(way, entry, packet)), None)
    assert said(chains, "c", packet) == meant(way, first, same, packet)


@given(st.lists(entries(), max_size=6), packets, ways)
@example(BEHIND_A_PERMIT, Packet(A.start, B.start, 80), classify.out)  # type: ignore[arg-type]  # IPv4
@example(BESIDE_A_FALLBACK, Packet(HOSTS[0], HOSTS[2], 443, frozenset(HOSTS)), classify.out)
def test_a_packet_that_hides_its_ports_gets_nowhere_that_one_of_any_port_would_not(
    found: Sequence[Entry], packet: Packet, way: classify.Way
) -> None:
    """The strictest wins, of all that might be meant."""
    plain = classify.chains("c", classify.excepted(met(found, way), way, verdict))
    for chains in (plain, crossing(found, way)):
        if said(chains, "c", replace(packet, port=None)) == "return":
            assert said(chains, "c", packet) == "return"


@given(st.lists(entries().filter(lambda entry: entry.action is not Action.BLOCK), max_size=6), packets, ways)
def test_without_a_block_forwarded_packets_are_as_others(
    found: Sequence[Entry], packet: Packet, way: classify.Way
) -> None:
    """So their chains aren't written then."""
    plain = classify.chains("c", classify.excepted(met(found, way), way, verdict))
    assert said(crossing(found, way), "c", packet) == said(plain, "c", packet)


@given(st.lists(entries(), max_size=6), packets, ways)
def test_an_exception_lets_nothing_pass_of_another_peer_nor_of_another_entry(
    found: Sequence[Entry], packet: Packet, way: classify.Way
) -> None:
    """Nor where ports don't show: what passes with it and not without it is certain to belong to its entry, or to a
    permit that may be meant."""
    met_there = met(found, way)
    for chains in (
        classify.chains("c", classify.excepted(met_there, way, verdict)),
        crossing(found, way),
    ):
        now, before = (said(chains, "c", each) for each in (packet, replace(packet, clear=frozenset())))
        if now != before:
            meant = [(entry, covers(way, entry, packet)) for entry in met_there]
            winner = next(
                entry for entry, is_it in meant if is_it or (is_it is None and entry.action is not Action.PERMIT)
            )
            assert (now, before) == ("return", "drop protected")
            assert covers(way, winner, packet)
            assert winner.fallback
            assert (packet.source if way is classify.into else packet.destination) in packet.clear
