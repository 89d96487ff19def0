"""Where the packets of an IKE SA's children go, and what follows when that changes (RFC 7296 section 2.23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipsecd.ike.config import Path
from ipsecd.ike.effects import MovePath
from ipsecd.ike.nat import floated, portless

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


def outside(sa: IkeSa, *, native: bool) -> Path:
    """Where the packets of a child go. In UDP that isn't port 500 (2.23), even if IKE stays there; else there are no
    ports."""
    return portless(sa.path) if native else floated(sa.path, sa.core.config.natt_port)


def follows(sa: IkeSa, path: Path) -> bool:
    """Whether a fresh authentic message along another path says where the peer is now. Who is behind a NAT itself
    follows nobody (2.23). Where packets go natively there is no NAT that could change an address, and none of them
    would put right what one message has moved that somebody has sent on from elsewhere."""
    before, now = ((each.local.address, each.remote.address) for each in (sa.path, path))
    if sa.nat.here or (sa.carriage.native and now != before):
        return False
    return all(peer.may_be_at(path.remote.address) for peer in sa.peers)


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
