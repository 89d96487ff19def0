"""Which rule decides about a packet, and what that means for it now: ``ipsecctl explain``."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from ipsecd.daemon.protection import Protection
from ipsecd.errors import OperatorError
from ipsecd.ike.status import IkeSaStatus
from ipsecd.ipsec.selectors import ONE_FIELD, Flow
from ipsecd.ipsec.spd import Direction, Spd
from ipsecd.policy.plan import Action, Plan
from ipsecd.policy.traffic import WITH_PORTS, protocol
from ipsecd.printable import printable
from ipsecd.wire.selector import Address


def explain(protection: Protection | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What happens to a packet that leaves this machine, or passes it, and to one that arrives in clear or out of a
    tunnel. Raises OperatorError for what no packet can be."""
    flow = _flow(arguments)
    if protection is None:
        clear = {"verdict": "clear", "why": "no policy is assigned"}
        return {"outbound": clear, "inbound": clear}
    prepared = protection.prepared
    spd = Spd(prepared.entries)
    sas = protection.sas()
    return {
        "outbound": _verdict(spd, flow, Direction.OUTBOUND, prepared.plan, prepared.unusable, sas),
        "inbound": _verdict(spd, flow, Direction.INBOUND, prepared.plan, prepared.unusable, sas),
    }


def _verdict(
    spd: Spd, flow: Flow, direction: Direction, plan: Plan, unusable: Mapping[str, str], sas: list[IkeSaStatus]
) -> dict[str, Any]:
    explanation = spd.explain(flow, direction)
    if explanation.winner is None:
        return {"verdict": "clear", "why": "no rule covers it"}
    entry = next(entry for entry in plan.entries if entry.name == explanation.winner.name)
    told: dict[str, Any] = {
        "verdict": entry.action.value,
        "rule": entry.rule,
        "entry": entry.name,
        "line": entry.line,
        "instead_of": [other.name for other in explanation.runners_up],
        "why": "",
    }
    if entry.action is Action.PROTECT:
        peer = next((rule.peer for rule in plan.rules if rule.name == entry.rule), "")
        told |= {"child": entry.child, "peer": peer}
        told["why"] = _protection(entry.child, direction, unusable.get(peer, ""), sas)
    return told


def _protection(child: str, direction: Direction, unusable: str, sas: list[IkeSaStatus]) -> str:
    """What becomes of a packet that this child is to protect."""
    remotes = [sa.remote for sa in sas for each in sa.children if each.name == child and each.stage == "up"]
    if direction is Direction.INBOUND:
        return f"accepted inside ESP from {remotes[-1]} alone" if remotes else "dropped: there is no SA to come by"
    if remotes:
        return f"leaves inside ESP to {remotes[-1]}"
    return f"dropped for now: {unusable}" if unusable else "held back until an SA is negotiated"


def _flow(arguments: Mapping[str, Any]) -> Flow:
    source, destination = _address(arguments["source"]), _address(arguments["destination"])
    if source.version != destination.version:
        raise OperatorError("source and destination are of different IP versions")
    number, port = _protocol(arguments.get("protocol")), arguments.get("port")
    if port is not None and number not in WITH_PORTS | ONE_FIELD:
        raise OperatorError("that protocol has no ports", "tcp and udp have")
    if port is not None and number in ONE_FIELD:
        port *= 256  # an ICMP type; selectors hold type * 256 + code
    return Flow.build(source, destination, number, None, port)


def _protocol(text: str | None) -> int:
    try:
        return 0 if text is None else protocol(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise OperatorError(f"protocol {printable(str(text))!r}: {error}") from None


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise OperatorError(f"{printable(text)!r} isn't an IP address") from None
