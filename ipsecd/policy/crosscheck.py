"""What must agree across the fields of a policy file: names that are used exist, and rules are whole.

This looks at the tree as it was written, before the schema judges it and whatever else may be wrong with it, so that
one run shows all mistakes and no mistake makes others. What has the wrong shape is left to the schema.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ipsecd import limits
from ipsecd.policy.complaint import did_you_mean, quoted
from ipsecd.policy.crosscheck_v1 import PERSISTENT, check_certificates, check_v1, versions_of
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS, NEGOTIATION_FIELDS
from ipsecd.policy.nodes import Tree, items, mapping, text
from ipsecd.policy.paths import CREDENTIAL_KINDS, Path, Value
from ipsecd.policy.plan import DEFAULT_RESPONSE

_SUCH_AS = "such as authentication: [{psk: NAME}]"


@dataclass(frozen=True, slots=True)
class _Names:
    """What may be referred to. A kind is empty where the file gives none that is known."""

    credentials: Mapping[str, str]  # name to psk, certificate or kerberos
    bodies: Mapping[str, Value]  # of credentials
    whole_credentials: Collection[str]  # names that may be shown; others may be keys themselves
    filter_lists: Collection[str]
    filter_actions: Mapping[str, str]  # name to permit, block or negotiate


def crosscheck(tree: Tree) -> None:
    """Add the mistakes found to the tree's."""
    top = mapping(tree.value)
    lists, actions = mapping(top.get("filter_lists")), mapping(top.get("filter_actions"))
    policies, persistent = mapping(top.get("policies")), mapping(top.get("persistent"))
    _built_in(tree, "filter_lists", lists, FILTER_LISTS)
    _built_in(tree, "filter_actions", actions, FILTER_ACTIONS)
    credentials = {name: _credential_kind(body) for name, body in mapping(top.get("credentials")).items()}
    names = _Names(
        credentials=credentials,
        bodies=mapping(top.get("credentials")),
        whole_credentials=[name for name, kind in credentials.items() if kind],
        filter_lists={*FILTER_LISTS, *lists},
        filter_actions={name: text(body, "action") for name, body in actions.items()} | dict(FILTER_ACTIONS),
    )
    if isinstance(assigned := top.get("assigned"), str) and assigned not in policies:
        _unknown(tree, ("assigned",), "policy", assigned, policies)
    for name, body in policies.items():
        _rules(tree, ("policies", name, "rules"), mapping(body).get("rules"), names, versions_of(body))
        _default_response(tree, ("policies", name), mapping(body), names)
    _rules(tree, ("persistent", "rules"), persistent.get("rules"), names)


def _built_in(tree: Tree, section: str, given: Collection[str], built_in: Collection[str]) -> None:
    for name in built_in:
        if name in given:
            path = (section, name)
            tree.mistakes.append(tree.mistake(path, "is built in", "choose another name", tree.key(path)))


def _rules(
    tree: Tree, path: Path, rules: Value | None, names: _Names, versions: frozenset[str] | None = PERSISTENT
) -> None:
    first: dict[str, int] = {}
    for index, body in enumerate(items(rules)):
        if not isinstance(body, dict):
            continue
        where = (*path, index)
        if name := text(body, "name"):
            line = tree.mark((*where, "name")).line
            if name in first:
                message = f"another rule is called {quoted(name)}, in line {first[name]}"
                tree.complain((*where, "name"), message, "each rule of a policy needs a name of its own")
            first.setdefault(name, line)
        _rule(tree, where, body, names, versions)


def _rule(tree: Tree, where: Path, rule: dict[str, Value], names: _Names, versions: frozenset[str] | None) -> None:
    _filters(tree, where, rule, names)
    _authentication(tree, where, rule, names)
    action = text(rule, "action")
    if action and action not in names.filter_actions:
        _unknown(tree, (*where, "action"), "filter action", action, names.filter_actions)
    kind = names.filter_actions.get(action, "")
    if kind == "negotiate":
        _negotiation(tree, where, rule)
        _password(tree, where, rule, names)
        check_certificates(tree, where, rule, names.bodies)
        check_v1(tree, where, rule, versions)
    elif kind in ("permit", "block"):
        for field in NEGOTIATION_FIELDS:
            if field in rule:
                path = (*where, field)
                message = f"means nothing in a rule that is to {kind}"
                tree.mistakes.append(tree.mistake(path, message, "leave it out", tree.key(path)))


