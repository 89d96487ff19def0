"""What only IKEv1 has, and certificates, held against the rest of a policy file: part of ``crosscheck``.

IKEv2 has neither XAUTH nor mode config. Where a policy also allows IKEv2, a peer could call by it and come in without a
user; so a rule may have them only where IKEv1 is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ipsecd.policy.complaint import quoted
from ipsecd.policy.names import ACCESS, AGGRESSIVE
from ipsecd.policy.nodes import Tree, items, mapping, text
from ipsecd.policy.paths import Path, Value

Versions = frozenset[str] | None  # None: not to be told, as what stands there has the wrong shape
PERSISTENT: Final[Versions] = frozenset({"of whichever policy is assigned"})
_KNOWN: Final = frozenset({"ikev1", "ikev2"})
_DEFAULT: Final[Versions] = frozenset({"ikev2"})
_V1_ALONE: Final = "key_exchange: {versions: [ikev1]}"
_WITHOUT: Final = {"xauth": "would come in without a user", "mode_config": "would get no address"}
_CALLED: Final = {"xauth": "XAUTH", "mode_config": "mode config"}


def versions_of(policy: Value) -> Versions:
    """The versions of IKE that a policy allows."""
    given = mapping(policy).get("key_exchange", {})
    if not isinstance(given, dict):
        return None
    if "versions" not in given:
        return _DEFAULT
    named = [each if isinstance(each, str) else "" for each in items(given["versions"])]
    return frozenset(named) if named and _KNOWN.issuperset(named) else None


def check_v1(tree: Tree, where: Path, rule: dict[str, Value], versions: Versions) -> None:
    """Add what is wrong with what only IKEv1 has, in a rule that negotiates."""
    if versions is not None:
        _versions(tree, where, rule, versions)
    for option, kind in AGGRESSIVE.items():
        methods = [method for method in items(rule.get("authentication")) if isinstance(method, dict)]
        if rule.get(option) is True and methods and not any(kind in method for method in methods):
            other = next((each for each, of in AGGRESSIVE.items() if any(of in method for method in methods)), "")
            what = f"a {kind}" if kind == "certificate" else "a pre-shared key"
            tree.complain((*where, option), f"means nothing without {what}", other and f"write {other}")
    given = [name for name in ACCESS if isinstance(rule.get(name), dict)]
    if "tunnel" not in rule:
        for name in given:
            hint = "name the gateway, tunnel: {remote: ...}, or on the gateway, tunnel: {remote: any}"
            tree.complain((*where, name), "only through a tunnel does a host come in from elsewhere", hint)
    _sides(tree, where, rule, given)
    if mapping(rule.get("xauth")).get("hybrid") is True:
        _hybrid(tree, where, rule)


def _versions(tree: Tree, where: Path, rule: dict[str, Value], versions: frozenset[str]) -> None:
    persistent = versions is PERSISTENT
    mine = "the policy that is assigned says by which version keys are negotiated" if persistent else ""
    for option in AGGRESSIVE:
        if rule.get(option) is True and "ikev1" not in versions:
            message = "only IKEv1 has aggressive mode, and this policy doesn't allow IKEv1"
            hint = "leave it out, or put the rule into a policy" if persistent else f"leave it out, or {_V1_ALONE}"
            tree.complain((*where, option), f"only IKEv1 has aggressive mode, and {mine}" if mine else message, hint)
    for name in ACCESS:
        if name in rule and versions != {"ikev1"}:
            message = f"only IKEv1 has {_CALLED[name]}: who calls by IKEv2 {_WITHOUT[name]}"
            hint = "put the rule into a policy" if persistent else f"give this policy {_V1_ALONE}"
            tree.complain((*where, name), f"only IKEv1 has {_CALLED[name]}, and {mine}" if mine else message, hint)


def _sides(tree: Tree, where: Path, rule: dict[str, Value], given: list[str]) -> None:
    sides = {name: side for name in given if (side := _side(mapping(rule[name])))}
    if len({*sides.values()}) > 1:
        message = f"this is for a {sides['mode_config']}, and xauth is for a {sides['xauth']}"
        tree.complain((*where, "mode_config"), message, "a rule is for one of the two sides")
    clients = [name for name in given if sides.get(name) == "client"]
    if clients and text(rule.get("tunnel"), "remote").strip().lower() == "any":
        message = "a client calls its gateway, whose address has to be known"
        tree.complain((*where, "tunnel", "remote"), message, "the gateway's address or DNS name")


def _side(settings: dict[str, Value]) -> str:
    """Which side has these settings; empty where they contradict themselves, which the schema says."""
    client = "user" in settings or "request" in settings or settings.get("accept_push") is True
    gateway = "users" in settings or "pools" in settings
    return "" if client == gateway else "client" if client else "gateway"


def _hybrid(tree: Tree, where: Path, rule: dict[str, Value]) -> None:
    methods = items(rule.get("authentication"))
    for index, method in enumerate(methods):
        if "psk" in mapping(method):
            message = "with hybrid neither side proves itself by a key"
            tree.complain((*where, "authentication", index), message, "name a certificate, or leave hybrid out")


def check_certificates(tree: Tree, where: Path, holder: dict[str, Value], credentials: Mapping[str, Value]) -> None:
    """Add what certificates lack for what they are to prove. ``credentials`` are the bodies of all there are."""
    xauth = mapping(holder.get("xauth"))
    hybrid = _side(xauth) if xauth.get("hybrid") is True else ""
    for index, method in enumerate(items(holder.get("authentication"))):
        name = text(method, "certificate")
        body = mapping(credentials.get(name)).get("certificate")
        if not isinstance(body, dict):
            continue
        path = (*where, "authentication", index, "certificate")
        if hybrid != "client" and "chain" not in body and "key" not in body:
            message = f"{quoted(name)} has no certificate of our own"
            tree.complain(path, message, "add chain and key to it; authorities alone are for clients with hybrid")
        if hybrid != "gateway" and not body.get("authorities"):
            message = f"{quoted(name)} names no authority, so that no peer's certificate would be believed"
            tree.complain(path, message, "add authorities to it")
