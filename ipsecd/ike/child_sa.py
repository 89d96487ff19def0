"""One child SA pair: what is installed of it, and its way from the first inbound packet to the last.

Rules of order, all for the sake of no lost packet (RFC 7296 section 2.8):

1. A responder's inbound SA is installed before its response leaves; an initiator's both halves after the response.
2. On a rekey the responder goes on sending by the old SA until the peer is ready for the new one: a packet came in by
   it, or the old one's Delete came, or ``limits.OUTBOUND_SWITCH`` has passed.
3. The old inbound SA of a rekey outlives its Delete by ``limits.OLD_INBOUND_KEPT``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ipsecd import limits
from ipsecd.ike.carriage import goes_natively
from ipsecd.ike.config import Child, Peer
from ipsecd.ike.effects import RemoveInbound, RemoveOutbound
from ipsecd.ike.inactivity import UNUSED, Inactivity
from ipsecd.ike.keylog import log_child_keys
from ipsecd.ike.lifetimes import child_limits
from ipsecd.ike.moving import outside
from ipsecd.ike.narrowing import show
from ipsecd.ike.negotiate import lifetime_of
from ipsecd.ike.parts import Part, Use, called
from ipsecd.ike.reports import PEER
from ipsecd.ike.sessions import child_gone
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.timers import Timer
from ipsecd.wire.form import Form
from ipsecd.wire.registry import Protocol
from ipsecd.wire.selector import Selector
from ipsecd.wire.tfc import NO_TFC

if TYPE_CHECKING:
    from ipsecd.ike.sa import IkeSa


class ChildStage(Enum):
    UP = "up"
    REPLACED = "replaced"  # by its successor; the peer, which asked for that, will delete this one
    DELETING = "deleting"  # our Delete is queued or on its way
    GONE = "gone"


@dataclass(slots=True)
class Rival:
    """What the peer made of a child, or of a child SA being rekeyed, while we asked for the same (2.8.1)."""

    child: ChildSa
    lowest_nonce: bytes

    @property
    def stands(self) -> bool:
        """It takes traffic, or what it was rekeyed to does."""
        return self.child.latest.stage is ChildStage.UP

    def outlasts(self, ours: ChildSa, lowest_nonce: bytes) -> bool:
        """Whether ours is one too many: for the same traffic, and made with the lowest of the four nonces."""
        same = (self.child.local, self.child.remote) == (ours.local, ours.remote)
        return self.stands and same and lowest_nonce < self.lowest_nonce


class ChildSa:
    """``parts`` are its SAs, outermost first; what it's called by, ``spi_in`` of ours and ``spi_out`` of the peer's, is
    the innermost. ``local`` and ``remote`` are the negotiated selectors seen from us. ``native``: its packets are IP
    protocols 50 and 51 themselves. ``tfc`` hides what we send; ``padding_declined``: that would be padded, and the peer
    takes no padding."""

    def __init__(
        self,
        ike: IkeSa,
        peer: Peer,
        config: Child,
        suite: ChildSuite,
        parts: tuple[Part, ...],
        selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]],
        form: Form,
        *,
        takes_padding: bool,
    ) -> None:
        self.ike = ike
        self.peer = peer
        self.config = config
        self.suite = suite
        self.parts = parts
        self.spi_in, self.spi_out, self.protocol = parts[-1].spi_in, parts[-1].spi_out, parts[-1].protocol
        self.local, self.remote = selectors
        self.form = form
        protocols = {part.protocol for part in parts}
        self.native = goes_natively(ike, with_ah=Protocol.AH in protocols)
        self.tfc = config.tfc if Protocol.ESP in protocols else NO_TFC
        self.padding_declined = bool(self.tfc.padding) and not takes_padding
        if self.padding_declined:
            self.tfc = replace(self.tfc, padding=0)
        self.stage = ChildStage.UP
        self.sending = False
        self.rekeying = False  # our request for its successor is on its way
        self.successor: ChildSa | None = None
        self.predecessor: ChildSa | None = None  # the one it is the successor of
        self.rival: Rival | None = None
        self.since = ike.core.now
        lifetime, fraction = lifetime_of(config, suite), ike.core.fraction()
        self._limits = [child_limits(lifetime, part.suite, fraction) for part in parts]
        self.soft, self.hard = self._limits[-1]
        self._inactivity = Inactivity(ike.core, config.idle, self._unused)
        self._timers: list[Timer] = []
        self._switch: Timer | None = None

    # --- installing ---

    def open_inbound(self) -> None:
        """From now on packets of the peer are accepted, and the lifetime runs."""
        core = self.ike.core
        self.ike.children[self.spi_in] = self
        use = self._use()
        for part, (soft, hard) in zip(self.parts, self._limits, strict=True):
            core.children[part.spi_in] = self
            core.emit(use.inbound(part, soft, hard))
        log_child_keys(self)
        self._inactivity.start()
        if self.soft.seconds is not None:
            self._timers.append(core.after(self.soft.seconds, self._soft))
        if self.hard.seconds is not None:
            self._timers.append(core.after(self.hard.seconds, self._hard))

    def open_outbound(self) -> None:
        """From now on we send by this SA and by none before it."""
        self._stop_waiting()
        if self.sending or self.stage is not ChildStage.UP:
            return
        self.sending = True
        use = self._use()
        for part, (soft, hard) in zip(self.parts, self._limits, strict=True):
            self.ike.core.emit(use.outbound(part, soft, hard))
        if self.padding_declined:
            self.ike.core.report("padding-declined", "warning", **self.story())

    def _use(self) -> Use:
        path = outside(self.ike, native=self.native)
        watched = self._inactivity.watched
        return Use(self.config.id, self.peer.name, self.local, self.remote, path, self.tfc, watched)

    def await_peer(self) -> None:
        """Rule 2: the peer made this SA to replace another and may not have seen our response yet."""
        self._switch = self.ike.core.after(limits.OUTBOUND_SWITCH, self.open_outbound)

    def inbound_used(self) -> None:
        """The peer sends by this SA, so it is ready to receive by it."""
        if self._switch is not None:
            self.open_outbound()

    @property
    def awaits_peer(self) -> bool:
        """The peer may not have seen our response that makes this SA."""
        return self._switch is not None

    @property
    def usable(self) -> bool:
        """Whether traffic goes by it, or will in a moment."""
        return self.stage is ChildStage.UP and (self.sending or self.awaits_peer)

    def stay_silent(self) -> None:
        """This SA lost a collision; we never send by it and wait for its Delete."""
        self._stop_waiting()

    @property
    def lasts(self) -> bool:
        """Whether it's neither gone nor being deleted by us."""
        return self.stage in (ChildStage.UP, ChildStage.REPLACED)

    # --- succession ---

    def replaced_by(self, new: ChildSa) -> None:
        """``new`` is its successor. This one waits for its Delete, unless the new one ends before that."""
        self.successor = new
        if new.predecessor is None:
            new.predecessor = self
        new._inactivity.follow(self._inactivity)
        if self.stage is ChildStage.UP:
            self.stage = ChildStage.REPLACED

    @property
    def latest(self) -> ChildSa:
        """The successor of its successors, or itself."""
        return self if self.successor is None else self.successor.latest

    @property
    def standing_rival(self) -> Rival | None:
        return self.rival if self.rival is not None and self.rival.stands else None

    def settle_rival(self) -> bool:
        """The successor that the peer made is the one that stays; whether there is one."""
        rival = self.standing_rival
        if rival is not None:
            self.replaced_by(rival.child.latest)
        return rival is not None

    def _leave_line(self) -> None:
        """Those before and after it close ranks. If nothing comes after it, the one before does again what it did."""
        before, after = self.predecessor, self.successor
        self.predecessor = None
        if after is not None and after.predecessor is self:
            after.predecessor = before
        if before is not None and before.successor is self:
            before.successor = after
            if after is None and before.stage is ChildStage.REPLACED:
                before.stage = ChildStage.UP
                before.open_outbound()
                before.ike.rekey_child(before, limits.TEMPORARY_FAILURE_LAST)

    # --- leaving ---

    def close_outbound(self) -> None:
        self._stop_waiting()
        if self.sending:
            self.sending = False
            for part in reversed(self.parts):
                self.ike.core.emit(RemoveOutbound(part.spi_out, part.spi_in))

    def close(self) -> None:
        """The SA has ended, on both sides as far as we can know. A successor takes over before it goes (rule 3)."""
        if self.stage is ChildStage.GONE:
            return
        if self.successor is not None:
            self.successor.open_outbound()
        self._leave_line()
        self.close_outbound()
        self.stage = ChildStage.GONE
        self._inactivity.stop()
        for timer in self._timers:
            timer.cancel()
        self.ike.children.pop(self.spi_in, None)
        core = self.ike.core
        core.wanted.ended(self.config.id)
        child_gone(self.ike)
        if self.successor is not None:
            core.after(limits.OLD_INBOUND_KEPT, self._close_inbound)
        else:
            self._close_inbound()

    def cut_off(self) -> None:
        """End at once, with nothing kept: the IKE SA is lost."""
        self.successor = self.predecessor = None
        self.close()

    def expire(self) -> None:
        """It must not be used any more (RFC 7296 section 2.8)."""
        if self.successor is not None:
            self.successor.open_outbound()
        self.close_outbound()

    def _close_inbound(self) -> None:
        core = self.ike.core
        for part in reversed(self.parts):
            if core.children.pop(part.spi_in, None) is not None:
                core.emit(RemoveInbound(part.spi_in))

    def _stop_waiting(self) -> None:
        if self._switch is not None:
            self._switch.cancel()
            self._switch = None

    # --- lifetime ---

    @property
    def mode(self) -> str:
        """For people."""
        return "transport" if self.form.transport else "tunnel"

    @property
    def encapsulation(self) -> str:
        """As policies call it."""
        return "native" if self.native else "udp"

    @property
    def around(self) -> tuple[Part, ...]:
        """The SAs that its own are inside of."""
        return self.parts[:-1]

    def _soft(self) -> None:
        self.ike.rekey_child(self)

    def _hard(self) -> None:
        self.ike.expire_child(self)

    def used(self) -> None:
        """Packets went by it lately, in one of both directions."""
        self._inactivity.used()

    def _unused(self) -> None:
        """Nothing is sent by it from now on: a packet that comes meanwhile waits for another."""
        if self.usable:
            self.ike.core.report("child-idle", "info", **self.story(), reason=UNUSED)
            self.close_outbound()
            self.ike.delete_child(self)

    def unreached(self, reason: str) -> None:
        """Its packets don't get there, it's said. That is told, and changes nothing."""
        self.ike.core.report("child-unreached", "warning", **self.story(), point=PEER, reason=reason)

    def story(self) -> dict[str, object]:
        """What reports say of it. Of AH around ESP the SPIs of AH stand beside those of ESP."""
        spis = {"spi_in": self.spi_in.hex(), "spi_out": self.spi_out.hex()}
        for part in self.around:
            spis |= {"ah_spi_in": part.spi_in.hex(), "ah_spi_out": part.spi_out.hex()}
        return {
            "peer": self.peer.name,
            "rule": self.config.rule,
            "child": self.config.name,
            **spis,
            "suite": str(self.suite),
            "sa_mode": self.mode,
            "protocol": called(self.parts),
            "encapsulation": self.encapsulation,
            "filter": f"{show(self.local)} = {show(self.remote)}",
        }
