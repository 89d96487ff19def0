"""The policy in force as plain values: rules, entries in order of precedence, peers. Credentials by name alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipsecd.policy.floor import entry_counters
from ipsecd.policy.plan import AhEspProposal, AhProposal, Child, ChildProposal, Entry, IkeProposal, Peer, Plan
from ipsecd.wire.registry import Encr

_VERSIONS = {"ikev2": "IKEv2", "ikev1": "IKEv1"}  # as SAs have them


def describe_plan(plan: Plan, counters: Mapping[str, int]) -> dict[str, Any]:
    """``counters`` are those of the kernel's table, by counter name."""
    counted = entry_counters(plan, counters)
    return {
        "policy": plan.policy,
        "rules": [
            {
                "name": rule.name,
                "description": rule.description,
                "action": rule.action_name,
                "peer": rule.peer,
                "line": rule.line,
            }
            for rule in plan.rules
        ],
        "entries": [
            _entry(entry) | {"steered": counted[entry.name].hits, "dropped": counted[entry.name].drops}
            for entry in plan.entries
        ],
        "peers": [_peer(peer) for peer in plan.peers],
        "unresolved": list(plan.unresolved),
        "exempt": list(plan.exempt.names),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    both = entry.outbound and entry.inbound
    return {
        "name": entry.name,
        "rule": entry.rule,
        "action": entry.action.value,
        "direction": "both" if both else "out" if entry.outbound else "in",
        "pairs": [[str(local), str(remote)] for local, remote in entry.pairs],
        "connections": entry.connections or "all",
        "child": entry.child,
        "passthrough": entry.passthrough,
        "line": entry.line,
    }


def _peer(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "local": str(peer.local) if peer.local else None,
        "remotes": [str(remote) for remote in peer.remotes],
        "remote_name": peer.remote_name,
        "anywhere": peer.anywhere,
        "each": peer.each,
        "responds": peer.responds,
        "local_id": str(peer.local_id) if peer.local_id else None,
        "remote_id": str(peer.remote_id) if peer.remote_id else None,
        "versions": [_VERSIONS[version] for version in peer.versions],
        "credentials": _credentials(peer),
        "proposals": [_ike_proposal(proposal) for proposal in peer.proposals],
        "keylog": peer.keylog,
        "children": [
            {
                "name": child.name,
                "local": [str(selector) for selector in child.local],
                "remote": [str(selector) for selector in child.remote],
                "proposals": [_child_proposal(proposal, child) for proposal in child.proposals],
                "start": child.start,
            }
            for child in peer.children
        ],
    }


def _credentials(peer: Peer) -> list[str]:
    """In the order in which we prove ourselves by them."""
    both = (peer.certificates, peer.shared_keys) if peer.certificates_first else (peer.shared_keys, peer.certificates)
    return [name for names in both for name in names]


def _ike_proposal(proposal: IkeProposal) -> dict[str, Any]:
    return {
        "encryption": _ciphers(proposal.encryption),
        "integrity": [str(integrity) for integrity in proposal.integrity],
        "groups": [str(group) for group in proposal.groups],
        "prf": [str(prf) for prf in proposal.prf],
    }


def _child_proposal(proposal: ChildProposal, child: Child) -> dict[str, Any]:
    """With ``ah``, the MACs of AH: alone, or around ESP."""
    if isinstance(proposal, AhEspProposal):
        return _child_proposal(proposal.esp, child) | {"ah": [str(integrity) for integrity in proposal.integrity]}
    signed, ciphers = (proposal.integrity, ()) if isinstance(proposal, AhProposal) else ((), proposal.encryption)
    return {
        "ah": [str(integrity) for integrity in signed],
        "encryption": _ciphers(ciphers),
        "integrity": [] if signed else [str(integrity) for integrity in proposal.integrity],
        "groups": [str(group) for group in proposal.groups],
        "esn": proposal.esn,
        "lifetime": (proposal.lifetime or child.lifetime).seconds,
    }


def _ciphers(encryption: tuple[tuple[Encr, int | None], ...]) -> list[str]:
    return [f"{cipher}-{bits}" if bits else str(cipher) for cipher, bits in encryption]
