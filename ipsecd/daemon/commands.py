"""What control commands do: each takes its checked arguments and returns plain values, or raises IpsecdError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ipsecd.daemon import status
from ipsecd.daemon.app import App
from ipsecd.daemon.control import Handler
from ipsecd.daemon.describe import describe_plan
from ipsecd.daemon.effects import Effects
from ipsecd.daemon.explain import explain
from ipsecd.daemon.keylog import Keys
from ipsecd.daemon.protection import Protection
from ipsecd.errors import OperatorError
from ipsecd.io.nftables import Nftables
from ipsecd.policy.floor import TABLE
from ipsecd.policy.plan import Action
from ipsecd.printable import printable

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
            "log-level": self._log_level,
            "keys-export": self._keys_export,
            "unassign": self._unassign,
        }

    async def _status(self, _: Arguments) -> dict[str, Any]:
        return status.status(self._app)

    async def _sas(self, _: Arguments) -> dict[str, Any]:
        return status.sas(self._app)

    async def _policy(self, _: Arguments) -> dict[str, Any]:
        plan = self._in_force().prepared.plan
        return describe_plan(plan, await Nftables(TABLE).counters())

    async def _explain(self, arguments: Arguments) -> dict[str, Any]:
        return explain(self._app.protection, arguments)

    async def _up(self, arguments: Arguments) -> dict[str, Any]:
        protection = self._in_force()
        names = _targets(protection, arguments["name"])
        for name in names:
            self._turn(name, protection.negotiation.up)
        return {"names": names}

    async def _down(self, arguments: Arguments) -> dict[str, Any]:
        protection = self._in_force()
        names = _targets(protection, arguments["name"])
        for name in names:
            self._turn(name, protection.negotiation.down)
        return {"names": names}

    async def _rekey(self, arguments: Arguments) -> dict[str, Any]:
        protection = self._in_force()
        names = _targets(protection, arguments["name"])
        sas = protection.sas()
        there = {sa.peer for sa in sas} | {child.name for sa in sas for child in sa.children}
        if not there.intersection(names):
            raise OperatorError(f"{names[0]} has no SA to rekey", f"ipsecctl up {names[0]} makes one")
        for name in names:
            self._turn(name, protection.negotiation.rekey)
        return {"names": names}

    async def _reload(self, _: Arguments) -> dict[str, Any]:
        difference = await self._app.reload()
        protection = self._app.protection
        unusable = protection.prepared.unusable if protection else {}
        return {
            "policy": protection.prepared.plan.policy if protection else None,
            "difference": asdict(difference),
            "unusable": unusable,
            "summary": self._app.summary(),
        }

    async def _log_level(self, arguments: Arguments) -> dict[str, Any]:
        if "level" in arguments:
            self._app.journal.set_level(arguments["level"])
        return {"level": self._app.journal.level}

    async def _keys_export(self, _: Arguments) -> dict[str, Any]:
        protection = self._app.protection
        return (protection.keys if protection else Keys()).export()

    async def _unassign(self, _: Arguments) -> dict[str, Any]:
        await self._app.unassign()
        return {}

    def _in_force(self) -> Protection:
        if self._app.protection is None:
            raise OperatorError("no policy is in force", "ipsecctl reload puts the assigned one in force")
        return self._app.protection

    def _turn(self, name: str, command: Callable[[str, float], Effects]) -> None:
        self._in_force().wires.turn(lambda now: command(name, now))


def _targets(protection: Protection, name: str) -> list[str]:
    """The peers and children that a name stands for: those of that name, or the children of the rule of that name."""
    plan = protection.prepared.plan
    rule = next((rule for rule in plan.rules if rule.name == name or name in rule.children or name == rule.peer), None)
    if rule is None:
        known = ", ".join(rule.name for rule in plan.rules if rule.action is Action.PROTECT)
        raise OperatorError(f"nothing is called {printable(name)!r}", f"there is {known}" if known else "")
    if rule.action is not Action.PROTECT:
        raise OperatorError(f"rule {rule.name} negotiates nothing: its action is {rule.action_name}")
    if rule.peer in protection.prepared.unusable:
        raise OperatorError(f"rule {rule.name} can't be used: {protection.prepared.unusable[rule.peer]}")
    if name == rule.peer or name in rule.children:
        return [name]
    return list(rule.children)
