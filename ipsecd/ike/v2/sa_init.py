"""IKE_SA_INIT: algorithms, public values and nonces in clear, and every way it is asked to be said again.

RFC 7296 sections 1.2, 2.4, 2.6, 2.7, 2.21.1 and 2.23. Nothing an unauthenticated response says ends our attempt; only
its own time does, or that whoever answered refuses us.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipsecd import limits
from ipsecd.crypto.exchange import KeyPair
from ipsecd.errors import PeerError
from ipsecd.ike import nat, reports
from ipsecd.ike.carriage import Terms
from ipsecd.ike.config import Child, Path, Peer, SharedKey
from ipsecd.ike.exchange import SA_INIT_RESPONSE, Admitted
from ipsecd.ike.menus import ike_menus
from ipsecd.ike.narrowing import Packet
from ipsecd.ike.negotiate import accepted, groups_of, ike_suite, offer
from ipsecd.ike.protect import Envelope
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.sa import IkeSa
from ipsecd.ike.suites import describe
from ipsecd.ike.task import Task
from ipsecd.ike.v2.asking import group_wanted
from ipsecd.ike.v2.auth import Auth
from ipsecd.ike.v2.candidates import Answer, Candidates
from ipsecd.ike.v2.child import CreateChild
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import Message, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Sa
from ipsecd.wire.registry import Exchange, Group, NotifyType


def call(sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> None:
    """Begin an IKE SA with this peer, and a first child under it."""
    SaInit(sa, peer, child, packet).send()


@dataclass(slots=True)
class _Said:
    """What we have said with one public value: the latest request, and how many there were."""

    pair: KeyPair
    request: bytes = b""
    times: int = 0


class SaInit(Task):
    """The initiator's side. Unlike other tasks it is said in clear, perhaps more than once, and has several answers.

    A response doesn't say which request it answers. A cookie changes the request, so one that somebody else has made up
    leaves two that the true answer may be to; the later one is taken. If that is wrong the peer refuses our proof, and
    the answer to the later one decides. So that the later one lasts long enough to be answered, cookies and other
    groups are taken only so often: once for each group between one repeat of the request and the next.
    """

    response = SA_INIT_RESPONSE

    def __init__(self, sa: IkeSa, peer: Peer, child: Child, packet: Packet | None) -> None:
        core = sa.core
        menus = ike_menus(peer.proposals)
        self.makes = child.id
        self._sa = sa
        self._peer = peer
        self._child = child
        self._packet = packet
        self._offer = offer(menus, b"")
        self._groups = groups_of(menus)
        self._group = self._groups[0]
        self._nonce = core.entropy.octets(limits.NONCE_OCTETS)
        self._terms = terms = Terms.of((peer,))
        self._about_path = nat.notifies(
            sa.spi_i, NO_SPI, sa.path, core.entropy, bent=terms.bent, udp=terms.udp, to_ipsecd=True
        )
        self._cookie: tuple[Notify, ...] = ()
        self._said: dict[Group, _Said] = {}
        self._said_lately: set[Group] = set()  # since the last repeat
        self._cookie_lately: set[Group] = set()
        self._candidates = Candidates(sa, lambda: Auth(self, peer, child, packet))
        self._repeats: Repeats | None = None
        self._silent = False  # it has been said often enough
        self._refused_key: SharedKey | None = None
        self._refusal: str | None = None  # reported already
        self._complaints: dict[object, str] = {}

    # --- saying it ---

    def build(self, sa: IkeSa) -> tuple[AnyPayload, ...]:
        """[N(COOKIE),] SA, KE, Ni, and notifies about the path and what we can."""
        said = self._said.get(self._group)
        if said is None:
            said = self._said[self._group] = _Said(sa.core.entropy.key_pair(self._group))
        fragmentation = (Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),) if self._peer.fragmentation else ()
        ke = Ke(said.pair.group, said.pair.public)
        return (*self._cookie, self._offer, ke, Nonce(self._nonce), *fragmentation, *self._about_path)

    def send(self) -> None:
        self._sa.active = self
        self._repeats = Repeats(self._sa.core, self.tries, self._again, self._enough)
        self._say()

    def _say(self) -> None:
        sa = self._sa
        envelope = Envelope(sa.spi_i, NO_SPI, Exchange.IKE_SA_INIT, from_initiator=True, response=False, message_id=0)
        request = encode(envelope.header(), self.build(sa))
        said = self._said[self._group]
        said.request = request
        said.times += 1
        self._said_lately.add(self._group)
        sa.transmit((request,))

    def _again(self) -> None:
        if self._candidates.refused or (self._candidates.failed and self._another_key_is_left()):
            self._end()
            return
        self._said_lately = {self._group}
        self._cookie_lately.clear()
        self._sa.transmit((self._said[self._group].request,))
        self._candidates.said_again()
        self._follow()

    def _enough(self) -> None:
        """It won't be repeated any more, and candidates give up by themselves."""
        self._silent = True
        self._candidates.said_last()
        self._follow()

    # --- hearing the answer ---

    def hear(self, message: Message, data: bytes, path: Path) -> None:
        """A response in clear, from anybody. PeerError or Refused with the reason why it has no effect."""
        if self._silent:
            raise PeerError("unexpected-response", "the time for answers to IKE_SA_INIT is over")
        answer = SA_INIT_RESPONSE.admit(message.payloads)
        cookie = answer.notify(NotifyType.COOKIE)
        if cookie is not None:
            self._take_cookie(cookie)
        elif answer.error is not None:
            self._take_error(answer.error)
        else:
            self._candidates.add(self._usable(answer, message.header.spi_r, data, path))
            self._follow()

    def process(self, sa: IkeSa, answer: Admitted) -> None:
        """Sealed responses don't exist in this exchange."""
        raise PeerError("sealed-sa-init")

    # 2.6: the cookie goes first, everything else stays as it was; later retries keep it (2.6.1)
    def _take_cookie(self, cookie: Notify) -> None:
        taken = Notify(NotifyType.COOKIE, cookie.data)
        too_soon = self._group in self._cookie_lately
        if too_soon or taken in self._cookie or not 1 <= len(cookie.data) <= limits.MAX_COOKIE:
            raise PeerError("cookie-ignored")
        self._cookie_lately.add(self._group)
        self._cookie = (taken,)
        self._say()

    def _take_error(self, error: Notify) -> None:
        if error.type == NotifyType.INVALID_KE_PAYLOAD:
            wanted = group_wanted(error)
            if wanted in self._said_lately:
                raise PeerError("group-ignored", str(wanted))
            if wanted in self._groups:
                self._group = wanted
                self._say()
                return
        # 2.21.1: anybody could have said so
        reason = reports.meaning(error)
        if error.type == NotifyType.NO_PROPOSAL_CHOSEN:
            reason = f"{reason}: no common proposal; we offer {describe(self._offer)}"
        self._complain(error.type, reports.PEER, reason)
        raise PeerError("unauthenticated-error", str(error.type))

    def _usable(self, answer: Admitted, spi_r: bytes, data: bytes, path: Path) -> Answer:
        try:
            return self._read(answer, spi_r, data, path)
        except PeerError as error:
            self._complain(error.reason, reports.ME, f"the peer's answer is of no use: {error.detail or error.reason}")
            raise

    def _read(self, answer: Admitted, spi_r: bytes, data: bytes, path: Path) -> Answer:
        sa = self._sa
        if spi_r == NO_SPI:
            raise PeerError("zero-spi", "it lacks the responder's SPI")
        _, picked = accepted(self._offer, answer.one(Sa), 0)
        suite = ike_suite(picked)
        ke = answer.one(Ke)
        said = self._said.get(ke.group)
        if said is None or ke.group != suite.group.id:
            raise PeerError("wrong-ke-group", str(ke.group))
        found = nat.detect(answer, sa.spi_i, spi_r, path)
        carriage = self._terms.answered(answer, found)
        fragments = answer.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
        return Answer(
            spi_r=spi_r,
            suite=suite,
            pair=said.pair,
            public=ke.data,
            nonces=(self._nonce, answer.one(Nonce).data),
            messages=(said.request, data),
            nat=found or nat.NONE,
            carriage=carriage,
            fragmentation=self._peer.fragmentation and fragments is not None,
            path=path if carriage.native else nat.floated(path, sa.core.config.natt_port),
            choices=said.times,
        )

    def _complain(self, kind: object, point: str, reason: str) -> None:
        """Told once, and the attempt goes on."""
        if kind not in self._complaints:
            self._complaints[kind] = reason
            reports.ike_failed(self._sa.core, "ike-refused", self._peer, point, reason, final=False)

    # --- what became of the answers ---

    def proven(self, sa: IkeSa) -> None:
        """The peer is found: what this IKE SA was to carry, that one carries."""
        self._stop(but=sa)
        self._sa.finish()
        self._sa.give_way(sa)

    def failed(self, sa: IkeSa, point: str, reason: str, *, refused: SharedKey | None = None) -> None:
        """An answer has come to nothing. The true one may still come, so the attempt goes on until the next repeat."""
        if self._candidates.drop(sa):
            told, self._refusal, self._refused_key = self._refusal, reason, refused
            if reason != told and not self._another_key_is_left():
                reports.ike_failed(sa.core, "auth-failed", self._peer, point, reason, remote=str(sa.path.remote))
            self._candidates.begin_next()
            self._follow()

    def _follow(self) -> None:
        self._sa.answered = self._candidates.pending
        if self._silent and not self._candidates.pending:
            self._end()

    def _another_key_is_left(self) -> bool:
        key = self._refused_key
        return key is not None and not self._sa.core.own_keys.is_last(self._sa.peer, key)

    def _end(self) -> None:
        sa, key = self._sa, self._refused_key
        other = sa.core.own_keys.refused(sa.peer, key) if key is not None else None
        if key is None or other is None:
            self._stop()
            if not sa.core.wanted.unanswered(sa):
                sa.vanish("the peer doesn't answer")
            return
        names = {"peer": sa.peer.name, "rule": reports.rules_of(sa.peer), "credential": key.name, "next": other.name}
        sa.core.report("credential-refused", "info", **names)
        self._stop()
        sa.finish()
        if not sa.core.wanted.call_again(sa, self._child, self._packet):
            sa.core.wanted.failed(self._child.id, "it isn't wanted any more")
            sa.vanish()

    def _stop(self, but: IkeSa | None = None) -> None:
        if self._repeats is not None:
            self._repeats.stop()
        self._candidates.drop_all(but)

    # --- giving up ---

    def elsewhere(self) -> Task:
        """The child is all that is left to make, and nothing is to be said here any more."""
        self._stop()
        return CreateChild(self._peer, self._child, self._packet)

    def abandon(self, sa: IkeSa, reason: str) -> None:
        self._stop()
        why = self._refusal or "; ".join(self._complaints.values()) or reason
        if sa.called_off:  # which is nobody's failure
            names = {"peer": self._peer.name, "rule": reports.rules_of(self._peer)}
            sa.core.report("ike-called-off", "info", **names, reason=reason)
        elif self._refusal is None:
            reports.ike_failed(sa.core, "ike-failed", self._peer, reports.PEER, why, remote=str(sa.path.remote))
        sa.core.wanted.failed(self._child.id, why)
