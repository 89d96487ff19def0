"""Which IKE SA comes after one that is rekeyed (RFC 7296 sections 2.8 and 2.8.2).

While both ends rekey the same one, a *spare* of the peer's making stands beside it. It is taken over when our own
answer says so, when the peer deletes the old one, or when the peer speaks by it; else the peer deletes it. It lives as
long as the old one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.ike.sessions import inherit
from ipsecd.ike.stage import Rival, Stage

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def note_rival(old: IkeSa, spare: IkeSa, lowest_nonce: bytes) -> None:
    """The peer rekeys this SA too; which of the two stays is known when our own answer comes."""
    old.rival = Rival(spare, lowest_nonce)


def spoken_by(sa: IkeSa) -> None:
    """The peer uses this SA, and not to end it. If it's a spare one, the peer has settled on it: it never saw our own
    rekey, or has forgotten it."""
    if sa.stage is Stage.SPARE and sa.old is not None:
        hand_over(sa.old, sa)


def hand_over(old: IkeSa, heir: IkeSa) -> None:
    """The heir takes the children and what is left to do; the old SA waits for its Delete."""
    rival, old.rival = old.rival, None
    if rival is not None and rival.stands and rival.sa is not heir:
        rival.sa.await_delete()
    rekey = old.finish() if old.rekeying else None
    if rekey is not None:
        rekey.abandon(old, "the peer has rekeyed the IKE SA")
    old.heir = heir
    old.stage = Stage.REPLACED
    for child in old.children.values():
        child.ike = heir
    heir.children.update(old.children)
    old.children.clear()
    inherit(heir)
    heir.peers = old.peers
    heir.path = old.path
    heir.settle()
    heir.core.report("ike-rekeyed", "info", **heir.story())
    heir.take_tasks(old.agenda.hand_in())
    old.await_delete()
