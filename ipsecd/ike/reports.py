"""What operators are told. Each failure is told once, with the peer, the rule, the traffic it was about (``filter``),
whose side it failed on, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike.config import Child, Endpoint, Hosts, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.narrowing import show
from ipsecd.ike.pad import Claim
from ipsecd.printable import printable
from ipsecd.wire.hostpair import pair_name
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa

ME, PEER = "me", "peer"

# What the peer's error notifies mean to people (RFC 7296 section 3.10.1)
_MEANINGS = {
    NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD: "the peer doesn't know a payload we marked as critical",
    NotifyType.INVALID_IKE_SPI: "the peer doesn't know this IKE SA; it may have restarted",
    NotifyType.INVALID_MAJOR_VERSION: "the peer doesn't speak IKEv2",
    NotifyType.INVALID_SYNTAX: "the peer finds our message malformed",
    NotifyType.NO_PROPOSAL_CHOSEN: "the peer accepts none of our proposals",
    NotifyType.INVALID_KE_PAYLOAD: "the peer wants a key exchange method we don't offer",
    NotifyType.AUTHENTICATION_FAILED: "the peer refuses our identity or our credential",
    NotifyType.SINGLE_PAIR_REQUIRED: "the peer wants an SA for a single pair of addresses",
    NotifyType.NO_ADDITIONAL_SAS: "the peer takes no further SAs",
    NotifyType.INTERNAL_ADDRESS_FAILURE: "the peer has no internal address for us",
    NotifyType.FAILED_CP_REQUIRED: "the peer insists on handing out an internal address",
    NotifyType.TS_UNACCEPTABLE: "the peer accepts none of our traffic selectors",
    NotifyType.INVALID_SELECTORS: "the peer got packets outside the traffic selectors",
    NotifyType.TEMPORARY_FAILURE: "the peer is busy with the same SA",
    NotifyType.CHILD_SA_NOT_FOUND: "the peer doesn't have that child SA",
}


def meaning(notify: Notify) -> str:
    """An error notify in plain words, its own name behind it."""
    said = _MEANINGS.get(notify.type, "the peer reports an error")
    return f"{said} ({notify.type})"


def rules_of(peer: Peer | Hosts) -> str:
    return ", ".join(dict.fromkeys(child.rule for child in peer.children))


def filter_of(child: Child) -> str:
    """The traffic that a child SA is for."""
    return f"{show(child.local)} = {show(child.remote)}"


def ends_of(peer: Peer) -> str:
    """The addresses between which an IKE SA is negotiated, as far as the configuration has them."""
    remotes = ", ".join(map(str, peer.remotes[: limits.SHOWN_SELECTORS])) or "any"
    return f"{peer.local or 'any'} = {remotes}"


def story_of(sa: IkeSa) -> dict[str, object]:
    """What is told of an IKE SA."""
    return {
        "peer": sa.name,
        "version": sa.version.value,
        "rule": rules_of(sa.peer) if sa.peers else "",
        "path": str(sa.path),
        "filter": f"{sa.path.local.address} = {sa.path.remote.address}",
        "spi_i": sa.spi_i.hex(),
        "spi_r": sa.spi_r.hex(),
        "suite": str(sa.secured.suite) if sa.has_keys else "",
        "encapsulation": str(sa.carriage),
    }


def ike_failed(core: Core, event: str, peer: Peer, point: str, reason: str, **more: object) -> None:
    """Something about a whole IKE SA failed. ``point`` is ME or PEER: whose side said no."""
    fields = {
        "peer": peer.name,
        "rule": rules_of(peer),
        "filter": ends_of(peer),
        "point": point,
        "reason": _shown(reason),
    }
    core.report(event, "warning", **fields, **more)


def child_failed(
    core: Core, event: str, peer: Peer | Hosts, child: Child, point: str, reason: str, **more: object
) -> None:
    """Something about one child SA failed."""
    fields = {"peer": peer.name, "rule": child.rule, "child": child.name, "point": point}
    core.report(event, "warning", **fields, filter=filter_of(child), reason=_shown(reason), **more)


def stranger_failed(
    core: Core, event: str, remote: Endpoint, reason: str, claim: Claim | None = None, *, called: bool = False
) -> None:
    """Something failed before it was proven who the peer is. ``claim`` is who it says it is; if that fits no peer, the
    address has to do. ``called``: we have called it, so it is nothing of those that have to call us, if there are
    others."""
    named = [peer for peer in core.config.peers if remote.address in peer.remotes]
    patterns = [hosts for hosts in core.config.hosts if hosts.reach.holding(remote.address)]
    callers = [hosts for hosts in patterns if not hosts.responds]
    if called and (named or callers):
        patterns = callers
    claimed = claim.peers if claim else ()
    peers: Sequence[Peer | Hosts] = claimed or [*named, *patterns]
    here = [peer.name for peer in named] + [pair_name(hosts.name, remote.address) for hosts in patterns]
    fields = {
        "peer": ", ".join([peer.name for peer in claimed] or here),
        "rule": ", ".join(dict.fromkeys(rules_of(peer) for peer in peers)),
        "identity": str(claim.identity) if claim else "",
    }
    core.report(event, "warning", **fields, point=ME, remote=str(remote), reason=_shown(reason))


def _shown(reason: str) -> str:
    return printable(reason, limits.LOGGED_REASON)
