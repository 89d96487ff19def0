"""From the policy file on disk to everything needed to put it in force: plan, keys, our own addresses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ipsecd.daemon.assignment import Assigned
from ipsecd.daemon.compose import check_offers, ike_config, spd_entries, unusable
from ipsecd.daemon.entrances import Entrances
from ipsecd.daemon.identifiers import Ids
from ipsecd.daemon.keyring import Keyring, gather
from ipsecd.daemon.nearby import in_reach, reach
from ipsecd.daemon.policy_text import read_text
from ipsecd.daemon.special import specials
from ipsecd.daemon.surroundings import Surroundings
from ipsecd.ike.config import IkeConfig
from ipsecd.ipsec.spd import Spd, SpdEntry
from ipsecd.policy.connections import Interfaces
from ipsecd.policy.diff import PlanDiff, diff
from ipsecd.policy.floor import ruleset
from ipsecd.policy.load import load_policy
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.plan import Entry, Peer, Plan, XauthGateway
from ipsecd.policy.planning import plan as make_plan
from ipsecd.policy.reach import Reach, out_of_reach, reached
from ipsecd.policy.response import answered
from ipsecd.wire.selector import Address


@dataclass(frozen=True, slots=True)
class Outline:
    """A policy as far as it goes without any key, which is as far as the floor needs it. ``assigned`` says which policy
    of the file it is, and who wants it; ``names`` are the DNS names it depends on, ``sets`` the well-known sets;
    ``outside`` the interfaces that lead to the peers and to everybody else, unless the policy says which are inside,
    and ``interfaces`` all of them, by type of connection; ``reach`` has the addresses that such types lead to, if the
    plan asks for types; ``absent`` has the peers whose ``tunnel.local`` isn't an
    address of this machine, and says so, ``away`` those that are reached by another type of connection than their rules
    are for."""

    file: PolicyFile
    assigned: Assigned
    plan: Plan
    floor: str
    names: frozenset[str]
    sets: frozenset[str]
    outside: tuple[str, ...]
    interfaces: Interfaces
    reach: Reach
    absent: dict[str, str]
    away: dict[str, str]

    @property
    def around(self) -> tuple[object, ...]:
        """All that may change while the file doesn't."""
        return self.plan, self.outside, self.interfaces, self.reach, self.absent, self.away

    def floor_with(self, entries: tuple[Entry, ...]) -> str:
        """The floor that protects what hosts have negotiated by the default response, too."""
        return ruleset(answered(self.plan, entries), self.outside, self.interfaces) if entries else self.floor


@dataclass(frozen=True, slots=True)
class Prepared(Outline):
    """A policy ready to be put in force. ``ids`` are what its children are known by to the negotiation and the data
    plane; ``unusable`` has the peers that can't be negotiated with, and why."""

    ids: Ids
    ring: Keyring
    entries: tuple[SpdEntry, ...]
    config: IkeConfig
    unusable: dict[str, str]


def read_policy(path: Path) -> PolicyFile:
    """The policy file, checked. Raises ConfigError with all mistakes, or OperatorError if it can't be read."""
    return load_policy(read_text(path, "--policy names another"), str(path))


async def outline(file: PolicyFile, assigned: Assigned, around: Surroundings) -> Outline:
    """What follows from a policy of the file without any key, as names and addresses are now; waits for neither keys
    nor the DNS. Raises ConfigError for what isn't supported."""
    here = tuple(address for _, address in await around.addresses())
    me = tuple(address for address in here if not address.is_loopback)
    names: set[str] = set()

    def resolve(name: str) -> tuple[Address, ...]:
        names.add(name)
        return around.resolver.addresses(name)

    chosen = file.assigning(assigned.policy)
    sets = chosen.sets & around.well_known.sources.keys()
    await around.well_known.look(sets)
    plan = make_plan(chosen, resolve, me, around.resolver.gone, around.well_known.sets)
    plan = replace(plan, peers=tuple([await _here(peer, plan.settings.own_mark, around) for peer in plan.peers]))
    outside = () if plan.settings.inside else await _outside(plan, around)
    links = await around.links() if plan.by_connection else ()
    interfaces = Interfaces.of(plan.settings, ((link.name, link.kind) for link in links))
    near = [await in_reach(peer, plan, links, around) for peer in plan.peers]
    away = {peer.name: why for peer, why in near if why}
    plan = replace(plan, peers=tuple(peer for peer, _ in near))
    absent = {
        peer.name: f"nothing can be negotiated until this machine has the address {peer.local} (tunnel.local)"
        for peer in plan.peers
        if peer.local is not None and peer.local not in here
    }
    by_type = await reach(around, interfaces) if plan.by_connection else Reach()
    floor, known = ruleset(plan, outside, interfaces), frozenset(names)
    return Outline(file, assigned, plan, floor, known, sets, outside, interfaces, by_type, absent, away)


async def prepare(
    sketch: Outline, around: Surroundings, ids: Ids, entrances: Entrances, ring: Keyring, *, read: bool = True
) -> Prepared:
    """The rest. ``ring`` has the keys that were read before, if any; they still count unless they are to be ``read``
    anew, which may take a while. Raises OperatorError for what can't be negotiated."""
    plan = sketch.plan
    ring = (await gather(plan, around.sources)).following(ring) if read else ring
    inside = reached(plan, sketch.reach)
    ours = [address for _, address in await around.addresses()]
    config = ike_config(inside, ring, ids, specials(inside, ring, entrances, ours))
    entries = spd_entries(inside, ids)
    check_offers(config)
    Spd(entries)  # what the roads would refuse, they refuse before anything has changed
    return Prepared(
        file=sketch.file,
        assigned=sketch.assigned,
        plan=plan,
        floor=sketch.floor,
        names=sketch.names,
        sets=sketch.sets,
        outside=sketch.outside,
        interfaces=sketch.interfaces,
        reach=sketch.reach,
        absent=sketch.absent,
        away=sketch.away,
        ids=ids,
        ring=ring,
        entries=entries,
        config=config,
        unusable=unusable(plan, ring) | sketch.away | out_of_reach(inside),
    )


def difference(old: Prepared, new: Prepared) -> PlanDiff:
    """What a change from one to the other touches: a key that is another one too, though the plan is the same."""
    before = {rule.name: rule.peer in old.unusable for rule in old.plan.rules if rule.peer}
    after = {rule.name: rule.peer in new.unusable for rule in new.plan.rules if rule.peer and rule.name in before}
    return replace(
        diff(old.plan, new.plan),
        credentials=tuple(sorted(new.ring.others(old.ring) & _proofs(old.plan) & _proofs(new.plan))),
        usable=tuple(name for name, unusable in after.items() if before[name] and not unusable),
        unusable=tuple(name for name, unusable in after.items() if unusable and not before[name]),
    )


def _proofs(plan: Plan) -> set[str]:
    """The names of credentials, and the paths of files of users."""
    users = {peer.xauth.users for peer in plan.peers if isinstance(peer.xauth, XauthGateway)}
    return {credential.name for credential in plan.credentials} | users


async def _outside(plan: Plan, around: Surroundings) -> tuple[str, ...]:
    peers = chain.from_iterable(peer.remotes for peer in plan.peers)
    return await around.outside(peers, plan.settings.own_mark, plan.settings.tun)


async def _here(peer: Peer, mark: int, around: Surroundings) -> Peer:
    """The peer with the address of ours that the route to it gives, where the policy leaves that open."""
    if peer.local is not None or not peer.remotes:
        return peer
    return replace(peer, local=await around.source_for(peer.remotes[0], mark))
