"""The peer authorization database (RFC 4301 section 4.4.3): which peers a proven identity opens.

A credential opens only peers that name both it and the identity it proved. Everything an IKE SA may ever negotiate
is looked for within the peers it has opened, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ipsecd.errors import Refused
from ipsecd.ike.config import Hosts, Path, Peer, SharedKey, Version
from ipsecd.ike.hosts import pairs
from ipsecd.ike.negotiate import permits
from ipsecd.ike.suites import IkeSuite
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import NotifyType


@dataclass(frozen=True, slots=True)
class Opened:
    """The peers a credential has opened, all of one pair of identities, and the key that did it."""

    peers: tuple[Peer, ...]
    key: SharedKey


@dataclass(frozen=True, slots=True)
class Claim:
    """Who an initiator says it is, and the peers that would fit; proven by nothing yet, so for reports alone."""

    identity: Identity
    peers: tuple[Peer, ...]


def callers(peers: Iterable[Peer], patterns: Iterable[Hosts], path: Path) -> tuple[Peer, ...]:
    """The peers that may speak to us along this path: those that name its far end, then what the patterns make of its
    two ends, then those that call from anywhere, or from there."""
    near = [peer for peer in peers if peer.local is None or peer.local == path.local.address]
    named = [peer for peer in near if path.remote.address in peer.remotes]
    made = pairs(patterns, path.local.address, path.remote.address)
    return (*named, *made, *(peer for peer in near if not peer.remotes and peer.may_be_at(path.remote.address)))


def speaking(peers: Iterable[Peer], version: Version) -> tuple[Peer, ...]:
    """Those whose policy has this version of IKE."""
    return tuple(peer for peer in peers if version in peer.versions)


def open_for_initiator(
    peers: Iterable[Peer],
    claimed: Identity,
    asked: Identity | None,
    suite: IkeSuite,
    proves: Callable[[SharedKey], bool],
) -> Opened:
    """What an IKE_AUTH request opens: ``claimed`` is its IDi, ``asked`` its IDr. ``proves`` says whether a key made its
    AUTH payload. Raises Refused with AUTHENTICATION_FAILED, whatever the cause, and the cause in plain words."""
    known = [peer for peer in peers if peer.remote_id.matches(claimed)]
    if not known:
        raise _failed("unknown-identity", f"no rule for this address names the remote identity {claimed}")
    meant = [peer for peer in known if asked is None or peer.local_id.matches(asked)]
    if not meant:
        ours = ", ".join(sorted({str(peer.local_id) for peer in known}))
        raise _failed("wrong-local-identity", f"the peer asks for {asked}; towards {claimed} we are {ours}")
    return _open(meant, claimed, suite, proves)


def open_for_responder(
    peer: Peer, peers: Iterable[Peer], claimed: Identity, suite: IkeSuite, proves: Callable[[SharedKey], bool]
) -> Opened:
    """What an IKE_AUTH response opens: at least ``peer``, which we called. Raises Refused as above."""
    if not peer.remote_id.matches(claimed):
        raise _failed("wrong-remote-identity", f"the peer says it is {claimed}; the rule wants {peer.remote_id}")
    opened = _open([peer], claimed, suite, proves)
    return Opened((peer, *kin(peer, peers, suite, (opened.key,))), opened.key)


def kin(peer: Peer, peers: Iterable[Peer], suite: IkeSuite, keys: tuple[SharedKey, ...]) -> tuple[Peer, ...]:
    """The other peers that open to whoever opened ``peer`` with one of these keys, whichever it was."""
    return tuple(
        other
        for other in peers
        if other != peer
        and other.local_id == peer.local_id
        and other.remote_id.matches(peer.remote_id)
        and permits(other.proposals, suite)
        and all(key in other.shared_keys for key in keys)
    )


def proves_alike(old: Peer, new: Peer) -> bool:
    """Whether a peer of another configuration is authenticated as this one is, with the same algorithms, by IKEv2; by
    IKEv1 if ``special`` is the same too. Where it is, and what it may have, are other questions."""
    as_before = replace(
        new,
        name=old.name,
        local=old.local,
        remotes=old.remotes,
        children=old.children,
        lifetime=old.lifetime,
        dpd=old.dpd,
        keylog=old.keylog,
        sessions=old.sessions,
        pattern=old.pattern,
        responds=old.responds,
        within=old.within,
        versions=old.versions,
        special=old.special,
    )
    return as_before == old


def _open(candidates: list[Peer], claimed: Identity, suite: IkeSuite, proves: Callable[[SharedKey], bool]) -> Opened:
    verdicts: dict[str, bool] = {}

    def proven(peer: Peer) -> SharedKey | None:
        for key in peer.shared_keys:
            if key.name not in verdicts:
                verdicts[key.name] = proves(key)
            if verdicts[key.name]:
                return key
        return None

    found = [(peer, key) for peer in candidates if (key := proven(peer)) is not None]
    if not found:
        raise _failed("wrong-key", f"the pre-shared key of {claimed} isn't the one we have")
    allowed = [(peer, key) for peer, key in found if permits(peer.proposals, suite)]
    if not allowed:
        raise _failed("suite-not-allowed", f"the rule for {claimed} doesn't accept {suite}")
    first, key = allowed[0]
    return Opened(tuple(peer for peer, _ in allowed if peer.local_id == first.local_id), key)


def _failed(reason: str, detail: str) -> Refused:
    # RFC 7296 section 2.21.2: the peer learns only that it failed
    return Refused(reason, detail, notify=NotifyType.AUTHENTICATION_FAILED)
