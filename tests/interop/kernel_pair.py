"""A peer in the guest, whose kernel does what it negotiates; and ipsecd at the other end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.interop.ipsecd import Ipsecd
from tests.interop.kernel import Guest
from tests.interop.kernel_gateway import Gateway
from tests.interop.pair import Both, Theirs, at_work
from tests.interop.strongswan import Tunnel
from tests.interop.traffic import at_once, received
from tests.netns.places import GA_WAN, GB_LAN, GB_WAN


@dataclass(frozen=True)
class Told:
    """What both sides are told: ipsecd's files, and the other's tunnel in strongSwan's terms. ``hosts``: it is for what
    the two send each other, else for the networks behind them, in these ``versions`` of IP. ``native`` is the IP
    protocol, ESP or AH, that crosses the wire; nothing: ESP in UDP."""

    files: Mapping[str, str]
    tunnel: Tunnel
    versions: tuple[int, ...] = (4,)
    hosts: bool = False
    native: str = ""

    @property
    def guest(self) -> str:
        """Where the guest itself answers."""
        return (GB_WAN if self.hosts else GB_LAN)[self.versions[0]]


class Networks(Both[Theirs]):
    """The hosts behind both sides are what is protected."""

    def carries(self, version: int = 4, size: int = 56) -> bool:
        return all(
            received(self.sites.run(source, at_once(self.host(target, version), size), check=False).stdout) == 3
            for source, target in ((self.near, self.far), (self.far, self.near))
        )


@dataclass(frozen=True)
class Hosts(Both[Theirs]):
    """Both sides are themselves what is protected. The far one has no namespace, but the guest."""

    guest: Guest

    def host(self, place: str, version: int = 4) -> str:
        return (GA_WAN if place == self.near else GB_WAN)[version]

    def carries(self, version: int = 4, size: int = 56) -> bool:
        there = self.sites.run(self.near, at_once(self.host(self.far, version), size), check=False).stdout
        back = self.guest.run(*at_once(self.host(self.near, version), size), check=False).output
        return received(there) == received(back) == 3


@contextlib.contextmanager
def facing(gateway: Gateway, folder: Path, told: Told, theirs: Theirs) -> Iterator[Both[Theirs]]:
    """ipsecd in ga and the other in the guest, as long as this is entered."""
    ours = Ipsecd(gateway.sites, "ga", folder / "ours", told.files)
    near, far = ("ga", "gb") if told.hosts else ("ha", "hb")
    kind: Callable[..., Both[Theirs]] = partial(Hosts, guest=gateway.guest) if told.hosts else Networks
    with at_work(gateway.sites, ours, theirs, near, far, kind, told.native) as both:
        yield both
