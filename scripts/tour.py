"""What `scripts/demo` shows: two sites, two gateways, one tunnel; two hosts in transport mode; or AH around ESP."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts import interruption, packages
from scripts.measuring import iperf
from scripts.measuring.ends import TOPOLOGIES, Ends
from tests.interop.ipsecd import Ipsecd
from tests.interop.wire import Wire
from tests.netns.places import GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

EXAMPLES = Path(__file__).parents[1] / "etc/examples"
SIDES = {"a": ("ga", "36"), "b": ("gb", "35")}  # its namespace, and the colour of its lines
SITES = """
  host A ---------- gateway A ============ gateway B ---------- host B
  10.1.0.2     10.1.0.1  192.0.2.1    192.0.2.2  10.2.0.1     10.2.0.2
"""
HOSTS = """
  host A ============ host B
  192.0.2.1        192.0.2.2
"""


@dataclass(frozen=True, slots=True)
class Tour:
    """``example`` is the policy of each side, ``{}`` its letter, and ``instead`` says which addresses stand in it in
    the place of those that it has; ``secret`` is the file of its key. ``pings`` go from a place to an address, ``ends``
    are those of the transfer."""

    what: str
    picture: str
    daemons: str
    example: str
    secret: str
    pings: tuple[tuple[str, str], ...]
    ends: Ends
    instead: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def policy(self, side: str) -> str:
        text = (EXAMPLES / self.example.format(side)).read_text()
        for word, (of_a, of_b) in self.instead.items():
            text = text.replace(word, of_a if side == "a" else of_b)
        return text


_PINGS = ("ga", GB_WAN[4]), ("gb", GA_WAN[4])
_ENDS = Ends("ga", GA_WAN[4], "gb", GB_WAN[4])
TOURS = {
    "sites": Tour(
        "Two sites in network namespaces",
        SITES,
        "An ipsecd in each gateway; the first ping wants the tunnel, and waits for it",
        "site-{}.yaml",
        "peer.psk",
        (("ha", HB[4]), ("hb", HA[6])),
        TOPOLOGIES["hosts"],
    ),
    "transport": Tour(
        "Two hosts in network namespaces",
        HOSTS,
        "An ipsecd in each, that has the same policy; the first ping wants an SA, and waits for it",
        "transport.yaml",
        "servers.psk",
        _PINGS,
        _ENDS,
        {"10.1.7.0/24": ("192.0.2.0/24", "192.0.2.0/24")},
    ),
    "ah-esp": Tour(
        "Two hosts in network namespaces",
        HOSTS,
        "An ipsecd in each; the first ping wants an SA of ESP inside one of AH, and waits for both",
        "ah-esp.yaml",
        "vault.psk",
        _PINGS,
        _ENDS,
        {"10.1.7.9": (GB_WAN[4], GA_WAN[4])},
    ),
}
KINDS = {"link": "ARP and neighbour discovery"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("tour", nargs="?", choices=TOURS, default="sites")
    chosen = TOURS[parser.parse_args().tour]
    if os.geteuid() != 0:
        print("scripts/demo builds network namespaces and needs root: sudo scripts/demo", file=sys.stderr)
        return 1
    packages.ensure(packages.NETWORK)
    interruption.expect()
    try:
        return _show(chosen)
    except KeyboardInterrupt:
        interruption.end_what_was_starting()
        print("\ninterrupted, and cleaned up", file=sys.stderr)
        return 130


def _show(tour: Tour) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ipsecd-demo-")))
        sites = stack.enter_context(Sites())
        _title(tour.what)
        print(tour.picture)
        with Wire(sites) as wire:
            _title(tour.daemons)
            key = secrets.token_urlsafe(32)
            gateways = [stack.enter_context(_gateway(sites, side, tour, folder, key)) for side in SIDES]
            lost = sum(_ping(sites, place, target) for place, target in tour.pings)
        _title("What crossed the wire between A and B")
        clear = _tell_wire(wire)
        for side, gateway in zip(SIDES, gateways, strict=True):
            _title(f"ipsecctl status, {side.upper()}")
            print(gateway.show("status"))
        _title("ipsecctl sas, A")
        print(gateways[0].show("sas"))
        _title("Throughput")
        print(f"  {_throughput(sites, tour.ends)}")
        _title("Stopping")
    return 1 if lost or clear else 0


@contextmanager
def _gateway(sites: Sites, side: str, tour: Tour, folder: Path, key: str) -> Iterator[Ipsecd]:
    """An ipsecd with the example policy of its side, its log on the terminal."""
    place, colour = SIDES[side]
    files = {"policy.yaml": tour.policy(side), f"secrets/{tour.secret}": key}
    read, write = os.pipe()
    teller = threading.Thread(target=_tell, args=(read, _coloured(f"{side.upper()} |", colour)), daemon=True)
    teller.start()
    try:
        with Ipsecd(sites, place, folder / side, files, output=write) as gateway:
            yield gateway
    finally:
        os.close(write)
        teller.join()


def _tell(descriptor: int, prefix: str) -> None:
    with os.fdopen(descriptor, errors="replace") as lines:
        for line in lines:
            print(f"{prefix} {line}", end="", flush=True)


def _ping(sites: Sites, place: str, target: str, count: int = 5) -> int:
    """Ping, show it, and say how many were lost."""
    command = ["ping", "-n", "-c", str(count), "-i", "0.2", "-W", "10", target]
    print(f"$ {' '.join(command)}    # on host {place[1].upper()}", flush=True)
    told = sites.run(place, command, check=False).stdout
    print(told, flush=True)
    answered = re.search(r"(\d+) received", told)
    return count - int(answered[1]) if answered else count


def _tell_wire(wire: Wire) -> int:
    """Frames by kind; returns how many were in clear."""
    for kind, count in sorted(wire.kinds().items()):
        print(f"  {count:6}  {KINDS.get(kind, kind)}")
    clear = sum(wire.cleartext().values())
    print(f"  {clear:6}  in clear")
    return clear


def _throughput(sites: Sites, ends: Ends, seconds: int = 3) -> str:
    """One TCP stream from host A to host B."""
    rate = iperf.transfer(sites, ends, seconds).rate
    return f"{rate / 1e6:.0f} Mbit/s: one TCP stream, host A to host B, {seconds} s, everything on this one machine"


def _title(text: str) -> None:
    print(f"\n{_coloured(f'-- {text} ', '1')}", flush=True)


def _coloured(text: str, colour: str) -> str:
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main())
