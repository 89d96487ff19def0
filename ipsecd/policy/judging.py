"""What becomes of a packet, and which filter says so: what the floor and the SPD do together, asked of one packet.

The floor decides first, by the flows that its chains are made of (``classify.py``). What it steers into a tunnel, and
what comes out of one, is decided once more by the SPD, which knows the addresses that this machine had when it was
made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ipsecd.ipsec.selectors import Flow
from ipsecd.policy.deciding import LOST, NEW, Case, Decided, Seen, Way
from ipsecd.policy.exempt import exemption, to_several
from ipsecd.policy.order import reason
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Address


class Here(NamedTuple):
    """The addresses of this machine, and those by which all hosts of its networks are reached; and the types of
    connection by which it reaches where a packet goes, ``forth``, and where it comes from, ``back``, where an empty one
    is of an interface that the floor doesn't know yet. ``anycasts`` are the addresses that it hears as a router among
    others; ``excepted`` are the peers that are talked to in clear now, as they have a soft SA."""

    ours: frozenset[Address]
    broadcasts: frozenset[Address] = frozenset()
    forth: frozenset[str] = frozenset()
    back: frozenset[str] = frozenset()
    anycasts: frozenset[Address] = frozenset()
    excepted: frozenset[Address] = frozenset()


class Verdict(Enum):
    """What becomes of a packet in clear. PROTECT: it passes inside an SA only; SOFT: it passes, though a filter
    protects it, as its peer has a soft SA; CLEAR: no filter covers it, and it passes; DROP: neither in clear nor in an
    SA."""

    CLEAR = "clear"
    EXEMPT = "exempt"
    PERMIT = "permit"
    BLOCK = "block"
    PROTECT = "protect"
    SOFT = "soft-sa"
    DROP = "drop"


class RunnerUp(NamedTuple):
    """An entry that covers the packet too, and why it doesn't decide."""

    entry: Entry
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """``winner`` is the entry that decides, None if none does; ``runners_up`` are in order of precedence. ``child`` is
    set for PROTECT and SOFT, ``why`` where the verdict alone doesn't say it. ``clear_too``: it is let in in clear as
    well as inside an SA."""

    way: Way
    verdict: Verdict
    winner: Entry | None
    runners_up: tuple[RunnerUp, ...]
    why: str = ""
    child: str = ""
    clear_too: bool = False


_ANYCAST = "no SA is for it: it goes to the address by which any router of its network is reached (anycast)"
_EITHER = "no SA is for it where a rule for one type of connection may be meant: a route says that it goes by either"
_UNKNOWN = "by an interface that has just come, and of which no type of connection is known yet"
_VERDICTS = {Action.PERMIT: Verdict.PERMIT, Action.BLOCK: Verdict.BLOCK, Action.PROTECT: Verdict.PROTECT}


def ways(flow: Flow, here: Here, *, arriving: bool) -> tuple[Way, ...]:
    """How a packet passes a machine of these addresses, in the order in which it is judged; with ``arriving``, as far
    as it comes in."""
    source, destination = flow.addresses()
    ours, heard = here.ours, here.ours | here.anycasts
    if not arriving and (source in ours or source.is_loopback or source.is_unspecified):
        return (Way.SENT,)
    if destination in heard or destination.is_loopback or to_several(flow, here.broadcasts):
        return (Way.RECEIVED,)
    return (Way.ENTERING,) if arriving else (Way.ENTERING, Way.LEAVING)


def judge(plan: Plan, flow: Flow, way: Way, here: Here) -> Judgement:
    """The judgement on a packet. A packet whose protocol has ports, and that shows none, is a fragment by itself, or
    cut off."""
    ours, broadcasts, forth, back, anycasts, excepted = here
    case = Case(plan, way, Seen(flow, ours, anycasts), forth, back, excepted)
    if exempt := exemption(plan, flow, ours, outbound=way.outbound, broadcasts=broadcasts, anycasts=anycasts):
        covering = tuple(RunnerUp(plan.entries[index], "what is exempt passes first") for index in case.covering())
        return Judgement(way, Verdict.EXEMPT, None, covering, exempt)
    decided = case.decided()
    if decided.action is Action.PROTECT or case.inside_alone(decided):
        return _protected(case, decided, to_several(flow, broadcasts))
    if case.stopped_at_the_interface(decided):
        why = "an interface that isn't known yet counts first"
        covering = tuple(RunnerUp(plan.entries[index], why) for index in case.covering())
        return Judgement(way, Verdict.DROP, None, covering, _UNKNOWN)
    if decided.action is None:
        return _uncovered(case, decided)
    entry = plan.entries[decided.entry]
    about = (case.way_back(), case.unless_about()) if decided.action is Action.PERMIT else ()
    why, rivals = "; ".join(filter(None, (case.remarks(), *about))), _rivals(case, decided, entry)
    if entry.action is Action.PROTECT:  # all the same in clear
        soft = case.by_soft_sa(decided)
        verdict = Verdict.SOFT if soft else Verdict.PROTECT
        return Judgement(way, verdict, entry, rivals, why, entry.child, clear_too=not soft)
    return Judgement(way, _VERDICTS[decided.action], entry, rivals, why)


