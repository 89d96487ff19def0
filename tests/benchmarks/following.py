"""How long it takes until a policy follows what it depends on: from the change to a floor, or an SPD, that has it.

    sudo .venv/bin/python -m tests.benchmarks.following

ipsecd runs in a gateway in network namespaces, and is looked at again and again, which takes some 30 ms a time. Each
change comes as soon as the one before is followed: for what is asked for at intervals, the worst moment. That nothing
gets out meanwhile, tests/netns/test_names.py and test_me.py see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.interop.ipsecd import Ipsecd
from tests.interop.waiting import eventually
from tests.netns.nameserver import NameServer, etc, resolv_conf
from tests.netns.pair import files, rule
from tests.netns.places import GB_WAN, NET_A
from tests.netns.sites import Sites
from tests.netns.test_two_connections import plug

ROUNDS = 9
TTL = 1
NAME = "server-b.test"
RULES = (
    rule("a") | {"filters": [{"source": NET_A[4], "destination": NAME}]},
    {"name": "dns", "filters": [{"source": "me", "destination": "dns"}], "action": "permit"},
    {"name": "gateway", "filters": [{"source": "me", "destination": "default-gateway"}], "action": "permit"},
    {"name": "me", "filters": [{"source": "me", "destination": "198.51.100.0/24"}], "action": "block"},
    {
        "name": "dial-in",
        "filters": [{"source": "me", "destination": "203.0.113.0/24"}],
        "action": "require-security",
        "authentication": [{"psk": "peer"}],
        "connections": "remote-access",
    },
)


class Followed:
    """The gateway ga, its DNS server in gb, and one change of each kind; the number of the round is in what changes."""

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        self._sites = stack.enter_context(Sites())
        self._etc = stack.enter_context(etc(self._sites, "ga", GB_WAN[4]))
        self._dns = stack.enter_context(NameServer(self._sites, "gb", GB_WAN[4], folder))
        self._daemon = stack.enter_context(Ipsecd(self._sites, "ga", folder / "a", files(*RULES)))
        self._outside = "wan0"
        plug(self._sites, 4)

    def name(self, number: int) -> float:
        address = f"10.2.0.{100 + number}"
        return self._until(lambda: self._dns.says({NAME: (TTL, [address])}), self._in_floor, address)

    def dns_server(self, number: int) -> float:
        address = f"192.0.2.{100 + number}"
        text = resolv_conf(GB_WAN[4], address)
        return self._until(lambda: (self._etc / "resolv.conf").write_text(text), self._in_floor, address)

    def gateway(self, number: int) -> float:
        address = f"192.0.2.{130 + number}"
        return self._until(lambda: self._ip("route", "replace", "default", "via", address), self._in_floor, address)

    def address(self, number: int) -> float:
        address = f"192.0.2.{160 + number}"
        return self._until(
            lambda: self._ip("addr", "add", f"{address}/24", "dev", self._outside), self._in_spd, address
        )

    def address_gone(self, number: int) -> float:
        address = f"192.0.2.{160 + number}"
        gone: Callable[[str], bool] = lambda text: not self._in_spd(text)  # noqa: E731  a name for it says no more
        return self._until(lambda: self._ip("addr", "del", f"{address}/24", "dev", self._outside), gone, address)

    def interface(self, number: int) -> float:
        old, self._outside = self._outside, f"up{number}"
        return self._until(lambda: self._ip("link", "set", old, "name", self._outside), self._in_floor, self._outside)

    def route(self, number: int) -> float:
        """The log tells when the SPD and the negotiation have it: the file's own entries stay as they are."""
        told = self._reaches()
        address = f"203.0.113.{number + 1}"
        way = "route", "add", f"{address}/32", "dev", "ppp0"
        return self._until(lambda: self._ip(*way), lambda _: self._reaches() > told, f"a route to {address}")

    def _reaches(self) -> int:
        return self._daemon.log().count("Which addresses are reached by which type of connection has changed")

    def _ip(self, *words: str) -> None:
        self._sites.run("ga", ["ip", *words])

    def _until(self, change: Callable[[], object], followed: Callable[[str], bool], text: str) -> float:
        """Seconds."""
        change()
        changed = time.monotonic()
        eventually(lambda: followed(text), f"{text} is followed")
        return time.monotonic() - changed

    def _in_floor(self, text: str) -> bool:
        return text in self._sites.run("ga", ["nft", "list", "table", "inet", "ipsecd"]).stdout

    def _in_spd(self, text: str) -> bool:
        return text in str(self._daemon.ask("policy")["entries"])


CHANGES = {
    f"a DNS name has another address (TTL {TTL} s), in the floor": Followed.name,
    "another DNS server in /etc/resolv.conf, in the floor": Followed.dns_server,
    "another default gateway, in the floor": Followed.gateway,
    "an address of this machine comes, in the SPD": Followed.address,
    "an address of this machine goes, in the SPD": Followed.address_gone,
    "an interface that leads outside is renamed, in the floor": Followed.interface,
    "a route moves to another type of connection, in the SPD": Followed.route,
}


def main() -> None:
    """Measure and print a table."""
    with ExitStack() as stack:
        followed = Followed(stack)
        print("| followed, s | median | longest |\n| --- | ---: | ---: |")
        for what, change in CHANGES.items():
            rounds = [change(followed, number) for number in range(ROUNDS)]
            print(f"| {what} | {median(rounds):.2f} | {max(rounds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
