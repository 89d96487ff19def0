"""Menus: what we would negotiate, by what our proposals name (RFC 7296 sections 2.7 and 3.3).

A *menu* is one combination of lists we would use, by transform type. AEADs and other ciphers need different integrity
lists, so a configured proposal that has both becomes two menus. An algorithm that failed its self-test stands in none,
and a menu left without a choice of some type is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Algorithm
from ipsecd.ike.config import AhEspProposal, AhProposal, ChildProposal, EspProposal, IkeProposal
from ipsecd.wire.payloads import Transform
from ipsecd.wire.registry import Esn, Group, Integ, Protocol, TransformType

Choices: TypeAlias = Mapping[TransformType, tuple[Transform, ...]]

NO_INTEGRITY = Transform(TransformType.INTEG, Integ.NONE)
NO_GROUP = Transform(TransformType.DH, Group.NONE)
_GMAC_BITS = {Integ.AES_128_GMAC: 128, Integ.AES_192_GMAC: 192, Integ.AES_256_GMAC: 256}


@dataclass(frozen=True, slots=True)
class Menu:
    """``around`` is what AH around ESP may take; None: there is no AH around it."""

    protocol: Protocol
    choices: Choices
    around: Choices | None = None

    @property
    def whole(self) -> bool:
        """Whether there is a choice of everything."""
        return all(self.choices.values()) and (self.around is None or all(self.around.values()))


def ike_menus(proposals: Iterable[IkeProposal]) -> tuple[Menu, ...]:
    found: list[Menu] = []
    for proposal in proposals:
        prfs = _transforms(TransformType.PRF, proposal.prf)
        groups = _transforms(TransformType.DH, proposal.groups)
        for ciphers, macs in _cipher_lists(proposal):
            choices = {
                TransformType.ENCR: ciphers,
                TransformType.PRF: prfs,
                TransformType.INTEG: macs,
                TransformType.DH: groups,
            }
            found.append(Menu(Protocol.IKE, choices))
    return tuple(menu for menu in found if menu.whole)


def child_menus(proposals: Iterable[ChildProposal], *, pfs: bool) -> tuple[Menu, ...]:
    """``pfs`` False: for IKE_AUTH, where a child has no key exchange of its own (RFC 7296 section 1.2)."""
    found: list[Menu] = []
    for menu in (menu for proposal in proposals for menu in _menus_of(proposal, pfs=pfs)):
        if menu.whole and menu not in found:
            found.append(menu)
    return tuple(found)


def _menus_of(proposal: ChildProposal, *, pfs: bool) -> list[Menu]:
    match proposal:
        case EspProposal():
            return [Menu(Protocol.ESP, choices) for choices in _esp_choices(proposal, pfs=pfs)]
        case AhProposal():
            choices = _ah_choices(proposal.integrity, esn=proposal.esn)
            return [Menu(Protocol.AH, choices | {TransformType.DH: _groups(proposal.groups, pfs=pfs)})]
        case AhEspProposal():
            around = _ah_choices(proposal.integrity, esn=proposal.esp.esn)
            return [Menu(Protocol.ESP, choices, around) for choices in _esp_choices(proposal.esp, pfs=pfs)]


def _esp_choices(proposal: EspProposal, *, pfs: bool) -> list[Choices]:
    return [
        {
            TransformType.ENCR: ciphers,
            TransformType.INTEG: macs,
            TransformType.DH: _groups(proposal.groups, pfs=pfs),
            TransformType.ESN: _numbers(esn=proposal.esn),
        }
        for ciphers, macs in _cipher_lists(proposal)
    ]


def _ah_choices(integrity: tuple[Integ, ...], *, esn: bool) -> dict[TransformType, tuple[Transform, ...]]:
    known = (number for number in integrity if algorithms.ah_integrity(number) is not None)
    macs = tuple(Transform(TransformType.INTEG, number) for number in known)
    return {TransformType.INTEG: macs, TransformType.ESN: _numbers(esn=esn)}


def _groups(named: tuple[Group, ...], *, pfs: bool) -> tuple[Transform, ...]:
    groups = _transforms(TransformType.DH, named)
    if not named or (groups and not pfs):  # a child that could never be rekeyed isn't begun
        return (NO_GROUP,)
    return groups


def _numbers(*, esn: bool) -> tuple[Transform, ...]:
    numbers = (Esn.YES, Esn.NO) if esn else (Esn.NO,)
    return tuple(Transform(TransformType.ESN, number) for number in numbers)


def _cipher_lists(
    proposal: IkeProposal | EspProposal,
) -> list[tuple[tuple[Transform, ...], tuple[Transform, ...]]]:
    # RFC 5282 section 8: an AEAD goes without an integrity transform, everything else needs one
    aead: list[Transform] = []
    plain: list[Transform] = []
    for cipher, key_bits in proposal.encryption:
        known = algorithms.encryption(cipher, key_bits)
        if known is not None:
            (aead if known.aead else plain).append(Transform(TransformType.ENCR, cipher, key_bits))
    lists: list[tuple[tuple[Transform, ...], tuple[Transform, ...]]] = []
    if aead:
        lists.append((tuple(aead), (NO_INTEGRITY,)))
    if plain:
        lists.append((tuple(plain), _transforms(TransformType.INTEG, proposal.integrity)))
    return lists


_LOOK_UP = {
    TransformType.PRF: algorithms.prf,
    TransformType.INTEG: algorithms.integrity,
    TransformType.DH: algorithms.group,
}


def _transforms(kind: TransformType, ids: Iterable[int]) -> tuple[Transform, ...]:
    return tuple(Transform(kind, number) for number in ids if _LOOK_UP[kind](number) is not None)


def nothing_left(of_ike: Iterable[IkeProposal], of_child: Iterable[ChildProposal]) -> str:
    """Why a child can't be negotiated from these proposals, whoever the peer is; empty if it can."""
    of_ike, of_child = tuple(of_ike), tuple(of_child)
    of_both = tuple(part for proposal in of_child for part in _parts(proposal))
    for what, proposals, menus in (
        ("key exchange", of_ike, ike_menus(of_ike)),
        (_protocols(of_child), of_both, child_menus(of_child, pfs=True)),
    ):
        if not menus:
            failed = [
                name
                for name, algorithm in algorithms.withdrawn().items()
                if any(_names(proposal, algorithm) for proposal in proposals)
            ]
            return f"each {what} proposal of the rule needs what failed its self-test: {', '.join(failed)}"
    return ""


def _protocols(proposals: Iterable[ChildProposal]) -> str:
    return "ESP" if all(isinstance(proposal, EspProposal) for proposal in proposals) else "ESP or AH"


def _parts(proposal: ChildProposal) -> tuple[EspProposal | AhProposal, ...]:
    if isinstance(proposal, AhEspProposal):
        return (AhProposal(proposal.integrity), proposal.esp)
    return (proposal,)


def _names(proposal: IkeProposal | EspProposal | AhProposal, algorithm: Algorithm) -> bool:
    match algorithm:
        case algorithms.Encryption() if isinstance(proposal, AhProposal):  # GMAC has one self-test in ESP and in AH
            bits = {_GMAC_BITS.get(number) for number in proposal.integrity}
            return not algorithm.encrypts and algorithm.key_bits is not None and algorithm.key_bits in bits
        case algorithms.Encryption():
            return not isinstance(proposal, AhProposal) and (algorithm.id, algorithm.key_bits) in proposal.encryption
        case algorithms.Integrity():
            return algorithm.id in proposal.integrity
        case algorithms.GroupInfo():
            return algorithm.id in proposal.groups
        case algorithms.PrfAlgorithm():
            return isinstance(proposal, IkeProposal) and algorithm.id in proposal.prf
