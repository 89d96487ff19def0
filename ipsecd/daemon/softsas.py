"""Soft SAs: peers that are talked to in clear for a while, because they don't answer at all and the policy allows it.

One is made only for a peer that has never been heard since the policy was assigned, ends after its time or as soon as
the peer says anything, and covers that peer alone, in rules that may fall back. The kernel ends each by itself too, so
it doesn't outlast a daemon that dies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.heard import HAS_ANSWERED, HeardPeers
from ipsecd.daemon.identifiers import Ids
from ipsecd.errors import KernelError, WireError
from ipsecd.ike.narrowing import show
from ipsecd.ike.reports import ME, PEER
from ipsecd.ike.spans import Spans
from ipsecd.io.nftables import Element
from ipsecd.policy.classify import CLEAR
from ipsecd.policy.plan import Child, Peer, Plan
from ipsecd.policy.reach import Reach, reached
from ipsecd.wire import ip
from ipsecd.wire.hostpair import pair_name, pattern_id
from ipsecd.wire.selector import Address, Selector

log = structlog.get_logger()


@dataclass(slots=True)
class SoftSa:
    """``child`` is the name, and ``id`` the identifier, of the one that was called for in vain, for ``waited`` seconds;
    times are the clock's seconds. ``child``, ``rule``, ``peer`` and ``filter`` follow the policy."""

    remote: Address
    id: str
    child: str
    rule: str
    peer: str
    filter: str
    waited: float
    since: float
    until: float

    def element(self, now: float) -> Element:
        """The exception in the floor."""
        return Element(CLEAR[self.remote.version], str(self.remote), max(self.until - now, _LEAST))


_LEAST = 0.001  # seconds: to the kernel, none would mean for ever


class Kernel(Protocol):
    """Where exceptions stand."""

    async def let_pass(self, begin: Collection[Element], end: Collection[Element]) -> None: ...


class Sender(Protocol):
    """Where packets leave in clear."""

    def send(self, packet: bytes, destination: Address) -> bool: ...