def _default_response(tree: Tree, path: Path, policy: dict[str, Value], names: _Names) -> None:
    response = policy.get("default_response")
    if not isinstance(response, dict):
        return
    where = (*path, "default_response")
    _authentication(tree, where, response, names)
    check_certificates(tree, where, response, names.bodies)
    if response.get("active", True) is False:
        return
    if response.get("authentication", []) == []:
        place = (*where, "authentication") if "authentication" in response else where
        tree.complain(place, "to answer needs authentication", _SUCH_AS)
    rules = policy.get("rules")
    for index, rule in enumerate(items(rules)):
        if text(rule, "name") == DEFAULT_RESPONSE:
            at = (*path, "rules", index, "name")
            tree.complain(at, "the default response rule of this policy is called so", "choose another name")


def _filters(tree: Tree, where: Path, rule: dict[str, Value], names: _Names) -> None:
    name = text(rule, "filter_list")
    if name and name not in names.filter_lists:
        _unknown(tree, (*where, "filter_list"), "filter list", name, names.filter_lists)
    if "filters" in rule and "filter_list" in rule:
        tree.complain((*where, "filter_list"), "a rule has either filters or a filter_list", "remove one of them")
    elif "filters" not in rule and "filter_list" not in rule:
        tree.complain(where, "a rule needs filters or a filter_list")


def _authentication(tree: Tree, where: Path, holder: dict[str, Value], names: _Names) -> None:
    for index, method in enumerate(items(holder.get("authentication"))):
        for kind in CREDENTIAL_KINDS:
            if name := text(method, kind):
                _credential(tree, (*where, "authentication", index, kind), name, kind, names)


def _password(tree: Tree, where: Path, rule: dict[str, Value], names: _Names) -> None:
    if name := text(rule.get("xauth"), "password"):
        _credential(tree, (*where, "xauth", "password"), name, "psk", names)


def _credential(tree: Tree, path: Path, name: str, kind: str, names: _Names) -> None:
    """What is wrong with naming this credential as one of this kind."""
    if name not in names.credentials:
        tree.complain(path, "there is no such credential", _meant(tree, name, names.whole_credentials))
    elif names.credentials[name] not in ("", kind):
        tree.complain(path, f"{quoted(name)} is another kind of credential", f"it is a {names.credentials[name]}")


def _negotiation(tree: Tree, where: Path, rule: dict[str, Value]) -> None:
    if rule.get("authentication", []) == []:
        place = (*where, "authentication") if "authentication" in rule else (*where, "action")
        tree.complain(place, "to negotiate needs authentication", _SUCH_AS)
    tunnel, identity = rule.get("tunnel"), mapping(rule.get("identity"))
    if "tunnel" not in rule:
        _hosts(tree, where, rule)
    if not isinstance(tunnel, dict):
        return
    local, remote = (text(tunnel, side).strip().lower() for side in ("local", "remote"))
    if remote == "any" and "remote" not in identity:
        hint = "such as identity: {remote: gw.branch.example}"
        tree.complain((*where, "tunnel", "remote"), "a peer from anywhere must be known by its identity", hint)
    if (local == "any" or "local" not in tunnel) and "local" not in identity:
        hint = "such as identity: {local: gw.hq.example}, or name the tunnel's local address"
        tree.complain((*where, "tunnel", "local"), "our address isn't known here, so our identity has to be", hint)
    if remote == "any" and rule.get("start") == "always":
        tree.complain((*where, "start"), "nobody can call a peer whose address isn't known", "leave it out")


def _hosts(tree: Tree, where: Path, rule: dict[str, Value]) -> None:
    """What means nothing without a tunnel: hosts find each other by their packets, each pair with child SAs of its
    own."""
    if rule.get("start") == "always":
        message = "without a tunnel nobody is called but by a packet"
        tree.complain((*where, "start"), message, "leave it out, or name the peer as tunnel: {remote: ...}")
    if rule.get("children") == "merged":
        message = "without a tunnel each pair of hosts has child SAs of its own, one for each filter"
        tree.complain((*where, "children"), message, "leave it out, or name the peer as tunnel: {remote: ...}")


def _unknown(tree: Tree, path: Path, kind: str, name: str, known: Collection[str]) -> None:
    tree.complain(path, f"there is no {kind} {quoted(name)}", _meant(tree, name, known))


def _meant(tree: Tree, name: str, known: Collection[str]) -> str:
    """A hint for mistakes that are shown; looking costs."""
    return did_you_mean(name, known) if len(tree.mistakes) < limits.MAX_MISTAKES else ""


def _credential_kind(body: Value) -> str:
    kinds = [kind for kind in CREDENTIAL_KINDS if kind in mapping(body)]
    return kinds[0] if len(kinds) == 1 else ""
