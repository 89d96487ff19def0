"""From a draft of a Windows policy to a policy file of ours, and what is to be said of the differences."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from ipsecd import limits
from ipsecd.policy.complaint import Complaint, Remark, quoted
from ipsecd.policy.filters import Filter
from ipsecd.policy.importing.credentials import Credentials
from ipsecd.policy.importing.draft import Draft, Policy, Response, Rule, Traffic
from ipsecd.policy.importing.imported import Imported, Report
from ipsecd.policy.importing.joining import Tunnel, tunnels
from ipsecd.policy.importing.naming import Names
from ipsecd.policy.importing.offers import filter_action, proposals, response_methods
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS
from ipsecd.policy.nodes import Mark
from ipsecd.policy.paths import Value
from ipsecd.policy.traffic import PROTOCOLS, WITH_PORTS

_PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}


def carried(draft: Draft, report: Report) -> Imported:
    """The policy file that says the same, as far as it can. Raises ConfigError if the report has mistakes."""
    report.settle()
    return report.imported(_Carrier(draft, report).tree())


class _Carrier:
    """One import. Sections fill up as rules ask for what is in them."""

    def __init__(self, draft: Draft, report: Report) -> None:
        self._draft = draft
        self._report = report
        self._credentials = Credentials(report)
        self._lists: dict[str, list[Value]] = {}  # by their names in small letters, as the next two
        self._actions: dict[str, str | dict[str, Value]] = {}
        self._used: set[str] = set()  # lists that rules have asked for
        self._policy_names = Names("policy")
        self._list_names = Names("list", FILTER_LISTS)
        self._action_names = Names("action", FILTER_ACTIONS)

    def tree(self) -> dict[str, Value]:
        draft = self._draft
        policies: dict[str, Value] = {}
        for key, policy in draft.policies.items():
            policies[self._name(key, policy.name, policy.mark, self._policy_names)] = self._policy(policy)
        tree: dict[str, Value] = {"policies": policies}
        if draft.assigned:
            tree["assigned"] = self._policy_names.of(draft.assigned, "")
        sections: dict[str, dict[str, Value]] = {
            "credentials": self._credentials.section,
            "filter_lists": {self._list_names.of(key, ""): list(filters) for key, filters in self._lists.items()},
            "filter_actions": {
                self._action_names.of(key, ""): body for key, body in self._actions.items() if isinstance(body, dict)
            },
        }
        self._unused()
        return tree | {name: content for name, content in sections.items() if content}

    def _unused(self) -> None:
        for key, each in self._draft.lists.items():
            if key not in self._used:
                self._report.remark(each.mark, f"no rule uses the filter list {quoted(each.name)}: it is left out")
        for key, action in self._draft.actions.items():
            if key not in self._actions:
                self._report.remark(
                    action.mark, f"no rule uses the filter action {quoted(action.name)}: it is left out"
                )

    def _name(self, key: str, text: str, mark: Mark, names: Names) -> str:
        if names.knows(key):
            return names.of(key, text)
        name = names.of(key, text)
        if text and name != text.lower():
            self._report.remark(mark, f"{quoted(text)} is called {name} here")
        return name

    def _policy(self, policy: Policy) -> dict[str, Value]:
        body: dict[str, Value] = {"rules": self._rules(policy)}
        if policy.description:
            body["description"] = policy.description
        response = policy.response if policy.response is not None and policy.response.active else None
        if response is not None:
            body["default_response"] = self._response(response, policy.name)
        if response is not None or any(self._negotiates(rule) for rule in policy.rules):
            body["key_exchange"] = self._key_exchange(policy)
        if self._draft.exemptions is not None:
            body["exemptions"] = {"level": self._draft.exemptions}
        return body

    def _response(self, response: Response, owner: str) -> dict[str, Value]:
        methods = response_methods(response.offers, response.mark, self._report)
        return {**methods, "authentication": self._credentials.methods(response.proofs, owner)}

    def _key_exchange(self, policy: Policy) -> dict[str, Value]:
        told = "Windows of that time speaks IKEv1 alone: it is allowed, behind IKEv2"
        self._report.remark(policy.mark, told, "take ikev1 away where all peers speak IKEv2")
        body: dict[str, Value] = {"versions": ["ikev2", "ikev1"]}
        if policy.offers:
            body["proposals"] = proposals(policy.offers, policy.mark, self._report)
        else:
            message = "names no key exchange methods: ipsecd's own are offered, not Windows' 3DES and DES"
            self._report.remark(policy.mark, message)
        if policy.lifetime:
            body["lifetime"] = {"seconds": min(max(policy.lifetime, limits.MIN_LIFETIME), limits.MAX_LIFETIME)}
        if policy.master_key_pfs:
            body["master_key_pfs"] = True
        elif policy.sessions:
            body["sessions"] = min(policy.sessions, limits.MAX_CHILDREN_PER_IKE_SA)
        return body

    def _rules(self, policy: Policy) -> list[Value]:
        names = Names("rule")
        joined = tunnels([rule for rule in policy.rules if self._is_tunnel(rule)], self._filters, self._report)
        rules: list[Value] = []
        for rule in policy.rules:
            tunnel = joined.get(id(rule))
            if tunnel is None and id(rule) in joined:
                continue
            filters = [each for each in map(self._filter, tunnel.filters if tunnel else self._filters(rule)) if each]
            if not filters:
                self._report.remark(rule.mark, "this rule covers nothing that could be carried over: it is left out")
                continue
            name = names.fresh(rule.name or self._traffic_name(rule))
            if rule.name and name != rule.name.lower():
                self._report.remark(rule.mark, f"{quoted(rule.name)} is called {name} here")
            rules.append(self._rule(rule, name, filters, tunnel))
        return rules

    def _rule(self, rule: Rule, name: str, filters: list[dict[str, Value]], tunnel: Tunnel | None) -> dict[str, Value]:
        body: dict[str, Value] = {"name": name, "action": self._action(rule)}
        if rule.description:
            body["description"] = rule.description
        if not rule.active:
            body["enabled"] = False
        if tunnel is not None:
            body["filters"] = [
                {field: value for field, value in each.items() if field != "mirrored"} for each in filters
            ]
            body |= _ends(tunnel, name)
        elif rule.traffic_list:
            body["filter_list"] = self._list(rule, filters)
        else:
            body["filters"] = list(filters)
        if self._negotiates(rule):
            body["authentication"] = self._credentials.methods(rule.proofs, name)
        if rule.connections != "all":
            body["connections"] = rule.connections
        return body

    def _action(self, rule: Rule) -> str:
        key = rule.action.lower()
        action = self._draft.actions[key]
        if key not in self._actions:
            self._actions[key] = filter_action(action, self._report)
        body = self._actions[key]
        return body if isinstance(body, str) else self._name(key, action.name, action.mark, self._action_names)

    def _list(self, rule: Rule, filters: list[dict[str, Value]]) -> str:
        key = rule.traffic_list.lower()
        self._lists.setdefault(key, list(filters))
        found = self._draft.lists[key]
        return self._name(key, found.name, found.mark, self._list_names)

    def _negotiates(self, rule: Rule) -> bool:
        return self._draft.actions[rule.action.lower()].kind == "negotiate"

    def _is_tunnel(self, rule: Rule) -> bool:
        return bool(rule.tunnel) and self._negotiates(rule)

    def _filters(self, rule: Rule) -> list[Traffic]:
        if not rule.traffic_list:
            return rule.filters
        self._used.add(rule.traffic_list.lower())
        return self._draft.lists[rule.traffic_list.lower()].filters

    def _traffic_name(self, rule: Rule) -> str:
        return self._draft.lists[rule.traffic_list.lower()].name if rule.traffic_list else ""

    def _filter(self, each: Traffic) -> dict[str, Value]:
        """Empty, with a remark, if our grammar doesn't take it."""
        body: dict[str, Value] = {"source": each.source, "destination": each.destination}
        if each.protocol:
            body["protocol"] = _PROTOCOL_NAMES.get(each.protocol, each.protocol)
        for field, port in (("source_port", each.source_port), ("destination_port", each.destination_port)):
            if port and each.protocol in WITH_PORTS:
                body[field] = port
            elif port:
                self._report.remark(each.mark, f"{_protocol(each)} has no ports: {port} is left out")
        if not each.mirrored:
            body["mirrored"] = False
        if each.description:
            body["description"] = each.description
        try:
            Filter.model_validate(body)
        except ValidationError as error:
            for remark in (remark for found in error.errors() for remark in _remarks(found["ctx"]["error"])):
                self._report.remark(each.mark, f"this filter is left out: {remark.message}", remark.hint)
            return {}
        return body


def _remarks(error: Exception) -> tuple[Remark, ...]:
    return error.remarks if isinstance(error, Complaint) else (Remark(str(error)),)


def _protocol(each: Traffic) -> str:
    return f"protocol {each.protocol}" if each.protocol else "any protocol"


def _ends(tunnel: Tunnel, name: str) -> dict[str, Value]:
    """Where an end isn't known its identity has to be; until somebody writes it, one stands there that nobody has."""
    ends: dict[str, Value] = {"remote": tunnel.remote or "any"}
    if tunnel.local:
        ends["local"] = tunnel.local
    identity: dict[str, Value] = {}
    if not tunnel.local:
        identity["local"] = f"keyid:{name}"
    if not tunnel.remote:
        identity["remote"] = f"keyid:{name}"
    return {"tunnel": ends, **({"identity": identity} if identity else {})}
