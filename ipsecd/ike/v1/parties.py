"""All that there is by IKEv1, found by what messages, packets and people call it, without a walk over all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING

from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.wire.hostpair import pattern_id
from ipsecd.wire.selector import Address

if TYPE_CHECKING:
    from ipsecd.ike.v1.party import Party


class _Index:
    """Several under one name, in the order of their coming."""

    def __init__(self) -> None:
        self._found: dict[Hashable, dict[Party, None]] = {}

    def put(self, name: Hashable, party: Party) -> None:
        self._found.setdefault(name, {})[party] = None

    def take(self, name: Hashable, party: Party) -> None:
        found = self._found.get(name, {})
        found.pop(party, None)
        if not found:
            self._found.pop(name, None)

    def of(self, name: Hashable) -> tuple[Party, ...]:
        return tuple(self._found.get(name, ()))

    def count(self, name: Hashable) -> int:
        return len(self._found.get(name, ()))


class Parties:
    """``enter``, ``leave`` and ``file`` change what they are found by, ``open`` and ``shut`` their SPIs."""

    def __init__(self) -> None:
        self._all: dict[Party, tuple[Hashable, ...]] = {}  # under which names each stands in the index
        self._index = _Index()
        self._cookies: dict[bytes, Party] = {}
        self._of: dict[Party, list[bytes]] = {}  # cookies
        self._spis: dict[bytes, Party] = {}
        self._called: set[Party] = set()  # of a pattern
        self._retired: set[Party] = set()

    def __iter__(self) -> Iterator[Party]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def file(self, party: Party) -> None:
        """It's new, or its peers, their children or its place are others than before."""
        if party in self._retired:
            return
        for name in self._all.get(party, ()):
            self._index.take(name, party)
        self._all[party] = names = tuple(dict.fromkeys(_names(party)))
        for name in names:
            self._index.put(name, party)

    @property
    def in_use(self) -> tuple[Party, ...]:
        """Those that aren't retired."""
        return tuple(party for party in self._all if party not in self._retired)

    def retire(self, party: Party) -> None:
        """Only what it still answers finds it: what is wanted from now on is another one's."""
        if party in self._all:
            for name in self._all[party]:
                self._index.take(name, party)
            self._all[party] = ()
            self._retired.add(party)

    def leave(self, party: Party) -> None:
        """Nothing is left of it."""
        self._retired.discard(party)
        for name in self._all.pop(party, ()):
            self._index.take(name, party)
        for cookie in self._of.pop(party, ()):
            del self._cookies[cookie]

    # --- by cookies of ours ---

    def call(self, cookie: bytes, party: Party) -> None:
        """A phase 1 with it has this cookie. Those that mean nothing any more are forgotten."""
        known = self._of.setdefault(party, [])
        for old in [each for each in known if not party.association.knows(each)]:
            known.remove(old)
            del self._cookies[old]
        known.append(cookie)
        self._cookies[cookie] = party
        if party.first.pattern:
            self._called.add(party)

    def calls(self) -> int:
        """How many of those to hosts after a pattern are under way, and all that there is."""
        self._called = {party for party in self._called if party.calls_alone}
        return len(self._called)

    def of_cookies(self, cookies: Iterable[bytes]) -> Party | None:
        return next((party for cookie in cookies if (party := self._cookies.get(cookie)) is not None), None)

    # --- by SPIs of ours ---

    def open(self, pair: ChildPair, party: Party) -> None:
        for spi in pair.spis:
            self._spis[spi] = party

    def shut(self, pair: ChildPair) -> None:
        for spi in pair.spis:
            self._spis.pop(spi, None)

    def of_spi(self, spi: bytes) -> Party | None:
        return self._spis.get(spi)

    @property
    def spis(self) -> tuple[bytes, ...]:
        return tuple(self._spis)

    # --- by what people call them ---

    def of_peer(self, name: str) -> tuple[Party, ...]:
        return self._index.of(("peer", name))

    def of_child(self, key: str) -> tuple[Party, ...]:
        return self._index.of(("child", key))

    def made_after(self, pattern: str) -> tuple[Party, ...]:
        """Those with a child of a pair of hosts that is made after this one."""
        return self._index.of(("made after", pattern))

    def beside(self, party: Party) -> tuple[Party, ...]:
        """The others with the same pair of identities and an address in common: for the peer it's all one."""
        found = (other for name in _beside(party) for other in self._index.of(name))
        return tuple(dict.fromkeys(other for other in found if other is not party))

    def at_address(self, address: Address) -> tuple[Party, ...]:
        """Those who have called from anywhere, and have this address, by themselves or lent by us."""
        return self._index.of(("at", address))

    def at(self, key: Hashable) -> Party | None:
        return next(iter(self._index.of(("key", key))), None)

    def of_group(self, party: Party) -> tuple[Party, ...]:
        """Those of the same pattern, or in other places of the same rule, the oldest first; it's among them."""
        return self._index.of(("group", party.group)) if party.group else ()

    def count_of_group(self, party: Party) -> int:
        return self._index.count(("group", party.group)) if party.group else 0


def _names(party: Party) -> Iterator[Hashable]:
    yield "key", party.key
    yield from _beside(party)
    for peer in party.peers:
        yield "peer", peer.name
        if peer.pattern:
            yield "peer", peer.pattern
    for key in party.children:
        yield "child", key
        if (pattern := pattern_id(key)) != key:
            yield "made after", pattern
    for address in party.addresses:
        yield "at", address
    if party.group:
        yield "group", party.group


def _beside(party: Party) -> Iterator[Hashable]:
    for peer in party.peers:
        for remote in peer.remotes:
            yield "with", peer.local_id, peer.remote_id, remote
