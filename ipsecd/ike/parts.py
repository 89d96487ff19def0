"""The SAs that a child SA pair consists of: those of one protocol, or AH's and, inside of them, ESP's (RFC 2401 section
4.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ipsecd.crypto.keymat import ChildKeyMaterial
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Lifetime, Path
from ipsecd.ike.effects import AhChildKeys, ChildKeys, InstallInbound, InstallOutbound
from ipsecd.ike.suites import ChildSuite, EspSuite, Layer
from ipsecd.wire.esp import MIN_SPI
from ipsecd.wire.form import Form
from ipsecd.wire.registry import Integ, Protocol
from ipsecd.wire.selector import Selector
from ipsecd.wire.tfc import NO_TFC, Tfc

Keys = ChildKeys | AhChildKeys


def reserved(spi: bytes) -> bool:
    """Whether no SA may have it (RFC 4302 section 2.4, RFC 4303 section 2.1)."""
    return int.from_bytes(spi, "big") < MIN_SPI


@dataclass(frozen=True, slots=True)
class Part:
    """The SAs of one protocol: ``spi_in`` is ours, ``spi_out`` the peer's."""

    suite: Layer
    spi_in: bytes
    spi_out: bytes
    keys_in: Keys = field(repr=False)
    keys_out: Keys = field(repr=False)
    form: Form

    @property
    def protocol(self) -> Protocol:
        return Protocol.ESP if isinstance(self.suite, EspSuite) else Protocol.AH


@dataclass(frozen=True, slots=True)
class Use:
    """What all parts of a pair are for: whose they are, their traffic seen from us, where their packets go, and what
    hides those that we send by ESP. ``watched``: it ends when none go by it."""

    child: str
    peer: str
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    path: Path
    tfc: Tfc = NO_TFC
    watched: bool = False

    def inbound(self, part: Part, soft: Lifetime, hard: Lifetime) -> InstallInbound:
        return InstallInbound(
            part.spi_in,
            self.child,
            self.peer,
            part.keys_in,
            self.local,
            self.remote,
            self.path,
            soft,
            hard,
            part.form,
            self.watched,
        )

    def outbound(self, part: Part, soft: Lifetime, hard: Lifetime) -> InstallOutbound:
        return InstallOutbound(
            part.spi_out,
            part.spi_in,
            self.child,
            self.peer,
            part.keys_out,
            self.local,
            self.remote,
            self.path,
            soft,
            hard,
            part.form,
            self.tfc if part.protocol == Protocol.ESP else NO_TFC,
            self.watched,
        )


def called(parts: Iterable[Part]) -> str:
    """What packets are, for people: ESP, AH, or AH around ESP."""
    return " around ".join(str(part.protocol) for part in parts)


def parts_of(
    suite: ChildSuite,
    ours: tuple[bytes, ...],
    theirs: tuple[bytes, ...],
    material: Iterable[ChildKeyMaterial],
    form: Form,
    *,
    initiator: bool,
) -> tuple[Part, ...]:
    """Outermost first, as all that is given. ``initiator``: of the exchange that made them (RFC 7296 section 2.17)."""
    layers = zip(suite.layers, ours, theirs, material, _forms(ours, form), strict=True)
    return tuple(
        Part(layer, spi_in, spi_out, *_directions(layer, keys, initiator=initiator), made)
        for layer, spi_in, spi_out, keys, made in layers
    )


def _forms(ours: tuple[bytes, ...], form: Form) -> tuple[Form, ...]:
    if len(ours) == 1:
        return (form,)
    return (replace(form, transport=True, outer=True), replace(form, within=int.from_bytes(ours[0], "big")))


def _directions(layer: Layer, material: ChildKeyMaterial, *, initiator: bool) -> tuple[Keys, Keys]:
    """The keys of our inbound and our outbound SA."""

    def keys(encryption: Secret, integrity: Secret) -> Keys:
        if not isinstance(layer, EspSuite):
            return AhChildKeys(layer.integrity.id, layer.esn, integrity)
        mac = layer.integrity.id if layer.integrity else Integ.NONE
        return ChildKeys(layer.encryption.id, layer.encryption.key_bits, mac, layer.esn, encryption, integrity)

    of_initiator, of_responder = keys(material.ei, material.ai), keys(material.er, material.ar)
    return (of_responder, of_initiator) if initiator else (of_initiator, of_responder)
