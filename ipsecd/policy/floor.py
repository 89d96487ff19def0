"""The floor: the one nftables table that stands between the policy and the wire.

It does three things, all with the entries of the plan in order of precedence:

* steering: what an entry protects is marked, and the mark's routing rule sends it into the TUN;
* the floor itself: cleartext that an entry protects or blocks is dropped at the first place after the wire, at the
  last before it, and at the place between; only what arrives for an entry with a passthrough is let in, and what goes
  between this side and a peer that is in the set of its family passes, by an entry that may fall back to clear;
* the sides (``sides.py``): a forwarded packet is marked only if its source is reached through the interface it came in
  by, and what came out of the TUN goes inside or nowhere.

Fragments are judged before the kernel puts them together, as far as their addresses tell. It puts together what has
the same addresses and identification, wherever it came from, and takes the whole for what its last fragment was: so a
fragment that somebody on the outside has made up would come in as part of what came out of the tunnel. Those that may
be exempt as a whole, which they don't tell, are put together apart from all others (``_joined_apart``).

The hooks in the order a packet meets them, with their priorities, are ``_base_chains``. Whoever holds the mark of our
own sockets passes in the output hook; whatever arrives has our bits of its mark cleared first. The TUN is known by its
interface group, not by its name: another program may have an interface of that name when ours is gone.

Traffic that a socket binds to a device (SO_BINDTODEVICE) can't be steered: the kernel routes it by that device
whatever its mark, so it is dropped before the wire and counted. A packet with a source route (RFC 791, RFC 8754) is
dropped too: its header doesn't say where it ends, so no entry can be told for it. A socket of the kind AF_PACKET
passes below every table; whoever may open one may also remove this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

from ipsecd import limits
from ipsecd.policy import classify, connections, constant_sets, exempt_rules, sides
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.constant_sets import TO_US
from ipsecd.policy.marks import asking_mark, clear_mark, has_mark, inside_mark, set_mark
from ipsecd.policy.memory import MEMORY
from ipsecd.policy.plan import PERSISTENT, Action, Entry, Plan, Settings

TABLE = "ipsecd"

UNJOINED, BEFORE_NAT, ARRIVING, STEERING, LATE = -450, -400, -350, -90, 1_000
# -450: before reassembly (-400).
# -400: before whatever rewrites headers or marks on the way out (mangle -150, source NAT 100).
# -350: behind reassembly (-400), before connection tracking (-200) and destination NAT (-100).
# -90: behind destination NAT. 1000: behind source NAT and whatever else rewrites headers.

NOT_STEERED = "not-steered"  # packets that another program's route sent into the TUN
BESIDE_THE_TUN = "beside-the-tun"  # steered packets on their way out by another link: bound to it by their socket
SOURCE_ROUTED = "source-routed"  # packets that aren't for the address in their header
UNKNOWN_INTERFACE = "unknown-interface"  # packets by one of which nobody has said yet of which type of connection it is
_WAYS = (sides.WRONG_SIDE, sides.NOT_INSIDE, BESIDE_THE_TUN, SOURCE_ROUTED, UNKNOWN_INTERFACE)

_OF_THE_LINK = ("ip daddr 224.0.0.0/24", "ip6 daddr ff02::/16")  # the kernel's own, into every interface that comes up

_APART = "ct zone set 4500"  # a number that nobody else is likely to have

_OF_NO_POLICY = f"# {PERSISTENT}"  # the first line of a ruleset that nobody has to unassign
_NONE = Interfaces()

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_./-]+")
_NAME_OCTETS, _DIGEST_OCTETS = 100, 8


@dataclass(frozen=True, slots=True)
class EntryCounters:
    """Packets of an entry: ``hits`` were steered or permitted, ``drops`` met the floor."""

    hits: int
    drops: int


def ruleset(plan: Plan, outside: tuple[str, ...] = (), interfaces: Interfaces = _NONE) -> str:
    """The table as one transaction for ``nft -f``: it replaces the table of the same name, whatever it held.
    ``outside`` are the names of the interfaces that lead to the peers and to everybody else, ``interfaces`` all of
    them by type of connection, which only a plan needs that asks for it."""
    MEMORY.begin()
    plan = replace(plan, entries=tuple(map(_known, plan.entries)))
    lines = [_OF_NO_POLICY] if plan.policy == PERSISTENT else []
    lines += [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for counter in dict.fromkeys(_counters(plan)):
        lines += [f"\tcounter {counter} {{", "\t}", ""]
    for each in (*constant_sets.ALL, *(connections.of_types(plan.settings, interfaces) if plan.by_connection else ())):
        lines += each.lines
    for version, name in classify.CLEAR.items():  # the boot begins without any
        lines += [f"\tset {name} {{", f"\t\ttype ipv{version}_addr", "\t\tflags timeout", "\t}", ""]
    for name, rules in (_subordinate_chains(plan, outside) | _base_chains(plan, interfaces)).items():
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""]
    return "\n".join([*lines[:-1], "}", ""])


def _known(entry: Entry) -> Entry:
    return replace(entry, pairs=MEMORY.pairs(entry.pairs), me=MEMORY.pairs(entry.me))


def of_a_policy(text: str) -> bool:
    """Whether a ruleset is of more than persistent rules."""
    return not text.startswith(_OF_NO_POLICY)


def entry_counters(plan: Plan, counters: Mapping[str, int]) -> dict[str, EntryCounters]:
    """The table's counters (packets by counter name, as the kernel lists them), by the names of the plan's entries."""
    return {
        entry.name: EntryCounters(
            counters.get(_counter("hits", entry.name), 0), counters.get(_counter("drops", entry.name), 0)
        )
        for entry in plan.entries
    }


def _counters(plan: Plan) -> Iterable[str]:
    yield from (*_WAYS, NOT_STEERED)
    for entry in plan.entries:
        if entry.action is not Action.BLOCK:
            yield _counter("hits", entry.name)
        if entry.action is not Action.PERMIT:
            yield _counter("drops", entry.name)


@lru_cache(maxsize=limits.FLOOR_WORDS)
def _counter(kind: str, name: str) -> str:
    """By the entry's name alone, so it stays when others come or go; with a digest where nft takes no such name."""
    told = _NOT_IN_A_NAME.sub("_", name)[:_NAME_OCTETS]
    if told == name:
        return f"{kind}.{told}"
    return f"{kind}-{blake2b(name.encode(), digest_size=_DIGEST_OCTETS).hexdigest()}.{told}"


