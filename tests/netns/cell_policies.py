"""The policies of both gateways for all cells of the table of docs/policies.md at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ipsecd.policy.builtin import FILTER_ACTIONS
from tests.netns.cells import GATEWAYS, Layout, Rule
from tests.netns.pair import KEY
from tests.netns.places import GA_WAN
from tests.netns.policy_table import PEERS

_OURS = "gw.a.example"
_STRICT = "require-security"  # what b has, whatever a has there
_CREDENTIALS = ("peer", "refused")
_LASTING = {"lifetime": 86_400}  # a fallback that nothing but an event ends


def files_of_a(layout: Layout) -> dict[str, str]:
    return {"policy.yaml": policy_of_a(layout), "peer.psk": KEY, "refused.psk": f"another {KEY}"}


def policy_of_a(layout: Layout, *more: Mapping[str, Any]) -> str:
    """Two policies with the same rules, ``table`` and ``other``; in the first ``more`` besides."""
    policies = {"table": {"rules": [*_rules_of_a(layout), *more]}, "other": {"rules": [*_rules_of_a(layout)]}}
    written = {_written(layout, name): name for name in layout.used}
    own = {name: _definition(layout, action) for name, action in written.items() if name not in FILTER_ACTIONS}
    return _file("table", policies, own)


def _written(layout: Layout, action: str) -> str:
    """Its name in the file: one that isn't quite the table's is another."""
    lasting = "-lasting" if layout.actions[action].fallback_to_clear else ""
    return f"{action}{lasting}{'-by-ah' if _methods(layout, action) else ''}"


def _definition(layout: Layout, action: str) -> dict[str, Any]:
    given = layout.actions[action].model_dump(mode="json", exclude_defaults=True)
    lasting = {"fallback_to_clear": _LASTING} if layout.actions[action].fallback_to_clear else {}
    return given | lasting | _methods(layout, action)


def _methods(layout: Layout, action: str) -> dict[str, Any]:
    by_ah = layout.native == "AH" and layout.actions[action].action == "negotiate"
    return {"security_methods": [{"ah": {"integrity": "sha256"}}]} if by_ah else {}


def _rules_of_a(layout: Layout) -> Iterator[dict[str, Any]]:
    for rule in layout.rules():
        filters = [_filter(*pair) for pair in rule.pairs]
        ends = (_OURS, GA_WAN[rule.version]), (_theirs(rule), GATEWAYS[rule.peer][rule.version])
        negotiation = _negotiation(layout, rule, *ends) if rule.action in layout.negotiating else {}
        yield _rule(rule.name, _written(layout, rule.action), filters) | negotiation


def files_of_b(layout: Layout) -> dict[str, str]:
    """gb protects and permits for some kinds of peer as they do, for one refuses, and has no rule for others."""
    agreed = (_rule_of_b(layout, rule) for rule in layout.rules("protects", "lapses"))
    rules = [*(rule for rule in agreed if rule), _lapse(layout), *_refusing(layout)]
    strict = _written(layout, _STRICT)
    own = {} if strict in FILTER_ACTIONS else {strict: _definition(layout, _STRICT)}
    text = _file("far", {"far": {"rules": rules}}, own)
    return {"policy.yaml": text, "peer.psk": KEY, "refused.psk": f"no {KEY}"}


def _rule_of_b(layout: Layout, rule: Rule) -> dict[str, Any] | None:
    """The same as a's; none for what a blocks."""
    filters = list(_reversed(rule))
    if rule.action in layout.negotiating:
        return _rule(rule.name, _written(layout, _STRICT), filters) | _negotiation_of_b(layout, rule)
    return _rule(rule.name, "permit", filters) if layout.actions[rule.action].action == "permit" else None


def _lapse(layout: Layout) -> dict[str, Any]:
    """What this peer sends, by whatever rule, leaves it in clear; what comes to it doesn't come in clear. A filter for
    one direction stands before one for both. So does what one that refuses sends, where its rule covers that."""
    rules = [*layout.rules("lapses"), *(rule for rule in layout.rules("refuses") if not rule.tunnel)]
    filters = [{**each, "mirrored": False} for rule in rules for each in _reversed(rule)]
    return _rule("lapse", "permit", filters)


def _refusing(layout: Layout) -> Iterator[dict[str, Any]]:
    """The rules of b that a calls, and that another key is for."""
    for version, rule in {rule.version: rule for rule in layout.negotiated("refuses")}.items():
        filters = [_filter(f"10.8.{version}.0/24", "10.9.0.0/24")] if rule.tunnel else list(_reversed(rule))
        refusing = _rule(f"refuses-{version}", _written(layout, _STRICT), filters)
        yield refusing | _negotiation_of_b(layout, rule)


def _negotiation_of_b(layout: Layout, rule: Rule) -> dict[str, Any]:
    ends = (_theirs(rule), GATEWAYS[rule.peer][rule.version]), (_OURS, GA_WAN[rule.version])
    return _negotiation(layout, rule, *ends)


def _reversed(rule: Rule) -> Iterator[dict[str, Any]]:
    """Its filters as the peer has them."""
    for near, far in rule.pairs:
        yield _filter(far, GA_WAN[rule.version] if near == "me" else near)


def _theirs(rule: Rule) -> str:
    """The peer's name in IKE. Each of its tunnel ends is somebody else: of one identity the last IKE SA counts."""
    return f"gw{rule.version}.{PEERS.index(rule.peer)}.example"


def _negotiation(layout: Layout, rule: Rule, here: tuple[str, str], there: tuple[str, str]) -> dict[str, Any]:
    """Between two ends, each an identity and an address; without a tunnel hosts are known by their addresses."""
    asked: dict[str, Any] = {"authentication": [{"psk": "refused" if rule.peer == "refuses" else "peer"}]}
    if layout.native:
        asked["encapsulation"] = "native"
    if not rule.tunnel:
        return asked
    return asked | {
        "tunnel": {"local": here[1], "remote": there[1]},
        "identity": {"local": here[0], "remote": there[0]},
    }


def _rule(name: str, action: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "filters": filters, "action": action}


def _filter(source: str, destination: str) -> dict[str, Any]:
    return {"source": source, "destination": destination}


def _file(assigned: str, policies: Mapping[str, Any], actions: Mapping[str, Any]) -> str:
    credentials = {name: {"psk": {"file": f"{name}.psk"}} for name in _CREDENTIALS}
    text = {"assigned": assigned, "credentials": credentials, "filter_actions": actions, "policies": policies}
    return yaml.safe_dump(text, sort_keys=False)
