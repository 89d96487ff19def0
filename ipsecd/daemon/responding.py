"""What hosts have negotiated by the default response: which of their SAs last, and what the floor protects for them.

The floor stands before an SA is installed, and so before the host is told of it: what comes by the SA is never answered
in clear. When the SA is gone the floor goes back after a moment in which nothing passes: a host that begins anew leaves
no gap, and can't have one floor after the other made. What is kept for the next boot has nothing of this in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.prepare import Prepared
from ipsecd.errors import KernelError, LocalError
from ipsecd.ike.effects import InstallInbound
from ipsecd.policy import response
from ipsecd.policy.plan import DEFAULT_RESPONSE, Child, Entry, Plan
from ipsecd.policy.response import Pair, Pairs
from ipsecd.wire.hostpair import pair_id, pair_name, pattern_id
from ipsecd.wire.selector import Address

log = structlog.get_logger()

Then = Callable[[str, float], None]
"""What has waited goes on: with what is in its way, empty if nothing is, and the time."""


@dataclass(frozen=True, slots=True)
class _Sa:
    """``id`` is that of its child. ``over``: it is gone, and protects for another moment."""

    id: str
    local: Address
    remote: Address
    pairs: Pairs
    over: bool = False


class Floor(Protocol):
    """What stands in the kernel."""

    floor: str

    async def raise_floor(self, text: str, *, kept: str) -> None: ...


class Responding:
    """``turned`` is called when something that waited has gone on. Whoever raises another floor for all of the policy
    holds ``alone`` until it is in force. Made inside a running event loop."""

    def __init__(
        self, kernel: Floor, prepared: Prepared, turned: Callable[[], None], guard: Guard, clock: Callable[[], float]
    ) -> None:
        self.alone = asyncio.Lock()
        self._kernel = kernel
        self._prepared = prepared
        self._turned = turned
        self._guard = guard
        self._clock = clock
        self._sas: dict[bytes, _Sa] = {}  # by inbound SPI
        self._standing: tuple[Entry, ...] = ()  # what the floor has
        self._coming: tuple[Entry, ...] | None = None  # what the one has that is being raised
        self._waiting: list[tuple[bytes, Then]] = []
        self._settling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def plan(self) -> Plan:
        """The plan in force, with what hosts have negotiated."""
        return response.answered(self._prepared.plan, self._standing)

    def assign(self, prepared: Prepared) -> None:
        """This is in force from now on."""
        self._prepared = prepared

    # --- the floor ------------------------------------------------------------------------------------------------

    def floor(self, prepared: Prepared) -> str:
        """That of a policy, with what hosts have negotiated as far as it has a default response too."""
        return prepared.floor_with(self._entries(prepared))

    async def stand(self, prepared: Prepared) -> None:
        """Raise that floor, if it isn't what stands. Raises KernelError."""
        entries = self._entries(prepared)
        text = prepared.floor_with(entries)
        if text != self._kernel.floor:
            self._coming = entries
            try:
                await self._kernel.raise_floor(text, kept=prepared.floor)
            finally:
                self._coming = None
        self._tell(entries)
        self._standing = entries

    def _entries(self, prepared: Prepared) -> tuple[Entry, ...]:
        patterns = _patterns(prepared)
        pairs: dict[str, dict[Pair, None]] = {}  # by identifier
        entries: dict[str, Entry] = {}
        line = next((rule.line for rule in prepared.plan.rules if rule.name == DEFAULT_RESPONSE), 0)
        for sa in self._sas.values():
            if (pattern := patterns.get(pattern_id(sa.id))) is not None:
                own = pairs.setdefault(sa.id, {})
                own.update(dict.fromkeys(sa.pairs))
                entries[sa.id] = response.entry(_name(pattern, sa), pattern, tuple(own), line)
        return tuple(entries.values())

    def _tell(self, entries: tuple[Entry, ...]) -> None:
        """What the floor protects from now on, and what no longer."""
        before, now = ({entry.name: entry.pairs for entry in each} for each in (self._standing, entries))
        for name, pairs in now.items():
            if before.get(name) != pairs:
                log.info("response-begun", rule=DEFAULT_RESPONSE, child=name, filter=_shown(pairs))
        for name in before.keys() - now.keys():
            log.info("response-over", rule=DEFAULT_RESPONSE, child=name, filter=_shown(before[name]))

    # --- what the negotiation brings about ------------------------------------------------------------------------

    def waits(self, effect: InstallInbound, then: Then) -> bool:
        """Whether this SA may be installed only when ``then`` is called, because the floor has to stand first. Raises
        LocalError for one that is for others than its two hosts."""
        if pattern_id(effect.child) not in _patterns(self._prepared):
            return False
        if self._closed:
            return True
        if effect.spi not in self._sas:
            sa = _sa(effect)
            if why_not := self._full(sa):
                asyncio.get_running_loop().call_soon(self._go_on, then, why_not)
                return True
            self._sas[effect.spi] = sa
        if self._sure().issuperset(self._sas[effect.spi].pairs):
            return False
        self._waiting.append((effect.spi, then))
        self._settle()
        return True

    def _sure(self) -> set[Pair]:
        """What the floor protects now, and the one that may be about to take its place."""
        floors = [self._standing, *([self._coming] if self._coming is not None else [])]
        return set[Pair].intersection(*({pair for entry in entries for pair in entry.pairs} for entries in floors))

    def gone(self, spi: bytes) -> None:
        """The SA with this inbound SPI is no more."""
        if (sa := self._sas.get(spi)) is not None and not sa.over:
            self._sas[spi] = over = replace(sa, over=True)
            asyncio.get_running_loop().call_later(limits.RESPONSE_KEPT, self._forget, spi, over)

    def _forget(self, spi: bytes, over: _Sa) -> None:
        if self._sas.get(spi) is over:
            del self._sas[spi]
            self._settle()

    def _full(self, new: _Sa) -> str:
        """Why there is no room for it in the floor; empty if there is."""
        everything = {pair for sa in self._sas.values() for pair in sa.pairs} | set(new.pairs)
        own = {pair for sa in self._sas.values() if sa.id == new.id for pair in sa.pairs} | set(new.pairs)
        if len(own) > limits.MAX_RESPONSE_PAIRS:
            return f"of one host the default response protects {limits.MAX_RESPONSE_PAIRS} pairs of selectors at most"
        if len(everything) > limits.MAX_RESPONSES:
            return f"the default response protects {limits.MAX_RESPONSES} pairs of selectors already, and no more"
        return ""

    # --- changes --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Let go of everything; a floor that stands is the policy's alone then."""
        self._closed = True
        self._sas.clear()
        self._waiting.clear()
        self._settle()
        if self._settling is not None:
            await self._settling

    def _settle(self) -> None:
        if self._settling is None and self._unsettled():
            self._settling = asyncio.get_running_loop().create_task(self._change())

    def _unsettled(self) -> bool:
        """Whether the floor has to become another, or somebody waits to be told that there is none; once everything of
        ours is out of the kernel it never has."""
        changed = bool(self._kernel.floor) and self._entries(self._prepared) != self._standing
        return bool(self._waiting) or changed

    async def _change(self) -> None:
        """Raise the floor, for all that has changed until it is raised at once. What nobody waits for is tried again
        later if it fails."""
        again = False
        while self._unsettled() and not again:
            waiting, self._waiting = self._waiting, []
            refusal = await self._refusal()
            if refusal:
                log.error("response-failed", rule=DEFAULT_RESPONSE, reason=refusal)
            for spi, then in waiting if not self._closed else ():
                if refusal:
                    self._sas.pop(spi, None)
                self._go_on(then, refusal)
            again = bool(refusal) and not waiting
        self._settling = None
        if again and not self._closed:
            asyncio.get_running_loop().call_later(limits.RESTORE_PAUSE, self._settle)

    async def _refusal(self) -> str:
        """What the kernel has against the floor; empty if it stands."""
        refusal = "its floor can't be raised"
        with self._guard.over("the floor of the default response"):
            try:
                async with self.alone:
                    if not self._kernel.floor:  # which whoever was alone before may have taken away
                        return "no policy is in force any more"
                    await self.stand(self._prepared)
                refusal = ""
            except KernelError as error:
                refusal = f"{refusal}: {error}"
        return refusal

    def _go_on(self, then: Then, refusal: str) -> None:
        then(refusal, self._clock())
        self._turned()


def _patterns(prepared: Prepared) -> dict[str, Child]:
    """What the children of the hosts that ask are made after, by identifier."""
    return {prepared.ids[child.name]: child for child in response.patterns(prepared.plan)}


def _sa(effect: InstallInbound) -> _Sa:
    pattern, pairs = pattern_id(effect.child), response.facing(effect.local, effect.remote)
    for local, remote in pairs:
        whole = local.start == local.end and remote.start == remote.end
        if not whole or pair_id(pattern, local.start, remote.start) != effect.child:
            raise LocalError(f"an SA of the default response is for {_shown(pairs)}, and its child is {effect.child}")
    return _Sa(effect.child, pairs[0][0].start, pairs[0][1].start, pairs)


def _name(pattern: Child, sa: _Sa) -> str:
    """For people."""
    ours = [each for each in pattern.local if each.version == sa.local.version]
    return pair_name(pattern.name, sa.remote, sa.local if len(ours) > 1 else None)


def _shown(pairs: Pairs) -> str:
    told = [f"{local} = {remote}" for local, remote in pairs[: limits.SHOWN_SELECTORS]]
    more = len(pairs) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")