def _subordinate_chains(plan: Plan, outside: tuple[str, ...]) -> classify.Chains:
    """Those that base chains jump to: the entries by direction and use, what is exempt, and the sides."""
    steer, judge = _steering(plan.settings), _judge
    entries, ways = plan.entries, connections.WAYS
    let_in = classify.let_in(entries)
    arriving, turned = classify.excepted(let_in, ways.into, judge), classify.turned(entries)
    crossing: classify.Chains = {}
    if _crossing(plan):
        crossing = {
            **classify.blocked("blocked", entries, (ways.out, ways.into), judge),
            **classify.crossing("steer_crossing", entries, ways.ahead, steer),
            **classify.crossing("leaving_crossing", entries, ways.out, judge),
            **classify.crossing("arriving_crossing", let_in, ways.into, judge),
            "arriving_through": [f"jump blocked{'_ahead' * plan.by_connection}", "goto arriving_crossing"],
        }
    if plan.by_connection:  # before routing, the way isn't told by the interface
        crossing |= classify.blocked("blocked_ahead", entries, (ways.ahead, ways.into), judge)
        crossing |= classify.blocked("blocked_emerging", entries, (ways.emerging, ways.emerged), judge)
        crossing |= classify.blocked("blocked_emerged", entries, (ways.out, ways.emerged), judge)
        crossing |= classify.blocked("blocked_past", entries, (ways.out, ways.past), judge)
        crossing |= classify.crossing("steer_emerging", entries, ways.emerging, steer)
    # of fragments the way isn't asked: one that is marked for nothing only has to come from the right side
    asked = [entry for entry in entries if entry.action is Action.PROTECT or not entry.connections]
    entering_pieces = classify.excepted(asked, classify.out, _entering_pieces(plan.settings))
    return {
        **exempt_rules.chains(plan, outside),
        "pieces": [*exempt_rules.pieces(plan), "jump arriving_pieces", "jump entering_pieces", "jump entering"],
        "exempt_pieces": ["jump joined_apart", "accept"],
        **classify.pieces("joined_apart", _joined_apart(entries), Action.PROTECT),
        **classify.pieces("arriving_pieces", arriving, Action.PERMIT),
        **classify.pieces("entering_pieces", entering_pieces),
        **classify.chains("steer", _departing(entries, ways.out, steer)),
        **classify.chains("leaving", _departing(entries, ways.out, judge)),
        **classify.chains("arriving", arriving),
        **crossing,
        **classify.quoting("leaving_quoted", classify.excepted(turned, ways.out, judge, quoted=True)),
        **classify.quoting(
            "arriving_quoted",
            # nothing of a passthrough has left in clear either
            classify.excepted(turned, ways.into, judge, quoted=True),
            lambda place: exempt_rules.quoted(plan, place),
        ),
        **classify.original("arriving_original", arriving),
        **sides.chains(plan, outside),
    }


