"""The two one-way rules that Windows needs for a tunnel, made the one rule that it is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ipsecd.policy.addresses import TunnelEnd, tunnel_end
from ipsecd.policy.importing.draft import Proof, Rule, Traffic
from ipsecd.policy.importing.imported import Report

Filters = Callable[[Rule], list[Traffic]]


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A rule and the ends of its tunnel; an end that the text doesn't name is empty. ``filters`` are written from our
    side."""

    rule: Rule
    filters: list[Traffic]
    local: str
    remote: str


def tunnels(rules: Iterable[Rule], filters: Filters, report: Report) -> dict[int, Tunnel | None]:
    """What becomes of each of these rules, which have a tunnel, by the identity of the object: a tunnel, or None for
    one that another has taken in."""
    left = list(rules)
    found: dict[int, Tunnel | None] = {}
    while left:
        rule = left.pop(0)
        back = next((other for other in left if _opposite(filters(rule), filters(other))), None)
        if back is None:
            found[id(rule)] = _single(rule, filters(rule), report)
            continue
        left.remove(back)
        out, into = (back, rule) if _comes_in(filters(rule)) else (rule, back)
        found |= {id(rule): None, id(back): None, id(out): _joined(out, into, filters, report)}
    return found


def _joined(out: Rule, into: Rule, filters: Filters, report: Report) -> Tunnel:
    report.remark(into.mark, f"joined with the rule of line {out.mark.line}: here one rule is for both directions")
    if not _goes_out(filters(out)):
        hint = f"if {into.tunnel} is the peer, exchange source and destination, and the tunnel's ends"
        report.remark(out.mark, f"taken for the way out, to the peer {out.tunnel}, as it stands first", hint)
    if _handling(out) != _handling(into):
        told = "its filter action, authentication and connections are those of the way out"
        report.remark(into.mark, told, f"line {out.mark.line}")
    local = into.tunnel
    if not _fit(tunnel_end(local), tunnel_end(out.tunnel)):
        told = f"{local} and {out.tunnel} can't be the two ends of one tunnel"
        report.remark(into.mark, told, "write tunnel.local, our address, and take identity.local away")
        local = ""
    return Tunnel(out, [replace(each, mirrored=True) for each in filters(out)], local, out.tunnel)


def _fit(one: TunnelEnd, other: TunnelEnd) -> bool:
    families = {end.address.version for end in (one, other) if end.address is not None}
    return one != other and len(families) < 2


def _single(rule: Rule, filters: list[Traffic], report: Report) -> Tunnel:
    if _comes_in(filters):
        report.remark(
            rule.mark,
            f"there is no rule for the way out of this tunnel, so who the peer at its other end is isn't known: "
            f"{rule.tunnel} is taken for our end",
            "write tunnel.remote and identity.remote",
        )
        return Tunnel(rule, [_from_our_side(each) for each in filters], local=rule.tunnel, remote="")
    report.remark(
        rule.mark,
        "there is no rule for the way back of this tunnel, which would name our end: "
        "what isn't mirrored is protected on its way out alone",
        "write tunnel.local, our address, and take identity.local away",
    )
    return Tunnel(rule, filters, local="", remote=rule.tunnel)


def _from_our_side(each: Traffic) -> Traffic:
    """A filter of a rule for what comes in. Without ``me`` one direction of it can't be said by itself: the source is
    our side."""
    return each if each.destination == "me" else replace(each.back(), mirrored=True)


def _opposite(one: list[Traffic], other: list[Traffic]) -> bool:
    """Whether the one's filters are the other's in the other direction, in whatever order."""
    return bool(one) and set(one) == {each.back() for each in other}


def _handling(rule: Rule) -> tuple[str, tuple[Proof, ...], str]:
    return rule.action.lower(), tuple(rule.proofs), rule.connections


def _goes_out(filters: list[Traffic]) -> bool:
    return any(each.source == "me" for each in filters)


def _comes_in(filters: list[Traffic]) -> bool:
    return not _goes_out(filters) and any(each.destination == "me" for each in filters)
