"""Who may be talked to in clear by a rule with a tunnel: its far end itself, and nobody behind it.

An exception is for exactly the peer that was called and gives no answer ([MS-GPIPSEC] section 2.2.1.4.1). What lies
behind a gateway isn't the gateway, and a peer that calls from anywhere is never called.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecd.errors import Mistake
from ipsecd.policy.addresses import AddressSet, Kind, TunnelEnd
from ipsecd.policy.halves import Halves, halves
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Path
from ipsecd.policy.rules import Rule, Tunnel


def reaching_too_far(policy_file: PolicyFile) -> Iterator[Mistake]:
    """What is wrong with rules that would talk in clear to others."""
    for policy in (None, *policy_file.content.policies):
        known = halves(policy_file, policy)
        for path, rule in policy_file.rules(policy) if policy else policy_file.persistent():
            if rule.tunnel is not None and policy_file.action(rule).fallback_to_clear is not None:
                yield from _of_rule(policy_file, path, rule, rule.tunnel, known)


def _of_rule(policy_file: PolicyFile, path: Path, rule: Rule, tunnel: Tunnel, known: Halves) -> Iterator[Mistake]:
    if tunnel.remote.is_any:
        message = "only a peer that can be called may be talked to in clear, and this one calls from anywhere"
        yield policy_file.mistake((*path, "action"), message, "an action without fallback_to_clear")
        return
    for number, (place, each) in enumerate(policy_file.filters(path, rule), start=1):
        half = known.get(f"{rule.name}/{number}")
        side = "source" if each.destination.kind is Kind.ME or half else "destination"
        if not _is_end(getattr(each, side), tunnel.remote):
            message = f"only {tunnel.remote} itself may be talked to in clear, and this is for others"
            hint = "an action without fallback_to_clear, or a rule without a tunnel if these are hosts that negotiate"
            at = (*place, side) if place[:1] == path[:1] else (*path, "filter_list")
            yield policy_file.mistake(at, message, hint)


def _is_end(addresses: AddressSet, end: TunnelEnd) -> bool:
    if end.address is not None:
        return addresses.first == addresses.last == end.address
    return addresses.kind is Kind.NAME and addresses.text == end.name