class SoftSas:
    """``release`` hands back, by way of ``released``, the packets that wait for a child. Children are known by their
    identifiers, those of pairs of hosts by that of what they are made after. Made inside a running event loop."""

    def __init__(
        self,
        kernel: Kernel,
        heard: HeardPeers,
        sender: Sender,
        release: Callable[[str], None],
        guard: Guard,
        clock: Callable[[], float],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
        self._kernel = kernel
        self._heard = heard
        self._sender = sender
        self._release = release
        self._guard = guard
        self._clock = clock
        self._children: dict[str, tuple[Peer, Child]] = {}  # that may fall back
        self._reach = Spans(())  # where their peers are, in the same order
        self._called: dict[Address, set[str]] = {}  # the DNS names by which the plan calls the peers at an address
        self._standing: dict[Address, SoftSa] = {}
        self._refused: dict[str, str] = {}  # why the rule's silent peer isn't talked to in clear
        self._unsettled: dict[Address, SoftSa] = {}  # the kernel isn't told yet that these stand, or no longer do
        self._settling: asyncio.Task[None] | None = None
        self._closed = False

    def assign(self, plan: Plan, ids: Ids, reach: Reach = Reach()) -> None:  # noqa: B008  frozen
        """This plan is in force from now on, where addresses are reached so. What it doesn't allow ends."""
        peers = reached(plan, reach).peers
        children = [(peer, child) for peer in peers for child in peer.children if child.fallback is not None]
        self._heard.assign(plan.policy, *_of_persistent_rules(plan), falls=bool(children))
        self._called = _called(plan)
        self._children = {ids[child.name]: (peer, child) for peer, child in children}
        self._reach = Spans(child.remote if peer.each else _at(peer.remotes) for peer, child in children)
        self._refused.clear()
        forbidden = [remote for remote in self._standing if not self._reach.holding(remote)]
        self._end(forbidden, "the policy has changed")
        self._call_anew()

    def _call_anew(self) -> None:
        """Call those that stand as this plan does, or if it hasn't their child any more, after one that covers them."""
        keys = list(self._children)
        for soft in self._standing.values():
            covering = [keys[place] for place in self._reach.holding(soft.remote)]
            own = pattern_id(soft.id)
            peer, child = self._children[own if own in covering else covering[0]]
            soft.child, soft.rule, soft.peer, soft.filter = _called_by(peer, child, soft.remote)

    def over(self) -> None:
        """The change to this plan is complete: nobody goes back to the one before."""
        self._heard.over()

    # --- what the negotiation finds -----------------------------------------------------------------------------

    def silent(self, key: str, remote: Address, *, heard: bool = False) -> None:
        """The peer that is called for this child doesn't answer; ``heard``: not this time."""
        peer, child = self._children.get(pattern_id(key), (None, None))
        if peer is None or child is None or child.fallback is None:
            return
        now, before = self._clock(), self._standing.get(remote)
        after, until = child.fallback.after, now + child.fallback.lifetime
        soft = SoftSa(remote, key, *_called_by(peer, child, remote), after, now, until)
        too_many = self._full(child.rule) if before is None else ""
        why_not = self._heard.bars(remote, peer.remote_name) or (HAS_ANSWERED if heard else too_many)
        if why_not:
            self.counters["refused"] += 1
            self._refused[child.rule] = why_not
            log.warning("soft-sa-refused", **_names(soft), point=ME, reason=why_not)
            return
        soft = self._standing[remote] = replace(soft, since=before.since) if before else soft
        self._settle([soft])

    def _full(self, rule: str) -> str:
        """Why no other peer of this rule may be talked to in clear; empty if one may be."""
        if len(self._standing) >= limits.MAX_SOFT_SAS:
            return "there are as many soft SAs as there may be"
        of_rule = sum(soft.rule == rule for soft in self._standing.values())
        return "the rule has as many soft SAs as one may have" if of_rule >= limits.MAX_SOFT_SAS_PER_RULE else ""

    def heard(self, remotes: Iterable[Address]) -> None:
        """The peers at these addresses speak IKE."""
        told = tuple(remotes)
        self._heard.add(told, {name for remote in told for name in self._called.get(remote, ())})
        self._end(told, "the peer answers")

    def has_heard(self, remote: Address) -> bool:
        """Whether the peer at this address has spoken IKE since the policy was assigned."""
        return self._heard.has_heard(remote)

    def released(self, child: str, packet: bytes) -> None:
        """A packet that has waited for this child. It leaves in clear if it is to the peer that is excepted now."""
        try:
            destination = ip.parse(packet).destination
        except WireError:
            destination = None
        if (
            pattern_id(child) in self._children
            and destination in self._standing
            and self._sender.send(packet, destination)
        ):
            self.counters["sent"] += 1
        else:
            self.drops["released-unsent"] += 1

    # --- what there is --------------------------------------------------------------------------------------------

    def exceptions(self) -> tuple[Element, ...]:
        """What has to stand in a floor that is made anew."""
        now = self._clock()
        return tuple(soft.element(now) for soft in self._standing.values())

    def standing(self) -> tuple[SoftSa, ...]:
        """Oldest first."""
        return tuple(sorted(self._standing.values(), key=lambda soft: soft.since))

    def remotes(self) -> frozenset[Address]:
        """The peers that are talked to in clear now."""
        return frozenset(self._standing)

    def rules(self) -> frozenset[str]:
        """Those by which something passes in clear now."""
        rules = [child.rule for _, child in self._children.values()]
        return frozenset(rules[place] for remote in self._standing for place in self._reach.holding(remote))

    def refused(self, rule: str) -> str:
        """Why its peer wasn't talked to in clear when it was silent last; empty if it was, or never is silent."""
        return self._refused.get(rule, "")

    def left(self, remote: Address) -> float | None:
        """For how many seconds this peer is talked to in clear; None if it isn't."""
        soft = self._standing.get(remote)
        return None if soft is None else max(0.0, soft.until - self._clock())

    async def close(self) -> None:
        """End all of them."""
        self._closed = True
        self._end(tuple(self._standing), "ipsecd is stopping")
        if self._settling is not None:
            await self._settling

    # --- changes --------------------------------------------------------------------------------------------------

    def _end(self, remotes: Iterable[Address], reason: str) -> None:
        now = self._clock()
        ended = [soft for remote in remotes if (soft := self._standing.pop(remote, None)) is not None]
        for soft in ended:
            self.counters["ended"] += 1
            log.warning("soft-sa-ended", **_names(soft), reason=reason, seconds=now - soft.since)
        self._settle(ended)

    def _settle(self, changed: Iterable[SoftSa]) -> None:
        """Tell the kernel, of all that has changed until it has time at once: who answers mustn't wait for others."""
        self._unsettled.update((soft.remote, soft) for soft in changed)
        if self._unsettled and self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._tell_kernel())

    async def _tell_kernel(self) -> None:
        while self._unsettled:
            with self._guard.over("soft SAs"):
                changed, self._unsettled = self._unsettled, {}
                await self._tell(changed)
        self._settling = None

    async def _tell(self, changed: Mapping[Address, SoftSa]) -> None:
        now = self._clock()
        made = [soft for remote in changed if (soft := self._standing.get(remote)) is not None]
        ended = [soft for remote, soft in changed.items() if remote not in self._standing]
        refusal = await _refusal(
            self._kernel.let_pass(*([soft.element(now) for soft in each] for each in (made, ended)))
        )
        for soft in made:
            if self._standing.get(soft.remote) is soft:  # else it was heard meanwhile, and the kernel is told so next
                self._failed(soft, refusal) if refusal else self._made(soft, now)
        if refusal and ended:
            log.error("soft-sa-not-ended", remotes=", ".join(str(soft.remote) for soft in ended), reason=refusal)
            asyncio.get_running_loop().call_later(limits.RESTORE_PAUSE, self._end_again, ended)

    def _end_again(self, refused: Iterable[SoftSa]) -> None:
        """Tell the kernel anew of those that it didn't end, unless it has ended them after their time."""
        now = self._clock()
        if not self._closed:
            self._settle(soft for soft in refused if soft.until > now and soft.remote not in self._standing)

    def _made(self, soft: SoftSa, now: float) -> None:
        self.counters["made"] += 1
        self._refused.pop(soft.rule, None)
        reason = f"no answer for {soft.waited:g} s"
        log.warning("soft-sa-made", **_names(soft), point=PEER, reason=reason, seconds=soft.until - now)
        asyncio.get_running_loop().call_later(soft.until - now, self._over, soft)
        self._release(soft.id)

    def _failed(self, soft: SoftSa, refusal: str) -> None:
        del self._standing[soft.remote]
        log.error("soft-sa-failed", **_names(soft), point=ME, reason=refusal)

    def _over(self, soft: SoftSa) -> None:
        if self._standing.get(soft.remote) is soft:
            self._end((soft.remote,), "its time is over")


