"""IKE_AUTH: both ends say who they are and prove it, and the first child SA is made.

RFC 7296 sections 1.2, 2.15 and 2.21.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ipsecd.crypto.keymat import shared_key_auth, signed_octets
from ipsecd.crypto.secret import equal
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike import contact, reports
from ipsecd.ike.config import Child, Path, Peer, SharedKey, Version
from ipsecd.ike.current import current, overtaken
from ipsecd.ike.exchange import AUTH_RESPONSE, Admitted
from ipsecd.ike.hosts import pairs_with
from ipsecd.ike.narrowing import Packet, narrow_in
from ipsecd.ike.pad import Claim, Opened, callers, open_for_initiator, open_for_responder, speaking
from ipsecd.ike.task import Task
from ipsecd.ike.v2.ask import Ask
from ipsecd.ike.v2.child import begin, granted, made, start_over
from ipsecd.ike.v2.grant import grant_first
from ipsecd.ike.v2.informational import Complain, DeleteUnmade
from ipsecd.ike.v2.reply import Reply
from ipsecd.ike.v2.transport import narrowed
from ipsecd.wire.payloads import AnyPayload, IdI, IdR, Notify, Sa, TsI, TsR
from ipsecd.wire.payloads import Auth as AuthPayload
from ipsecd.wire.registry import AuthMethod, NotifyType

if TYPE_CHECKING:
    from ipsecd.ike.child_sa import ChildSa
    from ipsecd.ike.sa import IkeSa

_FIRST_CHILD = (Sa, TsI, TsR)


# --- proving -----------------------------------------------------------------------------------------------------


def _proof(sa: IkeSa, who: IdI | IdR, key: SharedKey) -> bytes:
    """The AUTH data that proves one end's IKE_SA_INIT message and identity with this key (2.15)."""
    suite, keys = sa.secured.suite, sa.secured.keys
    (message_i, message_r), (nonce_i, nonce_r) = sa.messages, sa.secured.nonces
    of_initiator = isinstance(who, IdI)
    message, nonce, sk_p = (message_i, nonce_r, keys.pi) if of_initiator else (message_r, nonce_i, keys.pr)
    octets = signed_octets(message, nonce, suite.prf.id, sk_p, who.body)
    return shared_key_auth(suite.prf.id, key.key, octets)


def _proves(sa: IkeSa, who: IdI | IdR, auth: AuthPayload, key: SharedKey) -> bool:
    # an empty key would let everybody in
    return len(key.key) > 0 and equal(_proof(sa, who, key), auth.data)


def _check_method(auth: AuthPayload) -> None:
    if auth.method != AuthMethod.SHARED_KEY:
        raise Refused(
            "wrong-auth-method",
            f"the peer proves itself by {auth.method}; we want a pre-shared key",
            notify=NotifyType.AUTHENTICATION_FAILED,
        )


# --- the initiator -----------------------------------------------------------------------------------------------


class Attempt(Protocol):
    """The call that an IKE_AUTH is part of; several may follow up one IKE_SA_INIT (RFC 7296 section 2.4)."""

    def proven(self, sa: IkeSa) -> None:
        """Whoever answered is the peer."""

    def failed(self, sa: IkeSa, point: str, reason: str, *, refused: SharedKey | None = None) -> None:
        """It isn't, or it refuses us, or is silent. ``refused``: it doesn't believe this key of ours."""


