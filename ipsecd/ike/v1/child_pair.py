"""The SAs that a quick mode ends with: a pair for each protocol, and what is to be done with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipsecd.crypto.keymat import ChildKeyMaterial
from ipsecd.crypto.keymat_v1 import SaKeys, derive_ah, derive_esp
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Lifetime, Path
from ipsecd.ike.core import Core
from ipsecd.ike.effects import MovePath, RemoveInbound, RemoveOutbound
from ipsecd.ike.keylog import log_parts
from ipsecd.ike.lifetimes import child_limits
from ipsecd.ike.nat import floated, portless
from ipsecd.ike.parts import Part, Use, parts_of
from ipsecd.ike.suites import ChildSuite, EspSuite, Layer
from ipsecd.ike.v1.child_offers import Spis
from ipsecd.ike.v1.child_suites import protocol_of
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire.ikev1_payloads import Delete
from ipsecd.wire.registry_v1 import Protocol
from ipsecd.wire.tfc import NO_TFC, Tfc


@dataclass(slots=True)
class ChildPair:
    """``parts`` are its SAs, outermost first. ``limits`` are soft and hard limits of each. ``path``, along which its
    packets go, may change. ``ours``: we have begun the quick mode. ``lowest_nonce`` is the lower one of its two.
    ``idle``: after so many seconds without a packet it ends, whatever its terms come to say; None: it doesn't."""

    terms: QuickTerms
    suite: ChildSuite
    parts: tuple[Part, ...]
    limits: tuple[tuple[Lifetime, Lifetime], ...]
    ends: Ends
    path: Path
    ours: bool
    lowest_nonce: bytes
    idle: float | None

    @property
    def spi(self) -> bytes:
        """What it's called by: ours of the innermost."""
        return self.parts[-1].spi_in

    @property
    def spis(self) -> tuple[bytes, ...]:
        """All of ours."""
        return tuple(part.spi_in for part in self.parts)

    @property
    def tfc(self) -> Tfc:
        """What hides what we send by it."""
        return replace(self._wanted_tfc, padding=0) if self.padding_declined else self._wanted_tfc

    # RFC 4303 section 2.7 has padding negotiated, which IKEv1 can't do. In tunnel mode it's safe without that: a
    # receiver of RFC 2406, too, gives the inner packet to IP, which goes by the length in its header, as with what a
    # link has padded. In transport mode it may take the padding for a part of what UDP carries. A dummy (section 2.6)
    # is a packet of a protocol that it hasn't
    @property
    def padding_declined(self) -> bool:
        """Whether it would be padded, and can't be without the peer's word, as it's in transport mode."""
        return self.ends.form.transport and bool(self._wanted_tfc.padding)

    @property
    def _wanted_tfc(self) -> Tfc:
        return self.terms.tfc if any(isinstance(part.suite, EspSuite) for part in self.parts) else NO_TFC

    def has_outbound(self, protocol: Protocol, spi: bytes) -> bool:
        """Whether we send by this SPI of the peer's."""
        return any((protocol_of(part.suite), part.spi_out) == (protocol, spi) for part in self.parts)

    def deletes(self) -> tuple[Delete, ...]:
        """What tells the peer that it is no more."""
        return tuple(Delete(protocol_of(part.suite), (part.spi_in,)) for part in self.parts)

    def open_inbound(self, core: Core) -> None:
        """From now on packets of the peer are accepted."""
        use = self._use()
        for part, (soft, hard) in zip(self.parts, self.limits, strict=True):
            core.emit(use.inbound(part, soft, hard))
        if self.terms.keylog:
            log_parts(core, self.path, self.parts)

    def open_outbound(self, core: Core) -> None:
        """From now on we send by it."""
        use = self._use()
        for part, (soft, hard) in zip(self.parts, self.limits, strict=True):
            core.emit(use.outbound(part, soft, hard))

    def _use(self) -> Use:
        local, remote = (self.ends.local,), (self.ends.remote,)
        return Use(self.terms.child, self.terms.peer, local, remote, self.path, self.tfc, self.idle is not None)

    def follow(self, core: Core, path: Path) -> None:
        """In UDP its packets go where those of the ISAKMP SA go."""
        if self.path.natt and path.natt and path != self.path:
            self.path = path
            core.emit(MovePath(self.spis, path))

    def close_inbound(self, core: Core) -> None:
        """Of one that nothing came of, or behind ``close_outbound``."""
        for part in reversed(self.parts):
            core.emit(RemoveInbound(part.spi_in))

    def close_outbound(self, core: Core) -> None:
        for part in reversed(self.parts):
            core.emit(RemoveOutbound(part.spi_out, part.spi_in))


@dataclass(frozen=True, slots=True)
class Keying:
    """What keys are made of (RFC 2409 section 5.5): nonces of the initiator and the responder, and what the key
    exchange has led to, if there was one."""

    nonces: tuple[bytes, bytes]
    shared: Secret | None
    initiator: bool


def made(
    core: Core,
    sa: IsakmpSa,
    terms: QuickTerms,
    suite: ChildSuite,
    spis: tuple[Spis, Spis],
    keying: Keying,
    ends: Ends,
    lifetime: Lifetime,
) -> ChildPair:
    """``spis`` are ours, then the peer's. ``lifetime`` is the shorter one of both sides."""
    ours, theirs = (tuple(each[protocol_of(layer)] for layer in suite.layers) for each in spis)
    material = tuple(_material(sa, suite.layers, ours, theirs, keying))
    if keying.shared is not None:
        keying.shared.wipe()
    parts = parts_of(suite, ours, theirs, material, ends.form, initiator=keying.initiator)
    fraction = core.fraction()
    bounds = tuple(child_limits(lifetime, layer, fraction) for layer in suite.layers)
    lowest = min(keying.nonces)
    return ChildPair(terms, suite, parts, bounds, ends, _outside(core, sa), keying.initiator, lowest, terms.idle)


def _material(
    sa: IsakmpSa, layers: tuple[Layer, ...], ours: tuple[bytes, ...], theirs: tuple[bytes, ...], keying: Keying
) -> Iterator[ChildKeyMaterial]:
    for layer, spi_in, spi_out in zip(layers, ours, theirs, strict=True):
        # whoever chose an SPI gets what goes by it
        by_i, by_r = (spi_out, spi_in) if keying.initiator else (spi_in, spi_out)
        of_i, of_r = (_keys(sa, layer, spi, keying) for spi in (by_i, by_r))
        yield ChildKeyMaterial(of_i.e, of_i.a, of_r.e, of_r.a)


def _keys(sa: IsakmpSa, layer: Layer, spi: bytes, keying: Keying) -> SaKeys:
    prf_id, d = sa.suite.prf.id, sa.keys.d
    if isinstance(layer, EspSuite):
        return derive_esp(prf_id, d, layer.encryption, layer.integrity, spi, keying.nonces, keying.shared)
    return derive_ah(prf_id, d, layer.integrity, spi, keying.nonces, keying.shared)


def _outside(core: Core, sa: IsakmpSa) -> Path:
    return floated(sa.path, core.config.natt_port) if sa.in_udp else portless(sa.path)
