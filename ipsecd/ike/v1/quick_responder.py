"""Quick mode as responder; ``quick_initiator.py`` shows the messages."""

from __future__ import annotations

from collections.abc import Callable

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1, hash_2, hash_3
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1 import durations
from ipsecd.ike.v1.child_pair import ChildPair, Keying, made
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.quick_terms import Granted, QuickTerms, grant, originals
from ipsecd.ike.v1.responder_lifetime import said_lifetime
from ipsecd.ike.v1.rows import QUICK_1, QUICK_3, Admitted
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import AnyPayload, Delete, Ke, Nonce, Notify, Sa
from ipsecd.wire.registry_v1 import Exchange, NotifyType


class QuickResponder:
    """Begins with the initiator's first message. Packets are accepted from our answer on, since the initiator may send
    some before its last message is here. One that comes proves what that message would: the initiator has our answer,
    and the keys.

    ``done`` gets the pair then: whoever gets it opens its outbound half. Its SPIs stay promised until whoever gets it
    lets them go. ``failed`` gets it with the reason in plain words, when what was begun comes to nothing. ``say``: the
    initiator may have our answer and send by what it has led to, so it's told that we have given that up.
    """

    def __init__(
        self,
        core: Core,
        sa: IsakmpSa,
        terms: tuple[QuickTerms, ...],
        message: ikev1.Message,
        done: Callable[[ChildPair], None],
        failed: Callable[[ChildPair, str], None],
        say: Callable[[Delete], None],
    ) -> None:
        """PeerError unless the message is proved."""
        self._core = core
        self._sa = sa
        self._done = done
        self._failed = failed
        self._say = say
        self._exchange = Protected(sa, Exchange.QUICK, message.header.message_id)
        self._heard = message.sealed
        self._said = b""
        self._pair: ChildPair | None = None
        self._repeats: Repeats | None = None
        self.over = False
        self._request = self._exchange.open(message, QUICK_1, self._first_hash)
        self._nonce = core.entropy.octets(limits.NONCE_OCTETS)
        self._terms = terms

    def _first_hash(self, request: Admitted) -> bytes:
        return hash_1(self._sa.suite.prf.id, self._sa.keys.a, self._exchange.id, request.chain.tail)

    def answer(self) -> ChildPair:
        """What it will lead to if the initiator goes on. Refused or PeerError if the request can't be granted; their
        ``notify`` may be told to the peer."""
        return self._grant(grant(self._sa, self._request, self._terms))

    def _grant(self, granted: Granted) -> ChildPair:
        choice, terms = granted.choice, granted.terms
        value, shared = self._exchanged(choice.suite)
        nonces = self._request.one(Nonce).data, self._nonce
        named = tuple(choice.spis)
        spis = dict(zip(named, self._core.fresh_child_spis(len(named)), strict=True))
        lifetime = durations.shorter(terms.lifetime, choice.lifetime)
        keying = Keying(nonces, shared, initiator=False)
        pair = made(self._core, self._sa, terms, choice.suite, (spis, choice.spis), keying, granted.ends, lifetime)
        payloads: tuple[AnyPayload, ...] = (
            choice.answer(spis, terms.lifetime),
            Nonce(self._nonce),
            *value,
            *self._request.all(Id),
            *originals(self._sa, granted.ends, initiator=False),
            *said_lifetime(choice, terms.lifetime, spis),
        )
        prf_id, a = self._sa.suite.prf.id, self._sa.keys.a
        self._said = self._exchange.seal(payloads, lambda tail: hash_2(prf_id, a, self._exchange.id, nonces[0], tail))
        self._core.promised.update(spis.values())
        self._pair = pair
        pair.open_inbound(self._core)
        self._transmit()
        self._repeats = Repeats(self._core, limits.RETRANSMIT_TRIES, self._transmit, self._gave_up)
        return pair

    def _exchanged(self, suite: ChildSuite) -> tuple[tuple[Ke, ...], Secret | None]:
        """Our public value, and the secret, if the suite has a group."""
        values = self._request.all(Ke)
        if len(values) != (suite.group is not None):
            detail = f"{len(values)} public values beside an offer of {suite}"
            raise PeerError("bad-key-exchange", detail, notify=NotifyType.INVALID_KEY_INFORMATION)
        if suite.group is None:
            return (), None
        ours = self._core.entropy.key_pair(suite.group.id)
        try:
            return (Ke(ours.public),), ours.shared(values[0].data)
        except PeerError as error:
            raise PeerError(error.reason, error.detail, notify=NotifyType.INVALID_KEY_INFORMATION) from error

    def _transmit(self) -> None:
        self._core.emit(Send(self._said, self._sa.path))

    def hear(self, message: ikev1.Message) -> None:
        """Another message with its ID. PeerError with the reason why it has no effect."""
        if self.over or self._pair is None:
            raise PeerError("quick-mode-over")
        if message.sealed == self._heard:
            self._transmit()
            raise PeerError("request-repeated", "it's answered the same way")
        self._exchange.open(message, QUICK_3, self._last_hash)
        self.used()

    def used(self) -> None:
        """The initiator has our answer: its last message is here, or a packet came in by the new SAs."""
        if self._pair is not None and not self.over:
            self._finish()
            self._done(self._pair)

    def _last_hash(self, _: Admitted) -> bytes:
        nonce_i = self._request.one(Nonce).data
        return hash_3(self._sa.suite.prf.id, self._sa.keys.a, self._exchange.id, nonce_i, self._nonce)

    # --- the end ---

    @property
    def spis(self) -> tuple[bytes, ...]:
        """What a refusal may call it by, ours or of the peer's."""
        offered = tuple(proposal.spi for proposal in self._request.one(Sa).proposals)
        return (*offered, *self._pair.spis) if self._pair else offered

    def refusal(self, kind: NotifyType) -> Notify:
        """What tells the initiator, by the SPI that it knows its offer by."""
        first = self._request.one(Sa).proposals[0]
        return Notify(kind, protocol=first.protocol, spi=first.spi)

    def fail(self, reason: str) -> None:
        """The peer has taken it back, or the ISAKMP SA is gone."""
        if self.over or self._pair is None:
            return
        self._finish()
        self._pair.close_inbound(self._core)
        self._core.promised.difference_update(self._pair.spis)
        self._failed(self._pair, reason)

    def _gave_up(self) -> None:
        if self._pair is not None:
            for each in self._pair.deletes():
                self._say(each)
        self.fail("the initiator didn't go on")

    def _finish(self) -> None:
        self.over = True
        if self._repeats is not None:
            self._repeats.stop()