def _uncovered(case: Case, decided: Decided) -> Judgement:
    """It passes, because nothing covers it, or because what does stands back."""
    entries, covering = case.plan.entries, case.covering()
    block = next((entries[index] for index in covering if entries[index].action is Action.BLOCK), None)
    winner, why = None, "it shows no ports, and no rule covers it without" if covering else "no rule covers it"
    if block is not None and decided.passed_on >= 0:
        winner, when = entries[decided.passed_on], "arrives" if case.way.outbound else "leaves"
        why = f"{winner.name} covers it as it {when}, and goes before {block.name}: {reason(winner, block)}"
    remarks = filter(None, (why, case.way_back(), case.whichever(), case.unless_about()))
    return Judgement(case.way, Verdict.CLEAR, winner, _rivals(case, decided, winner), "; ".join(remarks))


def _protected(case: Case, decided: Decided, to_many: bool) -> Judgement:
    """The floor leaves it to an SA. Which one that is, the SPD says."""
    flow, steered = case.seen.packet, case.plan.entries[decided.entry]
    to_many = to_many and case.way.outbound
    carrier = None if to_many else case.held()
    unpaired = ""
    if carrier is not None and carrier.action is Action.PROTECT:
        unpaired = case.unpaired(carrier)
        if not unpaired:
            rivals = _rivals(case, decided, carrier)
            return Judgement(case.way, Verdict.PROTECT, carrier, rivals, case.remarks(), carrier.child)
    if unpaired:
        why = unpaired
    elif to_many:
        why = "no tunnel takes what goes to a group of hosts, or to all of them"
    elif case.seen.opaque:
        why = "it shows no ports, and they decide about it"
    elif case.doubtful and case.plan.by_connection:
        why = _EITHER
    elif flow.addresses()[1] in case.seen.anycasts:
        why = _ANYCAST
    elif case.way is Way.SENT and flow.addresses()[0] not in case.seen.ours:
        why = LOST
    else:
        why = NEW
    return Judgement(case.way, Verdict.DROP, steered, _rivals(case, decided, steered), why)


def _rivals(case: Case, decided: Decided, winner: Entry | None) -> tuple[RunnerUp, ...]:
    """The other entries that cover the packet, or would by another type of connection, each with the reason why it
    doesn't decide."""
    entries = case.plan.entries
    reasons = {index: _elsewhere(case, entries[index]) for index in case.elsewhere()}
    reasons |= {index: _beaten(case, decided, winner, index) for index in case.covering()}
    others = ((entries[index], reasons[index]) for index in sorted(reasons))
    return tuple(RunnerUp(other, why) for other, why in others if other is not winner)


def _elsewhere(case: Case, entry: Entry) -> str:
    which = (
        f"this packet goes by {case.connection}" if case.connection else "whether this packet goes by one isn't known"
    )
    return f"it is for {entry.connections} connections, and {which}"


def _beaten(case: Case, decided: Decided, winner: Entry | None, index: int) -> str:
    entries = case.plan.entries
    other = entries[index]
    if decided.passed_on >= 0 and other.action is Action.BLOCK:
        return f"it stands back for {entries[decided.passed_on].name}"
    if winner is None or (case.seen.opaque and index < entries.index(winner)):
        return "it may not be meant: no ports are seen"
    if decided.action is None:
        block = next(entries[each] for each in case.covering() if entries[each].action is Action.BLOCK)
        return f"{block.name} goes before it: {reason(block, other)}"
    return reason(winner, other) if entries.index(winner) < index else NEW
