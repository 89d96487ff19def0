"""A rule to its peer: who negotiates with whom, where they are, and how keys are made.

A rule without a tunnel has no peer of its own. Each pair of hosts that it covers does, and what stands here for such a
rule is what all of these are made after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ipsecd.policy import builtin, expand
from ipsecd.policy import plan as planned
from ipsecd.policy.addresses import TunnelEnd
from ipsecd.policy.identities import identity_of
from ipsecd.policy.key_exchange import KeyExchange
from ipsecd.policy.proposals import ENCRYPTION, GROUPS, INTEGRITY, PRF
from ipsecd.policy.remote_access import ModeConfig, Xauth
from ipsecd.policy.rules import Rule, Tunnel
from ipsecd.policy.schema import Policy
from ipsecd.wire.selector import Address, Selector

_FAMILIES: Final = {"ipv4": 4, "ipv6": 6}


def peer(rule: Rule, policy: Policy, around: expand.Surroundings) -> planned.Peer:
    """What identifies the rule's peer: it has no name and no children yet."""
    exchange = policy.key_exchange
    hosts = planned.Peer(
        name="",
        local=None,
        remotes=(),
        anywhere=False,
        remote_name="",
        remote_port=500,
        local_id=rule.identity.local,
        remote_id=rule.identity.remote,
        shared_keys=tuple(method.psk for method in rule.authentication if method.psk),
        proposals=ike_proposals(exchange),
        lifetime=planned.Lifetime(float(exchange.lifetime.seconds)),
        dpd=float(exchange.dpd),
        encapsulation=planned.Encapsulation(rule.encapsulation),
        fragmentation=exchange.fragmentation,
        sessions=1 if exchange.master_key_pfs else exchange.sessions,
        keylog=policy.keylog,
        children=(),
        connections=expand.CONNECTIONS[rule.connections],
        each=True,
        versions=exchange.versions,
        certificates=tuple(method.certificate for method in rule.authentication if method.certificate),
        certificates_first=rule.authentication[0].certificate is not None,
        accept_offline_guessing=rule.i_accept_offline_guessing_in_aggressive_mode,
        accept_names_in_clear=rule.i_accept_names_in_clear_in_aggressive_mode,
        xauth=_xauth(rule.xauth),
        mode_config=_mode_config(rule.mode_config),
    )
    return hosts if rule.tunnel is None else _between(hosts, rule.tunnel, around)


def ours(local: Iterable[Selector], me: Iterable[Address]) -> Iterator[Selector]:
    """What of these selectors is this machine's, address by address. A link-local address of IPv6 says nothing without
    its link (RFC 4007 section 6), so nobody is called from it."""
    callers = [Selector(address, address) for address in me if address.version == 4 or not address.is_link_local]
    both = (each.intersect(caller) for each in local for caller in callers)
    return (found for found in both if found is not None)


def ike_proposals(exchange: KeyExchange) -> tuple[planned.IkeProposal, ...]:
    """What is offered and accepted for an IKE SA."""
    return tuple(
        planned.IkeProposal(
            encryption=tuple(ENCRYPTION[name] for name in proposal.encryption),
            integrity=tuple(INTEGRITY[name] for name in proposal.integrity or ()),
            prf=tuple(PRF[name] for name in proposal.prf),
            groups=tuple(GROUPS[name] for name in proposal.groups),
        )
        for proposal in exchange.proposals or builtin.IKE_PROPOSALS
    )


def _xauth(given: Xauth | None) -> planned.XauthClient | planned.XauthGateway | None:
    if given is None:
        return None
    if given.users is not None:
        return planned.XauthGateway(given.users, given.hybrid)
    return planned.XauthClient(given.user or "", given.password or "", given.hybrid)


def _mode_config(given: ModeConfig | None) -> planned.ConfigClient | planned.ConfigGateway | None:
    if given is None:
        return None
    if given.pools is not None:
        return planned.ConfigGateway(given.pools, given.dns, given.nbns, given.subnets, given.push)
    return planned.ConfigClient(tuple(_FAMILIES[name] for name in given.request or ()), given.accept_push)


def _between(hosts: planned.Peer, tunnel: Tunnel, around: expand.Surroundings) -> planned.Peer:
    """The same with the two ends of a tunnel."""
    local, remotes, missing = _ends(tunnel, around)
    return replace(
        hosts,
        local=local,
        remotes=remotes,
        anywhere=tunnel.remote.is_any and not missing,
        remote_name=missing or tunnel.remote.name,
        remote_port=tunnel.remote_port,
        local_id=hosts.local_id or identity_of(tunnel.local),
        remote_id=hosts.remote_id or identity_of(tunnel.remote),
        each=False,
    )


def _ends(tunnel: Tunnel, around: expand.Surroundings) -> tuple[Address | None, tuple[Address, ...], str]:
    """Our address, the peer's, and the DNS name without which this peer can't be talked to now."""
    remotes = _end(tunnel.remote, around)
    if tunnel.local.is_any:
        return None, remotes, "" if remotes or tunnel.remote.is_any else tunnel.remote.name
    here = _end(tunnel.local, around)
    if not tunnel.remote.is_any:
        here = tuple(address for address in here if address.version in {remote.version for remote in remotes})
    if not here:
        return None, (), tunnel.local.name if remotes or tunnel.remote.is_any else tunnel.remote.name
    remotes = tuple(address for address in remotes if address.version == here[0].version)
    return here[0], remotes, ""


def _end(end: TunnelEnd, around: expand.Surroundings) -> tuple[Address, ...]:
    if end.address is not None:
        return (end.address,)
    return around.addresses(end.name) if end.name else ()
