"""Trees of rules do with each packet what a rule for each flow does, to the counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from itertools import chain
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.ipsec.selectors import Flow
from ipsecd.policy import classify
from ipsecd.policy.connections import LAN, REMOTE_ACCESS, WAYS
from ipsecd.policy.constant_sets import WITH_TYPES
from ipsecd.policy.marks import set_mark
from ipsecd.policy.plan import Action, Entry, Settings
from ipsecd.wire.selector import ANY_PORT, Address, Selector
from tests.property.ruleset_reading import Passing, Reading

FOUR = ("0.0.0.0/0", "10.0.0.0/29", "10.0.0.0/30", "10.0.0.4/30", "10.0.0.0/31", "10.0.0.1/32", "10.0.0.5/32")
SIX = ("::/0", "fd00::/125", "fd00::/126", "fd00::1/128", "fd00::5/128")
HERE = {4: Selector.net("0.0.0.0/32"), 6: Selector.net("::/128")}
PORTS = (ANY_PORT, ANY_PORT, ANY_PORT, (1, 1), (1, 3), (2, 5))
OURS = frozenset(map(ip_address, ("10.0.0.1", "10.0.0.6", "fd00::1")))

ranges = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(
    lambda ends: Selector(ip_address(0x0A000000 + min(ends)), ip_address(0x0A000000 + max(ends)))
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    version = draw(st.sampled_from((4, 4, 4, 6)))
    sides = st.sampled_from(FOUR if version == 4 else SIX).map(Selector.net)
    near, far = (draw(sides if version == 6 else sides | ranges) for _ in range(2))
    protocol = draw(st.sampled_from((0, 0, 0, 0, 6, 6, 17, 47, 1 if version == 4 else 58)))
    one, two = (draw(st.sampled_from(PORTS)) for _ in range(2))
    if protocol in WITH_TYPES:
        two = draw(st.sampled_from((one, ANY_PORT)))
    elif protocol == 47:
        one = two = ANY_PORT
    of_me = draw(st.integers(0, 4)) == 0
    if of_me:
        near = HERE[version]
    local, remote = (Selector(side.start, side.end, protocol, ports) for side, ports in ((near, one), (far, two)))
    pairs = ((local, remote),) if of_me or draw(st.booleans()) else ((local, remote), (remote, local))
    outbound, inbound = draw(st.sampled_from(((True, True), (True, True), (True, False), (False, True))))
    action = draw(st.sampled_from(Action))
    protects = action is Action.PROTECT
    passthrough, fallback = protects and draw(st.integers(0, 3)) == 0, protects and draw(st.booleans())
    found = Entry("e/1", "e", action, pairs, outbound, inbound, passthrough=passthrough, fallback=fallback)
    found = replace(found, connections=draw(st.sampled_from(("", "", "", LAN, REMOTE_ACCESS))))
    return replace(found, pairs=(), me=pairs) if of_me else found


class Packet(NamedTuple):
    """``clear`` are the peers that are talked to in clear when it comes."""

    flow: Flow
    clear: frozenset[Address]
    came_by: str
    leaves_by: str


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    base = draw(st.sampled_from((0x0A000000, 0x0A000000, 0xFD00 << 112)))
    source, destination = (ip_address(base + draw(st.sampled_from((0, 1, 1, 2, 4, 5, 5, 7, 8)))) for _ in range(2))
    icmp = 1 if source.version == 4 else 58
    protocol = draw(st.sampled_from((6, 6, 17, 47, icmp, 136)))
    seen = protocol != 47 and draw(st.integers(0, 4)) > 0
    ports = (draw(st.integers(0, 5)), draw(st.integers(0, 5))) if seen else ()
    flow = Flow.build(source, destination, protocol, *ports)
    clear = draw(st.frozensets(st.sampled_from((source, destination))))
    return Packet(flow, clear, *(draw(st.sampled_from(("lan0", "ppp0", "new0"))) for _ in range(2)))


class Said(NamedTuple):
    """Return is the verdict if there is none."""

    verdict: str
    mark: int
    counted: tuple[str, ...]


def said(chains: classify.Chains, packet: Packet) -> Said:
    """What the chain ``c`` does with a packet."""
    flow, clear, came_by, leaves_by = packet
    passing = Passing(flow, OURS, came_by, leaves_by, clear=clear, way_out=leaves_by)
    return Said(Reading(chains).verdict("c", passing), passing.mark, tuple(passing.counted))


def verdict(entry: Entry) -> str:
    counter = f'counter name "{entry.name}"'
    match entry.action:
        case Action.PERMIT:
            return f"{counter} return" if int(entry.name) % 2 else "return"
        case Action.BLOCK:
            return f"{counter} drop"
        case Action.PROTECT:
            return f"{set_mark(Settings(), Settings().mark)} {counter} return"


@contextmanager
def trees(*, leaf: int = 1, depth: int = 10, twice: int = 2, turns: int = 4) -> Iterator[None]:
    """Where few flows are a tree too."""
    with (
        patch.object(limits, "FEW_FLOWS", 1),
        patch.object(limits, "LEAF", leaf),
        patch.object(limits, "DEPTH", depth),
        patch.object(limits, "TWICE", twice),
        patch.object(limits, "TURNS", turns),
    ):
        yield


@st.composite
def alike(draw: st.DrawFn) -> list[Entry]:
    """Some that differ by the far address alone."""
    one = draw(entries())
    ((local, remote), *_) = one.me or one.pairs
    base = 0x0A000000 if remote.version == 4 else 0xFD00 << 112
    found = []
    for far in draw(st.lists(st.sampled_from((0, 1, 2, 4, 5, 7, 8)), min_size=2, max_size=4, unique=True)):
        pairs = ((local, replace(remote, start=ip_address(base + far), end=ip_address(base + far))),)
        found.append(replace(one, me=pairs) if one.me else replace(one, pairs=pairs))
    return found


def numbered(groups: Sequence[Sequence[Entry]]) -> list[Entry]:
    """All in a row, and called so."""
    return [replace(entry, name=str(number)) for number, entry in enumerate(chain.from_iterable(groups))]


lists = st.lists(alike() | entries().map(lambda entry: [entry]), min_size=2, max_size=7).map(numbered)
some_packets = st.lists(packets(), min_size=30, max_size=30)
ways = st.sampled_from((WAYS.out, WAYS.into, WAYS.ahead))
Written = Callable[[Sequence[Entry], classify.Way], classify.Chains]


def flows(found: Sequence[Entry], way: classify.Way) -> tuple[classify.Flow, ...]:
    """As the floor has them for what goes that way."""
    return classify.excepted(met(found, way), way, verdict)


def met(found: Sequence[Entry], way: classify.Way) -> Sequence[Entry]:
    return classify.let_in(found) if way is WAYS.into else found


def chains(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    strays = () if way is WAYS.into else classify.strays(found, verdict, way)
    return classify.chains("c", flows(found, way) + strays)


def blocked(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    return classify.blocked("c", found, (way, WAYS.out if way is WAYS.into else WAYS.into), verdict)


def crossing(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    return classify.crossing("c", met(found, way), way, verdict)


def pieces(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    return classify.pieces("c", flows(found, way), (None, *Action)[len(found) % 4])


def original(found: Sequence[Entry], way: classify.Way) -> classify.Chains:
    return classify.original("c", flows(found, way))


shapes = st.fixed_dictionaries(
    {},
    optional={
        "leaf": st.sampled_from((1, 3)),
        "depth": st.sampled_from((2, 4, 10)),
        "twice": st.sampled_from((0, 1, 50)),
        "turns": st.sampled_from((1, 2)),
    },
)
everything = st.sampled_from((chains, blocked, crossing, pieces, original))


@given(lists, some_packets, ways, everything, shapes)
def test_trees_do_what_rules_do(
    found: Sequence[Entry], packets: Sequence[Packet], way: classify.Way, written: Written, shape: dict[str, int]
) -> None:
    compare(found, packets, way, written, shape)


def compare(
    found: Sequence[Entry], packets: Sequence[Packet], way: classify.Way, written: Written, shape: dict[str, int]
) -> None:
    rules = written(found, way)
    with trees(**shape):
        grown = written(found, way)
    for packet in packets:
        assert said(grown, packet) == said(rules, packet)


@st.composite
def across(draw: st.DrawFn) -> list[Entry]:
    """Entries for hosts on either side, so that those of one side lie across those of the other."""
    protocol, ports = draw(st.sampled_from(((0, ANY_PORT), (0, ANY_PORT), (6, (1, 1)), (17, (1, 3)))))
    wide = Selector.net(draw(st.sampled_from(("0.0.0.0/0", "10.0.0.0/29"))), protocol)
    action = draw(st.sampled_from((Action.PROTECT, Action.PROTECT, Action.BLOCK, Action.PERMIT)))
    fallback = action is Action.PROTECT and draw(st.integers(0, 3)) > 0
    found = []
    for host in draw(st.lists(st.integers(0, 7), min_size=2, max_size=6, unique=True)):
        narrow = Selector.net(f"10.0.0.{host}/32", protocol, ports)
        pairs = ((wide, narrow), (narrow, wide)) if draw(st.booleans()) else ((wide, narrow),)
        found.append(Entry("e/1", "e", action, pairs, fallback=fallback))
    return found


@st.composite
def packets_of_hosts(draw: st.DrawFn) -> Packet:
    source, destination = (ip_address(f"10.0.0.{draw(st.integers(0, 7))}") for _ in range(2))
    ports = draw(st.sampled_from(((), (1, 2), (2, 1), (1, 1), (9, 3))))
    flow = Flow.build(source, destination, draw(st.sampled_from((6, 6, 17))), *ports)
    return Packet(flow, draw(st.sampled_from((frozenset(), frozenset((source, destination))))), "lan0", "lan0")


@given(
    st.lists(across(), min_size=2, max_size=5).map(numbered),
    st.lists(packets_of_hosts(), min_size=30, max_size=30),
    ways,
    everything,
    shapes,
)
def test_trees_do_what_rules_do_where_many_lie_across_each_other(
    found: Sequence[Entry], packets: Sequence[Packet], way: classify.Way, written: Written, shape: dict[str, int]
) -> None:
    """And where what isn't clear now goes on to the next flow."""
    compare(found, packets, way, written, shape)


