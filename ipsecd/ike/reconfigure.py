"""A new configuration meets the SAs there are: what it still allows stays untouched, the rest is closed."""

from __future__ import annotations

from dataclasses import replace

from ipsecd.ike.child_sa import ChildSa, ChildStage
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import covers
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.stage import Stage

_CHANGED = "the policy has changed"


def apply(core: Core) -> None:
    """Bring every IKE SA in line with ``core.config``."""
    peers = {peer.name: peer for peer in core.config.peers}
    for sa in list(core.ikes.values()):
        if not sa.peers or sa.stage not in (Stage.CONNECTING, Stage.ESTABLISHED):
            continue
        first = peers.get(sa.peer.name)
        if first is None or not _same_terms(sa, sa.peer, first):
            sa.close(_CHANGED)
            continue
        kept = [peers.get(peer.name) for peer in sa.peers]
        sa.peers = tuple(
            new for old, new in zip(sa.peers, kept, strict=True) if new is not None and _same_terms(sa, old, new)
        )
        _keep_children(sa)


def _same_terms(sa: IkeSa, old: Peer, new: Peer) -> bool:
    """Whether the peer would be authenticated in the same way, with the same algorithms, at the same address."""
    as_before = replace(
        new, children=old.children, remotes=old.remotes, lifetime=old.lifetime, dpd=old.dpd, keylog=old.keylog
    )
    if as_before != old:
        return False
    return new.remotes == old.remotes or not new.remotes or sa.path.remote.address in new.remotes


def _keep_children(sa: IkeSa) -> None:
    allowed = {child.name: (peer, child) for peer in sa.peers for child in peer.children}
    for child_sa in list(sa.children.values()):
        peer, child = allowed.get(child_sa.config.name, (None, None))
        if peer is not None and child is not None and _still_fits(child_sa, child):
            child_sa.peer, child_sa.config = peer, child
        elif child_sa.stage is not ChildStage.DELETING:
            child_sa.close_outbound()
            sa.delete_child(child_sa)


def _still_fits(child_sa: ChildSa, child: Child) -> bool:
    """Whether nothing that was negotiated from has changed. What has only grown is renegotiated too: a packet of the
    new part would otherwise find an SA that doesn't take it."""
    old = child_sa.config
    return (
        (old.local, old.remote, old.proposals) == (child.local, child.remote, child.proposals)
        and covers(child.local, child_sa.local)
        and covers(child.remote, child_sa.remote)
    )
