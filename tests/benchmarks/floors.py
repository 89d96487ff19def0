"""What the floor of many rules costs the kernel, against one of ten:

    sudo .venv/bin/python -m tests.benchmarks.floors

Two gateways stand side by side in network namespaces, each with its floor, and are measured in turns, so that a machine
that is slow for a moment is slow for both. A packet's time is the processor time of the thread that sends it, in which
the kernel does everything up to the other gateway, where it is dropped as it arrives; of the rounds the least counts.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from ipsecd.daemon.compose import spd_entries
from ipsecd.daemon.identifiers import Identifiers
from ipsecd.io.nftables import Nftables
from ipsecd.io.owner import Owner
from ipsecd.ipsec.spd import Spd
from ipsecd.policy.floor import TABLE, ruleset
from tests.benchmarks.large import KINDS, edited, elsewhere, inserted, plan_of, planned, policy
from tests.netns.gateway import Gateway
from tests.netns.sites import Sites

FEW, MANY = 10, 1_000
ROUNDS, PACKETS = 9, 2_000
DISCARD = 9  # the service of that name
SINK = (
    "table netdev sink { chain sink { type filter hook ingress device wan0 priority 0; policy accept; "
    f"udp dport {DISCARD} drop\n}}\n}}"
)
DESTINATIONS = {
    "of no rule": "198.51.100.200",
    "permitted": "192.168.0.1",
    "of no rule, IPv6": "2001:db8:9::1",
    "protected, into the TUN": "10.100.0.5",
}


def main() -> None:
    """Measure and print a table."""
    with ExitStack() as stack:
        gateways = {rules: stack.enter_context(gateway) for rules, gateway in _gateways(stack)}
        print(f"| thread time per packet, µs | {FEW:,} rules | {MANY:,} rules | ratio |\n| --- | ---: | ---: | ---: |")
        for place, who in (("ha", "forwarded"), ("ga", "local sendto")):
            for what, destination in DESTINATIONS.items():
                few, many = _least([(gateways[rules], place, destination) for rules in (FEW, MANY)])
                print(f"| {who}, {what} | {few:.2f} | {many:.2f} | {many / few:.2f} |")
        _print_reloads(gateways[MANY])


def _print_reloads(gateway: Gateway) -> None:
    print(f"\n| a reload of {MANY:,} rules, ms of processor time | least | longest | passed |")
    print("| --- | ---: | ---: | ---: |")
    for who, owner in (("", None), (", a table with an owner", Owner(TABLE))):
        for what, edits in _EDITS.items():
            print(
                "| {}{} | {:.0f} | {:.0f} | {:.0f} |".format(
                    what, who, *_reloads(gateway, Nftables(TABLE, owner), edits)
                )
            )
        whole = _reloads(gateway, Whole(TABLE, owner), _EDITS[_ONE][:3])
        print("| {}{}, the table written whole | {:.0f} | {:.0f} | {:.0f} |".format(_ONE, who, *whole))
        if owner is not None:
            owner.release()


_TEXT = policy(MANY)
_ONE = "one rule edited"
_EDITS: dict[str, list[Callable[[int], str]]] = {  # each with a number, as nothing is made twice
    _ONE: [lambda number, kind=kind: edited(_TEXT, 500 + kind, kind, number) for kind in range(KINDS)],
    "one rule inserted before all": [lambda number, kind=kind: inserted(_TEXT, kind, number) for kind in range(KINDS)],
    "every rule with other addresses": [lambda number: elsewhere(_TEXT, number)],
}


class Whole(Nftables):
    """Writes the whole table in any case."""

    async def _rewritten(self, *_: object) -> bool:
        return False


def _gateways(stack: ExitStack) -> Iterator[tuple[int, Gateway]]:
    for rules in (FEW, MANY):
        sites = stack.enter_context(Sites())
        sites.run("gb", ["nft", "-f", "-"], stdin=SINK)
        sites.run("ha", ["ip", "addr", "add", "10.1.0.7/24", "dev", "eth0"])
        yield rules, Gateway(sites, Path(stack.enter_context(TemporaryDirectory())), planned(rules))


def _least(ways: list[tuple[Gateway, str, str]]) -> list[float]:
    rounds = [[_microseconds(*way) for way in ways] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _microseconds(gateway: Gateway, place: str, destination: str) -> float:
    return gateway.sites.inside(place, _send, destination, "10.1.0.7" if place == "ha" else "")


def _send(destination: str, source: str) -> float:
    six = ":" in destination
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        if source and not six:
            sender.bind((source, 0))
        end, data, send = (destination, DISCARD), bytes(64), sender.sendto
        for _ in range(100):
            send(data, end)
        start = time.thread_time()
        for _ in range(PACKETS):
            send(data, end)
        return (time.thread_time() - start) / PACKETS * 1e6


def _reloads(gateway: Gateway, nftables: Nftables, edits: Sequence[Callable[[int], str]]) -> tuple[float, float, float]:
    """From the text of the file to a floor that is verified and to the SPD, for each edit of one that stands: the least
    and the most milliseconds that a processor works for it, and the most that pass."""
    first = ruleset(plan_of(_TEXT))
    gateway.do(nftables.replace(first))  # the first is compared with all that nft says
    found = []
    for edit in edits:
        found.append(_reload(gateway, nftables, edit(next(_NUMBERS))))
        gateway.do(nftables.replace(first))
    worked, passed = zip(*found, strict=True)
    return min(worked) * 1e3, max(worked) * 1e3, max(passed) * 1e3


_NUMBERS = count(1)


def _reload(gateway: Gateway, nftables: Nftables, text: str) -> tuple[float, float]:
    started, worked = time.monotonic(), _worked()
    plan = plan_of(text)
    gateway.do(nftables.replace(ruleset(plan)))
    Spd(spd_entries(plan, Identifiers().of(plan)))
    return _worked() - worked, time.monotonic() - started


def _worked() -> float:
    """Seconds of processor time of this process and of the programs it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