A, B, ALL = (Selector.net(text) for text in ("10.0.0.1/32", "10.0.0.2/32", "0.0.0.0/0"))


def entry(action: Action, far: Selector, connections: str = "") -> Entry:
    return Entry("e/1", "e", action, ((Selector(ALL.start, ALL.end, far.protocol), far),), connections=connections)


@pytest.mark.parametrize(
    ("partial", "protocol"),
    [
        (entry(Action.BLOCK, ALL, connections=REMOTE_ACCESS), 6),
        (entry(Action.BLOCK, Selector(ALL.start, ALL.end, 0, (2, 2))), 47),
        (replace(entry(Action.PROTECT, ALL), fallback=True), 6),
        (replace(entry(Action.BLOCK, ALL), pairs=(), me=((ALL, ALL),)), 6),
    ],
)
@pytest.mark.parametrize("ports", [(), (2, 2)])
def test_what_a_flow_does_not_take_goes_on_to_those_behind_it(
    partial: Entry, protocol: int, ports: tuple[int, ...]
) -> None:
    """Though it covers all addresses that are left. A protocol without ports has other octets where they would be."""
    found = numbered([[entry(Action.PERMIT, A), partial, entry(Action.BLOCK, B), entry(Action.BLOCK, ALL)]])
    flow = Flow.build(ip_address("10.0.0.3"), ip_address("10.0.0.4"), protocol, *ports)
    packet = Packet(flow, frozenset(), "lan0", "lan0")
    for written in (chains, blocked, crossing, original):
        compare(found, [packet], WAYS.out, written, {})
    assert "drop" in str(said(chains(found, WAYS.out), packet)) or partial.fallback


