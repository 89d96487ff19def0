"""Two gateways that speak IKEv1 in memory, each with all that it has with the other, and packets between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import (
    Effect,
    InstallOutbound,
    Keepalive,
)
from ipsecd.ike.v1.aggressive_initiator import AggressiveInitiator
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.association import Association
from ipsecd.ike.v1.calls import Call, Done, Failed
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.door import Door, Ending
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.responding import Responder
from ipsecd.ike.v1.session import Settings
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire import ikev1
from ipsecd.wire.form import Form
from ipsecd.wire.identity import Identity
from ipsecd.wire.mode_config import NetworkSettings
from ipsecd.wire.registry_v1 import Exchange
from tests.exchange.entropy import SeededEntropy
from tests.exchange.network import Link
from tests.exchange.phase_1 import suite
from tests.exchange.phase_2 import mirrored, terms
from tests.exchange.plane import Plane
from tests.exchange.v1_line import OURS, THEIRS, Line, LineEnd


@dataclass
class Gateway(Plane, LineEnd):
    """One side, and the data plane it believes in. ``says`` are the vendor IDs that it's taken to have sent. ``of_1``
    are the terms of phase 1, if they aren't the usual ones; in ``aggressive`` mode if that is said."""

    us: str = ""
    them: str = ""
    path: Path = field(default_factory=lambda: Path(OURS, THEIRS))
    seconds: int = 28_800
    octets: int | None = None
    force_udp: bool = False
    suites: tuple[IsakmpSuite, ...] = (suite(),)
    says: tuple[bytes, ...] = ()
    of_1: Terms | None = None
    aggressive: bool = False
    used: set[bytes] = field(default_factory=set)
    calls: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    keepalives: int = 0
    alive_at: float = 0.0

    def begin(self, settings: Settings, *, calls: bool = True) -> None:
        self.settings = settings
        self.all = Association(self.core, settings, self._call if calls else None, self)
        self.door = Door(self.core, self._answer, self._joined, lambda *_: None)
        self.hear = self._hear

    def _terms(self, *, first: bool = False) -> Terms:
        if self.of_1 is not None:
            return replace(self.of_1, first=first)
        us, them = Identity.parse(self.us), Identity.parse(self.them)
        return Terms(self.suites, Secret(b"correct horse"), us, them, self.seconds, first, self.force_udp, self.octets)

    def _call(self, cookie: bytes, *, first: bool, done: Done, failed: Failed) -> Call:
        self.calls.append(self.core.now)
        of_1 = self._terms(first=first)
        kind = AggressiveInitiator if self.aggressive else MainModeInitiator
        self._begun = kind(self.core, of_1, self.path, cookie, lambda sa: done(self._said(sa)), failed)
        return self._begun

    def _answer(self, header: ikev1.Header, path: Path, cookie: bytes, ends: Ending) -> Responder:
        kind = AggressiveResponder if header.exchange == Exchange.AGGRESSIVE else MainModeResponder
        return kind(self.core, Candidates((self._terms(),)), cookie, ends.done, ends.failed)

    def _joined(self, sa: IsakmpSa, begun: float, _: Exchange) -> None:
        self.all.join(self._said(sa), begun)

    def _said(self, sa: IsakmpSa) -> IsakmpSa:
        return replace(sa, vendor_ids=sa.vendor_ids + self.says)

    def _hear(self, message: ikev1.Message, data: bytes, path: Path) -> None:
        if message.header.cookie_r == ikev1.NO_COOKIE:
            self.door.first(message, data, path)
        elif self.door.takes(message.header):
            self.door.hear(message, data, path)
        else:
            session = self.all.hear(message, path)
            if session is not None and self.aggressive and session.sa.initiator:
                self._begun.heard()  # type: ignore[union-attr]  # it's of that mode

    def carry_out(self, effect: Effect) -> None:
        super().carry_out(effect)
        if isinstance(effect, Keepalive):
            self.keepalives += 1

    # --- as the holder ---

    def established(self, sa: IsakmpSa) -> None:
        self.events.append("established")

    def configured(self, sa: IsakmpSa, settings: NetworkSettings) -> None:
        self.events.append(f"configured: {', '.join(map(str, settings.addresses))}")

    def turned_away(self, sa: IsakmpSa, reason: str) -> None:
        self.events.append(f"turned away: {reason}")

    def ended(self, sa: IsakmpSa, reason: str) -> None:
        self.events.append(f"ended: {reason}")

    def unreached(self, reason: str) -> None:
        self.events.append(f"unreached: {reason}")

    def opened(self, pair: ChildPair) -> None:
        pass

    def closed(self, pair: ChildPair) -> None:
        pass

    def up(self, pair: ChildPair) -> None:
        self.events.append("up")

    def rekeyed(self, pair: ChildPair) -> None:
        self.events.append("rekeyed")

    def down(self, pair: ChildPair, reason: str) -> None:
        self.events.append(f"down: {reason}")

    def failed(self, terms: QuickTerms, ends: Ends, reason: str) -> None:
        self.events.append(f"failed: {reason}")


