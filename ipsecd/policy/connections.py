"""Types of connection: a rule may hold for local networks alone, or for remote access alone (Windows' connection types,
[MS-GPIPSEC] 2.2.1.3, Interface-Type).

What counts is the interface towards the network: that by which a packet leaves in clear, or would, and that by which
it arrives. The kernel's tables know interfaces by name, so the names are written into the floor, and anew whenever an
interface comes, goes or is renamed. One that isn't among them is of no type yet, and carries nothing but what is
exempt: else what a rule covers could pass by it before anybody has looked at it.

Where another table gives a packet of this machine another route on its way, only the last hook sees the new interface:
what a protecting entry covers there hasn't been steered, and is dropped.

The SPD of the roads and the negotiation don't see interfaces: ``reach.py`` says what they know. Of a packet out of the
TUN nobody sees by which interface it came, which was inside an SA: it came by the type by which its source is reached,
as the SPD has it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ipsecd.policy import classify
from ipsecd.policy.constant_sets import ConstantSet
from ipsecd.policy.plan import Action, Entry, Settings

LAN, REMOTE_ACCESS = "lan", "remote-access"

_PLAIN = re.compile(r'[^"\\]*[^"\\*]')  # what nft takes for a name; the kernel takes more, and those stay of no type
_REMOTE_KINDS = frozenset({"ppp", "tun", "wireguard", "wwan"})  # of rtnetlink, IFLA_INFO_KIND
_REMOTE_NAMES = ("ppp", "ww")  # whose drivers name no kind; ww: systemd.net-naming-scheme(7)


def connection(settings: Settings, name: str, kind: str) -> str:
    """The type of an interface by its name and the kind that rtnetlink tells."""
    if name in settings.lan:
        return LAN
    remote = name in settings.remote_access or kind in _REMOTE_KINDS or name.startswith(_REMOTE_NAMES)
    return REMOTE_ACCESS if remote else LAN


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The names of this machine's interfaces by their type, but for loopback and the TUN."""

    lan: tuple[str, ...] = ()
    remote_access: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, links: Iterable[tuple[str, str]]) -> Interfaces:
        """From the name and the kind of each interface."""
        found: dict[str, list[str]] = {LAN: [], REMOTE_ACCESS: []}
        for name, kind in sorted(links):
            if name not in {"lo", settings.tun} and _PLAIN.fullmatch(name):
                found[connection(settings, name, kind)].append(name)
        return cls(tuple(found[LAN]), tuple(found[REMOTE_ACCESS]))

    def __str__(self) -> str:
        types = ((LAN, self.lan), (REMOTE_ACCESS, self.remote_access))
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in types if names) or "none"

    def type_of(self, name: str) -> str:
        """The type of the interface of that name; empty if there is none."""
        return LAN if name in self.lan else REMOTE_ACCESS if name in self.remote_access else ""


@dataclass(frozen=True, slots=True)
class Ways:
    """How the entries of a plan become flows, each with the interfaces that it covers packets on.

    ``out`` and ``into`` are for hooks behind routing; ``ahead`` is ``out`` before routing, where the kernel is asked
    for the way that a packet will take, and ``emerging`` the same for what came out of the TUN, whose mark isn't that
    of the way it will take. ``emerged`` is ``into`` for what came out of the TUN. Where the kernel can't be asked of
    its source any more, behind all hooks that could, ``past`` takes it to have come by any type, and leaves out what
    blocks, as that has let it go before.
    """

    out: classify.Way
    into: classify.Way
    ahead: classify.Way
    emerging: classify.Way
    emerged: classify.Way
    past: classify.Way


_SETS = {LAN: "lan", REMOTE_ACCESS: "remote_access"}
_BY_ROUTE = "_by_route"  # to nft the interface of a route is of another type than that of a packet
_TYPES = {"": "type ifname", _BY_ROUTE: "typeof fib daddr oifname"}


def of_types(settings: Settings, interfaces: Interfaces) -> tuple[ConstantSet, ...]:
    """The interfaces of each type, which ``WAYS`` ask for. What another program's route would lead into the TUN is of
    either type, so no entry lets it pass."""
    return tuple(
        ConstantSet(_SETS[kind] + which, words, tuple(f'"{name}"' for name in (*found, settings.tun)))
        for kind, found in ((LAN, interfaces.lan), (REMOTE_ACCESS, interfaces.remote_access))
        for which, words in _TYPES.items()
    )


def _by(way: classify.Way, words: str, which: str = "") -> classify.Way:
    def covering(entry: Entry, action: Action, verdict: str) -> tuple[classify.Flow, ...]:
        flows = way(entry, action, verdict)
        if not entry.connections:
            return flows
        return tuple(replace(flow, by=f"{words} @{_SETS[entry.connections]}{which}") for flow in flows)

    return covering


def _past(entry: Entry, action: Action, verdict: str) -> tuple[classify.Flow, ...]:
    stopped = entry.connections and entry.action is Action.BLOCK
    return () if stopped else classify.into(entry, action, verdict)


WAYS = Ways(
    out=_by(classify.out, "oifname"),
    into=_by(classify.into, "iifname"),
    ahead=_by(classify.out, "fib daddr . mark oifname", _BY_ROUTE),
    emerging=_by(classify.out, "fib daddr oifname", _BY_ROUTE),
    emerged=_by(classify.into, "fib saddr oifname", _BY_ROUTE),
    past=_past,
)


def strangers(settings: Settings, interfaces: Interfaces, direction: str) -> tuple[str, ...]:
    """Matches what goes by an interface that is of no type yet, ``direction`` being iifname or oifname: one that isn't
    known, and one that has the name of the TUN and isn't it, of which that has been told before."""
    known = (*interfaces.lan, *interfaces.remote_access, settings.tun)
    return f"{direction} != {classify.names(known)}", f'{direction} "{settings.tun}"'
