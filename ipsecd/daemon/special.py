"""What a plan tells IKEv1 alone, in the negotiation's own terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ipsecd.daemon.entrances import Entrances
from ipsecd.daemon.keyring import Keyring
from ipsecd.ike.v1.access import Client, Gateway, Handing, User
from ipsecd.ike.v1.special import Special
from ipsecd.policy.plan import ConfigClient, ConfigGateway, Peer, Plan, XauthClient, XauthGateway
from ipsecd.wire.selector import Address

IKEV1 = "ikev1"


def specials(plan: Plan, ring: Keyring, entrances: Entrances, ours: Iterable[Address]) -> dict[str, Special]:
    """By peer, for those that speak IKEv1 and lack nothing; ``ours`` are the addresses of this machine."""
    speak = [peer for peer in plan.peers if IKEV1 in peer.versions and not lacking(peer, ring)]
    own = tuple(ours)
    found = {peer.name: _special(peer, ring, entrances, own) for peer in speak}
    return _sharing(found)


def _sharing(found: dict[str, Special]) -> dict[str, Special]:
    """Rules that say the same of who comes in have the same: the negotiation tells by that whether who has come in by
    one has come in by another."""
    known: list[Client | Gateway] = []
    shared: dict[str, Special] = {}
    for name, special in found.items():
        access = next((each for each in known if each == special.access), special.access)
        if access is special.access and access is not None:
            known.append(access)
        shared[name] = replace(special, access=access)
    return shared


def lacking(peer: Peer, ring: Keyring) -> str:
    """Why this peer can't be proved, nor we to it; empty if both can be."""
    proofs = (*peer.certificates, *peer.shared_keys)
    if not any(_proves(name, peer, ring) for name in proofs):
        return "; ".join(f"credential {name}: {_why_not(name, ring)}" for name in proofs)
    match peer.xauth:
        case XauthClient(_, password) if password not in ring.keys:
            return f"credential {password}: {_why_not(password, ring)}"
        case XauthGateway(users) if users not in ring.users:
            return ring.user_problems.get(users, f"the users file {users} isn't read yet")
        case _:
            return ""


def _proves(name: str, peer: Peer, ring: Keyring) -> bool:
    if name in ring.keys:
        return True
    found = ring.certificates.get(name)
    return found is not None and (found.certified is not None or _is_hybrid_client(peer))


def _why_not(name: str, ring: Keyring) -> str:
    return "it has no certificate of ours" if name in ring.certificates else ring.problems.get(name, "not read yet")


def _is_hybrid_client(peer: Peer) -> bool:
    return isinstance(peer.xauth, XauthClient) and peer.xauth.hybrid


def _special(peer: Peer, ring: Keyring, entrances: Entrances, ours: tuple[Address, ...]) -> Special:
    found = [ring.certificates[name] for name in peer.certificates if name in ring.certificates]
    client = _is_hybrid_client(peer)
    return Special(
        shared_key=any(name in ring.keys for name in peer.shared_keys),
        certified=None if client else next((each.certified for each in found if each.certified is not None), None),
        certified_first=peer.certificates_first,
        hybrid=peer.xauth is not None and peer.xauth.hybrid,
        trust=found[0].trust if client and found else None,
        access=_access(peer, ring, entrances, ours),
        i_accept_names_in_clear=peer.accept_names_in_clear,
        i_accept_offline_guessing=peer.accept_offline_guessing,
    )


def _access(peer: Peer, ring: Keyring, entrances: Entrances, ours: tuple[Address, ...]) -> Client | Gateway | None:
    """Either side of it, as nobody comes in where others come in by him."""
    xauth, config = peer.xauth, peer.mode_config
    if isinstance(xauth, XauthGateway) or isinstance(config, ConfigGateway):
        gate = entrances.gate(xauth.users) if isinstance(xauth, XauthGateway) else None
        return Gateway(gate, _handing(config, entrances, ours) if isinstance(config, ConfigGateway) else None)
    if xauth is None and config is None:
        return None
    user = User(xauth.user, ring.keys[xauth.password]) if xauth is not None else None
    asked = config if config is not None else ConfigClient()
    return Client(user, asked.versions, asked.pushed)


def _handing(config: ConfigGateway, entrances: Entrances, ours: tuple[Address, ...]) -> Handing:
    pools = tuple(entrances.pool(network, ours) for network in config.pools)
    return Handing(pools, config.dns, config.nbns, config.subnets, config.push)
