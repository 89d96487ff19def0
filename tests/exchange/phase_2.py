"""Both ends of an ISAKMP SA in memory, between which quick modes go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ipsecd.crypto.isakmp_cipher import IsakmpCipher
from ipsecd.crypto.keymat_v1 import derive_isakmp
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Endpoint, IkeConfig, Lifetime, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import InstallInbound, InstallOutbound
from ipsecd.ike.nat import NONE, Nat
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1 import natt
from ipsecd.ike.v1.child_pair import ChildPair
from ipsecd.ike.v1.exchanges import Exchanges
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.transactions import Answer
from ipsecd.wire import vendor_ids
from ipsecd.wire.form import Form
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_payloads import Attributes
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.network import Link
from tests.exchange.phase_1 import COOKIE_I, COOKIE_R, suite
from tests.exchange.phase_1 import terms as phase_1_terms
from tests.exchange.v1_line import NAT_ADDRESS, NAT_PORTS, OURS, THEIRS, Line, LineEnd
from tests.exchange.v1_suites import esp

HOUR = Lifetime(3_600)
LEFT, RIGHT = Selector.net("10.1.0.0/24"), Selector.net("10.2.0.0/24")


def of_hosts(*, nat: bool = False) -> tuple[Selector, Selector]:
    """The initiator's host and the responder's, as the initiator's side sees them or, ``nat``, as the responder's."""
    left = NAT_ADDRESS if nat else OURS.address
    return Selector(left, left), Selector(THEIRS.address, THEIRS.address)


def terms(
    *suites: ChildSuite,
    local: Selector = LEFT,
    remote: Selector = RIGHT,
    lifetime: Lifetime = HOUR,
    transport: bool = False,
    child: str = "c",
) -> QuickTerms:
    return QuickTerms(child, "p", suites or (esp(),), (local,), (remote,), lifetime, transport)


def mirrored(of_i: QuickTerms) -> QuickTerms:
    return replace(of_i, local=of_i.remote, remote=of_i.local)


def isakmp_sa(*, initiator: bool, path: Path, nat: Nat | None = NONE, revision: int | None = 0) -> IsakmpSa:
    """Established, both sides with the same keys."""
    of_1 = suite()
    skeyid, shared = Secret(b"s" * 32), Secret(b"g" * 32)
    keys = derive_isakmp(of_1.prf.id, of_1.encryption, skeyid, shared, COOKIE_I, COOKIE_R)
    cipher = IsakmpCipher(of_1.prf.id, of_1.encryption, keys.cipher)
    return IsakmpSa(
        terms=phase_1_terms(),
        initiator=initiator,
        cookies=(COOKIE_I, COOKIE_R),
        suite=of_1,
        keys=keys,
        cipher=cipher,
        chain=cipher.phase_1(b"public-i", b"public-r"),
        remote_id=Identity.parse("b.example" if initiator else "a.example"),
        seconds=28_800,
        revision=None if revision is None else natt.REVISIONS[revision],
        nat=nat,
        path=path,
        in_udp=path.natt and revision is not None,
        vendor_ids=(vendor_ids.DPD,),
        alone=False,
    )


@dataclass
class QuickEnd(LineEnd):
    """One side: the pairs it has made, why others came to nothing, and what the peer has ended. ``grants``: whether it
    grants more."""

    sa: IsakmpSa = field(default_factory=lambda: isakmp_sa(initiator=True, path=Path(OURS, THEIRS)))
    pairs: list[ChildPair] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    deletes: list[tuple[Protocol, tuple[bytes, ...]]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    underway: list[ChildPair] = field(default_factory=list)
    grants: bool = True
    admitted: bool = True

    def allow(self, *allowed: QuickTerms, idle: float = 1e9) -> None:
        """The peer may begin quick modes from now on."""
        self.all = Exchanges(self.core, self.sa, allowed, self, idle)
        self.hear = lambda message, data, path: self.all.hear(message)

    def take(self, said: Attributes) -> Answer:
        return Attributes(ConfigType.REPLY, said.identifier, ()), lambda: None

    def may_begin(self) -> bool:
        return self.grants

    def making(self, pair: ChildPair) -> None:
        self.underway.append(pair)

    def made(self, pair: ChildPair) -> None:
        pair.open_outbound(self.core)
        self.pairs.append(pair)

    def withdrawn(self, pair: ChildPair, reason: str) -> None:
        assert pair in self.underway
        self.failures.append(reason)

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    def deleted(self, protocol: Protocol, spis: tuple[bytes, ...]) -> None:
        self.deletes.append((protocol, spis))

    def alone(self) -> None:
        self.ends.append("the peer is alone")

    def ended(self, reason: str) -> None:
        self.ends.append(reason)

    def lost(self) -> None:
        self.ends.append("the peer isn't there any more")

    def begin(self, of_us: QuickTerms, ends: Ends | None = None) -> None:
        form = Form(transport=of_us.transport)
        ends = ends or Ends(of_us.local[0], of_us.remote[0], form)
        self.all.begin(of_us, ends, self.made, self.failed)

    @property
    def pending(self) -> int:
        return self.all.begun

    @property
    def inbound(self) -> list[InstallInbound]:
        return [effect for effect in self.effects if isinstance(effect, InstallInbound)]

    @property
    def outbound(self) -> list[InstallOutbound]:
        return [effect for effect in self.effects if isinstance(effect, InstallOutbound)]


class QuickLine(Line[QuickEnd]):
    """``udp``: both talk on port 4500, as behind a NAT, where ``nat`` says so. ``revision`` is of NAT traversal."""

    def __init__(
        self,
        of_i: tuple[QuickTerms, ...],
        of_r: tuple[QuickTerms, ...],
        *,
        seed: int | str = 0,
        link: Link | None = None,
        nat: bool = False,
        udp: bool = False,
        revision: int | None = 0,
        idle: float = 1e9,
        alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
    ) -> None:
        udp = udp or nat
        port = 4500 if udp else 500
        left, right = replace(OURS, port=port), replace(THEIRS, port=port)
        seen = Endpoint(NAT_ADDRESS, NAT_PORTS[port]) if nat else left
        cores = [Core(IkeConfig(), SeededEntropy(f"{seed} {side}")) for side in "ir"]
        sas = (
            isakmp_sa(initiator=True, path=Path(left, right, udp), nat=Nat(nat, False), revision=revision),
            isakmp_sa(initiator=False, path=Path(right, seen, udp), nat=Nat(False, nat), revision=revision),
        )
        ends = (QuickEnd(core, sa=sa) for core, sa in zip(cores, sas, strict=True))
        super().__init__(*ends, seed=seed, link=link, nat=nat, alter=alter)
        self.i.allow(*of_i, idle=idle)
        self.r.allow(*of_r, idle=1e9)

    def begin(self, of_i: QuickTerms, ends: Ends | None = None) -> QuickLine:
        """One of the initiator's."""
        self.i.begin(of_i, ends)
        self.collect()
        return self

    def begin_there(self, of_r: QuickTerms, ends: Ends | None = None) -> QuickLine:
        """One of the responder's."""
        self.r.begin(of_r, ends)
        self.collect()
        return self


def line(of_i: QuickTerms, of_r: QuickTerms | None = None, **values: object) -> QuickLine:
    """One quick mode is begun. Without another word the responder allows what the initiator asks for."""
    return QuickLine((of_i,), (of_r or mirrored(of_i),), **values).begin(of_i)  # type: ignore[arg-type]  # as there
