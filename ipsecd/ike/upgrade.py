"""A peer that something was made with by IKEv1 proves to speak IKEv2, as both ends may call at once, each by another
version: all that it has goes over to IKEv2, where both ends can tell that it belongs, and ends by IKEv1 then."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike.config import Peer, Version
from ipsecd.ike.v2.child import CreateChild

if TYPE_CHECKING:
    from ipsecd.ike.core import Core
    from ipsecd.ike.sa import IkeSa

_WHY = "the peer speaks IKEv2"


def begin(sa: IkeSa) -> None:
    """The peer of this IKE SA has authenticated, and more of this turn is to come."""
    core = sa.core
    core.versions.proved_v2(sa.peer.remote_id)
    for peer in sa.peers:
        if Version.IKEV1 in peer.versions:
            core.after(0.0, partial(_have_anew, sa, peer))
            core.after(limits.OTHER_VERSION_LEFT, core.desk.leaving(peer, _WHY))


def settle(core: Core, key: str) -> None:
    """A child SA has been made: if IKEv2 has one, that is enough."""
    if core.wanted.is_up_by_v2(key):
        core.desk.put_down({key}, _WHY)


def _have_anew(sa: IkeSa, peer: Peer) -> None:
    core = sa.core
    for child in peer.children:
        if core.wanted.is_up_by_v2(child.id):
            settle(core, child.id)
            continue
        there = core.desk.up(child.id) or core.desk.pursued(child.id)
        if there and sa.latest.live and not peer.responds and not core.wanted.held(child.id):
            sa.submit(CreateChild(peer, child, None))
