"""Rules for one type of connection: what the floor says of a packet is what it would say if the rules for other types
weren't there, and so it is inside the tunnels, by the routes to the far end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.policy import classify
from ipsecd.policy.connections import WAYS
from ipsecd.policy.order import by_precedence
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.policy.reach import Reach, parts, reached
from ipsecd.wire.selector import Address, Selector
from tests.property.test_policy_crossing import HOSTS, Packet, covers, entries, meant, met, said, verdict

TYPES = {"lan0": "lan", "ppp0": "remote-access", "new0": "unknown"}

names = st.sampled_from(sorted(TYPES))
hosts = st.sampled_from(HOSTS)
packets = st.builds(Packet, hosts, hosts, st.sampled_from((80, 22, None)), st.frozensets(hosts), names, names)


@st.composite
def typed(draw: st.DrawFn, most: int = 5) -> tuple[Entry, ...]:
    """Entries in order of precedence, some for one type of connection."""
    kinds = st.sampled_from(("", "lan", "remote-access"))
    found = [replace(draw(entries()), connections=draw(kinds)) for _ in range(draw(st.integers(0, most)))]
    return by_precedence(replace(entry, name=f"e/{number}") for number, entry in enumerate(found))


PAIRS = (("10.1.0.1/32", "10.2.0.1/32"), ("10.1.0.0/16", "10.2.0.0/16"), ("10.1.0.0/16", "0.0.0.0/0"))


@st.composite
def nested(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Entries that lie in each other, mostly protecting."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        near, far = draw(st.sampled_from(PAIRS))
        action = draw(st.sampled_from((Action.PROTECT, Action.PROTECT, Action.PERMIT, Action.BLOCK)))
        entry = Entry(f"e/{number}", "e", action, ((Selector.net(near), Selector.net(far)),))
        kind, persistent = (
            draw(st.sampled_from(("", "lan", "remote-access"))),
            draw(st.sampled_from((False, False, True))),
        )
        found.append(replace(entry, connections=kind, persistent=persistent))
    return by_precedence(found)


def visible(found: Sequence[Entry], interface: str) -> list[Entry]:
    return [entry for entry in found if entry.connections in ("", TYPES[interface])]


@given(typed(), packets, st.booleans())
def test_an_entry_for_another_type_is_as_good_as_none(found: Sequence[Entry], packet: Packet, leaving: bool) -> None:
    interface = packet.leaves_by if leaving else packet.came_by
    way, plain = (WAYS.out, classify.out) if leaving else (WAYS.into, classify.into)
    chains = classify.chains("c", classify.excepted(met(found, plain), way, verdict))
    others = classify.chains("c", classify.excepted(visible(met(found, plain), interface), plain, verdict))
    assert said(chains, "c", packet) == said(others, "c", packet)


@given(typed(), packets.filter(lambda packet: packet.port is not None), st.booleans())
def test_each_way_of_a_forwarded_packet_is_judged_by_its_own_interface(
    found: Sequence[Entry], packet: Packet, leaving: bool
) -> None:
    names = packet.leaves_by, packet.came_by
    way, other = (WAYS.out, WAYS.into) if leaving else (WAYS.into, WAYS.out)
    plain, plain_other = (classify.out, classify.into) if leaving else (classify.into, classify.out)
    chains = classify.blocked("blocked", found, (way, other), verdict)
    chains |= classify.crossing("crossing", met(found, plain), way, verdict)
    chains["c"] = ["jump blocked", "goto crossing"]
    own, across = (visible(found, name) for name in (names if leaving else names[::-1]))

    def covering(entry: Entry) -> bool:
        return bool(
            (entry in own and covers(plain, entry, packet)) or (entry in across and covers(plain_other, entry, packet))
        )

    first = next((entry for entry in found if covering(entry)), None)
    same = next((entry for entry in own if covers(plain, entry, packet)), None)
    assert said(chains, "c", packet) == meant(plain, first, same, packet)


inner = st.sampled_from(
    [Packet(HOSTS[0], HOSTS[2], 80), Packet(HOSTS[1], HOSTS[3], 80), Packet(HOSTS[2], HOSTS[0], 80)]
)
networks = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.2.0.1/32", "192.0.2.0/24"])
routes = st.dictionaries(networks, st.sampled_from(["lan", "remote-access", ""]))


def way(routes: dict[str, str], address: Address) -> frozenset[str]:
    """The type of connection by which the longest route leads there; none without a route."""
    found = [network for network in map(ip_network, routes) if address in network]
    longest = max(found, key=lambda network: network.prefixlen, default=None)
    return frozenset({routes[str(longest)]}) if longest is not None else frozenset()


def reach(routes: dict[str, str]) -> Reach:
    found = (((first, last), way(routes, first)) for first, last in parts(map(ip_network, routes)))
    return Reach.of(found)


@given(st.one_of(nested(), typed()), st.one_of(inner, packets), routes, st.booleans())
def test_the_spd_finds_the_entry_that_a_packet_was_steered_for(
    found: Sequence[Entry], packet: Packet, routes: dict[str, str], leaving: bool
) -> None:
    """Though it sees no interface: what is reached by a type, by whatever routes, is what the entries for it cover."""
    direction = classify.out if leaving else classify.into
    types = way(routes, packet.destination if leaving else packet.source)
    meant = [entry for entry in found if not entry.connections or types == {entry.connections}]
    first = next((entry for entry in meant if entry.inside_too and covers(direction, entry, packet)), None)
    inside = reached(Plan(entries=tuple(found)), reach(routes)).entries
    seen = next((entry for entry in inside if entry.inside_too and covers(direction, entry, packet)), None)
    assert (first and first.name, first and first.action) == (seen and seen.name, seen and seen.action)


@given(routes, st.sampled_from([*HOSTS, ip_address("10.2.0.255"), ip_address("255.255.255.255")]))
def test_all_addresses_of_a_part_are_reached_alike_and_parts_of_one_kind_are_one(
    routes: dict[str, str], address: Address
) -> None:
    found = reach(routes)
    [types] = [types for first, last, types in found.found if first.version == 4 and first <= address <= last]
    assert types == way(routes, address)
    for kind in ("lan", "remote-access"):
        cut = found.of_type((Selector.net("0.0.0.0/0"),), kind)
        assert any(each.start <= address <= each.end for each in cut) is (types == {kind})
        assert all(int(one.end) + 1 < int(other.start) for one, other in pairwise(cut))