class Auth(Task):
    """Prove ourselves, check the peer's proof, and ask for the first child SA."""

    response = AUTH_RESPONSE

    def __init__(self, attempt: Attempt, peer: Peer, child: Child, packet: Packet | None) -> None:
        self.makes = child.id
        self._attempt = attempt
        self._peer = peer
        self._child = child
        self._packet = packet
        self._ask: Ask | None = None
        self._key: SharedKey | None = None

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...] | None:
        """IDi, [N(INITIAL_CONTACT),] IDr, AUTH, SA, TSi, TSr."""
        try:
            self._peer, self._child = peer, child = current(sa, self._child)
        except Refused as refusal:
            self._attempt.failed(sa, reports.ME, refusal.detail)
            sa.vanish(refusal.detail)
            return None
        ask = self._ask = Ask.first(sa, peer, child, self._packet)
        sa.core.promised.update(ask.spis)
        us = IdI(peer.local_id)
        self._key = key = sa.core.own_keys.best(peer)
        proof = _proof(sa, us, key)
        alone = (Notify(NotifyType.INITIAL_CONTACT),) if contact.first(sa) else ()
        return (
            us,
            *alone,
            IdR(peer.remote_id),
            AuthPayload(AuthMethod.SHARED_KEY, proof),
            *ask.payloads_of_auth(),
        )

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        ask = self._answered(sa)
        auth, claimed = answer.maybe(AuthPayload), answer.maybe(IdR)
        if auth is None or claimed is None:
            # 2.21.2: whoever answered IKE_SA_INIT says no
            reason = reports.meaning(answer.error) if answer.error else "it proves nothing"
            wrong_key = answer.error is not None and answer.error.type == NotifyType.AUTHENTICATION_FAILED
            self._attempt.failed(sa, reports.PEER, reason, refused=self._key if wrong_key else None)
            sa.vanish("the peer refuses us")
            return
        try:
            opened = self._check(sa, claimed, auth)
        except Refused as refusal:
            sa.core.drop(refusal.reason)
            self._attempt.failed(sa, reports.ME, refusal.detail)
            sa.reject(Complain(), refusal.detail)
            return
        self._attempt.proven(sa)
        if self._key is not None:
            sa.core.own_keys.taken(self._peer, self._key)
        sa.establish(opened.peers)
        self._take_child(sa, ask, answer)
        contact.settle_crossing(sa)

    def abandon(self, sa: IkeSa, reason: str) -> None:
        if self._ask is not None:
            self._answered(sa)
            self._attempt.failed(sa, reports.PEER, reason)

    def _answered(self, sa: IkeSa) -> Ask:
        ask, self._ask = self._ask, None
        if ask is None:
            raise LocalError("an answer to an IKE_AUTH that was never sent")
        sa.core.promised.difference_update(ask.spis)
        return ask

    def _check(self, sa: IkeSa, claimed: IdR, auth: AuthPayload) -> Opened:
        _check_method(auth)
        config = sa.core.config
        others = (*callers(config.peers, (), sa.path), *pairs_with(sa.peer, config.hosts, sa.path))
        return open_for_responder(
            sa.peer,
            speaking(others, Version.IKEV2),
            claimed.identity,
            sa.secured.suite,
            lambda key: _proves(sa, claimed, auth, key),
        )

    def _take_child(self, sa: IkeSa, ask: Ask, answer: Admitted) -> None:
        """1.2: the IKE SA stands, whatever became of the child."""
        if answer.error is not None or answer.count(*_FIRST_CHILD) < len(_FIRST_CHILD):
            reason = ask.refusal(answer.error) if answer.error else "the peer made no child SA"
            self._childless(sa, reports.PEER, reason)
            return
        if overtaken(sa, ask.child):
            start_over(sa, ask, self._packet)
            return
        try:
            new = ask.accept(sa, answer, sa.secured.nonces)
        except (PeerError, Refused) as error:
            sa.core.drop(error.reason)
            sa.submit(DeleteUnmade(ask.spis[0], ask.protocols))
            self._childless(sa, reports.ME, f"the peer's answer doesn't fit what we asked: {error}")
            return
        if new is not None:
            begin(new)
            made(new, self._packet)

    def _childless(self, sa: IkeSa, point: str, reason: str) -> None:
        reports.child_failed(sa.core, "child-failed", self._peer, self._child, point, reason)
        sa.core.wanted.failed(self._child.id, reason)


# --- the responder -----------------------------------------------------------------------------------------------


def answer_auth(sa: IkeSa, request: Admitted, path: Path) -> Reply:
    """Check the initiator's proof, give ours, and grant the first child SA. Raises Refused or PeerError."""
    claimed = request.one(IdI)
    asked = request.maybe(IdR)
    auth = request.maybe(AuthPayload)
    if auth is None:
        raise Refused("eap-asked", "the peer wants EAP", notify=NotifyType.AUTHENTICATION_FAILED)
    _check_method(auth)
    config = sa.core.config
    # IKE_SA_INIT was answered to where it came from; this may only seem to come from another host
    patterns = config.hosts if path.remote.address == sa.first_path.remote.address else ()
    peers = speaking(callers(config.peers, patterns, path), Version.IKEV2)
    sa.claim = Claim(claimed.identity, tuple(peer for peer in peers if peer.remote_id.matches(claimed.identity)))
    opened = open_for_initiator(
        peers,
        claimed.identity,
        asked.identity if asked else None,
        sa.secured.suite,
        lambda key: _proves(sa, claimed, auth, key),
    )
    of_child = request.count(*_FIRST_CHILD)
    if 0 < of_child < len(_FIRST_CHILD):
        raise PeerError("payload-missing", "half a child SA", notify=NotifyType.INVALID_SYNTAX)
    us = IdR(opened.peers[0].local_id)
    proof = _proof(sa, us, opened.key)
    sa.establish(opened.peers)
    payloads: tuple[AnyPayload, ...] = (us, AuthPayload(AuthMethod.SHARED_KEY, proof))
    new: ChildSa | None = None
    if of_child:
        new, about_child = _first_child(sa, request)
        payloads = (*payloads, *about_child)
    alone = request.notify(NotifyType.INITIAL_CONTACT) is not None
    return Reply(payloads, lambda: _answered(sa, new, alone=alone))


def _first_child(sa: IkeSa, request: Admitted) -> tuple[ChildSa | None, tuple[AnyPayload, ...]]:
    """1.2: a child SA that can't be had doesn't fail the IKE SA; the error stands beside our proof."""
    try:
        best, form = narrowed(sa, request, lambda local, remote: narrow_in(sa.peers, local, remote))
        new, payloads = grant_first(sa, request, best, form)
    except Refused as refusal:
        reports.ike_failed(sa.core, "child-failed", sa.peer, reports.ME, refusal.detail)
        return None, (Notify(NotifyType(refusal.notify or NotifyType.NO_PROPOSAL_CHOSEN), refusal.data),)
    more = (Notify(NotifyType.ADDITIONAL_TS_POSSIBLE),) if best.more else ()
    return new, (*payloads, *more)


def _answered(sa: IkeSa, new: ChildSa | None, *, alone: bool) -> None:
    """Our response has left."""
    if new is not None:
        granted(new)
    sa.core.wanted.answered(sa)
    if alone:
        contact.forget_others(sa)
    contact.settle_crossing(sa)
