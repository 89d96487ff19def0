"""The order of a plan against a slow matcher that is obviously right: it asks each filter, in the words of
docs/policy.md, whether it covers a packet, and takes the most specific."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.daemon.compose import spd_entries
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import Direction, Spd
from ipsecd.policy.load import load_policy
from ipsecd.policy.plan import Entry, Plan
from ipsecd.policy.planning import plan

ME = (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.6"))
NAMED = (IPv4Address("10.0.0.3"), IPv4Address("10.0.0.9"))
FIRST, LAST = IPv4Address("10.0.0.0"), IPv4Address("10.0.0.15")  # a world small enough to collide in

SIDES = {
    "me": ME,
    "any": None,
    "named.example": NAMED,
    "10.0.0.0/28": (FIRST, LAST),
    "10.0.0.0/29": (FIRST, IPv4Address("10.0.0.7")),
    "10.0.0.8/29": (IPv4Address("10.0.0.8"), LAST),
    "10.0.0.4/30": (IPv4Address("10.0.0.4"), IPv4Address("10.0.0.7")),
    "10.0.0.2-10.0.0.10": (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.10")),
    "10.0.0.1": (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.1")),
    "10.0.0.9": (IPv4Address("10.0.0.9"), IPv4Address("10.0.0.9")),
}
SETS = ("me", "named.example")
PORTS = {"any": (0, 65535), "1": (1, 1), "1-2": (1, 2), "2-3": (2, 3)}
PROTOCOLS = {"any": 0, "tcp": 6, "udp": 17, "gre": 47, "icmp": 1}


@dataclass(frozen=True)
class Written:
    """A filter as it stands in a file."""

    source: str
    destination: str
    protocol: str
    source_port: str
    destination_port: str
    icmp_type: int | None
    mirrored: bool

    def __str__(self) -> str:
        fields = [f"source: {self.source}", f"destination: {self.destination}", f"protocol: {self.protocol}"]
        if self.protocol in ("tcp", "udp"):
            fields += [f"source_port: {self.source_port}", f"destination_port: {self.destination_port}"]
        if self.protocol == "icmp" and self.icmp_type is not None:
            fields.append(f"icmp_type: {self.icmp_type}")
        return "{" + ", ".join([*fields, f"mirrored: {str(self.mirrored).lower()}"]) + "}"


@dataclass(frozen=True)
class Packet:
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    source_port: int | None
    destination_port: int | None  # of ICMP, type*256+code


written = st.builds(
    Written,
    source=st.sampled_from(sorted(SIDES)),
    destination=st.sampled_from(sorted(SIDES)),
    protocol=st.sampled_from(sorted(PROTOCOLS)),
    source_port=st.sampled_from(sorted(PORTS)),
    destination_port=st.sampled_from(sorted(PORTS)),
    icmp_type=st.sampled_from([None, 0, 8]),
    mirrored=st.booleans(),
).filter(lambda each: (each.source, each.destination) != ("me", "me"))


@st.composite
def related(draw: st.DrawFn) -> list[Written]:
    """Filters that differ from the first in one field, so that many lie inside each other."""
    base = draw(written)
    found = [base]
    for other in draw(st.lists(written, min_size=1, max_size=5)):
        field = draw(st.sampled_from(fields(Written))).name
        found.append(replace(base, **{field: getattr(other, field)}))
    return draw(st.permutations([each for each in found if (each.source, each.destination) != ("me", "me")]))


lists = st.lists(written, min_size=1, max_size=6) | related()
small = st.integers(int(FIRST), int(LAST)).map(IPv4Address)
packets = st.one_of(
    st.builds(Packet, small, small, st.sampled_from([6, 17]), st.integers(1, 3), st.integers(1, 3)),
    st.builds(Packet, small, small, st.just(47), st.none(), st.none()),
    st.builds(Packet, small, small, st.just(1), st.none(), st.sampled_from([0, 3 * 256 + 1, 8 * 256])),
)


# --- the slow matcher ---------------------------------------------------------------------------------------------


def has_address(side: str, address: IPv4Address) -> bool:
    if side == "any":
        return True
    known = SIDES[side]
    assert known is not None
    return address in known if side in SETS else known[0] <= address <= known[1]


def has_port(span: str, port: int | None) -> bool:
    return port is not None and PORTS[span][0] <= port <= PORTS[span][1]


def covers_as_written(each: Written, packet: Packet) -> bool:
    if not (has_address(each.source, packet.source) and has_address(each.destination, packet.destination)):
        return False
    if PROTOCOLS[each.protocol] not in (0, packet.protocol):
        return False
    if each.protocol == "icmp" and each.icmp_type is not None:
        assert packet.destination_port is not None
        return packet.destination_port // 256 == each.icmp_type
    if each.protocol not in ("tcp", "udp"):
        return True
    return has_port(each.source_port, packet.source_port) and has_port(each.destination_port, packet.destination_port)


def covers(each: Written, packet: Packet) -> bool:
    ports = (packet.source_port, packet.destination_port)
    back = Packet(packet.destination, packet.source, packet.protocol, *(ports if packet.protocol == 1 else ports[::-1]))
    return covers_as_written(each, packet) or (each.mirrored and covers_as_written(each, back))


def size(side: str) -> int:
    if side == "any":
        return 2**32
    known = SIDES[side]
    assert known is not None
    return 1 if side in SETS else int(known[1]) - int(known[0]) + 1


def specific(each: Written) -> tuple[int, int, int, int]:
    """Addresses, then a named protocol, then ports, then directions."""
    ports = 65_536 * 65_536
    if each.protocol == "icmp":
        ports = 65_536 if each.icmp_type is None else 256
    if each.protocol in ("tcp", "udp"):
        ports = 1
        for span in (each.source_port, each.destination_port):
            ports *= PORTS[span][1] - PORTS[span][0] + 1
    return size(each.source) * size(each.destination), int(each.protocol == "any"), ports, 1 + each.mirrored


def slow(filters: list[Written], packet: Packet) -> int | None:
    """The number of the filter that decides; equals are decided by the order of the file."""
    found = [(specific(each), number) for number, each in enumerate(filters) if covers(each, packet)]
    return min(found)[1] if found else None


# --- what the plan says -------------------------------------------------------------------------------------------


def entries(filters: list[Written]) -> tuple[Entry, ...]:
    rules = "".join(
        f"      - {{name: r{number}, action: {'permit' if number % 2 else 'block'}, filters: [{each}]}}\n"
        for number, each in enumerate(filters)
    )
    policy_file = load_policy(f"assigned: p\npolicies:\n  p:\n    rules:\n{rules}", "p.yaml")
    return plan(policy_file, {"named.example": NAMED}.get, ME).entries  # type: ignore[arg-type]  # no other name is used


def winner(spd: Spd, packet: Packet, direction: Direction) -> int | None:
    """The number of the rule that the SPD of the data plane lets decide."""
    flow = Flow.build(packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port)
    entry = spd.lookup(flow, direction)
    return None if entry is None else int(entry.rule.removeprefix("r"))


@given(lists, st.lists(packets, min_size=1, max_size=20))
def test_the_data_plane_lets_the_most_specific_filter_decide(filters: list[Written], some: list[Packet]) -> None:
    """A packet leaves this machine, or arrives at it, or passes through and does both."""
    spd = Spd(spd_entries(Plan(entries=entries(filters)), {}))
    for packet in some:
        expected = slow(filters, packet)
        if packet.destination not in ME:
            assert winner(spd, packet, Direction.OUTBOUND) == expected
        if packet.source not in ME:
            assert winner(spd, packet, Direction.INBOUND) == expected


@given(lists)
def test_a_filter_inside_another_stands_before_it(filters: list[Written]) -> None:
    found = [entry for entry in entries(filters) if entry.pairs and entry.pairs[0][0].version == 4]
    for index, entry in enumerate(found):
        for later in found[index + 1 :]:
            if inside(later, entry):
                assert inside(entry, later) or has_set(filters, entry)


def inside(one: Entry, other: Entry) -> bool:
    return (one.outbound <= other.outbound and one.inbound <= other.inbound) and all(
        any(local.contains(near) and remote.contains(far) for local, remote in other.pairs) for near, far in one.pairs
    )


def has_set(filters: list[Written], entry: Entry) -> bool:
    """Whether the filter names several addresses that count as one."""
    each = filters[int(entry.rule.removeprefix("r"))]
    return not {each.source, each.destination}.isdisjoint(SETS)


def test_the_slow_matcher_sees_what_it_should() -> None:
    """It must be right by itself, or what it is held against proves nothing."""
    net = Written("10.0.0.0/29", "10.0.0.8/29", "tcp", "any", "1", None, mirrored=True)
    everything = Written("any", "any", "any", "any", "any", None, mirrored=True)
    two, nine = IPv4Address("10.0.0.2"), IPv4Address("10.0.0.9")
    assert covers(net, Packet(two, nine, 6, 3, 1))
    assert covers(net, Packet(nine, two, 6, 1, 3))
    assert not covers(net, Packet(two, nine, 6, 1, 3))
    assert slow([everything, net], Packet(two, nine, 6, 3, 1)) == 1
    assert slow([net, net], Packet(two, nine, 6, 3, 1)) == 0
    assert slow([net], Packet(two, two, 6, 3, 1)) is None
    ping = Written("any", "any", "icmp", "any", "any", 8, mirrored=False)
    assert covers(ping, Packet(two, nine, 1, None, 8 * 256))
    assert not covers(ping, Packet(two, nine, 1, None, 0))