def _departing(entries: Sequence[Entry], out: classify.Way, verdict: classify.Verdict) -> tuple[classify.Flow, ...]:
    """The flows of what this machine itself sends."""
    return classify.excepted(entries, out, verdict) + classify.strays(entries, verdict, out)


def _crossing(plan: Plan) -> str:
    """The end of the names of chains that judge forwarded packets. They are the same as for others if no block may
    have to stand back (``classify.crossing``), no rule is for what this machine itself sends (``strays``), and none
    asks for the way that a packet takes, which is found otherwise before routing."""
    apart = any(entry.action is Action.BLOCK or entry.me or entry.connections for entry in plan.entries)
    return "_crossing" if apart else ""


def _steering(settings: Settings) -> classify.Verdict:
    """What becomes of packets that may leave: marked, let go, or dropped."""

    def verdict(entry: Entry) -> str:
        hits = f'counter name "{_counter("hits", entry.name)}"'
        match entry.action:
            case Action.PERMIT:
                return f"{hits} return"
            case Action.PROTECT:
                return f"{_mark(settings, entry)} {hits} return"
            case Action.BLOCK:
                return _judge(entry)

    return verdict


def _entering_pieces(settings: Settings) -> classify.Verdict:
    """Fragments are marked for the question of where they came from, and for no more."""
    return lambda entry: f"{_mark(settings, entry)} return" if entry.action is Action.PROTECT else "return"


def _joined_apart(entries: Sequence[Entry]) -> tuple[classify.Flow, ...]:
    """Fragments in clear that may be exempt, but have the addresses of some that may come out of the TUN, go to a zone
    of connection tracking, as the kernel joins only what is of one zone. They aren't dropped, as IKE with the peer may
    be among them. Where a passthrough lets in cleartext anyhow they stay with all others."""
    entries = classify.let_in([replace(entry, inbound=True) for entry in entries])
    return classify.excepted(
        entries, classify.into, lambda entry: f"{_APART} accept" if entry.action is Action.PROTECT else "return"
    )


def _mark(settings: Settings, entry: Entry) -> str:
    """Mark a packet of a protecting entry. The mark also says how its source is to be looked up, if it is forwarded:
    with the default route only if any address may be local."""
    return set_mark(settings, settings.mark if entry.anywhere else asking_mark(settings))


def _judge(entry: Entry) -> str:
    """What becomes of packets in clear."""
    return "return" if entry.action is Action.PERMIT else f'counter name "{_counter("drops", entry.name)}" drop'


# To ourselves. The interface alone doesn't tell, as a packet keeps it that destination NAT sends elsewhere, until it is
# routed again; nor does the address alone, as a socket bound to a device sends even our own addresses out there.
_TO_ITSELF = f'oifname "lo" fib daddr type {TO_US} accept'


