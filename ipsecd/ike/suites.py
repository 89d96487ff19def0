"""What a negotiation of algorithms ends with: the suite of an IKE SA or of a child SA, and its keywords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Encryption, GroupInfo, Integrity, PrfAlgorithm
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Group, Integ, OpenEnum, Prf, Protocol, TransformType

_REGISTRIES: dict[int, type[OpenEnum]] = {
    TransformType.ENCR: Encr,
    TransformType.PRF: Prf,
    TransformType.INTEG: Integ,
    TransformType.DH: Group,
    TransformType.ESN: Esn,
}


@dataclass(frozen=True, slots=True)
class IkeSuite:
    """``integrity`` is None exactly when ``encryption`` is an AEAD."""

    encryption: Encryption
    integrity: Integrity | None
    prf: PrfAlgorithm
    group: GroupInfo

    def __str__(self) -> str:
        return "-".join(part.name for part in (self.encryption, self.integrity, self.prf, self.group) if part)


@dataclass(frozen=True, slots=True)
class EspSuite:
    """``group`` is None without PFS."""

    encryption: Encryption
    integrity: Integrity | None
    group: GroupInfo | None
    esn: bool

    def __str__(self) -> str:
        return "-".join(
            [part.name for part in (self.encryption, self.integrity, self.group) if part] + [_esn(self.esn)]
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What makes a packet of it, outermost first."""
        return (self,)


@dataclass(frozen=True, slots=True)
class AhSuite:
    """The same of AH."""

    integrity: Integrity
    group: GroupInfo | None
    esn: bool

    def __str__(self) -> str:
        return "-".join(["ah", *(part.name for part in (self.integrity, self.group) if part), _esn(self.esn)])

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self,)


@dataclass(frozen=True, slots=True)
class AhEspSuite:
    """ESP inside of AH; the key exchange is one for both, and stands in ``esp``."""

    ah: AhSuite
    esp: EspSuite

    def __str__(self) -> str:
        return f"{self.ah}+{self.esp}"

    @property
    def group(self) -> GroupInfo | None:
        return self.esp.group

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.ah, self.esp)


Layer: TypeAlias = EspSuite | AhSuite
ChildSuite: TypeAlias = EspSuite | AhSuite | AhEspSuite


def _esn(esn: bool) -> str:  # a value to be shown
    return "esn" if esn else "noesn"


def describe(offer: Sa, around: Mapping[int, Proposal] = MappingProxyType({})) -> str:
    """Proposals in the keywords of a policy, for people: ``aes128gcm16-prfsha256-x25519, aes256-sha256-...``.

    ``around`` are those of AH around ESP, by the numbers of the ESP proposals: ``ah-sha256-esn+aes256gcm16-esn``.
    """
    return ", ".join(
        "+".join("-".join(_keywords(layer)) for layer in (around.get(proposal.number), proposal) if layer)
        for proposal in offer.proposals
    )


def _keywords(proposal: Proposal) -> list[str]:
    protocol = ["ah"] if proposal.protocol == Protocol.AH else []
    return protocol + [keyword(transform) for transform in proposal.transforms]


def keyword(transform: Transform) -> str:
    """One transform's keyword; the registry's name for what we decline."""
    found: Encryption | Integrity | PrfAlgorithm | GroupInfo | None = None
    if transform.type == TransformType.ENCR:
        found = algorithms.encryption(transform.id, transform.key_bits)
    elif transform.type == TransformType.PRF:
        found = algorithms.prf(transform.id)
    elif transform.type == TransformType.INTEG:
        found = algorithms.ah_integrity(transform.id)
    elif transform.type == TransformType.DH:
        found = algorithms.group(transform.id)
    elif transform.type == TransformType.ESN:
        return "esn" if transform.id == Esn.YES else "noesn"
    if found is not None:
        return found.name
    registry = _REGISTRIES.get(transform.type)
    name = str(registry(transform.id)) if registry else f"{transform.type}_{transform.id}"
    return name if transform.key_bits is None else f"{name}_{transform.key_bits}"
