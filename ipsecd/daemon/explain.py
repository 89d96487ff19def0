"""Which rule decides about a packet, and what that means for it now: ``ipsecctl explain``."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from ipsecd.daemon.protection import Protection
from ipsecd.errors import OperatorError
from ipsecd.ike.narrowing import show
from ipsecd.ike.status import ChildSaStatus
from ipsecd.ipsec.selectors import ONE_FIELD, Flow, SaSelectors
from ipsecd.ipsec.spd import Direction, Spd
from ipsecd.policy.complaint import Complaint
from ipsecd.policy.exempt import exemption, to_several
from ipsecd.policy.plan import Action, Entry
from ipsecd.policy.traffic import WITH_PORTS, icmp_number, icmp_type, protocol
from ipsecd.printable import quoted
from ipsecd.wire.selector import Address


def explain(
    protection: Protection | None,
    ours: frozenset[Address],
    arguments: Mapping[str, Any],
    broadcasts: frozenset[Address] = frozenset(),
) -> dict[str, Any]:
    """What happens to a packet that leaves this machine, or passes it, and to one that arrives in clear or out of a
    tunnel. ``ours`` are this machine's addresses, ``broadcasts`` those that reach all hosts of a network it is on.
    Raises OperatorError for what no packet can be."""
    flow = _flow(arguments)
    if protection is None:
        clear = {"verdict": "clear", "why": "no policy is assigned"}
        return {"outbound": clear, "inbound": clear}
    return {
        "outbound": _verdict(protection, flow, Direction.OUTBOUND, ours, broadcasts),
        "inbound": _verdict(protection, flow, Direction.INBOUND, ours, broadcasts),
    }


def _verdict(
    protection: Protection,
    flow: Flow,
    direction: Direction,
    ours: frozenset[Address],
    broadcasts: frozenset[Address],
) -> dict[str, Any]:
    prepared = protection.prepared
    plan = prepared.plan
    explanation = Spd(prepared.entries).explain(flow, direction)
    outbound = direction is Direction.OUTBOUND
    exempt = exemption(plan, flow, ours, outbound=outbound, broadcasts=broadcasts)
    covering = [entry.name for entry in (explanation.winner, *explanation.runners_up) if entry is not None]
    if exempt:
        return {"verdict": "exempt", "why": exempt, "instead_of": covering}
    if not covering:
        return {"verdict": "clear", "why": "no rule covers it"}
    entry = next(entry for entry in plan.entries if entry.name == covering[0])
    told: dict[str, Any] = {
        "verdict": entry.action.value,
        "rule": entry.rule,
        "entry": entry.name,
        "line": entry.line,
        "instead_of": covering[1:],
        "why": "",
    }
    if entry.action is Action.PROTECT:
        peer = next((rule.peer for rule in plan.rules if rule.name == entry.rule), "")
        told |= {"child": entry.child, "peer": peer}
        if outbound and to_several(flow, broadcasts):
            told["why"] = "dropped: no tunnel takes what goes to a group of hosts, or to all of them"
        else:
            told["why"] = _protection(protection, entry, flow, direction, prepared.unusable.get(peer, ""))
    return told


def _protection(protection: Protection, entry: Entry, flow: Flow, direction: Direction, unusable: str) -> str:
    """What becomes of a packet that this entry is to protect. The peer may have narrowed the selectors of an SA."""
    child = entry.child
    up = [(sa, each) for sa in protection.sas() for each in sa.children if each.name == child and each.stage == "up"]
    remote = next((sa.remote for sa, each in reversed(up) if _holds(each, flow, direction)), "")
    only = "; ".join(dict.fromkeys(f"{show(each.local)} = {show(each.remote)}" for _, each in up))
    if direction is Direction.INBOUND:
        why = f"the SAs there are carry only {only}" if up else "there is no SA to come by"
        if entry.passthrough:
            return f"accepted in clear; {f'inside ESP from {remote} alone' if remote else f'inside ESP not: {why}'}"
        return f"accepted inside ESP from {remote} alone" if remote else f"dropped: {why}"
    if remote:
        return f"leaves inside ESP to {remote}"
    if up:
        return f"dropped unless the peer allows an SA for it: those there are carry only {only}"
    if unusable:
        return f"dropped for now: {unusable}"
    held = protection.held(child)
    return (
        f"dropped: it was put down by command (ipsecctl up {child})" if held else "held back until an SA is negotiated"
    )


def _holds(child: ChildSaStatus, flow: Flow, direction: Direction) -> bool:
    selectors = SaSelectors(child.local, child.remote)
    return selectors.hold_outbound(flow) if direction is Direction.OUTBOUND else selectors.hold_inbound(flow)


def _flow(arguments: Mapping[str, Any]) -> Flow:
    source, destination = _address(arguments["source"]), _address(arguments["destination"])
    if source.version != destination.version:
        raise OperatorError("source and destination are of different IP versions")
    number = _protocol(arguments.get("protocol"))
    here, there = arguments.get("source_port"), _port(arguments, number)
    if number in ONE_FIELD:
        return Flow.build(source, destination, number, _message(there, here, arguments.get("icmp_code")))
    if arguments.get("icmp_code") is not None:
        raise OperatorError("that protocol has no codes", "icmp and icmpv6 have")
    if (here, there) != (None, None) and number not in WITH_PORTS:
        raise OperatorError("that protocol has no ports", "tcp and udp have")
    return Flow.build(source, destination, number, here, there)


def _port(arguments: Mapping[str, Any], protocol: int) -> int | None:
    """The destination's, or the type of an ICMP message, which may be named."""
    number: int | None = arguments.get("port")
    if (name := arguments.get("icmp_type")) is None:
        return number
    if number is not None:
        raise OperatorError("a message is given by its number or by its name")
    try:
        found = icmp_number(protocol, icmp_type(name)) if protocol in ONE_FIELD else None
    except Complaint as error:
        raise OperatorError(error.remarks[0].message, error.remarks[0].hint) from None
    if found is None:
        raise OperatorError(f"that protocol has no message called {quoted(name)}", "icmp and icmpv6 have their own")
    return found


def _message(kind: int | None, source_port: int | None, code: int | None) -> int | None:
    """Of ICMP, what selectors hold instead of ports (RFC 4301 section 4.4.1.1): type * 256 + code."""
    if source_port is not None:
        raise OperatorError("that protocol has no ports", "it has a type, and perhaps a code")
    if kind is None and code is not None:
        raise OperatorError("a code needs a type")
    if kind is not None and kind > 255:
        raise OperatorError(f"{kind} is no type of that protocol", "it has types from 0 to 255")
    return None if kind is None else kind * 256 + (code or 0)


def _protocol(text: str | None) -> int:
    try:
        return 0 if text is None else protocol(int(text) if text.isdecimal() else text)
    except Complaint as error:
        raise OperatorError(error.remarks[0].message, error.remarks[0].hint) from None


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise OperatorError(f"{quoted(text)} isn't an IP address") from None
