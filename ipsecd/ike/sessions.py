"""How many child SAs an IKE SA makes. One that has made all it may ([MS-IKEE] section 3.8.7.2), or whose peer refuses
more (NO_ADDITIONAL_SAS, RFC 7296 section 1.3), makes no more: the next is had on another. It keeps those it has, and
rekeys them, as a successor takes the place of the one before it. Without any it ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ipsecd.ike.stage import Stage

if TYPE_CHECKING:
    from ipsecd.ike.config import Peer
    from ipsecd.ike.sa import IkeSa


@dataclass(slots=True)
class Sessions:
    """What an IKE SA has made, its heirs included: ``made`` counts children that are successors of none. ``refused``:
    the peer wants no more."""

    made: int = 0
    refused: bool = False


def spent(sa: IkeSa) -> bool:
    """Whether it makes no more child SAs."""
    return sa.sessions.refused or _reached(sa, sa.sessions.made)


def may_grant(sa: IkeSa) -> bool:
    """Whether it may make one more beside those that we ask for."""
    return not _reached(sa, sa.sessions.made + sum(task.makes is not None for task in sa.tasks))


def has_room(sa: IkeSa) -> bool:
    """Whether one more may be asked for."""
    return may_grant(sa) and not sa.sessions.refused


def fits(other: IkeSa, sa: IkeSa) -> bool:
    """Whether ``sa`` may have all that the other has made, too."""
    there = {child.config.id for child in sa.children.values() if child.lasts}
    more = {child.config.id for child in other.children.values() if child.lasts} - there
    return not more or not _reached(sa, sa.sessions.made + len(more) - 1)


def inherit(heir: IkeSa) -> None:
    """It has keys of its own, and the children of another: those count."""
    heir.sessions = Sessions(made=sum(child.successor is None for child in heir.children.values()))


def child_gone(sa: IkeSa) -> None:
    """A child of it has ended. Whoever ended it may have more to do on it."""
    if spent(sa):
        sa.core.after(0.0, partial(_end_if_idle, sa))


def _end_if_idle(sa: IkeSa) -> None:
    if sa.stage is Stage.ESTABLISHED and spent(sa) and not sa.children and not sa.tasks:
        sa.close("it has no child SA left, and makes no more")


def ike_sas(peer: Peer) -> int:
    """How many the peer's children may need."""
    return -(-len(peer.children) // peer.sessions) if peer.sessions else 1


def _reached(sa: IkeSa, made: int) -> bool:
    most = sa.peer.sessions if sa.peers else 0
    return 0 < most <= made
