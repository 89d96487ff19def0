"""Which filter decides about a packet, and what that means for it now: ``ipsecctl explain``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ipsecd.daemon.attempts import Attempts
from ipsecd.daemon.protection import Protection
from ipsecd.errors import OperatorError
from ipsecd.ike.narrowing import show
from ipsecd.ike.status import ChildSaStatus, IkeSaStatus
from ipsecd.ipsec.selectors import ONE_FIELD, Flow, SaSelectors
from ipsecd.policy.complaint import Complaint
from ipsecd.policy.deciding import Way
from ipsecd.policy.judging import Here, Judgement, Verdict, judge, ways
from ipsecd.policy.plan import DEFAULT_RESPONSE, Entry, Plan
from ipsecd.policy.traffic import WITH_PORTS, icmp_number, icmp_type, protocol
from ipsecd.printable import quoted
from ipsecd.wire.hostpair import pair_id, pair_name
from ipsecd.wire.selector import Address

_OWN_SOURCE = "its source is an address of this machine: with --in the source is the remote side"


def explain(
    protection: Protection | None, here: Here, flow: Flow, attempts: Attempts, *, arriving: bool
) -> dict[str, Any]:
    """What becomes of a packet as it arrives (``inbound``) and as it leaves (``outbound``), as far as it does; a packet
    that is forwarded does both, and with ``arriving`` only the first is told."""
    found = ways(flow, here, arriving=arriving)
    told: dict[str, Any] = {"packet": "forwarded" if found[0].forwarded else found[0].value}
    for way in found:
        told["outbound" if way.outbound else "inbound"] = _told(protection, flow, way, here, attempts)
    if arriving and flow.addresses()[0] in here.ours and found == (Way.ENTERING,):
        told["inbound"]["why"] = "; ".join(filter(None, (told["inbound"]["why"], _OWN_SOURCE)))
    return told


def _told(protection: Protection | None, flow: Flow, way: Way, here: Here, attempts: Attempts) -> dict[str, Any]:
    if protection is None:
        return {"verdict": Verdict.CLEAR.value, "why": "no policy is assigned", "runners_up": []}
    plan = protection.plan
    judgement = judge(plan, flow, way, here._replace(excepted=protection.soft.remotes()))
    told: dict[str, Any] = {"verdict": judgement.verdict.value, "why": judgement.why}
    if judgement.winner is not None:
        told |= _named(judgement.winner)
    told["runners_up"] = [_named(entry) | {"why": why} for entry, why in judgement.runners_up]
    if judgement.child:
        told |= {"child": judgement.child, "peer": _peer(plan, judgement)}
        soft = judgement.verdict is Verdict.SOFT
        now = _in_clear(protection, judgement, flow) if soft else _protection(protection, judgement, flow, attempts)
        told["why"] = f"{now}; {judgement.why}" if judgement.why else now
    return told


def _named(entry: Entry) -> dict[str, Any]:
    return {"rule": entry.rule, "entry": entry.name, "line": entry.line, "action": entry.action.value}


def _peer(plan: Plan, judgement: Judgement) -> str:
    protecting = judgement.winner.rule if judgement.winner else ""
    return next((rule.peer for rule in plan.rules if rule.name == protecting), "")


def _protection(protection: Protection, judgement: Judgement, flow: Flow, attempts: Attempts) -> str:
    """What becomes of a packet that this child is to protect. The peer may have narrowed the selectors of an SA."""
    (key, name), outbound = _child(protection, judgement, flow), judgement.way.outbound
    sas = protection.sas()
    up = [(sa, each) for sa in sas for each in sa.children if each.id == key and each.stage == "up"]
    by = next(((sa, each) for sa, each in reversed(up) if _holds(each, flow, outbound=outbound)), None)
    only = "; ".join(dict.fromkeys(f"{show(each.local)} = {show(each.remote)}" for _, each in up))
    if not outbound:
        why = f"the SAs there are carry only {only}" if up else "there is no SA to come by"
        protected = f"inside {by[1].protocol} from {by[0].far_end(by[1])} alone" if by else ""
        if judgement.clear_too:
            return f"accepted in clear; {protected}" if protected else f"accepted in clear alone: {why}"
        if protected:
            return f"accepted {protected}"
        return f"dropped: {why}" if up else f"dropped: {why}{_attempted(protection, judgement, flow, sas, attempts)}"
    if by:
        return f"leaves inside {by[1].protocol} to {by[0].far_end(by[1])}{_in_vain(judgement, flow, attempts)}"
    if up:
        return f"dropped unless the peer allows an SA for it: those there are carry only {only}"
    attempted = _attempted(protection, judgement, flow, sas, attempts)
    return _without_sa(protection, judgement, key, name) or f"held back until an SA is negotiated{attempted}"


def _attempted(
    protection: Protection, judgement: Judgement, flow: Flow, sas: Iterable[IkeSaStatus], attempts: Attempts
) -> str:
    """What became of the last attempts to have an SA for it."""
    winner = judgement.winner
    if winner is None or winner.rule == DEFAULT_RESPONSE:
        return ""
    remote = flow.addresses()[1 if judgement.way.outbound else 0] if winner.each else None
    told = attempts.told(sas, winner.rule, _peer(protection.prepared.plan, judgement), remote)
    return f" ({told})" if told else ""


def _in_vain(judgement: Judgement, flow: Flow, attempts: Attempts) -> str:
    """That its SA leads nowhere, if the network says so."""
    if judgement.winner is None:
        return ""
    told = attempts.in_vain(judgement.winner.rule, flow.addresses()[1] if judgement.winner.each else None)
    return f", but {told}" if told else ""


def _without_sa(protection: Protection, judgement: Judgement, key: str, name: str) -> str:
    """What becomes of a packet that is to leave if its child, of this identifier and name, has no SA and none is
    negotiated; else empty."""
    prepared = protection.prepared
    if judgement.winner is not None and judgement.winner.rule == DEFAULT_RESPONSE:
        return "dropped for another moment: the SA that was there is gone"
    if unusable := prepared.unusable.get(_peer(prepared.plan, judgement), ""):
        return f"dropped for now: {unusable}"
    return f"dropped: it was put down by command (ipsecctl up {name})" if protection.negotiation.held(key) else ""


def _child(protection: Protection, judgement: Judgement, flow: Flow) -> tuple[str, str]:
    """The identifier and the name of the child that protects the packet, which may be one of its two hosts."""
    key, name = protection.prepared.ids[judgement.child], judgement.child
    if judgement.winner is None or not judgement.winner.each:
        return key, name
    source, destination = flow.addresses()
    local, remote = (source, destination) if judgement.way.outbound else (destination, source)
    return pair_id(key, local, remote), pair_name(name, remote)


def _in_clear(protection: Protection, judgement: Judgement, flow: Flow) -> str:
    """What becomes of a packet whose peer has a soft SA."""
    here, there = flow.addresses()
    remote, does = (there, "leaves") if judgement.way.outbound else (here, "accepted")
    left = protection.soft.left(remote) or 0.0
    return f"{does} in clear by a soft SA for another {left:.0f} s: the peer doesn't answer"


def _holds(child: ChildSaStatus, flow: Flow, *, outbound: bool) -> bool:
    selectors = SaSelectors(child.local, child.remote)
    return selectors.hold_outbound(flow) if outbound else selectors.hold_inbound(flow)


def flow_of(arguments: Mapping[str, Any]) -> Flow:
    """The packet that is asked about. Raises OperatorError for what no packet can be."""
    source, destination = _address(arguments["source"]), _address(arguments["destination"])
    if source.version != destination.version:
        raise OperatorError("source and destination are of different IP versions")
    number = _protocol(arguments.get("protocol"))
    here, there = arguments.get("source_port"), arguments.get("destination_port")
    kind, code = arguments.get("icmp_type"), arguments.get("icmp_code")
    if (here, there) != (None, None) and number not in WITH_PORTS:
        hint = "it has a type, and perhaps a code" if number in ONE_FIELD else "tcp and udp have"
        raise OperatorError("that protocol has no ports", hint)
    if (kind, code) != (None, None) and number not in ONE_FIELD:
        raise OperatorError("that protocol has no types and codes", "icmp and icmpv6 have")
    if kind is None and code is not None:
        raise OperatorError("a code needs a type")
    if kind is not None:
        here = _type(number, kind) * 256 + (code or 0)  # RFC 4301 section 4.4.1.1
    return Flow.build(source, destination, number, here, there)


def _type(protocol: int, text: str) -> int:
    """The number of an ICMP message, which may be named."""
    if text.isascii() and text.isdecimal() and int(text) > 255:
        raise OperatorError(f"{text} is no type of that protocol", "it has types from 0 to 255")
    try:
        found = icmp_number(protocol, icmp_type(int(text) if text.isascii() and text.isdecimal() else text))
    except Complaint as error:
        raise OperatorError(error.remarks[0].message, error.remarks[0].hint) from None
    if found is None:
        raise OperatorError(f"that protocol has no message called {quoted(text)}", "icmp and icmpv6 have their own")
    return found


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
