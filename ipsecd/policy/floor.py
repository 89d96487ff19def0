"""The floor: the one nftables table that stands between the policy and the wire.

It does three things, all with the entries of the plan in order of precedence:

* steering: what an entry protects is marked, and the mark's routing rule sends it into the TUN;
* the floor itself: cleartext that an entry protects or blocks is dropped at the first place after the wire, at the
  last before it, and at the place between;
* the side check: a forwarded packet is marked only if its source is reached through the interface it came in by.

The hooks in the order a packet meets them, with their priorities, are ``_base_chains``. Whoever holds the mark of our
own sockets passes in the output hook; whatever arrives has our bits of its mark cleared first.

Traffic that a socket binds to a device (SO_BINDTODEVICE) can't be steered: the kernel routes it by that device
whatever its mark, so it is dropped before the wire and counted. A socket of the kind AF_PACKET passes below every
table; whoever may open one may also remove this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipsecd.policy import classify
from ipsecd.policy.exempt import DHCP, NEIGHBOURS, OWN_PROTOCOLS, own_ports
from ipsecd.policy.plan import Action, Entry, Plan, Settings

TABLE = "ipsecd"

ARRIVING, STEERING, LATE = -350, -90, 1_000
# -350: behind reassembly (-400), before connection tracking (-200) and destination NAT (-100).
# -90: behind destination NAT. 1000: behind source NAT (100) and whatever else rewrites headers.

WRONG_SIDE = "wrong-side"  # forwarded packets whose source isn't reached through the interface they came in by
NOT_STEERED = "not-steered"  # packets that another program's route sent into the TUN
BESIDE_THE_TUN = "beside-the-tun"  # steered packets on their way out by another link: bound to it by their socket

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_./-]+")
_NAME_OCTETS = 100


@dataclass(frozen=True, slots=True)
class EntryCounters:
    """Packets of an entry: ``hits`` were steered or permitted, ``drops`` met the floor."""

    hits: int
    drops: int


def inside_mark(settings: Settings) -> int:
    """The mark of packets that came out of the TUN: not to be steered by, but to look up their way back with."""
    return settings.mark ^ settings.own_mark


def ruleset(plan: Plan) -> str:
    """The table as one transaction for ``nft -f``: it replaces the table of the same name, whatever it held."""
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for counter in _counters(plan):
        lines += [f"\tcounter {counter} {{", "\t}", ""]
    for family in ("ipv4", "ipv6"):  # exceptions made by fallback to clear; an entry that only requires has none
        lines += [f"\tset clear_{family} {{", f"\t\ttype {family}_addr . {family}_addr", "\t\tflags timeout", "\t}", ""]
    for name, rules in (_subordinate_chains(plan) | _base_chains(plan)).items():
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""]
    return "\n".join([*lines[:-1], "}", ""])


def entry_counters(plan: Plan, counters: Mapping[str, int]) -> dict[str, EntryCounters]:
    """The table's counters (packets by counter name, as the kernel lists them), by the names of the plan's entries."""
    return {
        entry.name: EntryCounters(
            counters.get(_counter("hits", index, entry.name), 0), counters.get(_counter("drops", index, entry.name), 0)
        )
        for index, entry in enumerate(plan.entries)
    }


def _counters(plan: Plan) -> Iterable[str]:
    yield from (WRONG_SIDE, NOT_STEERED, BESIDE_THE_TUN)
    for index, entry in enumerate(plan.entries):
        if entry.action is not Action.BLOCK:
            yield _counter("hits", index, entry.name)
        if entry.action is not Action.PERMIT:
            yield _counter("drops", index, entry.name)


def _counter(kind: str, index: int, name: str) -> str:
    return f"{kind}.{index}.{_NOT_IN_A_NAME.sub('_', name)[:_NAME_OCTETS]}"


def _subordinate_chains(plan: Plan) -> classify.Chains:
    """Those that base chains jump to: the entries by direction and use, and what is exempt."""
    steer, judge = _steering(plan.settings), _judge
    entries = plan.entries
    leaving, arriving = (classify.flows(entries, way, judge) for way in (classify.out, classify.into))
    ports, protocols = _any_of(own_ports(plan)), _any_of(OWN_PROTOCOLS)
    ours = _has_mark(plan.settings, plan.settings.own_mark)
    return {
        "exempt_arriving": [
            f"fib daddr type local udp dport {ports} accept",
            f"fib daddr type local meta l4proto {protocols} accept",
            *_NEIGHBOURS,
            *_DHCP,
        ],
        "exempt_departing": [
            f"{ours} udp sport {ports} accept",
            f"{ours} meta l4proto {protocols} accept",
            *_NEIGHBOURS,
            *(f"iif 0 {rule}" for rule in _DHCP),
        ],
        **classify.chains("steer", classify.flows(entries, classify.out, steer) + classify.strays(entries, steer)),
        **classify.chains("leaving", leaving + classify.strays(entries, judge)),
        **classify.chains("arriving", arriving),
        **classify.crossing("steer_crossing", entries, classify.out, steer),
        **classify.crossing("leaving_crossing", entries, classify.out, judge),
        **classify.crossing("arriving_crossing", entries, classify.into, judge),
        **classify.quoting("leaving_quoted", leaving),
        **classify.quoting("arriving_quoted", arriving, exempt=ports),
    }


def _steering(settings: Settings) -> classify.Verdict:
    """What becomes of packets that may leave: marked, let go, or dropped."""

    def verdict(index: int, entry: Entry) -> str:
        hits = f'counter name "{_counter("hits", index, entry.name)}"'
        match entry.action:
            case Action.PERMIT:
                return f"{hits} return"
            case Action.PROTECT:
                return f"{_set_mark(settings, settings.mark)} {hits} return"
            case Action.BLOCK:
                return _judge(index, entry)

    return verdict


def _judge(index: int, entry: Entry) -> str:
    """What becomes of packets in clear."""
    return "return" if entry.action is Action.PERMIT else f'counter name "{_counter("drops", index, entry.name)}" drop'


_TO_US = "{ local, broadcast, anycast, multicast }"  # by what the routing tables say of the destination


def _any_of(numbers: Iterable[int]) -> str:
    return f"{{ {', '.join(map(str, numbers))} }}"


_NEIGHBOURS = tuple(f"icmpv6 type {_any_of(each.types)} ip6 hoplimit {each.hop_limit} accept" for each in NEIGHBOURS)
_DHCP = tuple(
    f"meta nfproto ipv{each.version} udp sport {_any_of(each.ports)} udp dport {_any_of(each.ports)} accept"
    for each in DHCP
)


def _base_chains(plan: Plan) -> classify.Chains:
    settings = plan.settings
    tun = f'"{settings.tun}"'
    mask = settings.mask
    steered = _has_mark(settings, settings.mark)
    foreign_mark = f"meta mark & {mask:#010x} != 0x00000000 {_set_mark(settings, 0)}"
    whole = "ct state invalid,new,established,related,untracked"  # a ct expression makes the kernel reassemble
    return {
        "from_wire": [
            _hook("filter", "prerouting", ARRIVING),
            whole,
            f"iifname {tun} {_set_mark(settings, inside_mark(settings))} accept",
            foreign_mark,
            'iifname "lo" accept',
            "jump exempt_arriving",
            f"fib daddr type {_TO_US} jump arriving",
            f"fib daddr type != {_TO_US} jump arriving_crossing",
            "jump arriving_quoted",
        ],
        "steer_forwarded": [
            _hook("filter", "prerouting", STEERING),
            'iifname "lo" accept',
            f"iifname != {tun} {foreign_mark}",
            f"fib daddr type {_TO_US} accept",
            "jump steer_crossing",
            f'{steered} iifname != {tun} fib saddr . iif oif missing counter name "{WRONG_SIDE}" drop',
        ],
        "to_us": [
            _hook("filter", "input", LATE),
            f'iifname {{ "lo", {tun} }} accept',
            "jump exempt_arriving",
            "jump arriving",
        ],
        "through_us": [
            _hook("filter", "forward", LATE),
            f"oifname {tun} {steered} accept",
            f"iifname != {tun} jump arriving_crossing",
            f"oifname != {tun} jump leaving_crossing",
            f"oifname != {tun} jump leaving_quoted",
        ],
        "steer_local": [
            _hook("route", "output", STEERING),
            'oifname "lo" accept',
            "jump exempt_departing",
            foreign_mark,
            "fib daddr type { broadcast, anycast, multicast } accept",
            "jump steer",
        ],
        "from_us": [
            _hook("filter", "output", LATE),
            whole,
            'oifname "lo" accept',
            "jump exempt_departing",
            f"{steered} accept",
            "jump leaving",
            "jump leaving_quoted",
        ],
        "to_wire": [
            _hook("filter", "postrouting", LATE),
            'oifname "lo" accept',
            f"oifname {tun} {steered} accept",
            f'oifname {tun} counter name "{NOT_STEERED}" drop',
            f'{steered} counter name "{BESIDE_THE_TUN}" drop',
            "jump exempt_departing",
            "iif 0 jump leaving",
            "iif != 0 jump leaving_crossing",
        ],
    }


def _hook(kind: str, hook: str, priority: int) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"


def _set_mark(settings: Settings, value: int) -> str:
    return f"meta mark set meta mark & {~settings.mask & 0xFFFF_FFFF:#010x} | {value:#010x}"


def _has_mark(settings: Settings, value: int) -> str:
    return f"meta mark & {settings.mask:#010x} == {value:#010x}"
