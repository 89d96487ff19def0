"""What a policy may say and this release doesn't do yet. ``check`` notes it; ``run`` and ``reload`` refuse it, so that
nothing is ever half done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipsecd.errors import Mistake
from ipsecd.policy.actions import FilterAction
from ipsecd.policy.key_exchange import KeyExchange
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.names import FILTER_ACTIONS
from ipsecd.policy.paths import Path
from ipsecd.policy.proposals import NOT_YET
from ipsecd.policy.rules import Authentication, Rule
from ipsecd.policy.schema import Policy

Found = Iterator[tuple[Path, str]]  # where, and what isn't supported


def unsupported(policy_file: PolicyFile, policy: str | None = None) -> tuple[Mistake, ...]:
    """What the assigned policy, or the one of this name, uses and this release doesn't do, in file order."""
    name = policy or policy_file.content.assigned
    found: dict[tuple[Path, str], None] = {}
    versions = policy_file.content.policies[name].key_exchange.versions if name else KeyExchange().versions
    for where, rule in policy_file.persistent():
        found.update(dict.fromkeys(_rule(policy_file, where, rule, versions)))
    if name:
        found.update(dict.fromkeys(_policy(policy_file, name)))
    mistakes = (policy_file.mistake(path, f"not supported yet: {what}") for path, what in found)
    return tuple(sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column)))


def _policy(policy_file: PolicyFile, name: str) -> Found:
    policy: Policy = policy_file.content.policies[name]
    path: Path = ("policies", name)
    versions = policy.key_exchange.versions
    if policy.default_response is not None and policy.default_response.active:
        yield from _authentication((*path, "default_response"), policy.default_response.authentication, versions)
    yield from _key_exchange((*path, "key_exchange"), policy.key_exchange)
    for where, rule in policy_file.rules(name):
        yield from _rule(policy_file, where, rule, versions)


def _rule(policy_file: PolicyFile, where: Path, rule: Rule, versions: tuple[str, ...]) -> Found:
    action = policy_file.action(rule)
    if action.action == "negotiate":
        yield from _authentication(where, rule.authentication, versions)
        built_in = rule.action in FILTER_ACTIONS
        if not built_in:
            yield from _action(("filter_actions", rule.action), action)


def _key_exchange(path: Path, exchange: KeyExchange) -> Found:
    for index, proposal in enumerate(exchange.proposals):
        yield from _groups((*path, "proposals", index, "groups"), proposal.groups)


def _groups(path: Path, names: tuple[str, ...]) -> Found:
    for index, name in enumerate(names):
        if name in NOT_YET:
            yield (*path, index), name


def _authentication(path: Path, methods: Iterable[Authentication], versions: tuple[str, ...]) -> Found:
    """Certificates are by IKEv1 so far. Where IKEv2 is allowed too, a peer may call by it."""
    for index, method in enumerate(methods):
        if method.kerberos is not None:
            yield (*path, "authentication", index), "Kerberos"
        elif method.certificate is not None and "ikev2" in versions:
            yield (*path, "authentication", index), "certificates by IKEv2, which this policy allows"


def _action(path: Path, action: FilterAction) -> Found:
    if isinstance(action.pfs, tuple):
        yield from _groups((*path, "pfs"), action.pfs)
