"""IKE_SA_INIT: algorithms, public values and nonces in clear, and every way it is asked to be said again.

RFC 7296 sections 1.2, 2.6, 2.7, 2.21.1 and 2.23. Nothing an unauthenticated response says ends our attempt; only its
own time does.
"""

from __future__ import annotations

from dataclasses import replace

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.crypto.keymat import derive_ike
from ipsecd.errors import PeerError, Refused
from ipsecd.ike import nat, reports
from ipsecd.ike.config import Child, Path, Peer
from ipsecd.ike.core import Core
from ipsecd.ike.exchange import SA_INIT_REQUEST, SA_INIT_RESPONSE, Admitted
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.negotiate import accepted, groups_of, ike_menus, ike_suite, offer, pick
from ipsecd.ike.pad import callers
from ipsecd.ike.protect import Envelope
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import IkeSuite, describe
from ipsecd.ike.task import Task
from ipsecd.ike.v2.asking import group_wanted, other_group_wanted
from ipsecd.ike.v2.auth import Auth
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import Message, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa
from ipsecd.wire.registry import Exchange, Group, NotifyType, Protocol


def call(sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> None:
    """Begin an IKE SA with this peer, and a first child under it."""
    SaInit(sa, peer, child, packet).send()


class SaInit(Task):
    """The initiator's side. Unlike other tasks it is said in clear, and perhaps more than once."""

    response = SA_INIT_RESPONSE

    def __init__(self, sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> None:
        core = sa.core
        menus = ike_menus(peer.proposals)
        self._sa = sa
        self._peer = peer
        self._auth = Auth(peer, child, packet)
        self._offer = offer(menus, Protocol.IKE, b"")
        self._groups = groups_of(menus)
        self._group = self._groups[0]
        self._nonce = core.entropy.octets(limits.NONCE_OCTETS)
        self._about_path = nat.notifies(sa.spi_i, NO_SPI, sa.path, core.entropy, to_ipsecd=True)
        self._cookie: tuple[Notify, ...] = ()
        self._cookie_rounds = 0
        self._group_rounds = 0
        # the latest request with each group's public value: a late answer may be to any of them
        self._pairs: dict[Group, KeyPair] = {}
        self._said: dict[Group, bytes] = {}
        self._complaints: dict[NotifyType, str] = {}

    # --- saying it ---

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        """[N(COOKIE),] SA, KE, Ni, and notifies about the path and what we can."""
        pair = self._pairs.get(self._group)
        if pair is None:
            pair = self._pairs[self._group] = sa.core.entropy.key_pair(self._group)
        fragmentation = (Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),) if self._peer.fragmentation else ()
        ke = Ke(pair.group, pair.public)
        return (*self._cookie, self._offer, ke, Nonce(self._nonce), *fragmentation, *self._about_path)

    def send(self) -> None:
        self._sa.active = self
        self._sa.window.request((self._message(),))

    def _send_again(self) -> None:
        self._sa.window.again_with((self._message(),))

    def _message(self) -> bytes:
        sa = self._sa
        envelope = Envelope(sa.spi_i, NO_SPI, Exchange.IKE_SA_INIT, from_initiator=True, response=False, message_id=0)
        message = encode(envelope.header(), self.build(sa))
        self._said[self._group] = message
        return message

    # --- hearing the answer ---

    def hear(self, message: Message, data: bytes, path: Path) -> None:
        """A response in clear, from anybody. PeerError or Refused with the reason why it has no effect."""
        answer = SA_INIT_RESPONSE.admit(message.payloads)
        cookie = answer.notify(NotifyType.COOKIE)
        if cookie is not None:
            self._take_cookie(cookie)
        elif answer.error is not None:
            self._take_error(answer.error)
        else:
            self._take_answer(answer, message, data, path)

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """Sealed responses don't exist in this exchange."""
        raise PeerError("sealed-sa-init")

    def elsewhere(self) -> Task:
        return self._auth.elsewhere()

    def abandon(self, sa: IkeSa, reason: str) -> None:
        why = "; ".join(self._complaints.values()) or reason
        reports.ike_failed(sa.core, "ike-failed", self._peer, reports.PEER, why, remote=str(sa.path.remote))
        self._auth.give_up(sa, why)

    # 2.6: the cookie goes first, everything else stays as it was; later retries keep it (2.6.1)
    def _take_cookie(self, cookie: Notify) -> None:
        if self._cookie_rounds == limits.MAX_COOKIE_ROUNDS or not 1 <= len(cookie.data) <= limits.MAX_COOKIE:
            raise PeerError("cookie-ignored")
        self._cookie_rounds += 1
        self._cookie = (Notify(NotifyType.COOKIE, cookie.data),)
        self._send_again()

    def _take_error(self, error: Notify) -> None:
        if error.type == NotifyType.INVALID_KE_PAYLOAD:
            wanted = group_wanted(error)
            if wanted in self._groups and wanted != self._group and self._group_rounds < limits.MAX_INVALID_KE_ROUNDS:
                self._group_rounds += 1
                self._group = wanted
                self._send_again()
                return
        # 2.21.1: anybody could have said so; told once, and the attempt goes on
        if error.type not in self._complaints:
            reason = reports.meaning(error)
            if error.type == NotifyType.NO_PROPOSAL_CHOSEN:
                reason = f"{reason}: no common proposal; we offer {describe(self._offer)}"
            self._complaints[error.type] = reason
            reports.ike_failed(self._sa.core, "ike-refused", self._peer, reports.PEER, reason, final=False)
        raise PeerError("unauthenticated-error", str(error.type))

    def _take_answer(self, answer: Admitted, message: Message, data: bytes, path: Path) -> None:
        sa = self._sa
        spi_r = message.header.spi_r
        if spi_r == NO_SPI:
            raise PeerError("zero-spi", "an answer without the responder's SPI")
        _, picked = accepted(self._offer, answer.one(Sa), 0)
        suite = ike_suite(picked)
        ke = answer.one(Ke)
        pair = self._pairs.get(ke.group)
        if pair is None or ke.group != suite.group.id:
            raise PeerError("wrong-ke-group", str(ke.group))
        found = nat.detect(answer, sa.spi_i, spi_r, path)
        if found is None:
            raise PeerError("no-nat-traversal", "the peer can't carry ESP in UDP, which is all we can do yet")
        shared = pair.shared(ke.data)
        sa.spi_r = spi_r
        nonces = (self._nonce, answer.one(Nonce).data)
        keys = derive_ike(suite.prf.id, suite.encryption, suite.integrity, *nonces, shared, sa.spi_i, sa.spi_r)
        sa.secure(suite, keys, nonces)
        sa.nat = found
        sa.fragmentation = self._peer.fragmentation and _can_fragment(answer)
        sa.path = nat.floated(path, sa.core.config.natt_port)
        sa.finish()
        sa.messages = (self._said[ke.group], data)
        sa.run(self._auth)


def _can_fragment(message: Admitted) -> bool:
    return message.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is not None


# --- answering ---------------------------------------------------------------------------------------------------


def answer_sa_init(core: Core, message: Message, data: bytes, path: Path) -> IkeSa:
    """Answer a request to begin an IKE SA; the half-open SA, its response sent. Raises PeerError or Refused."""
    header = message.header
    request = SA_INIT_REQUEST.admit(message.payloads)
    peers = callers(core.config.peers, path)
    if not peers:
        raise Refused("no-rule-for-peer", "no rule names this address", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    ke = request.one(Ke)
    menus = ike_menus(proposal for peer in peers for proposal in peer.proposals)
    chosen, picked = pick(menus, request.one(Sa), Protocol.IKE, sent_group=ke.group)
    suite = ike_suite(picked)
    if ke.group != suite.group.id:
        raise other_group_wanted(suite.group)
    found = nat.detect(request, header.spi_i, header.spi_r, path)
    if found is None:
        raise Refused("no-nat-traversal", "the peer can't carry ESP in UDP", notify=NotifyType.NO_PROPOSAL_CHOSEN)
    pair = core.entropy.key_pair(suite.group.id)
    shared = pair.shared(ke.data)
    sa = IkeSa(core, path, initiator=False, spi_i=header.spi_i, spi_r=core.fresh_ike_spi())
    nonces = (request.one(Nonce).data, core.entropy.octets(limits.NONCE_OCTETS))
    keys = derive_ike(suite.prf.id, suite.encryption, suite.integrity, *nonces, shared, sa.spi_i, sa.spi_r)
    sa.secure(suite, keys, nonces)
    sa.nat = found
    sa.fragmentation = _can_fragment(request) and all(peer.fragmentation for peer in peers)
    response = _response(core, sa, path, suite, chosen, pair, request)
    sa.messages = (data, response)
    sa.window.answer((response,))
    sa.transmit((response,), path)
    return sa


def _response(
    core: Core, sa: IkeSa, path: Path, suite: IkeSuite, chosen: Proposal, pair: KeyPair, request: Admitted
) -> bytes:
    payloads: list[AnyPayload] = [
        Sa((replace(chosen, spi=b""),)),
        Ke(suite.group.id, pair.public),
        Nonce(sa.secured.nonces[1]),
        *nat.notifies(sa.spi_i, sa.spi_r, path, core.entropy, to_ipsecd=nat.is_ipsecd(request)),
    ]
    if sa.fragmentation:
        payloads.append(Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    # said in response only to what it's an answer to: a response must not be much longer than its request
    if request.notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED) is not None:
        payloads.append(Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED))  # RFC 6023
    envelope = Envelope(sa.spi_i, sa.spi_r, Exchange.IKE_SA_INIT, from_initiator=False, response=True, message_id=0)
    return encode(envelope.header(), payloads)
