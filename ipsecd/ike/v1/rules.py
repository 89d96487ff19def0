"""Which peers of the configuration speak IKEv1, found by address or by identity: a stranger's first message costs a
look-up, however many rules there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ipsecd import limits
from ipsecd.ike.config import Hosts, IkeConfig, Path, Peer, Version
from ipsecd.ike.hosts import caller, pair
from ipsecd.ike.spans import Spans
from ipsecd.wire.identity import Identity
from ipsecd.wire.selector import Address, Selector

_Made = Callable[[Hosts, Address, Address], Peer | None]


class Rules:
    """Of one configuration."""

    def __init__(self, config: IkeConfig) -> None:
        spoken = [peer for peer in config.peers if Version.IKEV1 in peer.versions]
        self._named: dict[Address, list[Peer]] = {}
        for peer in spoken:
            for remote in dict.fromkeys(peer.remotes):
                self._named.setdefault(remote, []).append(peer)
        anywhere = [peer for peer in spoken if not peer.remotes]
        self._everywhere = [(place, peer) for place, peer in enumerate(anywhere) if peer.within is None]
        somewhere = [(place, peer, peer.within) for place, peer in enumerate(anywhere) if peer.within is not None]
        self._somewhere = [(place, peer) for place, peer, _ in somewhere]
        self._within = Spans(within for _, _, within in somewhere)
        self._patterns = [hosts for hosts in config.hosts if Version.IKEV1 in hosts.versions]
        self._reach = Spans(_reach(hosts) for hosts in self._patterns)
        self._alike: dict[tuple[Identity, Identity], list[Peer]] = {}
        for peer in spoken:
            self._alike.setdefault((peer.local_id, peer.remote_id), []).append(peer)

    def callers(self, path: Path) -> tuple[Peer, ...]:
        """The peers that may speak to us along this path, as ``pad.callers``: those that name its far end, then what
        the patterns make of its two ends, then those that call from anywhere, or from there."""
        return tuple(islice(self._callers(path, pair), limits.MAX_V1_RULES))

    def strangers(self, path: Path) -> tuple[Peer, ...]:
        """The same of who may be anybody, perhaps without their children."""
        return tuple(islice(self._callers(path, caller), limits.MAX_V1_RULES))

    def _callers(self, path: Path, made: _Made) -> Iterator[Peer]:
        here, there = path.local.address, path.remote.address
        yield from (peer for peer in self._named.get(there, ()) if peer.local in (None, here))
        yield from self._between(here, there, made)
        near = [self._somewhere[place] for place in self._within.holding(there)]
        anywhere = sorted((*near, *self._everywhere), key=_place) if near else self._everywhere
        yield from (peer for _, peer in anywhere if peer.local is None or peer.local == here)

    def pairs(self, here: Address, there: Address) -> Iterator[Peer]:
        """What the patterns make of two hosts."""
        return self._between(here, there, pair)

    def _between(self, here: Address, there: Address, made: _Made) -> Iterator[Peer]:
        for place in self._reach.holding(there):
            if (peer := made(self._patterns[place], here, there)) is not None:
                yield peer

    def alike(self, old: Peer) -> Iterator[Peer]:
        """What a peer of an earlier configuration may have become."""
        yield from self._alike.get((old.local_id, old.remote_id), ())
        if old.pattern and old.local is not None:
            yield from self.pairs(old.local, old.remotes[0])


def _place(of: tuple[int, Peer]) -> int:
    """In the order of the configuration."""
    return of[0]


def _reach(hosts: Hosts) -> tuple[Selector, ...]:
    sides: Iterable[tuple[Selector, ...]] = (child.remote for child in hosts.children)
    return tuple(selector for side in sides for selector in side)
