"""One IKE SA is enough for one peer, unless it makes only so many children (``sessions.py``): INITIAL_CONTACT, both
ends calling at once (RFC 7296 section 2.4), and a limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike.sessions import fits, ike_sas
from ipsecd.ike.stage import Stage
from ipsecd.ike.v2.child import CreateChild

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


@dataclass(frozen=True, slots=True)
class Call:
    """How an IKE SA was first made, which its heirs inherit: whether it was we who called, from when to when, and the
    lowest nonce (in the order of octets)."""

    ours: bool
    begun: float
    established: float
    lowest_nonce: bytes


def first(sa: IkeSa) -> bool:
    """Whether there is no other established IKE SA of the same pair of identities, nor one that was begun before with
    the same peer: that one says it, and may stand there before we know."""
    return not _of_identities(sa) and not any(
        other.stage is Stage.CONNECTING and other.peer.name == sa.peer.name
        for other in takewhile(lambda other: other.spi_i != sa.spi_i, sa.core.ikes.values())
    )


def others(sa: IkeSa) -> list[tuple[IkeSa, Call]]:
    """The other established IKE SAs of the same pair of identities, which more than one pair of hosts may have."""
    return [(other, call) for other, call in _of_identities(sa) if not _of_other_hosts(sa, other)]


def _of_identities(sa: IkeSa) -> list[tuple[IkeSa, Call]]:
    pair = (sa.peer.local_id, sa.peer.remote_id)
    return [
        (other, other.call)
        for other in sa.core.ikes.values()
        if other is not sa and other.call and other.settled and other.live
        if (other.peer.local_id, other.peer.remote_id) == pair
    ]


def _of_other_hosts(one: IkeSa, other: IkeSa) -> bool:
    """Whether each is of a pair of hosts, and they are two pairs: by their addresses, or as a NAT that both are behind
    gives each a port of its own."""
    if not (one.peer.pattern and other.peer.pattern):
        return False
    (ends, path), (other_ends, other_path) = (((sa.peer.local, sa.peer.remotes), sa.path.remote) for sa in (one, other))
    return ends != other_ends or (one.nat.there and other.nat.there and path != other_path)


def forget_others(sa: IkeSa) -> None:
    """The peer has proven its identity and says this is the only IKE SA it knows: what we had before goes.

    What was established after this one began is another matter: the peer can't have known it when it said so.
    """
    for other, call in others(sa):
        if call.established < sa.begun:
            sa.core.report("ike-closed", "info", **other.story(), reason="the peer has lost it and made a new one")
            other.vanish("the peer has lost it")


def settle_crossing(sa: IkeSa) -> None:
    """Both ends called each other at once and both calls came through: the one made with the lowest of the four
    nonces is deleted by its maker, as in a rekey (2.8.2). It may have been rekeyed since."""
    for other, call in others(sa):
        if sa.call is None or call.ours == sa.call.ours or call.established < sa.begun:
            continue
        loser, winner = (other, sa) if call.lowest_nonce < sa.call.lowest_nonce else (sa, other)
        if not fits(loser, winner):
            continue
        if loser.call is not None and loser.call.ours:
            _move(loser, winner)
            loser.close("both ends called each other; one IKE SA is enough")


def _move(loser: IkeSa, winner: IkeSa) -> None:
    """What was made on the loser by now, asked for or in line there is had on the winner."""
    for child in loser.children.values():
        if child.lasts:
            winner.submit(CreateChild(child.peer, child.config, None))
    asked = loser.active
    if isinstance(asked, CreateChild):
        loser.active = None
        asked.take_back(loser)
        winner.submit(asked.anew())
    winner.take_tasks(loser.agenda.hand_in())


def make_room(sa: IkeSa) -> None:
    """``sa`` stands now. Of more than one peer may have, or all hosts of one pattern, the oldest end. Those that are
    ending anyway have a limit too: a peer may log in and out, or rekey, as fast as it can."""
    known = [other for other in sa.core.ikes.values() if other.established is not None and other.peers]
    of_peer = [other for other in known if other.peer.name == sa.peer.name]
    of_peer.sort(key=_since)
    most = limits.MAX_IKE_SAS_PER_PEER - 1 + ike_sas(sa.peer)
    for other in _standing(of_peer)[:-most]:
        other.close("the peer has made too many others since")
    for other in [other for other in of_peer if not other.live][: -limits.MAX_IKE_SAS_PER_PEER]:
        other.vanish()
        sa.core.ikes.leave(other)
    of_pattern = _standing([other for other in known if sa.peer.pattern and other.peer.pattern == sa.peer.pattern])
    if len(of_pattern) > limits.MAX_IKE_SAS_PER_PATTERN:
        min(of_pattern, key=_since).close("the hosts of the rule have made too many others since")


def _since(sa: IkeSa) -> float:
    return sa.established or 0.0


def _standing(sas: list[IkeSa]) -> list[IkeSa]:
    return [each for each in sas if each.live and each.settled]
