"""Both ends of a phase 1 of IKEv1 in memory, with a network and a time of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import OakleyAuth
from tests.exchange.entropy import SeededEntropy
from tests.exchange.network import Link
from tests.exchange.v1_line import OURS, THEIRS, Line, LineEnd

COOKIE_I, COOKIE_R = b"cookie-i", b"cookie-r"


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
class End(LineEnd):
    """One side, and what has become of it."""

    sa: IsakmpSa | None = None
    failure: str | None = None

    def done(self, sa: IsakmpSa) -> None:
        assert (self.sa, self.failure) == (None, None)
        self.sa = sa

    def failed(self, reason: str) -> None:
        assert (self.sa, self.failure) == (None, None)
        self.failure = reason


class Wire(Line[End]):
    """Main mode from one end to the other."""

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
        ends = (End(Core(IkeConfig(), SeededEntropy(f"{seed} {side}"))) for side in "ir")
        super().__init__(*ends, seed=seed, link=link, nat=nat, alter=alter)
        responder = MainModeResponder(self.r.core, of_r, COOKIE_R, self.r.done, self.r.failed)
        self.r.hear = responder.hear
        initiator = MainModeInitiator(self.i.core, of_i, Path(OURS, THEIRS), COOKIE_I, self.i.done, self.i.failed)
        self.i.hear = lambda message, _, path: initiator.hear(message, path)
        self.collect()
