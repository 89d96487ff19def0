"""What the reasons of drops mean, wherever they are counted: those of all rooms together, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipsecd.dataplane.tally import DROPS as OF_THE_ROADS
from ipsecd.ike.drops import DROPS as OF_IKE
from ipsecd.io.native import DROPS as OF_NATIVE
from ipsecd.io.tun import DROPS as OF_THE_TUN
from ipsecd.io.udp import DROPS as OF_SOCKETS
from ipsecd.policy.floor import BESIDE_THE_TUN, NOT_STEERED, SOURCE_ROUTED, UNKNOWN_INTERFACE
from ipsecd.policy.sides import NOT_INSIDE, WRONG_SIDE

OF_THE_FLOOR = {  # by the name of its counter in the table
    WRONG_SIDE: "for a tunnel, but it came in by an interface that its source isn't behind, or that leads outside",
    NOT_INSIDE: "out of a tunnel, but no route of its own leads to where it goes, or one that leads outside",
    NOT_STEERED: "sent into the TUN interface by a route that isn't ipsecd's",
    BESIDE_THE_TUN: "for a tunnel, but its socket is bound to another interface",
    SOURCE_ROUTED: "it has a source route, so its header doesn't say where it goes in the end",
    UNKNOWN_INTERFACE: "by an interface that has just come, and of which no type of connection is known yet",
}
OF_THE_DAEMON = {
    "send-no-socket": "ipsecd has no socket of that IP version and port",
    "control-full": "an IKE message that the control process had no time for",
    "tun-gone": "there was no TUN interface at that moment",
    "released-unsent": "it waited for an SA and could have left in clear, but its peer has answered, or the kernel "
    "didn't take it",
}


def _together(*tables: Mapping[str, str]) -> dict[str, str]:
    """One table. A name that two rooms have is counted together, so it means what either says."""
    found: dict[str, str] = {}
    for table in tables:
        for name, meaning in table.items():
            found[name] = meaning if found.get(name, meaning) == meaning else f"{found[name]}; or {meaning}"
    return found


MEANINGS = _together(OF_THE_ROADS, OF_IKE, OF_SOCKETS, OF_NATIVE, OF_THE_TUN, OF_THE_FLOOR, OF_THE_DAEMON)


def of_the_floor(counters: Mapping[str, int]) -> dict[str, int]:
    """Of the table's counters those that aren't an entry's."""
    return {name: counters.get(name, 0) for name in OF_THE_FLOOR}


def meanings(names: Iterable[str]) -> dict[str, str]:
    """What these names mean, as far as they are known."""
    return {name: MEANINGS[name] for name in names if name in MEANINGS}