@given(lists, some_packets, st.lists(packets(), min_size=30, max_size=30), ways, shapes)
def test_trees_do_with_errors_what_rules_do(
    found: Sequence[Entry],
    packets: Sequence[Packet],
    about: Sequence[Packet],
    way: classify.Way,
    shape: dict[str, int],
) -> None:
    """By what they quote."""
    rules = classify.quoting("c", flows(found, way))
    with trees(**shape):
        grown = classify.quoting("c", flows(found, way))
    for packet, quoted in zip(packets, about, strict=True):
        if packet.flow.version == quoted.flow.version:
            source, destination = packet.flow.addresses()
            error = Flow.build(source, destination, *((1, 3 * 256) if source.version == 4 else (58, 256)))
            both = [
                Passing(error, OURS, *packet[2:], clear=packet.clear, way_out=packet.leaves_by, quoted=quoted.flow)
                for _ in range(2)
            ]
            verdicts = [Reading(each).verdict("c", one) for each, one in zip((rules, grown), both, strict=True)]
            assert verdicts[0] == verdicts[1]
            assert both[0].counted == both[1].counted
            assert both[0].mark == both[1].mark


@given(lists, ways)
def test_chains_stand_in_each_other_no_deeper_than_the_kernel_takes(found: Sequence[Entry], way: classify.Way) -> None:
    """It counts those that are gone to as well as those that are jumped to: 16, of which three stand before a tree."""
    with trees():
        for written in (chains, blocked, crossing):
            assert deepest(written(found, way), "c") <= 13


def deepest(chains: classify.Chains, name: str, known: dict[str, int] | None = None) -> int:
    """Chains are shared, so each is looked at once."""
    known = {} if known is None else known
    if name not in known:
        targets = {rule.rpartition(" ")[2] for rule in chains[name] if "goto" in rule}
        known[name] = 1 + max((deepest(chains, target, known) for target in targets), default=0)
    return known[name]
