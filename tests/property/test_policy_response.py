"""What hosts have negotiated by the default response, among the rules of any policy: what is said of a packet is what
the floor and the SPD do with it, and no rule says anything else than without."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.ipsec.selectors import Flow, SaSelectors
from ipsecd.ipsec.spd import SpdEntry
from ipsecd.policy.deciding import Way
from ipsecd.policy.floor import ruleset
from ipsecd.policy.judging import Verdict, judge, ways
from ipsecd.policy.plan import DEFAULT_RESPONSE, Plan
from ipsecd.policy.response import Pair, answered, entry, patterns
from ipsecd.wire.selector import ANY_PORT, OPAQUE, Address, Selector
from tests.property.policy_values import Tree
from tests.property.ruleset_reading import Reading, chains_of, sets_of
from tests.property.test_policy_judging import (
    ADDRESSES,
    HERE,
    INTERFACES,
    Machine,
    Road,
    flows,
    plan_of,
    policies,
    roads,
    said,
)

OURS = frozenset(HERE)


PORTS = st.sampled_from([ANY_PORT, OPAQUE, (80, 80), (0, 100), (2_048, 2_303)])


@st.composite
def asked(draw: st.DrawFn) -> Pair:
    """What one host has: everything, something of TCP, or what has no ports to see."""
    here, there = draw(hosts())
    kinds = [(0, ANY_PORT), (6, ANY_PORT), (6, (80, 80)), (0, OPAQUE), (47, OPAQUE)]
    protocol, ports = draw(st.sampled_from(kinds))
    return Selector(here, here, protocol), Selector(there, there, protocol, ports)


@st.composite
def strange(draw: st.DrawFn) -> Pair:
    """What one host has: anything that selectors can say, though it makes little sense."""
    here, there = draw(hosts())
    protocol = draw(st.sampled_from([0, 1, 6, 17, 47, 58]))
    ours, theirs = draw(st.sampled_from([(protocol, protocol), (protocol, 0), (0, protocol)]))
    return Selector(here, here, ours, draw(PORTS)), Selector(there, there, theirs, draw(PORTS))


@st.composite
def hosts(draw: st.DrawFn) -> tuple[Address, Address]:
    """This machine and another, of one family."""
    here = draw(st.sampled_from(HERE))
    others = [each for each in map(ip_address, ADDRESSES) if each.version == here.version and each not in HERE]
    return here, draw(st.sampled_from(others))


def with_hosts(tree: Tree, pairs: list[Pair]) -> tuple[Plan, Plan]:
    """The plan of a policy with a default response, before any host has asked and afterwards."""
    tree["policies"]["p"]["default_response"] = {"authentication": [{"psk": "hq"}]}
    plan = plan_of(tree, HERE)
    [child] = patterns(plan)
    entries = tuple(entry(f"host/{number}", child, (pair,)) for number, pair in enumerate(pairs))
    return plan, answered(plan, entries)


class Answering(Machine):
    """Of the SPD's entry for all hosts there is as much as hosts have an SA for."""

    def __init__(self, before: Plan, after: Plan) -> None:
        super().__init__(before, OURS)
        self.plan = after
        text = ruleset(after, interfaces=INTERFACES)
        self.floor = Reading(chains_of(text), after.settings, sets_of(text))

    def rows(self, inside: Plan) -> tuple[SpdEntry, ...]:
        return tuple(each for each in super().rows(inside) if each.name != f"{DEFAULT_RESPONSE}/1")


@given(policies(), st.lists(asked() | strange(), max_size=3), flows(), roads, st.booleans())
def test_what_is_said_is_what_the_floor_and_the_data_plane_do(
    tree: Tree, pairs: list[Pair], flow: Flow, road: Road, arriving: bool
) -> None:
    before, after = with_hosts(tree, pairs)
    machine = Answering(before, after)
    for way in ways(flow, road.here(OURS), arriving=arriving):
        told = judge(after, flow, way, road.here(OURS))
        if told.verdict is not Verdict.EXEMPT and (way is not Way.LEAVING or machine.goes_on(flow, road)):
            assert said(told) == machine.does(flow, way, road), told


@given(policies(), st.lists(asked(), min_size=1, max_size=3), flows(), st.booleans())
def test_what_a_rule_decides_it_decides_whatever_hosts_ask_for_and_of_the_rest_they_get_just_that(
    tree: Tree, pairs: list[Pair], flow: Flow, arriving: bool
) -> None:
    before, after = with_hosts(tree, pairs)
    road = Road("lan0", "lan0")
    for way in ways(flow, road.here(OURS), arriving=arriving):
        was, told = (judge(plan, flow, way, road.here(OURS)) for plan in (before, after))
        rows = [SaSelectors((local,), (remote,)) for local, remote in pairs]
        held = any(row.hold_outbound(flow) if way.outbound else row.hold_inbound(flow) for row in rows)
        unseen = (
            flow.source_port < 0 and flow.protocol != 47
        )  # it may belong to something else, if its ports could be seen
        if was.verdict is Verdict.EXEMPT or (was.winner is not None and was.winner.rule):
            assert (told.verdict, told.winner) == (was.verdict, was.winner)
        elif held and not way.forwarded and (unseen or flow.addresses()[1].is_multicast):  # no SA takes that
            assert told.verdict in (Verdict.PROTECT, Verdict.BLOCK, Verdict.DROP)
        elif held and not way.forwarded:
            assert (told.verdict, told.child) == (Verdict.PROTECT, f"{DEFAULT_RESPONSE}/1")
        elif not unseen:
            assert (told.verdict, told.winner) == (was.verdict, was.winner)