def _of_persistent_rules(plan: Plan) -> tuple[frozenset[Address], frozenset[str], tuple[Selector, ...]]:
    """The addresses and DNS names of the peers of persistent rules, and where the hosts are that they have each a pair
    of hosts for."""
    rules = {entry.rule for entry in plan.entries if entry.persistent}
    found = [(peer, child) for peer in plan.peers for child in peer.children if child.rule in rules]
    remotes = frozenset(remote for peer, _ in found for remote in peer.remotes)
    names = frozenset(peer.remote_name for peer, _ in found if peer.remote_name)
    return remotes, names, tuple(each for peer, child in found if peer.each for each in child.remote)


def _called(plan: Plan) -> dict[Address, set[str]]:
    called: dict[Address, set[str]] = {}
    for peer in plan.peers:
        for remote in peer.remotes if peer.remote_name else ():
            called.setdefault(remote, set()).add(peer.remote_name)
    return called


def _called_by(peer: Peer, child: Child, remote: Address) -> tuple[str, str, str, str]:
    """What a soft SA with this peer is called by: child, rule, peer, filter."""
    names = [pair_name(each.name, remote) if peer.each else each.name for each in (child, peer)]
    return names[0], child.rule, names[1], f"{show(child.local)} = {show(child.remote)}"


def _at(remotes: Iterable[Address]) -> tuple[Selector, ...]:
    return tuple(Selector(remote, remote) for remote in remotes)


async def _refusal(change: Awaitable[None]) -> str:
    """What the kernel has against it; empty if it is done."""
    try:
        await change
    except KernelError as error:
        return str(error)
    return ""


def _names(soft: SoftSa) -> dict[str, str]:
    names = {"peer": soft.peer, "rule": soft.rule, "child": soft.child, "filter": soft.filter}
    return names | {"remote": str(soft.remote)}
