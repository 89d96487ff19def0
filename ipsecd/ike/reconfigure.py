"""A new configuration meets the SAs there are: what it still allows stays untouched, the rest is closed.

Names decide nothing: a peer is the same as long as it would be authenticated in the same way, with the same algorithms,
at the same address, by a version that its policy still has. A child is the same as long as its identifier is, for the
same traffic and with the same PFS; its SA stays as long as the algorithms that it has are among those allowed; where
its packets are to be hidden otherwise, a successor does that. SAs of IKEv1 aren't meant here.
"""

from __future__ import annotations

from ipsecd.ike.child_sa import ChildSa, ChildStage
from ipsecd.ike.config import Child, IkeConfig, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.hosts import pairs_with
from ipsecd.ike.negotiate import permits_child
from ipsecd.ike.pad import callers, kin, proves_alike, speaking
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage
from ipsecd.wire.identity import Identity

_CHANGED = "the policy has changed"


class _Configured:
    """What is configured now, by the identities that an IKE SA has proven."""

    def __init__(self, config: IkeConfig) -> None:
        self._named: dict[tuple[Identity, Identity], list[Peer]] = {}
        for peer in config.peers:
            self._named.setdefault((peer.local_id, peer.remote_id), []).append(peer)
        self._patterns = config.hosts

    def alike(self, sa: IkeSa, old: Peer) -> tuple[Peer, ...]:
        """What a peer that this IKE SA has opened may have become."""
        named = self._named.get((old.local_id, old.remote_id), ())
        return (*named, *pairs_with(old, self._patterns, sa.path))

    def near(self, sa: IkeSa, first: Peer) -> tuple[Peer, ...]:
        """Those that may speak to us along the path of this IKE SA, if they are who it is with."""
        named = self._named.get((first.local_id, first.remote_id), ())
        return speaking((*callers(named, (), sa.path), *pairs_with(first, self._patterns, sa.path)), sa.version)


def apply(core: Core) -> None:
    """Bring every IKE SA in line with ``core.config``."""
    core.own_keys.forget_others([*core.config.peers, *core.wanted.pairs()])
    configured = _Configured(core.config)
    unwanted = []
    for sa in [*core.ikes.values(), *core.candidates.values()]:
        if not sa.peers or sa.stage not in (Stage.CONNECTING, Stage.ESTABLISHED):
            continue
        kept = _kept(sa, configured)
        idle = sa.stage is Stage.CONNECTING and all(peer.responds for peer in kept)  # nobody calls those
        if kept and not idle:
            _take(sa, kept, configured)
            _keep_children(sa, kept)
        else:
            unwanted.append(sa)
    for sa in unwanted:  # last: what they had may be on one of those that stay, by the names of now
        sa.close(_CHANGED)


def _kept(sa: IkeSa, configured: _Configured) -> tuple[Peer, ...]:
    """What has become of the peers that the IKE SA has opened."""
    kept: list[Peer] = []
    for old in sa.peers:
        for new in configured.alike(sa, old):
            if new not in kept and _same_terms(sa, old, new):
                kept.append(new)
    return tuple(kept)


def _same_terms(sa: IkeSa, old: Peer, new: Peer) -> bool:
    ours, theirs = sa.path.local.address, sa.path.remote.address
    return (
        proves_alike(old, new)
        and sa.version in new.versions
        and (new.local == old.local or new.local in (None, ours))
        and (new.remotes == old.remotes or not new.remotes or theirs in new.remotes)
        and new.may_be_at(theirs)
    )


def _take(sa: IkeSa, kept: tuple[Peer, ...], configured: _Configured) -> None:
    """The peers that the IKE SA opens from now on: those kept, and those that its credential would open as well."""
    waits = sa.peer.dpd
    sa.peers = kept
    if not sa.settled:
        return
    first = kept[0]
    too = kin(first, configured.near(sa, first), sa.secured.suite, first.shared_keys)
    sa.peers = (*kept, *(peer for peer in too if peer not in kept))
    if first.dpd != waits:
        sa.liveness.start()


def _still_allowed(sa: ChildSa, child: Child) -> bool:
    before = sa.config
    return (
        (child.local, child.remote) == (before.local, before.remote)
        and {proposal.groups for proposal in child.proposals} == {proposal.groups for proposal in before.proposals}
        and permits_child(child.proposals, sa.suite)
    )


def _keep_children(sa: IkeSa, kept: tuple[Peer, ...]) -> None:
    allowed = {child.id: (peer, child) for peer in kept for child in peer.children}
    for child_sa in list(sa.children.values()):
        peer, child = allowed.get(child_sa.config.id, (None, None))
        if peer is not None and child is not None and _still_allowed(child_sa, child):
            before = child_sa.config
            otherwise = (child.tfc, child.idle) != (before.tfc, before.idle)
            child_sa.peer, child_sa.config = peer, child
            if otherwise:
                sa.rekey_child(child_sa)
        elif child_sa.stage is not ChildStage.DELETING:
            child_sa.close_outbound()
            sa.delete_child(child_sa)
