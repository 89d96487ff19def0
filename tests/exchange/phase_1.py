"""Both ends of a phase 1 of IKEv1 in memory, with a network and a time of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipsecd.crypto import algorithms
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import Send
from ipsecd.ike.v1.aggressive_initiator import AggressiveInitiator
from ipsecd.ike.v1.aggressive_responder import AggressiveResponder
from ipsecd.ike.v1.candidates import Candidates
from ipsecd.ike.v1.fragments import Joining
from ipsecd.ike.v1.main_initiator import MainModeInitiator
from ipsecd.ike.v1.main_responder import MainModeResponder
from ipsecd.ike.v1.methods import Certified
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.suites import IsakmpSuite
from ipsecd.ike.v1.terms import Terms
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire import ikev1
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Prf
from ipsecd.wire.registry_v1 import OakleyAuth, Payload
from tests.exchange.entropy import SeededEntropy
from tests.exchange.network import Link
from tests.exchange.v1_line import OURS, THEIRS, Line, LineEnd
from tests.unit.crypto.authority import NOW, ROOT, private

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


def signed(us: str = "a.example", them: str = "b.example", *, lead: tuple[bytes, ...] = ()) -> Terms:
    """With signatures: a.example has the one key, everyone else the other. ``lead`` are certificates shown behind our
    own."""
    side = "i" if us == "a.example" else "r"
    certified = Certified((ROOT.end(side, us), *lead), private(side), RawChain((ROOT.certificate,), lambda: NOW))
    suites = (suite(method=OakleyAuth.RSA_SIGNATURE),)
    return Terms(suites, Secret(b""), Identity.parse(us), Identity.parse(them), 28_800, certified=certified)


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


Hear = Callable[[ikev1.Message, bytes, Path], None]


def joined(core: Core, hear: Hear) -> Hear:
    """Hears messages that come in parts, too."""
    joining = Joining(core)

    def whole(message: ikev1.Message, data: bytes, path: Path) -> None:
        if message.first != Payload.FRAGMENT:
            hear(message, data, path)
        elif (joined := joining.add(message)) is not None:
            hear(ikev1.decode(joined), joined, path)

    return whole


class Wire(Line[End]):
    """Main mode, or aggressive mode, from one end to the other. ``of_r`` are all that the responder has;
    ``path`` is where the initiator's first message goes."""

    def __init__(
        self,
        of_i: Terms,
        *of_r: Terms,
        seed: int | str = 0,
        link: Link | None = None,
        nat: bool = False,
        alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
        aggressive: bool = False,
        path: Path | None = None,
    ) -> None:
        ends = (End(Core(IkeConfig(), SeededEntropy(f"{seed} {side}"))) for side in "ir")
        super().__init__(*ends, seed=seed, link=link, nat=nat, alter=alter)
        responds = AggressiveResponder if aggressive else MainModeResponder
        initiates = AggressiveInitiator if aggressive else MainModeInitiator
        self.responder = responds(self.r.core, Candidates(of_r), COOKIE_R, self.r.done, self.r.failed)
        self.r.hear = joined(self.r.core, self.responder.hear)
        initiator = initiates(self.i.core, of_i, path or Path(OURS, THEIRS), COOKIE_I, self.i.done, self.i.failed)
        self.initiator = initiator
        self.i.hear = joined(self.i.core, lambda message, _, path: initiator.hear(message, path))
        self.collect()


def sas(wire: Wire) -> tuple[IsakmpSa, IsakmpSa]:
    assert wire.i.sa is not None, wire.i.failure
    assert wire.r.sa is not None, wire.r.failure
    return wire.i.sa, wire.r.sa


def same(wire: Wire) -> None:
    """Both ends have the same ISAKMP SA, and nothing went wrong inside."""
    of_i, of_r = sas(wire)
    assert (of_i.initiator, of_r.initiator) == (True, False)
    assert of_i.cookies == of_r.cookies == (COOKIE_I, COOKIE_R)
    assert of_i.suite == of_r.suite
    assert of_i.keys == of_r.keys
    assert of_i.chain.iv == of_r.chain.iv
    sealed = of_i.cipher.phase_2(of_i.chain, 7).seal(b"a first message")
    assert of_r.cipher.phase_2(of_r.chain, 7).open(sealed) == b"a first message\0"
    for end in (wire.i, wire.r):
        assert end.core.counters["internal-error"] == 0
        assert all(isinstance(effect, Send) for effect in end.effects)


def described(datagrams: list[bytes]) -> list[str]:
    found = []
    for data in datagrams:
        message = ikev1.decode(data)
        inside = ["sealed"] if message.sealed else [type(payload).__name__ for payload in message.chain.payloads]
        found.append(" ".join((str(message.header.exchange), *inside)))
    return found
