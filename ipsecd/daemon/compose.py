"""What the plan of a policy means to the negotiation and to the data plane, in their own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ipsecd.daemon.identifiers import Ids
from ipsecd.daemon.keyring import Keyring
from ipsecd.daemon.special import IKEV1, lacking
from ipsecd.errors import LocalError, OperatorError
from ipsecd.ike import config as ike
from ipsecd.ike.menus import child_menus, ike_menus
from ipsecd.ike.negotiate import offer
from ipsecd.ike.reports import rules_of
from ipsecd.ike.v1.special import Special
from ipsecd.ipsec.spd import BYPASS, DISCARD, PROTECT, SpdEntry
from ipsecd.ipsec.tunnel import AS_INNER, OuterHeader
from ipsecd.policy import response
from ipsecd.policy.plan import (
    Action,
    AhEspProposal,
    AhProposal,
    Child,
    ChildProposal,
    EspProposal,
    Lifetime,
    Peer,
    Plan,
)
from ipsecd.wire.bodies import encode_body

_ACTIONS = {Action.PERMIT: BYPASS, Action.BLOCK: DISCARD, Action.PROTECT: PROTECT}
_VERSIONS = {"ikev2": ike.Version.IKEV2, IKEV1: ike.Version.IKEV1}


def ike_config(plan: Plan, ring: Keyring, ids: Ids, specials: Mapping[str, Special]) -> ike.IkeConfig:
    """What the negotiation is told; ``ring`` has the credentials that could be had, ``specials`` what peers that speak
    IKEv1 are told besides, by their names.

    Peers that ``unusable`` names are left out: nothing is negotiated with them, while the SPD goes on protecting what
    they should carry, so it doesn't leave at all.
    """
    broken = unusable(plan, ring)
    whole = [peer for peer in plan.peers if peer.name not in broken]
    peers = tuple(_peer(peer, ring, ids, specials) for peer in whole if not peer.each)
    hosts = tuple(_hosts(peer, ring, ids, specials) for peer in whole if peer.each)
    return ike.IkeConfig(peers, hosts, plan.ike_port, plan.natt_port, plan.cookie_threshold)


def check_offers(config: ike.IkeConfig) -> None:
    """Raises OperatorError for offers that don't fit into an SA payload (RFC 7296 section 3.3): told before anything is
    changed, and not by the first packet. Of what failed its self-test nothing is offered, and only its rules suffer.
    IKEv1 offers as much as fits."""
    known: tuple[ike.Peer | ike.Hosts, ...] = (*config.peers, *config.hosts)
    for peer in (each for each in known if ike.Version.IKEV2 in each.versions):
        offers = [offer(ike_menus(peer.proposals), b"")]
        offers += [offer(child_menus(child.proposals, pfs=True), bytes(4)) for child in peer.children]
        try:
            for each in offers:
                if each.proposals:
                    encode_body(each)
        except LocalError as error:
            what = f"rule {rules_of(peer)}: what it offers doesn't fit into a message: {error}"
            raise OperatorError(what, "fewer algorithms, or fewer security methods") from error


def unusable(plan: Plan, ring: Keyring) -> dict[str, str]:
    """The peers that nothing can be negotiated with now, and why."""
    found: dict[str, str] = {}
    for peer in plan.peers:
        if lack := lacking(peer, ring):
            found[peer.name] = lack
        elif not (peer.remotes or peer.anywhere or peer.each):
            found[peer.name] = f"{peer.remote_name} has no address now"
    return found


def spd_entries(plan: Plan, ids: Ids) -> tuple[SpdEntry, ...]:
    """The entries of the SPD in order of precedence (RFC 4301 section 4.4.1), but for those of ``me`` on a machine that
    has no address, and for those of cleartext alone. What the default response may protect stands there from the
    beginning, behind all rules: the floor hands over no packet of a host that hasn't asked, and if one came, it would
    find no SA."""
    headers = {child.name: OuterHeader(child.dscp, child.df) for peer in plan.peers for child in peer.children}
    answering = tuple(
        response.entry(child.name, child, response.facing(child.local, child.remote))
        for child in response.patterns(plan)
    )
    return tuple(
        SpdEntry(
            entry.name,
            entry.rule,
            _ACTIONS[entry.action],
            entry.pairs,
            ids[entry.child] if entry.child else "",
            entry.outbound,
            entry.inbound,
            headers.get(entry.child, AS_INNER),
            entry.each,
        )
        for entry in response.answered(plan, answering).entries
        if entry.pairs and entry.inside_too
    )


def _peer(peer: Peer, ring: Keyring, ids: Ids, specials: Mapping[str, Special]) -> ike.Peer:
    if peer.local_id is None or peer.remote_id is None:
        raise LocalError(f"peer {peer.name} has no identity")
    return ike.Peer(
        name=peer.name,
        local=peer.local,
        remotes=peer.remotes,
        local_id=peer.local_id,
        remote_id=peer.remote_id,
        shared_keys=_shared_keys(peer, ring),
        proposals=_proposals(peer),
        children=_children(peer, ids),
        remote_port=peer.remote_port,
        lifetime=_lifetime(peer.lifetime),
        dpd=peer.dpd,
        encapsulation=ike.Encapsulation(peer.encapsulation.value),
        fragmentation=peer.fragmentation,
        sessions=peer.sessions,
        keylog=peer.keylog,
        within=peer.within,
        versions=_versions(peer),
        special=specials.get(peer.name),
    )


def _hosts(peer: Peer, ring: Keyring, ids: Ids, specials: Mapping[str, Special]) -> ike.Hosts:
    return ike.Hosts(
        name=peer.name,
        local_id=peer.local_id,
        remote_id=peer.remote_id,
        shared_keys=_shared_keys(peer, ring),
        proposals=_proposals(peer),
        children=tuple(replace(child, transport=True) for child in _children(peer, ids)),
        responds=peer.responds,
        lifetime=_lifetime(peer.lifetime),
        dpd=peer.dpd,
        encapsulation=ike.Encapsulation(peer.encapsulation.value),
        fragmentation=peer.fragmentation,
        sessions=peer.sessions,
        keylog=peer.keylog,
        versions=_versions(peer),
        special=specials.get(peer.name),
    )


def _versions(peer: Peer) -> tuple[ike.Version, ...]:
    return tuple(_VERSIONS[version] for version in peer.versions)


def _shared_keys(peer: Peer, ring: Keyring) -> tuple[ike.SharedKey, ...]:
    return tuple(ike.SharedKey(name, ring.keys[name]) for name in peer.shared_keys if name in ring.keys)


def _proposals(peer: Peer) -> tuple[ike.IkeProposal, ...]:
    return tuple(
        ike.IkeProposal(proposal.encryption, proposal.integrity, proposal.prf, proposal.groups)
        for proposal in peer.proposals
    )


def _children(peer: Peer, ids: Ids) -> tuple[ike.Child, ...]:
    return tuple(_child(child, ids[child.name]) for child in peer.children)


def _child(child: Child, identifier: str) -> ike.Child:
    return ike.Child(
        id=identifier,
        name=child.name,
        rule=child.rule,
        local=child.local,
        remote=child.remote,
        proposals=tuple(_child_proposal(proposal) for proposal in child.proposals),
        lifetime=_lifetime(child.lifetime),
        idle=child.inactivity,
        start=child.start,
        fallback=child.fallback.after if child.fallback else None,
        tfc=child.tfc,
    )


def _child_proposal(proposal: ChildProposal) -> ike.ChildProposal:
    match proposal:
        case EspProposal():
            return _esp_proposal(proposal)
        case AhProposal(integrity, groups, esn, lifetime):
            return ike.AhProposal(integrity, groups, esn, _lifetime(lifetime) if lifetime else None)
        case AhEspProposal(integrity, esp):
            return ike.AhEspProposal(integrity, _esp_proposal(esp))


def _esp_proposal(proposal: EspProposal) -> ike.EspProposal:
    return ike.EspProposal(
        proposal.encryption,
        proposal.integrity,
        proposal.groups,
        proposal.esn,
        _lifetime(proposal.lifetime) if proposal.lifetime else None,
    )


def _lifetime(lifetime: Lifetime) -> ike.Lifetime:
    return ike.Lifetime(lifetime.seconds, lifetime.octets, lifetime.packets)
