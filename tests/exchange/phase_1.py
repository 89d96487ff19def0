"""Both ends of a phase 1 of IKEv1 in memory, with a network and a time of their own."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from random import Random

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import IsakmpSa, Terms
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.entropy import SeededEntropy
from tests.exchange.network import Link

OURS, THEIRS = Endpoint(ip_address("192.0.2.1"), 500), Endpoint(ip_address("198.51.100.1"), 500)
NAT_ADDRESS = ip_address("203.0.113.7")
COOKIE_I, COOKIE_R = b"cookie-i", b"cookie-r"
_NAT_PORTS = {500: 10_500, 4500: 14_500}


def suite(
    encr: Encr = Encr.AES_CBC,
    bits: int | None = 128,
    prf_id: Prf = Prf.HMAC_SHA2_256,
    group: Group = Group.CURVE25519,
    method: OakleyAuth = OakleyAuth.PSK,
) -> IsakmpSuite:
    encryption, prf, info = algorithms.encryption(encr, bits), algorithms.prf(prf_id), algorithms.group(group)
    assert encryption is not None
    assert prf is not None
    assert info is not None
    return IsakmpSuite(encryption, prf, info, method)


def terms(
    us: str = "a.example", them: str = "b.example", key: bytes = b"correct horse", seconds: int = 28_800
) -> Terms:
    return Terms((suite(),), Secret(key), Identity.parse(us), Identity.parse(them), seconds)


@dataclass
class End:
    """One side, and what has become of it."""

    core: Core
    sa: IsakmpSa | None = None
    failure: str | None = None
    sent: list[bytes] = field(default_factory=list)
    hear: Callable[[ikev1.Message, bytes, Path], None] = lambda *_: None

    def done(self, sa: IsakmpSa) -> None:
        assert (self.sa, self.failure) == (None, None)
        self.sa = sa

    def failed(self, reason: str) -> None:
        assert (self.sa, self.failure) == (None, None)
        self.failure = reason


class Wire:
    """``nat`` stands in front of the initiator. ``alter`` may change what is sent, or say None to lose it."""

    def __init__(
        self,
        of_i: Terms,
        of_r: Terms,
        *,
        seed: int | str = 0,
        link: Link | None = None,
        nat: bool = False,
        alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
    ) -> None:
        self.now = 0.0
        self._random = Random(f"{seed} wire")
        self._link = link or Link()
        self._nat = nat
        self._alter = alter
        self._number = count()
        self._way: list[tuple[float, int, bool, bytes, Path]] = []
        self.i, self.r = (End(Core(IkeConfig(), SeededEntropy(f"{seed} {side}"))) for side in "ir")
        responder = MainModeResponder(self.r.core, of_r, COOKIE_R, self.r.done, self.r.failed)
        self.r.hear = responder.hear
        initiator = MainModeInitiator(self.i.core, of_i, Path(OURS, THEIRS), COOKIE_I, self.i.done, self.i.failed)
        self.i.hear = lambda message, _, path: initiator.hear(message, path)
        self._collect()

    def run(self, until: float = 120.0) -> Wire:
        """Until nothing is to be done any more, or the time is over."""
        while (due := self._due()) is not None and due <= until:
            self.now = due
            for end in (self.i, self.r):
                end.core.now = due
                for timer in end.core.timers.due(due):
                    timer.ring()
            self._collect()
            while self._way and self._way[0][0] <= self.now:
                _, _, to_responder, data, path = heapq.heappop(self._way)
                self.give(to_responder=to_responder, data=data, path=path)
        return self

    def give(self, *, to_responder: bool, data: bytes, path: Path | None = None) -> None:
        """A datagram arrives."""
        end = self.r if to_responder else self.i
        end.core.now = self.now
        there = path or (Path(THEIRS, OURS) if to_responder else Path(OURS, THEIRS))
        end.core.guarded("datagram", lambda: end.hear(ikev1.decode(data), data, there))
        self._collect()

    def _due(self) -> float | None:
        times = [end.core.timers.deadline() for end in (self.i, self.r)] + [self._way[0][0] if self._way else None]
        return min((time for time in times if time is not None), default=None)

    def _collect(self) -> None:
        for end, from_initiator in ((self.i, True), (self.r, False)):
            for effect in end.core.take_effects():
                assert isinstance(effect, Send)
                end.sent.append(effect.data)
                data = self._alter(from_initiator, effect.data)
                if data is not None:
                    self._send(from_initiator, data, effect.path)

    def _send(self, from_initiator: bool, data: bytes, path: Path) -> None:
        if self._random.random() < self._link.loss:
            return
        arrived = Path(path.remote, path.local, path.natt)
        if self._nat and from_initiator:
            arrived = replace(arrived, remote=Endpoint(NAT_ADDRESS, _NAT_PORTS[path.local.port]))
        elif self._nat:
            inside = {outside: port for port, outside in _NAT_PORTS.items()}
            arrived = replace(arrived, local=Endpoint(OURS.address, inside[path.remote.port]))
        for _ in range(2 if self._random.random() < self._link.duplication else 1):
            when = self.now + self._random.uniform(*self._link.delay)
            heapq.heappush(self._way, (when, next(self._number), from_initiator, data, arrived))
