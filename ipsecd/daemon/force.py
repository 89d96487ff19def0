"""What is in force: a policy, the floor of one that is no longer assigned, or nothing; and how one becomes another.

Whoever calls sees to it that one change ends before the next begins.
"""

from __future__ import annotations

import structlog

from ipsecd.daemon.assignment import Assigned
from ipsecd.daemon.entrances import Entrances
from ipsecd.daemon.ground import Ground, Host, report
from ipsecd.daemon.identifiers import Identifiers
from ipsecd.daemon.keyring import Keyring
from ipsecd.daemon.prepare import Outline, Prepared, outline, prepare
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.surroundings import Surroundings
from ipsecd.errors import KernelError, OperatorError
from ipsecd.io.kernel_state import flush
from ipsecd.policy.diff import PlanDiff, diff
from ipsecd.policy.floor import of_a_policy
from ipsecd.policy.plan import Plan

log = structlog.get_logger()


class Force:
    """``protection`` is the policy in force; ``bare`` is the floor of an earlier one that stands without a policy. At
    most one of them is there. ``assigned`` says who wants it so."""

    def __init__(self, host: Host, around: Surroundings) -> None:
        self.protection: Protection | None = None
        self.bare: Ground | None = None
        self.assigned = Assigned(None, None)
        self.around = around
        self._host = host
        self._identifiers = Identifiers()
        self._entrances = Entrances(host.judging)

    async def begin(self, sketch: Outline) -> None:
        """At the start. A file that assigns no policy doesn't take the floor of one away, not for its persistent rules
        either; nor does one that assigns another, where nobody knows which policy an operator has assigned. Raises
        IpsecdError; what stands in the kernel then is for the caller to see to."""
        text = self._host.store.load()
        if sketch.assigned.doubt and not await self._left(text):  # then there is nothing to lose
            said = sketch.assigned.said
            sketch = await outline(sketch.file, Assigned(said, said), self.around)
        if sketch.plan.assigned or (sketch.plan.policy and not await self._left(text)):
            protection = Protection(sketch, self._host)
            await protection.start(lambda: self._complete(sketch))
            self._took(protection)
        elif text is not None:
            self.bare = Ground(sketch.plan.settings, self._host, lambda _: None, self._host.addresses, lambda: None)
            await self.bare.raise_floor(text)
            log.error("floor-without-policy", why=_why_none(sketch))
        elif await self._host.nftables.exists():
            log.error("floor-without-policy", why=_why_none(sketch))
        else:
            await self._flush()
            log.warning("nothing-assigned", why=_why_none(sketch))
        self.assigned = sketch.assigned

    async def _left(self, text: str | None) -> bool:
        """Whether the floor of a policy has been left, ``text`` being the saved one."""
        return await self._host.nftables.exists() if text is None else of_a_policy(text)

    async def change(self, sketch: Outline) -> PlanDiff:
        """At a reload, or when another policy is assigned: keys are read before anything changes. Raises IpsecdError,
        or whatever else has gone wrong, and has then changed nothing."""
        if not sketch.plan.assigned and await self._is_more_than(sketch.plan):
            raise OperatorError(_why_none(sketch), "ipsecctl unassign takes protection away; a file doesn't")
        return await self._put(sketch)

    async def _is_more_than(self, plan: Plan) -> bool:
        """Whether a plan without a policy, and maybe without any rule, would take protection away. Raises
        KernelError."""
        if self.protection is None:  # a floor that nobody has saved may stand though it isn't ``bare``
            return self.bare is not None or (bool(plan.policy) and await self._host.nftables.exists())
        return self.protection.prepared.plan.assigned or not plan.policy

    async def _put(self, sketch: Outline) -> PlanDiff:
        if not sketch.plan.policy:
            difference = PlanDiff()
        elif self.protection is not None:
            self.protection.check(sketch)
            difference = await self.protection.change(await self._complete(sketch))
            self._took(self.protection)
            log.info("policy-unchanged") if difference.empty else log.info("policy-changed", difference=difference)
        else:
            await self._start(await self._complete(sketch))
            difference = PlanDiff(added=diff(Plan(), sketch.plan).added)
            log.info("policy-changed", difference=difference)
        self.assigned = sketch.assigned
        return difference

    async def _start(self, new: Prepared) -> None:
        """Put a policy in force where there is none."""

        async def complete() -> Prepared:
            return new

        protection = Protection(new, self._host)
        unknown = self.bare is None and await self._host.nftables.exists()
        if self.bare is not None:
            await self.bare.let_go()
        try:
            await protection.start(complete)
        except BaseException:
            await self._as_before(unknown=unknown)
            raise
        if self.bare is not None:
            self.bare.close()
            self.bare = None
        self._took(protection)

    async def follow(self) -> None:
        """Names or addresses mean something else, or lie elsewhere: put in force what the same policy is now. Raises
        IpsecdError."""
        if self.protection is None:
            return
        now = self.protection.prepared
        sketch = await outline(now.file, now.assigned, self.around)
        if sketch.around == now.around:
            return
        difference = await self.protection.change(await self._complete(sketch, read=False))
        if sketch.plan != now.plan:
            log.info("policy-follows", difference=difference)
        if sketch.outside != now.outside:
            log.info("outside-moved", interfaces=", ".join(sketch.outside) or "none")
        if sketch.interfaces != now.interfaces:
            log.info("interfaces-changed", interfaces=str(sketch.interfaces))
        if sketch.reach != now.reach:
            log.info("reach-changed")

    async def unassign(self, assigned: Assigned, rest: Outline | None = None) -> None:
        """Put in force what is left without a policy, the persistent rules; without any, take everything of ours out of
        the kernel. Raises IpsecdError; what was in force is in force then."""
        if rest is not None and rest.plan.policy:
            await self._put(rest)
            return
        if self.protection is not None:
            await self.protection.lower()
        elif self.bare is not None:
            await self.bare.lower()
            self.bare.close()
        else:  # nothing in force in this process, but maybe left by the one before
            await self._flush()
        self.protection = self.bare = None
        self.assigned = assigned
        self.around.resolver.retain(frozenset())
        self.around.well_known.retain(frozenset())
        self._forget_heard()  # last: until the goodbyes are over, peers are heard

    def _forget_heard(self) -> None:
        """If that fails they count as heard, should the same policy be assigned again."""
        try:
            self._host.heard.remove()
        except KernelError as error:
            log.warning("heard-not-forgotten", reason=str(error))

    async def stop(self) -> None:
        """Let go of everything but what stands."""
        if self.protection is not None:
            await self.protection.stop("ipsecd is stopping")
        if self.bare is not None:
            await self.bare.let_go()
            self.bare.close()

    async def _complete(self, sketch: Outline, *, read: bool = True) -> Prepared:
        """Add the keys, which may take a while if they are ``read`` anew."""
        now = self.protection.prepared if self.protection is not None else None
        ids = self._identifiers.of(sketch.plan, now.plan, now.ids) if now else self._identifiers.of(sketch.plan)
        ring = now.ring if now else Keyring()
        return await prepare(sketch, self.around, ids, self._entrances, ring, read=read or now is None)

    def _took(self, protection: Protection) -> None:
        self.protection = protection
        self.around.resolver.retain(protection.prepared.names)
        self.around.well_known.retain(protection.prepared.sets)

    async def _as_before(self, *, unknown: bool) -> None:
        """A policy could not be put in force where there was none. ``unknown``: there was a floor that nobody has kept,
        so what stands now is better than nothing."""
        if self.bare is not None:
            await self.bare.put_back(self.bare.kernel.floor)
            return
        if unknown:
            report("floor-not-as-before", "error", {"reason": "nobody has kept it, and the one that stands stays"})
            return
        try:
            await self._flush()
        except KernelError as error:
            report("floor-not-as-before", "error", {"reason": str(error)})

    async def _flush(self) -> None:
        await flush(self._host.netlink, self._host.nftables, self._host.store)


def _why_none(sketch: Outline) -> str:
    """Why no policy is to be in force."""
    if sketch.assigned.doubt:
        return sketch.assigned.doubt
    if sketch.assigned.chosen:
        return f"no policy is assigned, {sketch.assigned.by}"
    return f"{sketch.file.file} assigns no policy"
