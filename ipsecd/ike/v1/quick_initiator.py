"""Quick mode as initiator (RFC 2409 section 5.5).

::

    initiator                                                     responder
    1  HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr [, NAT-OA...] -->
                              <--  2  HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr] [, NAT-OA...] [, N]
    3  HDR*, HASH(3)                                          -->

Each side repeats by the clock what it waits for an answer to; the last message is said again when the second comes
again. Nothing that isn't proved ends the attempt; its own time does.

A responder that has set the commit bit sends one more, CONNECTED (RFC 2408 section 3.1): in the quick mode, as Windows
does, or in an informational exchange of the same message ID. Until then we don't send by the new SAs, but for no longer
than it takes to say the last message a few times: the bit is in clear, so anybody can set it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.crypto.keymat_v1 import hash_1, hash_2, hash_3
from ipsecd.errors import PeerError
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.repeats import Repeats
from ipsecd.ike.v1 import durations
from ipsecd.ike.v1.child_offers import accepted, offer, offered, protocols
from ipsecd.ike.v1.child_pair import ChildPair, Keying, made
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms, confirmed, mode, originals
from ipsecd.ike.v1.responder_lifetime import heard_lifetime
from ipsecd.ike.v1.rows import INFORMATIONAL, QUICK_2, QUICK_4, Admitted
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Ke, Nonce, Sa
from ipsecd.wire.registry_v1 import Exchange, Flag, NotifyType

if TYPE_CHECKING:
    from ipsecd.crypto.secret import Secret


class QuickInitiator:
    """``done`` gets the pair when the peer takes what goes by it: whoever gets it opens its outbound half. The effects
    that install its inbound half and send the last message stand before; from then on this only says that again. The
    pair's SPIs stay promised until whoever gets it lets them go. ``failed`` gets the reason in plain words. One of them
    is called, once."""

    def __init__(
        self,
        core: Core,
        sa: IsakmpSa,
        terms: QuickTerms,
        ends: Ends,
        id_: int,
        done: Callable[[ChildPair], None],
        failed: Callable[[str], None],
    ) -> None:
        self._core = core
        self._sa = sa
        self._terms = terms
        self._ends = ends
        self._done = done
        self._failed = failed
        self._exchange = Protected(sa, Exchange.QUICK, id_)
        self._suites = offered(terms.suites)
        named = protocols(self._suites)
        self._spis = dict(zip(named, core.fresh_child_spis(len(named)), strict=True))
        core.promised.update(self._spis.values())
        self._mode = mode(sa, transport=ends.form.transport)
        self._offer = offer(self._suites, self._spis, self._mode, terms.lifetime)
        self._nonce = core.entropy.octets(limits.NONCE_OCTETS)
        group = self._suites[0].group
        self._pair = core.entropy.key_pair(group.id) if group else None
        self._heard = b""
        self._made: ChildPair | None = None
        self.over = False
        self._said = self._first()
        self._transmit()
        self._repeats = Repeats(core, limits.RETRANSMIT_TRIES, self._transmit, self._gave_up)

    def _first(self) -> bytes:
        ends, a = self._ends, self._sa.keys.a
        value = (Ke(self._pair.public),) if self._pair else ()
        ids = Id.selecting(ends.local), Id.selecting(ends.remote)
        payloads = (self._offer, Nonce(self._nonce), *value, *ids, *originals(self._sa, ends, initiator=True))
        return self._exchange.seal(payloads, lambda tail: hash_1(self._sa.suite.prf.id, a, self._exchange.id, tail))

    def _transmit(self) -> None:
        self._core.emit(Send(self._said, self._sa.path))

    def hear(self, message: ikev1.Message) -> None:
        """A message with our message ID. PeerError with the reason why it has no effect."""
        if self._heard and message.sealed == self._heard:
            self._transmit()
            raise PeerError("request-repeated", "it's answered the same way")
        if self.over:
            raise PeerError("quick-mode-over")
        if self.waits_for_word:
            self._take_word(message)
        else:
            self._take(self._exchange.open(message, QUICK_2, self._hash), message)

    def _hash(self, answer: Admitted) -> bytes:
        return hash_2(self._sa.suite.prf.id, self._sa.keys.a, self._exchange.id, self._nonce, answer.chain.tail)

    def _take(self, answer: Admitted, message: ikev1.Message) -> None:
        """It's proved, so what is wrong with it ends the attempt."""
        try:
            pair = self._pair_of(answer)
        except PeerError as error:
            self.fail(error.detail or error.reason)
            raise
        self._repeats.stop()
        self._core.promised.difference_update(set(self._spis.values()).difference(pair.spis))
        self._heard = message.sealed
        prf_id, a, nonce_r = self._sa.suite.prf.id, self._sa.keys.a, answer.one(Nonce).data
        self._said = self._exchange.seal((), lambda _: hash_3(prf_id, a, self._exchange.id, self._nonce, nonce_r))
        pair.open_inbound(self._core)
        self._transmit()
        self._made = pair
        if message.header.flags & Flag.COMMIT:
            self._repeats = Repeats(self._core, limits.COMMIT_TRIES, self._transmit, self.used)
        else:
            self.used()

    def used(self) -> None:
        """The peer is ready, or can be supposed to be: it has said so, or a packet came in by the new SAs."""
        if self._made is not None and not self.over:
            self._finish()
            self._done(self._made)

    # --- the commit bit ---

    @property
    def waits_for_word(self) -> bool:
        """The peer has asked us to wait until it is ready."""
        return self._made is not None and not self.over

    def _take_word(self, message: ikev1.Message) -> None:
        in_quick_mode = message.header.exchange == Exchange.QUICK
        # which has a chain of its own, although its message ID is the same
        exchange = self._exchange if in_quick_mode else Protected(self._sa, Exchange.INFORMATIONAL, self._exchange.id)
        prf_id, a = self._sa.suite.prf.id, self._sa.keys.a
        word = exchange.open(
            message,
            QUICK_4 if in_quick_mode else INFORMATIONAL,
            lambda found: hash_1(prf_id, a, self._exchange.id, found.chain.tail),
        )
        if word.notify(NotifyType.CONNECTED) is None:
            raise PeerError("not-connected", "the last word of a quick mode is another")
        self.used()

    # --- what is made ---

    def _pair_of(self, answer: Admitted) -> ChildPair:
        choice = accepted(self._offer, answer.one(Sa), self._suites, self._mode)
        ends = confirmed(self._sa, self._ends, answer)
        keying = Keying((self._nonce, answer.one(Nonce).data), self._shared(answer), initiator=True)
        lifetime = durations.shorter(durations.shorter(self._terms.lifetime, choice.lifetime), heard_lifetime(answer))
        spis = {protocol: self._spis[protocol] for protocol in choice.spis}, choice.spis
        return made(self._core, self._sa, self._terms, choice.suite, spis, keying, ends, lifetime)

    def _shared(self, answer: Admitted) -> Secret | None:
        values = answer.all(Ke)
        if len(values) != (self._pair is not None):
            raise PeerError("bad-key-exchange", f"{len(values)} public values in the answer")
        return self._pair.shared(values[0].data) if self._pair else None

    # --- the end ---

    @property
    def spis(self) -> tuple[bytes, ...]:
        """What a refusal may call it by."""
        return tuple(self._spis.values()) if self._made is None else self._made.spis

    def fail(self, reason: str) -> None:
        """The peer has refused it, or the ISAKMP SA is gone."""
        if not self.over:
            self._finish()
            if self._made is not None:
                self._made.close_inbound(self._core)
            self._core.promised.difference_update(self.spis)
            self._failed(reason)

    def _gave_up(self) -> None:
        self.fail("the peer doesn't answer our offer of SAs")

    def _finish(self) -> None:
        self.over = True
        self._repeats.stop()
