"""What operators are told of IKEv1: the same events as of IKEv2, and what only IKEv1 has beside."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecd import limits
from ipsecd.ike import reports
from ipsecd.ike.config import Child, Endpoint, Path, Peer, Version
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import show
from ipsecd.ike.parts import called
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.printable import first_of, printable
from ipsecd.wire import vendor_ids
from ipsecd.wire.registry_v1 import Exchange

VERSION = Version.IKEV1.value


def calling(core: Core, peer: Peer, child: Child | None, path: Path, exchange: Exchange) -> None:
    child = child or peer.children[0]
    core.report(
        "ike-calling",
        "info",
        peer=peer.name,
        rule=child.rule,
        child=child.name,
        remote=str(path.remote),
        version=VERSION,
        exchange=mode_of_phase_1(exchange),
    )


def mode_of_phase_1(exchange: Exchange) -> str:
    """As people say it."""
    return str(exchange).lower()


def of_isakmp(peer: Peer, sa: IsakmpSa) -> dict[str, object]:
    """What reports say of an ISAKMP SA. ``nat`` is in front of whom there is one."""
    nat = [side for side, there in (("us", sa.nat.here), ("the peer", sa.nat.there)) if there] if sa.nat else []
    return {
        "peer": peer.name,
        "rule": reports.rules_of(peer),
        "path": str(sa.path),
        "filter": f"{sa.path.local.address} = {sa.path.remote.address}",
        "spi_i": sa.cookies[0].hex(),
        "spi_r": sa.cookies[1].hex(),
        "suite": str(sa.suite),
        "method": str(sa.suite.method),
        "encapsulation": encapsulation(udp=sa.in_udp),
        "identity": str(sa.remote_id),
        "nat": " and ".join(nat),
        "product": vendor_ids.product(sa.vendor_ids),
        "user": sa.user,
        "version": VERSION,
    }


def of_pair(peer: Peer, child: Child, pair: ChildPair) -> dict[str, object]:
    """What reports say of a pair of SAs. Of AH around ESP the SPIs of AH stand beside those of ESP."""
    inner, around = pair.parts[-1], pair.parts[:-1]
    spis = {"spi_in": inner.spi_in.hex(), "spi_out": inner.spi_out.hex()}
    for part in around:
        spis |= {"ah_spi_in": part.spi_in.hex(), "ah_spi_out": part.spi_out.hex()}
    return {
        "peer": peer.name,
        "rule": child.rule,
        "child": child.name,
        **spis,
        "suite": str(pair.suite),
        "sa_mode": mode_of(pair),
        "protocol": called(pair.parts),
        "encapsulation": encapsulation(udp=pair.path.natt),
        "filter": f"{show((pair.ends.local,))} = {show((pair.ends.remote,))}",
        "version": VERSION,
    }


def mode_of(pair: ChildPair) -> str:
    return "transport" if pair.ends.form.transport else "tunnel"


def encapsulation(*, udp: bool) -> str:
    return "udp" if udp else "native"


def call_failed(core: Core, peer: Peer, remote: Endpoint | None, reason: str, *, proving: bool) -> None:
    """A phase 1 of ours came to nothing. ``proving``: who both ends are was all that was left."""
    event = "auth-failed" if proving else "ike-failed"
    reports.ike_failed(core, event, peer, reports.PEER, reason, remote=str(remote or ""), version=VERSION)


def turned_away(core: Core, peer: Peer, sa: IsakmpSa, reason: str) -> None:
    """XAUTH or mode config came to nothing."""
    reports.ike_failed(
        core, "auth-failed", peer, reports.PEER, reason, remote=str(sa.path.remote), user=sa.user, version=VERSION
    )


def quick_mode_refused(core: Core, peer: Peer, reason: str) -> None:
    """One of the peer's, which has proved who it is."""
    reports.ike_failed(core, "child-failed", peer, reports.ME, reason, version=VERSION)


def child_failed(core: Core, event: str, peer: Peer, child: Child, point: str, reason: str) -> None:
    reports.child_failed(core, event, peer, child, point, reason, version=VERSION)


def stranger_failed(core: Core, event: str, peers: Iterable[Peer], remote: Endpoint, reason: str) -> None:
    """Something failed before it was proven who the peer is; ``peers`` are those that it may be."""
    meant = tuple(peers)
    rules = list(dict.fromkeys(child.rule for peer in meant for child in peer.children))
    fields = {
        "peer": first_of([peer.name for peer in meant], limits.SHOWN_RULES),
        "rule": first_of(rules, limits.SHOWN_RULES),
        "identity": "",
        "point": reports.ME,
        "remote": str(remote),
        "reason": printable(reason, limits.LOGGED_REASON),
        "version": VERSION,
    }
    core.report(event, "warning", **fields)
