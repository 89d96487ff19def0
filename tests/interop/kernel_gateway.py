"""The sites with a guest in the place of gateway gb: a Linux kernel with IPsec.

    ha --lan0-- ga ==wan0== guest --lan0-- hb

The namespace gb still is there, and does no more than join the guest's two interfaces to the links.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.interop.kernel import Guest
from tests.netns.sites import Sites

LINKS = {"wan0": ("192.0.2.2/24", "2001:db8::2/64"), "lan0": ("10.2.0.1/24", "fd02::1/64")}
SETTINGS = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


@dataclass(frozen=True)
class Gateway:
    sites: Sites
    guest: Guest


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    """Build it; the guest makes ``folder``."""
    with Sites() as sites:
        for link in LINKS:
            for words in (
                f"addr flush dev {link}",
                f"link add {link}-bridge type bridge",
                f"tuntap add {link}-guest mode tap",
                f"link set {link} master {link}-bridge",
                f"link set {link}-guest master {link}-bridge",
                f"link set {link}-guest up",
                f"link set {link}-bridge up",
            ):
                sites.run("gb", ["ip", *words.split()])
        taps = [f"transport=tap,ifname={link}-guest" for link in LINKS]
        with Guest(folder, taps, launch=partial(sites.popen, "gb")) as guest:
            guest.ip(_set_up())
            guest.run("sysctl", "-qw", *SETTINGS)
            yield Gateway(sites, guest)


def _set_up() -> list[str]:
    words = ["link set lo up"]
    for number, (link, (address4, address6)) in enumerate(LINKS.items()):
        words += [f"link set vec{number} name {link}", f"link set {link} up"]
        words += [f"addr add {address4} dev {link}", f"addr add {address6} dev {link} nodad"]
    return [*words, "route add 0.0.0.0/0 via 192.0.2.1", "route add ::/0 via 2001:db8::1"]
