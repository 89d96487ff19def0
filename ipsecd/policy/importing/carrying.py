"""From a draft of a Windows policy to a policy file of ours, and what is to be said of the differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from ipsecd import limits
from ipsecd.policy.complaint import Complaint, Remark, quoted
from ipsecd.policy.filters import Filter
from ipsecd.policy.importing.draft import Draft, Policy, Response, Rule, Stores, Traffic
from ipsecd.policy.importing.imported import Imported, Report
from ipsecd.policy.importing.joining import Tunnel, tunnels
from ipsecd.policy.importing.naming import Names
from ipsecd.policy.importing.offers import filter_action, proposals, response_methods
from ipsecd.policy.importing.sharing import Shared
from ipsecd.policy.nodes import Mark
from ipsecd.policy.paths import Value
from ipsecd.policy.traffic import PROTOCOLS, WITH_PORTS

_PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}


def carried(stores: Stores, report: Report) -> Imported:
    """The policy file that says the same, as far as it can. Raises ConfigError if the report has mistakes."""
    report.settle()
    shared = Shared(report)
    local = _Carrier(stores.local, shared, report, stores.exemptions)
    persistent = _Carrier(stores.persistent, shared, report, stores.exemptions)
    policies = local.policies()
    rules, others = persistent.persistent_rules(), persistent.policies_besides()
    tree: dict[str, Value] = {"policies": policies | others}
    if stores.local.assigned:
        tree["assigned"] = list(policies)[list(stores.local.policies).index(stores.local.assigned)]
    if stores.boot:
        tree["boot"] = stores.boot
    if rules:
        tree["persistent"] = {"rules": rules}
    local.tell_unused()
    persistent.tell_unused()
    return report.imported(tree | shared.sections())


class _Carrier:
    """One store of an import."""

    def __init__(self, draft: Draft, shared: Shared, report: Report, exemptions: int | None) -> None:
        self._draft = draft
        self._shared = shared
        self._report = report
        self._exemptions = exemptions
        self._lists: dict[str, str] = {}  # by their names in small letters, what they are called in the policy file
        self._actions: dict[str, str] = {}
        self._in_tunnels: dict[str, str] = {}  # the same without what tunnels can't have
        self._used: set[str] = set()  # lists that rules have asked for

    def policies(self) -> dict[str, Value]:
        """All policies of the store, in their order, by their names in the policy file."""
        return {self._policy_name(policy): self._policy(policy) for policy in self._draft.policies.values()}

    def policies_besides(self) -> dict[str, Value]:
        """Those of the persistent store that aren't assigned there."""
        found: dict[str, Value] = {}
        for key, policy in self._draft.policies.items():
            if key != self._draft.assigned:
                told = "isn't assigned in the persistent store, so it holds nowhere: it is a policy like others here"
                self._report.remark(policy.mark, told, "move its rules under persistent to have them hold always")
                found[self._policy_name(policy)] = self._policy(policy)
        return found

    def persistent_rules(self) -> list[Value]:
        """The rules of the policy that is assigned in the persistent store."""
        policy = self._draft.policies.get(self._draft.assigned)
        if policy is None:
            return []
        self._report.remark(policy.mark, "its rules are under persistent, and hold whichever policy is assigned")
        if any((policy.offers, policy.lifetime, policy.sessions, policy.master_key_pfs)):
            told = "persistent rules have the key exchange of the policy that is assigned: their own is left out"
            self._report.remark(policy.mark, told)
        if policy.response is not None and policy.response.active:
            told = "the default response belongs to the policy that is assigned: that of the persistent one is left out"
            self._report.remark(policy.response.mark, told)
        return self._rules(policy)

    def tell_unused(self) -> None:
        """Say what no rule has asked for."""
        for key, each in self._draft.lists.items():
            if key not in self._used:
                self._report.remark(each.mark, f"no rule uses the filter list {quoted(each.name)}: it is left out")
        for key, action in self._draft.actions.items():
            if key not in self._actions and key not in self._in_tunnels:
                told = f"no rule uses the filter action {quoted(action.name)}: it is left out"
                self._report.remark(action.mark, told)

    def _policy_name(self, policy: Policy) -> str:
        name = self._shared.policy_names.fresh(policy.name)
        self._tell_name(policy.name, name, policy.mark)
        return name

    def _tell_name(self, text: str, name: str, mark: Mark) -> None:
        if text and name != text.lower():
            self._report.remark(mark, f"{quoted(text)} is called {name} here")

    def _policy(self, policy: Policy) -> dict[str, Value]:
        body: dict[str, Value] = {"rules": self._rules(policy)}
        if policy.description:
            body["description"] = policy.description
        response = policy.response if policy.response is not None and policy.response.active else None
        if response is not None:
            body["default_response"] = self._response(response, policy.name)
        if response is not None or any(self._negotiates(rule) for rule in policy.rules):
            body["key_exchange"] = self._key_exchange(policy)
        if self._exemptions is not None:
            body["exemptions"] = {"level": self._exemptions}
        return body

    def _response(self, response: Response, owner: str) -> dict[str, Value]:
        methods = response_methods(response.offers, response.mark, self._report)
        return {**methods, "authentication": self._shared.credentials.methods(response.proofs, owner)}

    def _key_exchange(self, policy: Policy) -> dict[str, Value]:
        body: dict[str, Value] = {"versions": self._versions(policy)}
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

    def _versions(self, policy: Policy) -> list[Value]:
        """Certificates are by IKEv1 alone as yet."""
        proofs = [proof for rule in policy.rules if self._negotiates(rule) for proof in rule.proofs]
        if policy.response is not None and policy.response.active:
            proofs += policy.response.proofs
        told = "Windows of that time speaks IKEv1 alone"
        if any(proof.kind == "certificate" for proof in proofs):
            told += ", and so does this policy: by IKEv2 certificates aren't supported yet"
            self._report.remark(policy.mark, told, "with pre-shared keys it could allow ikev2 too")
            return ["ikev1"]
        self._report.remark(
            policy.mark, f"{told}: it is allowed, behind IKEv2", "take ikev1 away where all peers speak IKEv2"
        )
        return ["ikev2", "ikev1"]

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
            self._tell_name(rule.name, name, rule.mark)
            rules.append(self._rule(rule, name, filters, tunnel))
        return rules

    def _rule(self, rule: Rule, name: str, filters: list[dict[str, Value]], tunnel: Tunnel | None) -> dict[str, Value]:
        body: dict[str, Value] = {"name": name, "action": self._action(rule)}
        if rule.description:
            body["description"] = rule.description
        if not rule.active:
            body["enabled"] = False
        if tunnel is not None:
            body |= {"filters": list(filters), **_ends(tunnel, name)}
        elif rule.traffic_list:
            body["filter_list"] = self._list(rule, filters)
        else:
            body["filters"] = list(filters)
        if self._negotiates(rule):
            body["authentication"] = self._shared.credentials.methods(rule.proofs, name)
        if rule.connections != "all":
            body["connections"] = rule.connections
        return body

    def _action(self, rule: Rule) -> str:
        key = rule.action.lower()
        action, known = self._draft.actions[key], self._actions
        if action.soft and self._is_tunnel(rule):
            told = "talks in clear where the tunnel's other end doesn't answer: that is for hosts alone, and left out"
            self._report.remark(rule.mark, told)
            action, known = replace(action, soft=False, soft_seconds=0), self._in_tunnels
        if key not in known:
            body = filter_action(action, self._report)
            known[key] = body if isinstance(body, str) else self._shared.actions.name(action.name, body)
            if not isinstance(body, str):
                self._tell_name(action.name, known[key], action.mark)
        return known[key]

    def _list(self, rule: Rule, filters: list[dict[str, Value]]) -> str:
        key = rule.traffic_list.lower()
        if key not in self._lists:
            found = self._draft.lists[key]
            self._lists[key] = self._shared.lists.name(found.name, list(filters))
            self._tell_name(found.name, self._lists[key], found.mark)
        return self._lists[key]

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
