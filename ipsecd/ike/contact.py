"""One IKE SA is enough for one peer: INITIAL_CONTACT, both ends calling at once (RFC 7296 section 2.4), and a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd import limits

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def others(sa: IkeSa) -> list[IkeSa]:
    """The other established IKE SAs of the same pair of identities."""
    pair = (sa.peer.local_id, sa.peer.remote_id)
    return [
        other
        for other in sa.core.ikes.values()
        if other is not sa and other.settled and other.live and (other.peer.local_id, other.peer.remote_id) == pair
    ]


def forget_others(sa: IkeSa) -> None:
    """The peer has proven its identity and says this is the only IKE SA it knows: what we had before goes.

    What was established after this one began is another matter: the peer can't have known it when it said so.
    """
    for other in others(sa):
        if other.established is not None and other.established < sa.begun:
            sa.core.report("ike-closed", "info", **other.story(), reason="the peer has lost it and made a new one")
            other.vanish("the peer has lost it")


def settle_crossing(sa: IkeSa) -> None:
    """Both ends called each other at once and both calls came through: the one made with the lowest of the four
    nonces is deleted by its maker, as in a rekey (2.8.2)."""
    for other in others(sa):
        crossed = other.established is not None and other.established >= sa.begun and other.initiator != sa.initiator
        if crossed and other.first and sa.first:
            loser = min(sa, other, key=lambda each: min(each.secured.nonces))
            if loser.initiator:
                loser.close("both ends called each other; one IKE SA is enough")


def make_room(sa: IkeSa) -> None:
    """``sa`` stands now. Of more than one peer may have, the oldest end. Those that are ending anyway have a limit too:
    a peer may log in and out, or rekey, as fast as it can."""
    of_peer = [
        other
        for other in sa.core.ikes.values()
        if other.established is not None and other.peers and other.peer.name == sa.peer.name
    ]
    of_peer.sort(key=lambda other: other.established or 0.0)
    standing = [other for other in of_peer if other.live and other.settled]
    ending = [other for other in of_peer if not other.live]
    for other in standing[: -limits.MAX_IKE_SAS_PER_PEER]:
        other.close("the peer has made too many others since")
    for other in ending[: -limits.MAX_IKE_SAS_PER_PEER]:
        other.vanish()
        sa.core.ikes.pop(other.spi, None)
