"""What is said of filters that never match, and of those that cross, against a comparison packet by packet.

Where two filters begin or end to differ is enough to look at: between these places all packets fare alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import product
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.policy.boxes import Place, Work
from ipsecd.policy.notes import places
from ipsecd.policy.order import rank
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Entry
from ipsecd.policy.shadows import shadows
from ipsecd.wire.selector import ANY_PORT, Selector
from tests.property.test_policy_order import Written, lists
from tests.property.test_policy_ties import compete, rules
from tests.property.test_spd_slow import side

OTHER_PROTOCOL = 99


class Packet(NamedTuple):
    """``here`` is the side of this machine; of ICMP, ``near`` is the type."""

    outbound: bool
    here: int
    there: int
    protocol: int
    near: int | None
    far: int | None

    def other_way_round(self) -> Packet:
        """The same, as it is seen from the other side."""
        near, far = (self.near, self.far) if self.protocol == 1 else (self.far, self.near)
        return Packet(not self.outbound, self.there, self.here, self.protocol, near, far)


def pairs(entry: Entry) -> tuple[tuple[Selector, Selector], ...]:
    return entry.me or entry.pairs


def holds(entry: Entry, packet: Packet) -> bool:
    outbound, here, there, protocol, near, far = packet
    if not (entry.outbound if outbound else entry.inbound):
        return False
    near, far = (near, near) if protocol == 1 else (near, far)
    return any(
        side(local, IPv4Address(here), protocol, near, sending=outbound)
        and side(remote, IPv4Address(there), protocol, far, sending=not outbound)
        for local, remote in pairs(entry)
    )


def edges(selectors: list[Selector]) -> tuple[list[int], list[int]]:
    """The addresses and the ports at which one of the selectors begins, or has just ended."""
    addresses = {int(each.start) for each in selectors} | {int(each.end) + 1 for each in selectors}
    ports = {port for each in selectors for port in (each.ports[0], each.ports[1] + 1) if each.ports != ANY_PORT}
    return [address for address in addresses if address < 1 << 32], sorted(ports | {0})


def sample(entry: Entry, everybody: list[Entry]) -> Iterator[Packet]:
    """Packets of an entry, one from each part in which no filter begins or ends."""
    addresses, ports = edges([each for other in everybody for pair in pairs(other) for each in pair])
    protocols = {local.protocol for other in everybody for local, _ in pairs(other)} - {0} | {OTHER_PROTOCOL}
    for local, remote in pairs(entry):
        heres = [address for address in addresses if int(local.start) <= address <= int(local.end)]
        theres = [address for address in addresses if int(remote.start) <= address <= int(remote.end)]
        for protocol in [local.protocol] if local.protocol else protocols:
            seen = [*ports, None] if protocol in (1, 6, 17) else [None]
            both = [(port, None) for port in seen] if protocol == 1 else list(product(seen, seen))
            for outbound, here, there, (near, far) in product((True, False), heres, theres, both):
                packet = Packet(outbound, here, there, protocol, near, far)
                if holds(entry, packet):
                    yield packet


def slow(found: list[Place]) -> tuple[set[Path], set[Path]]:
    """The filters that never match, and those of which an earlier one takes a part."""
    order = sorted(found, key=lambda place: (rank(place.entry), place.number))
    everybody = [place.entry for place in order]
    samples = {id(place): list(sample(place.entry, everybody)) for place in order}
    deciding = {
        place.number
        for number, place in enumerate(order)
        if any(not any(holds(other, packet) for other in everybody[:number]) for packet in samples[id(place)])
    }
    used = {place.path for place in order if place.number in deciding}
    crossed = set()
    for number, place in enumerate(order):
        for other in (each for each in order[:number] if {place.number, each.number} <= deciding):
            one, two = other.entry, place.entry
            if rank(one) == rank(two) or not compete(one, two):
                continue
            shared = any(holds(one, packet) for packet in samples[id(place)])
            if shared and not (inside(samples[id(place)], one) or inside(samples[id(other)], two)):
                crossed.add(place.path)
    return {place.path for place in order} - used, crossed


def inside(packets: list[Packet], entry: Entry) -> bool:
    return all(holds(entry, packet) or holds(entry, packet.other_way_round()) for packet in packets)


@st.composite
def parts(draw: st.DrawFn) -> list[Written]:
    """A filter, and behind or before it filters of parts of it, which may cover all of it together."""
    halves = {"10.0.0.0/28": ["10.0.0.0/29", "10.0.0.8/29", "10.0.0.4/30"], "10.0.0.0/29": ["10.0.0.4/30", "10.0.0.1"]}
    source, destination = draw(st.sampled_from(sorted(halves))), draw(st.sampled_from(["any", "10.0.0.0/28"]))
    protocol = draw(st.sampled_from(["any", "tcp"]))
    whole = Written(
        source, destination, protocol, "any", draw(st.sampled_from(["any", "1-2"])), None, draw(st.booleans())
    )
    found = [whole]
    for half in draw(st.lists(st.sampled_from(halves[source]), min_size=1, max_size=3)):
        port = draw(st.sampled_from(["any", "1-2", "2-3"]))
        found.append(Written(half, destination, draw(st.sampled_from(["any", protocol])), "any", port, None, True))
    ways = Written(source, destination, protocol, "any", "any", None, False)
    found += draw(
        st.sampled_from([[], [ways], [ways, Written(destination, source, protocol, "any", "any", None, False)]])
    )
    return draw(st.permutations(found))[:6]


@given(
    lists | parts(),
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
    st.lists(st.sampled_from(["permit", "block", "tunnel"]), min_size=6, max_size=6),
)
def test_what_is_told_is_what_a_comparison_packet_by_packet_finds(
    filters: list[Written], sizes: list[int], actions: list[str]
) -> None:
    found = list(places(rules(filters, sizes, actions), "p"))
    work = Work()
    told = shadows([place for place in found if pairs(place.entry)[0][0].version == 4], work)
    never, crossed = slow([place for place in found if pairs(place.entry)[0][0].version == 4])
    assert work.complete
    assert told.partly == {}
    assert set(told.never) == never
    assert set(told.crossed) == crossed
