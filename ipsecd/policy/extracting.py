"""Some policies of a file with what they need, as a policy file of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ipsecd.policy.paths import CREDENTIAL_KINDS, Value

Section = dict[str, Value]


def extracted(tree: Section, names: Collection[str]) -> Section:
    """The policies of these names, and the credentials, filter lists and filter actions that their rules name. The
    assignment and the settings belong to a machine, and stay behind. ``tree`` is that of a good policy file."""
    policies = {name: body for name, body in _mapping(tree.get("policies")).items() if name in names}
    wanted: dict[str, set[str]] = {"credentials": set(), "filter_lists": set(), "filter_actions": set()}
    for policy in map(_mapping, policies.values()):
        wanted["credentials"].update(_credentials(_mapping(policy.get("default_response"))))
        for rule in map(_mapping, _list(policy.get("rules"))):
            wanted["credentials"].update(_credentials(rule))
            wanted["filter_lists"].add(str(rule.get("filter_list", "")))
            wanted["filter_actions"].add(str(rule.get("action", "")))
    sections = {
        section: {name: body for name, body in _mapping(tree.get(section)).items() if name in wanted[section]}
        for section in wanted
    }
    return {**{section: content for section, content in sections.items() if content}, "policies": policies}


def _credentials(holder: Section) -> Iterator[str]:
    for method in map(_mapping, _list(holder.get("authentication"))):
        yield from (str(method[kind]) for kind in CREDENTIAL_KINDS if kind in method)
    yield str(_mapping(holder.get("xauth")).get("password", ""))


def _mapping(value: Value | None) -> Section:
    return value if isinstance(value, dict) else {}


def _list(value: Value | None) -> list[Value]:
    return value if isinstance(value, list) else []