def _base_chains(plan: Plan, interfaces: Interfaces) -> classify.Chains:
    settings = plan.settings
    tun = settings.table  # the TUN's group has the number of our table
    steered, asked = (has_mark(settings, mark) for mark in (settings.mark, asking_mark(settings)))
    across = _crossing(plan)
    emerged, past = "blocked", ["iif != 0 jump blocked"]
    if plan.by_connection:  # by which interface it would have come that came out of the TUN isn't seen
        emerged, past = (
            "blocked_emerged",
            [f"iif != 0 iifgroup != {tun} jump blocked", f"iifgroup {tun} jump blocked_past"],
        )
    strangers = {
        direction: [
            f'{match} counter name "{UNKNOWN_INTERFACE}" drop'
            for match in connections.strangers(settings, interfaces, direction)
            if plan.by_connection
        ]
        for direction in ("iifname", "oifname")
    }
    whole = "ct state invalid,new,established,related,untracked"  # a ct expression makes the kernel reassemble
    source_routed = [
        f'{option} counter name "{SOURCE_ROUTED}" drop'
        for option in ("ip option lsrr exists", "ip option ssrr exists", "rt seg-left > 0")
    ]
    return {
        "pieces_from_wire": [
            _hook("filter", "prerouting", UNJOINED),
            'iifname "lo" accept',
            f"iifgroup {tun} accept",
            "ip frag-off & 0x3fff != 0 jump pieces",
            "exthdr frag exists jump pieces",
        ],
        "from_wire": [
            _hook("filter", "prerouting", ARRIVING),
            whole,
            *source_routed,
            f"iifgroup {tun} {set_mark(settings, inside_mark(settings))} accept",
            clear_mark(settings),
            'iifname "lo" accept',
            "jump exempt_arriving",
            *strangers["iifname"],
            *(
                (f"fib daddr type {TO_US} jump arriving", f"fib daddr type != {TO_US} jump arriving_through")
                if across
                else ("jump arriving",)
            ),
            "jump arriving_quoted",
        ],
        "steer_forwarded": [
            _hook("filter", "prerouting", STEERING),
            'iifname "lo" accept',
            f"iifgroup != {tun} {clear_mark(settings)}",
            f"fib daddr type {TO_US} accept",
            *_steering_forwarded(plan),
            f"iifgroup {tun} jump emerging",
            f"iifgroup != {tun} jump entering",
        ],
        "to_us": [
            _hook("filter", "input", LATE),
            'iifname "lo" accept',
            f"iifgroup {tun} accept",
            "jump exempt_arriving",
            "jump arriving",
        ],
        "through_us": [
            _hook("filter", "forward", LATE),
            f"oifgroup {tun} {steered} accept",
            *(
                (f"iifgroup != {tun} jump blocked", f"iifgroup {tun} oifgroup != {tun} jump {emerged}")
                if across
                else ()
            ),
            f"iifgroup != {tun} jump arriving{across}",
            *(
                f"iifgroup != {tun} ct direction original ct status dnat {what} jump arriving_original"
                for what in exempt_rules.for_us(plan)
            ),
            f"oifgroup != {tun} jump leaving{across}",
            f"oifgroup != {tun} jump leaving_quoted",
            f"iifgroup {tun} oifgroup != {tun} jump leaving_tun",
        ],
        "steer_local": [
            _hook("route", "output", STEERING),
            _TO_ITSELF,
            "jump exempt_departing",
            clear_mark(settings),
            "fib daddr type { broadcast, anycast, multicast } accept",
            "jump steer",
            f"{asked} {set_mark(settings, settings.mark)}",
        ],
        "from_us": [
            _hook("filter", "output", LATE),
            whole,
            *source_routed,
            _TO_ITSELF,
            f"{steered} accept",
            "jump exempt_departing",
            "jump leaving",
            "jump leaving_quoted",
        ],
        "to_wire_unchanged": [
            _hook("filter", "postrouting", BEFORE_NAT),
            'oifname "lo" accept',
            f'oifgroup != {tun} {steered} counter name "{BESIDE_THE_TUN}" drop',
        ],
        "to_wire": [
            _hook("filter", "postrouting", LATE),
            'oifname "lo" accept',
            f"oifgroup {tun} {steered} accept",
            *(f"oifgroup {tun} {own} drop" for own in _OF_THE_LINK),
            f'oifgroup {tun} counter name "{NOT_STEERED}" drop',
            f'{steered} counter name "{BESIDE_THE_TUN}" drop',
            "jump exempt_departing",
            *strangers["oifname"],
            *(("iif 0 jump leaving", *past, f"iif != 0 jump leaving{across}") if across else ("jump leaving",)),
            f"iif != 0 iifgroup != {tun} jump arriving{across}",
        ],
    }


def _steering_forwarded(plan: Plan) -> list[str]:
    tun, across = plan.settings.table, _crossing(plan)
    if not plan.by_connection:
        return [*["jump blocked"] * bool(across), f"jump steer{across}"]
    return [
        f"iifgroup {'' if name == 'emerging' else '!= '}{tun} jump {chain}"
        for name, chains in (
            ("emerging", ("blocked_emerging", "steer_emerging")),
            ("ahead", ("blocked_ahead", "steer_crossing")),
        )
        for chain in chains
    ]


def _hook(kind: str, hook: str, priority: int) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"
