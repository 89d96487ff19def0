"""Where the packets of an IKE SA's children go, and what follows when that changes (RFC 7296 section 2.23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.ike.config import Path
from ipsecd.ike.effects import MovePath
from ipsecd.ike.nat import floated

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def outside(sa: IkeSa) -> Path:
    """Where ESP goes: UDP encapsulation isn't done on port 500 (2.23), even if IKE stays there."""
    return floated(sa.path, sa.core.config.natt_port)


def move(sa: IkeSa, path: Path) -> None:
    """Use another path from now on. There's no way back from port 4500 to port 500."""
    if path == sa.path or (sa.path.natt and not path.natt):
        return
    before, ours, theirs = outside(sa), sa.path.local.address, sa.path.remote.address
    sa.path = path
    if sa.children and outside(sa) != before:
        sa.core.emit(MovePath(tuple(sa.children), outside(sa)))
    if (path.local.address, path.remote.address) != (ours, theirs):
        _end_between_hosts(sa)


def _end_between_hosts(sa: IkeSa) -> None:
    """SAs in transport mode are for two addresses, of which one isn't there any more."""
    for child in [child for child in sa.children.values() if child.form.transport and child.lasts]:
        child.close_outbound()
        sa.delete_child(child)
        sa.core.wanted.lost(child.config.id)
