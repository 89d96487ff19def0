"""Where the packets of an IKE SA's children go, and what follows when that changes (RFC 7296 section 2.23)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ipsecd.ike.config import Path
from ipsecd.ike.effects import MovePath
from ipsecd.ike.nat import floated

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def outside(sa: IkeSa, *, native: bool) -> Path:
    """Where the packets of a child go. In UDP that isn't port 500 (2.23), even if IKE stays there; else there are no
    ports."""
    if native:
        return Path(replace(sa.path.local, port=0), replace(sa.path.remote, port=0))
    return floated(sa.path, sa.core.config.natt_port)


def move(sa: IkeSa, path: Path) -> None:
    """Use another path from now on. There's no way back from port 4500 to port 500."""
    if path == sa.path or (sa.path.natt and not path.natt):
        return
    ours, theirs = sa.path.local.address, sa.path.remote.address
    before = {native: outside(sa, native=native) for native in (False, True)}
    sa.path = path
    for native, was in before.items():
        now = outside(sa, native=native)
        moved = [part for child in sa.children.values() if child.native is native for part in child.parts]
        if moved and now != was:
            sa.core.emit(MovePath(tuple(part.spi_in for part in moved), now))
    if (path.local.address, path.remote.address) != (ours, theirs):
        _end_between_hosts(sa)


def _end_between_hosts(sa: IkeSa) -> None:
    """SAs in transport mode are for two addresses, of which one isn't there any more."""
    for child in [child for child in sa.children.values() if child.form.transport and child.lasts]:
        child.close_outbound()
        sa.delete_child(child)
        sa.core.wanted.lost(child.config.id)
