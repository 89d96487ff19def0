"""What control commands do: each takes its checked arguments and returns plain values, or raises IpsecdError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ipsecd.daemon import status
from ipsecd.daemon.app import App
from ipsecd.daemon.attempts import Attempts
from ipsecd.daemon.control import Handler
from ipsecd.daemon.describe import describe_plan
from ipsecd.daemon.effects import Effects
from ipsecd.daemon.explain import explain, flow_of
from ipsecd.daemon.keylog import Keys
from ipsecd.daemon.nearby import here
from ipsecd.daemon.protection import Protection
from ipsecd.daemon.target import Target, find
from ipsecd.dataplane.messages import Counters
from ipsecd.errors import KernelError, OperatorError
from ipsecd.io.nftables import Nftables
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.diff import PlanDiff
from ipsecd.policy.floor import TABLE
from ipsecd.policy.plan import Plan
from ipsecd.wire.hostpair import hosts_named, pattern_id

Arguments = Mapping[str, Any]


class Commands:
    """The commands of one daemon."""

    def __init__(self, app: App) -> None:
        self._app = app

    def handlers(self) -> dict[str, Handler]:
        """By the name that the control protocol gives them."""
        return {
            "status": self._status,
            "sas": self._sas,
            "policy": self._policy,
            "explain": self._explain,
            "up": self._up,
            "down": self._down,
            "rekey": self._rekey,
            "reload": self._reload,
            "assign": self._assign,
            "log-level": self._log_level,
            "keys-export": self._keys_export,
            "unassign": self._unassign,
        }

    async def _status(self, _: Arguments) -> dict[str, Any]:
        return status.status(self._app, await self._counted(), await self._carried())

    async def _sas(self, _: Arguments) -> dict[str, Any]:
        return status.sas(self._app, await self._carried())

    async def _policy(self, _: Arguments) -> dict[str, Any]:
        plan = self._in_force().plan
        return describe_plan(plan, await Nftables(TABLE).counters())

    async def _explain(self, arguments: Arguments) -> dict[str, Any]:
        if self._app.bare:
            hint = "ipsecctl unassign takes it away, ipsecctl assign NAME puts a policy in its place"
            raise OperatorError("no policy is in force, but the floor of an earlier one stands", hint)
        flow = flow_of(arguments)
        arriving = arguments.get("direction") == "in"
        protection = self._app.protection
        interfaces = protection.prepared.interfaces if protection is not None else Interfaces()
        around, attempts = self._app.around, Attempts(self._app.failures, self._app.clock.now())
        return explain(protection, await here(around, interfaces, flow), flow, attempts, arriving=arriving)

    async def _up(self, arguments: Arguments) -> dict[str, Any]:
        target, negotiation = await self._target(arguments), self._in_force().negotiation
        if target.responds:
            raise OperatorError(f"{target.names[0]} can't be called: these hosts have to call us")
        held = [key for key in target.children.values() if negotiation.held(key)]
        for key in target.children.values():
            self._turn(key, negotiation.up)
        if not target.each:
            return {"names": list(target.children)}
        names = [name for key in target.children.values() for name in negotiation.made_after(key)]
        if not (names or held):
            raise OperatorError("there is an SA for each host, and no host yet", f"ipsecctl up {_one_of(target)}")
        return {"names": sorted(names)}

    async def _down(self, arguments: Arguments) -> dict[str, Any]:
        target, negotiation = await self._target(arguments), self._in_force().negotiation
        if target.whole:
            self._turn(target.peer, negotiation.down_peer)
        for key in target.children.values():
            self._turn(key, negotiation.down)
        return {"names": list(target.children)}

    async def _rekey(self, arguments: Arguments) -> dict[str, Any]:
        target, protection = await self._target(arguments), self._in_force()
        sas = [sa for sa in protection.sas() if target.peer in (sa.peer, sa.pattern) and sa.stage == "established"]
        meant = set(target.children.values())
        children = {
            child.name: child.id
            for sa in sas
            for child in sa.children
            if not meant.isdisjoint((child.id, pattern_id(child.id)))
        }
        if not (sas if target.ike else children):
            name = target.names[0]
            raise OperatorError(f"{name} has no SA to rekey", f"ipsecctl up {_one_of(target)} makes one")
        if target.ike:
            self._turn(target.peer, protection.negotiation.rekey_peer)
        for key in () if target.ike else children.values():
            self._turn(key, protection.negotiation.rekey)
        return {"names": target.names if target.ike else sorted(children)}

    async def _target(self, arguments: Arguments) -> Target:
        """What is named, with our own address to a host that is named without one."""
        prepared, name = self._in_force().prepared, str(arguments["name"])
        named = hosts_named(name)
        if named is None or named[2] is not None:
            return find(prepared, name)
        return find(prepared, name, await self._app.around.source_for(named[1], prepared.plan.settings.own_mark))

    async def _reload(self, _: Arguments) -> dict[str, Any]:
        return self._changed(await self._app.reload())

    async def _assign(self, arguments: Arguments) -> dict[str, Any]:
        return self._changed(await self._app.assign(arguments["name"]))

    def _changed(self, difference: PlanDiff) -> dict[str, Any]:
        """What is in force after a change, and what of it can't be negotiated."""
        protection = self._app.protection
        unusable = protection.prepared.unusable if protection else {}
        plan = protection.prepared.plan if protection else Plan()
        named = {peer.name for peer in plan.peers if peer.remote_name in plan.unresolved}  # the DNS is asked right now
        named |= protection.prepared.away.keys() if protection else set()  # which is as the policy wants it
        return {
            "policy": plan.policy if protection else None,
            "assigned": status.assigned(self._app),
            "difference": asdict(difference),
            "unusable": unusable,
            "incomplete": not unusable.keys() <= named,
            "summary": self._app.summary(),
        }

    async def _log_level(self, arguments: Arguments) -> dict[str, Any]:
        before = self._app.journal.level if "level" in arguments else None
        if "level" in arguments:
            self._app.journal.set_level(arguments["level"])
        return {"level": self._app.journal.level, "before": before}

    async def _keys_export(self, _: Arguments) -> dict[str, Any]:
        protection = self._app.protection
        return (protection.keys if protection else Keys()).export()

    async def _unassign(self, _: Arguments) -> dict[str, Any]:
        bare, before = self._app.bare, self._app.protection
        policy = before.prepared.plan.policy if before else None
        await self._app.unassign()
        return {"policy": policy, "bare": bare, "persistent": self._app.protection is not None}

    async def _carried(self) -> Counters | None:
        protection = self._app.protection
        return await protection.counters() if protection else None

    async def _counted(self) -> dict[str, int]:
        """The floor's counters; none where nft fails: all else is told without them."""
        try:
            return await Nftables(TABLE).counters()
        except KernelError:
            return {}

    def _in_force(self) -> Protection:
        if self._app.protection is None:
            raise OperatorError("no policy is in force", "ipsecctl assign NAME puts one in force")
        return self._app.protection

    def _turn(self, name: str, command: Callable[[str, float], Effects]) -> None:
        self._in_force().wires.turn(lambda now: command(name, now))


def _one_of(target: Target) -> str:
    """A name that one SA can be asked for by."""
    return f"{target.names[0]}@ADDRESS" if target.each else target.names[0]
