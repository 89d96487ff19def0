"""Calls by IKEv2: how one begins, which IKE SA carries what is wanted, and having all of one anew on another."""

from __future__ import annotations

from ipsecd.ike.config import Child, Endpoint, Path, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.nat import carries_both
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.sessions import has_room
from ipsecd.ike.v2.child import CreateChild
from ipsecd.ike.v2.informational import Supersede
from ipsecd.ike.v2.sa_init import call
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.selector import Address


def carrier(core: Core, peer: Peer) -> IkeSa | None:
    """The IKE SA that may carry the peer's children: an established one that stays, else one that is being made."""
    fit = [sa for sa in core.ikes.of_peer(peer.name) if sa.live and has_room(sa)]
    if len(fit) == 1:  # of those there are, which may be many, each knows whether another takes its place
        return fit[0]
    return min(fit, key=lambda sa: (_superseded(sa), not sa.settled), default=None)


def begin(core: Core, peer: Peer, child: Child, packet: Packet | None, remote: Address) -> IkeSa:
    """Call the peer at this address, for this child, which the packet needs."""
    local = peer.local or type(remote)(0)  # unspecified: whoever sends fills it in
    natt = carries_both(peer.remote_port, core.config.natt_port)
    port = core.config.natt_port if natt else core.config.ike_port
    path = Path(Endpoint(local, port), Endpoint(remote, peer.remote_port), natt)
    sa = IkeSa(core, path, initiator=True, spi_i=core.fresh_ike_spi(), spi_r=NO_SPI)
    sa.peers = (peer,)
    about = {"peer": peer.name, "version": sa.version.value, "rule": child.rule, "child": child.name}
    core.report("ike-calling", "info", **about, remote=str(path.remote))
    call(sa, peer, child, packet)
    return sa


def renew(sa: IkeSa) -> None:
    """The peer rekeys nothing on this IKE SA any more. Have its children made under a new one, then close it
    (RFC 7296 sections 2.8.3, 2.25 and 4)."""
    core, old = sa.core, sa.latest
    if not old.live or _superseded(old):
        return
    left = {child.config.id: child for child in old.children.values() if child.lasts}
    for key in [key for key in left if core.wanted.is_up(key, without=old)]:
        del left[key]
    if not left:
        old.close("it can't be rekeyed, and nothing depends on it")
        return
    first, *others = left.values()
    if first.peer.responds or not first.peer.remotes:
        return  # it has to call us
    here = old.path.remote.address
    remote = here if here in first.peer.remotes else first.peer.remotes[0]
    new = begin(core, first.peer, first.config, None, remote)
    for child in others:
        new.submit(CreateChild(child.peer, child.config, None))
    new.submit(Supersede(old))


def _superseded(old: IkeSa) -> bool:
    """Whether another is being made to take its place."""
    tasks = (task for peer in old.peers for sa in old.core.ikes.of_peer(peer.name) for task in sa.tasks)
    return any(isinstance(task, Supersede) and task.old.latest is old for task in tasks)
