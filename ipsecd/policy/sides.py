"""The sides of a gateway, as chains of the floor: what may use a rule because of where it came from, and where what
came out of a tunnel may go.

Routes alone don't tell. A default route leads to everybody, whatever a rule calls local: to a network whose interface
is down, and to the part of it that isn't there. And whoever hands out routes on the outside (by DHCP option 121, or as
a router of IPv6) can send for what belongs inside. So, unless a rule says that any address is local to it, an address
is inside only if a route of its own leads there, and by an interface that isn't one of the outside.

The interfaces of the outside are those that lead to the peers and to everybody else; they are looked up when the
ruleset is made, and made anew when they change. Where the policy names the interfaces of the inside, all others are
outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from ipsecd.policy import classify, connections
from ipsecd.policy.marks import asking_mark, has_mark, inside_mark, set_mark
from ipsecd.policy.plan import Action, Entry, Plan, Settings
from ipsecd.wire.selector import Address, Selector

WRONG_SIDE = "wrong-side"  # forwarded packets whose source isn't reached through the interface they came in by
NOT_INSIDE = "not-inside"  # packets out of the TUN that lead elsewhere than inside


def chains(plan: Plan, outside: tuple[str, ...]) -> classify.Chains:
    """``entering``, for steered packets that came in by a wire, ``emerging``, for what came out of the TUN, and
    ``leaving_tun``, for what has and leaves by a wire."""
    settings = plan.settings
    asking, steered = asking_mark(settings), has_mark(settings, settings.mark)
    asked = has_mark(settings, asking)
    wrong_side, not_inside = (f'counter name "{name}" drop' for name in (WRONG_SIDE, NOT_INSIDE))
    return {
        "entering": [
            f"{asked} fib saddr . mark . iif oif missing {wrong_side}",
            *(f"{asked} {way} {wrong_side}" for way in by_outside(settings, outside, "iifname")),
            f"{steered} fib saddr . iif oif missing {wrong_side}",
            f"{asked} {set_mark(settings, settings.mark)}",
        ],
        "emerging": [
            f"{asked} {set_mark(settings, settings.mark)} accept",
            f"{steered} accept",
            "jump anywhere",
            set_mark(settings, asking),
            f"fib daddr . mark oif missing {not_inside}",
            set_mark(settings, inside_mark(settings)),
        ],
        "leaving_tun": [
            "jump anywhere",
            *(f"{way} {not_inside}" for way in by_outside(settings, outside, "oifname")),
        ],
        **classify.chains("anywhere", _anywhere(plan.entries)),
    }


def _anywhere(entries: Iterable[Entry]) -> tuple[classify.Flow, ...]:
    """Accepts what came out of the TUN by an entry to which any address is local, also if that covers only the way out
    and this is the way back. Narrower entries stand before it."""
    protecting = [replace(entry, inbound=True) for entry in entries if entry.action is Action.PROTECT]
    while protecting and not protecting[-1].anywhere:
        protecting.pop()
    return classify.flows(protecting, connections.WAYS.emerged, lambda entry: "accept" if entry.anywhere else "return")


def local_networks(plan: Plan) -> dict[str, tuple[Address, Address]]:
    """What has to be inside, each network with its first and its last address: what is local to a rule, but for ``me``,
    for rules to which everything is, and for those without a tunnel, which protect what this machine itself sends."""
    protecting = (entry for entry in plan.entries if entry.action is Action.PROTECT)
    entries = (entry for entry in protecting if not (entry.me or entry.each or entry.anywhere))
    local = chain.from_iterable((pair[0] for pair in entry.pairs) for entry in entries)
    return {str(Selector(each.start, each.end)): (each.start, each.end) for each in local if not each.any_address}


def by_outside(settings: Settings, outside: tuple[str, ...], direction: str) -> tuple[str, ...]:
    """Matches what goes by an interface of the outside, ``direction`` being iifname or oifname."""
    if settings.inside:
        return (f"{direction} != {classify.names(settings.inside)}",)
    return (f"{direction} {classify.names(outside)}",) if outside else ()


def by_inside(settings: Settings, outside: tuple[str, ...], direction: str) -> str:
    """Matches what doesn't."""
    if settings.inside:
        return f"{direction} {classify.names(settings.inside)}"
    return f"{direction} != {classify.names(outside)}" if outside else f'{direction} != "lo"'