class Gateways(Line[Gateway]):
    """``of_i`` and ``of_r`` are what each side allows. Packets go on while ``every`` is set: each side sends one by the
    SA that it has installed last, so often; they are delayed as datagrams are, and never lost."""

    def __init__(
        self,
        of_i: Settings,
        of_r: Settings,
        *,
        seed: int | str = 0,
        link: Link | None = None,
        nat: bool = False,
        calls: bool = True,
        alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
        **values: object,
    ) -> None:
        cores = [Core(IkeConfig(), SeededEntropy(f"{seed} {side}")) for side in "ir"]
        ends = (
            Gateway(cores[0], us="a.example", them="b.example", path=Path(OURS, THEIRS), **values),  # type: ignore[arg-type]  # its fields
            Gateway(cores[1], us="b.example", them="a.example", path=Path(THEIRS, OURS), **values),  # type: ignore[arg-type]  # its fields
        )
        super().__init__(*ends, seed=seed, link=link, nat=nat, alter=alter)
        self.i.begin(of_i)
        self.r.begin(of_r, calls=calls)
        self.every = 0.0
        self.count: Counter[str] = Counter()
        self.lost: list[str] = []
        self._carried = [0, 0]

    def want(self, side: Gateway | None = None) -> Gateways:
        """All that one side, the initiator unless it's said, may have."""
        end = side or self.i
        end.core.now = self.now
        for each in end.settings.terms:
            end.all.want(each, Ends(each.local[0], each.remote[0], Form(transport=each.transport)))
        self.collect()
        return self

    def act(self, action: Callable[[], None]) -> Gateways:
        """A command, now."""
        self.i.core.now = self.r.core.now = self.now
        action()
        self.collect()
        return self

    def up(self, seconds: float = 60.0) -> Gateways:
        self.want().run(self.now + seconds)
        assert self.agree(len(self.i.settings.terms)), (self.i.events, self.r.events)
        return self

    def agree(self, pairs: int) -> bool:
        """Whether both sides have the same SAs, of so many pairs that are sent by, and no faults."""
        assert [end.core.counters["internal-error"] for end in (self.i, self.r)] == [0, 0], (self.i.effects[-1],)
        ends = (self.i, self.r)
        sent_by = all({spi for spi, _ in one.outbound} == set(other.inbound) for one, other in (ends, ends[::-1]))
        return sent_by and [sum(live.sending for live in end.all.pairs) for end in ends] == [pairs, pairs]

    def settles(self, pairs: int) -> bool:
        """Whether both sides come to have the same so many pairs, while packets go on."""
        until = self.now + 200.0
        while self.now < until and not self.agree(pairs):
            self.traffic(0.5, self.now + 1.0)
        return self.agree(pairs)

    # --- time ---

    def run(self, until: float = 120.0) -> Self:
        super().run(until)
        self.now = until
        return self

    def collect(self) -> None:
        super().collect()
        for number, end in enumerate((self.i, self.r)):
            for effect in end.effects[self._carried[number] :]:
                end.carry_out(effect)
            self._carried[number] = len(end.effects)

    def traffic(self, every: float, until: float) -> Gateways:
        """Packets both ways until then, and nothing else but what happens by itself."""
        at = self.now
        while at < until:
            self.run(at)
            for end, other in ((self.i, self.r), (self.r, self.i)):
                self._packet(end, other)
            at += every
        return self.run(until)

    def _packet(self, sender: Gateway, receiver: Gateway) -> None:
        if not sender.outbound:
            self.lost.append(f"{self.now:.3f} {sender.us} has no outbound SA")
            self.want(sender)
            return
        installed = [*sender.outbound.values()][-1]
        self.count[sender.us] += 1
        if installed.watched:
            self.act(lambda: sender.all.used((installed.inbound,)))
        delay = self._random.uniform(*self._link.delay)
        receiver.core.timers.at(self.now + delay, lambda: self._arrive(sender, receiver, installed))

    def _arrive(self, sender: Gateway, receiver: Gateway, by: InstallOutbound) -> None:
        spi, path = by.spi, self.seen(sender is self.i, by.path)
        if path is None:
            self.lost.append(f"{receiver.core.now:.3f} from {sender.us} to {by.path.remote}, where nobody is")
            return
        if spi not in receiver.inbound:
            self.lost.append(f"{receiver.core.now:.3f} from {sender.us} by {spi.hex()}")
            return
        if spi not in receiver.used:
            receiver.used.add(spi)
            receiver.all.inbound_used(spi)
        if receiver.inbound[spi].watched:
            receiver.all.used((spi,))
        if receiver.inbound[spi].path != path:
            receiver.all.moved(spi, path)
        if receiver.core.now >= receiver.alive_at + limits.PEER_ALIVE_EVERY:
            receiver.alive_at = receiver.core.now
            receiver.all.alive((spi,))


def gateways(of_i: QuickTerms | None = None, **values: object) -> Gateways:
    """The responder allows what the initiator has, mirrored. Settings are among the values."""
    of_i = of_i or terms()
    names = ("dpd", "quick_modes")
    settings = {name: values.pop(name) for name in names if name in values}
    return Gateways(Settings((of_i,), **settings), Settings((mirrored(of_i),), **settings), **values)  # type: ignore[arg-type]  # as there
