"""The compiled SPD and SA selectors held against the slow way of reading RFC 4301 section 4.4.1."""

from __future__ import annotations

from ipaddress import ip_address
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.ipsec.selectors import Flow, SaSelectors
from ipsecd.ipsec.spd import Direction, Spd, SpdEntry
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Address, Selector

PROTOCOLS = (1, 6, 17, 50, 58, 135)

addresses = st.one_of(
    st.integers(0x0A000000, 0x0A000007).map(ip_address),
    st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 7).map(ip_address),
)
ports = st.one_of(
    st.just(ANY_PORT),
    st.just(OPAQUE),
    st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: (min(pair), max(pair))),
)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    one, two = draw(addresses), draw(addresses)
    if one.version != two.version:
        two = one
    protocol = draw(st.sampled_from((0, *PROTOCOLS)))
    start, end = sorted((one, two), key=int)
    return Selector(start, end, protocol, draw(ports) if protocol else ANY_PORT)


@st.composite
def packets(draw: st.DrawFn) -> tuple[Address, Address, int, int | None, int | None]:
    """Source, destination, protocol, ports; the one field of ICMP and mobility stands in the first port."""
    source, destination = draw(addresses), draw(addresses)
    if source.version != destination.version:
        destination = source
    protocol = draw(st.sampled_from(PROTOCOLS))
    seen = draw(st.booleans()) and protocol != 50
    one = draw(st.integers(0, 6)) if seen else None
    two = draw(st.integers(0, 6)) if seen and protocol in (6, 17) else None
    return source, destination, protocol, one, two


def side(selector: Selector, address: Address, protocol: int, port: int | None, *, sending: bool) -> bool:
    """Whether one side of a packet is inside a selector."""
    if address.version != selector.start.version or not selector.start <= address <= selector.end:  # type: ignore[operator]  # one family
        return False
    if selector.protocol not in (0, protocol):
        return False
    if selector.ports == ANY_PORT:
        return True
    if selector.protocol in (1, 58, 135) and not sending:  # RFC 4301 section 4.4.1.3
        return True
    if selector.ports == OPAQUE:
        return port is None
    return port is not None and selector.ports[0] <= port <= selector.ports[1]


entries = st.builds(
    SpdEntry,
    name=st.sampled_from("abc"),
    rule=st.just("r"),
    action=st.sampled_from(["protect", "bypass", "discard"]),
    pairs=st.lists(st.tuples(selectors(), selectors()), max_size=3).map(tuple),
    child=st.just("child"),
    outbound=st.booleans(),
    inbound=st.booleans(),
)


@given(st.lists(entries, max_size=6), packets(), st.sampled_from(Direction), st.sampled_from((1, 2, 512)))
def test_the_first_entry_in_order_wins(
    policy: list[SpdEntry],
    packet: tuple[Address, Address, int, int | None, int | None],
    direction: Direction,
    block: int,
) -> None:
    """Also where the index of the SPD is in several blocks."""
    source, destination, protocol, source_port, destination_port = packet
    outbound = direction is Direction.OUTBOUND

    def holds(entry: SpdEntry) -> bool:
        if not (entry.outbound if outbound else entry.inbound):
            return False
        return any(
            side(local if outbound else remote, source, protocol, source_port, sending=True)
            and side(remote if outbound else local, destination, protocol, destination_port, sending=False)
            for local, remote in entry.pairs
        )

    expected = [entry for entry in policy if holds(entry)]
    with patch.object(limits, "BOXES_IN_A_BLOCK", block):
        spd = Spd(tuple(policy), 1)
    flow = Flow.build(source, destination, protocol, source_port, destination_port)
    winner = expected[0] if expected else None
    assert spd.lookup(flow, direction) == winner
    assert spd.lookup(flow, direction) == winner  # as remembered


@given(st.lists(selectors(), max_size=4), st.lists(selectors(), max_size=4), packets())
def test_an_sa_holds_what_any_of_its_selectors_holds(
    local: list[Selector], remote: list[Selector], packet: tuple[Address, Address, int, int | None, int | None]
) -> None:
    source, destination, protocol, source_port, destination_port = packet
    flow = Flow.build(source, destination, protocol, source_port, destination_port)

    def one(candidates: list[Selector], address: Address, port: int | None, *, sending: bool) -> bool:
        return any(side(selector, address, protocol, port, sending=sending) for selector in candidates)

    sa = SaSelectors(tuple(local), tuple(remote))
    assert sa.hold_outbound(flow) == (
        one(local, source, source_port, sending=True) and one(remote, destination, destination_port, sending=False)
    )
    assert sa.hold_inbound(flow) == (
        one(remote, source, source_port, sending=True) and one(local, destination, destination_port, sending=False)
    )
