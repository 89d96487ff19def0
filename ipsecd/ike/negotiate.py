"""Choosing algorithms (RFC 7296 sections 2.7 and 3.3): what we offer, what we pick, what we accept as an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ipsecd.crypto import algorithms
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import AhEspProposal, AhProposal, Child, ChildProposal, EspProposal, IkeProposal, Lifetime
from ipsecd.ike.menus import NO_GROUP, NO_INTEGRITY, Choices, Menu
from ipsecd.ike.suites import AhEspSuite, AhSuite, ChildSuite, EspSuite, IkeSuite, describe
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Group, NotifyType, Prf, Protocol, TransformType

Picked: TypeAlias = Mapping[TransformType, Transform]

SPI_OCTETS = 4
# RFC 7296 section 3.3.3: leaving these types out says the same as offering NONE
_WHEN_ABSENT = {TransformType.INTEG: NO_INTEGRITY, TransformType.DH: NO_GROUP}
_ONE_OF_TWO = "ESP without the AH around it that we offered"


# --- what we offer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """Proposals for a child SA, or the one that is chosen. ``around`` are those of AH around ESP, by the numbers of the
    ESP proposals they belong to."""

    sa: Sa
    around: Mapping[int, Proposal] = field(default_factory=dict)

    def __str__(self) -> str:
        return describe(self.sa, self.around)


def offer(menus: Iterable[Menu], spi: bytes) -> Sa:
    """An SA payload with one proposal for each menu, numbered from 1."""
    return Sa(tuple(_proposal(number, menu.protocol, spi, menu.choices) for number, menu in enumerate(menus, 1)))


def child_offer(menus: Iterable[Menu], spi: bytes, around_spi: bytes) -> Offer:
    """The same for a child SA, with what AH around ESP is offered with."""
    menus = tuple(menus)
    around = {
        number: _proposal(number, Protocol.AH, around_spi, menu.around)
        for number, menu in enumerate(menus, 1)
        if menu.around is not None
    }
    return Offer(offer(menus, spi), around)


def _proposal(number: int, protocol: Protocol, spi: bytes, choices: Choices) -> Proposal:
    said = (transform for each in choices.values() for transform in each if transform not in (NO_INTEGRITY, NO_GROUP))
    return Proposal(number, protocol, spi, tuple(said))


def groups_of(menus: Iterable[Menu]) -> tuple[Group, ...]:
    """The key exchange methods in the menus, best first; empty if none has one."""
    found = [Group(choice.id) for menu in menus for choice in menu.choices[TransformType.DH]]
    return tuple(dict.fromkeys(group for group in found if group != Group.NONE))


# --- what we pick ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """A proposal cut down to one transform of each type, and its transforms by type; AH around it likewise."""

    proposal: Proposal
    picked: Picked
    around: Proposal | None = None
    picked_around: Picked = field(default_factory=dict)

    @property
    def spis(self) -> tuple[bytes, ...]:
        """Of whoever says it, outermost first."""
        return (*((self.around.spi,) if self.around else ()), self.proposal.spi)

    @property
    def suite(self) -> ChildSuite:
        if self.proposal.protocol == Protocol.AH:
            return _ah_suite(self.picked)
        esp = esp_suite(self.picked)
        return esp if self.around is None else AhEspSuite(_ah_suite(self.picked_around), esp)

    def answer(self, spis: tuple[bytes, ...]) -> Offer:
        """What grants it, with SPIs of ours."""
        sa = Sa((replace(self.proposal, spi=spis[-1]),))
        return Offer(sa, {self.around.number: replace(self.around, spi=spis[0])} if self.around else {})


def pick(
    menus: Iterable[Menu], offered: Sa, *, sent_group: Group | None, forgeable: bool = False
) -> tuple[Proposal, Picked]:
    """The proposal for an IKE SA that we take, cut down to one transform of each type, and its transforms by type.

    Our preference decides, but for the group: the one the peer sent a value of wins where we would use it, since any
    other costs a round trip. In IKE_SA_INIT (``forgeable``) it has to be the first that the peer offers and we would
    use: an INVALID_KE_PAYLOAD is anybody's word there, and must not lead to a weaker group than both prefer (1.2).
    Raises Refused("no-proposal-chosen") with both sides' lists.
    """
    chosen = _choose(menus, Offer(offered), sent_group, forgeable=forgeable, ignore_groups=False)
    return chosen.proposal, chosen.picked


def pick_child(
    menus: Iterable[Menu], offered: Offer, *, sent_group: Group | None, ignore_groups: bool = False
) -> Chosen:
    """The same for a child SA. ``ignore_groups``: IKE_AUTH."""
    return _choose(menus, offered, sent_group, forgeable=False, ignore_groups=ignore_groups)


def _choose(
    menus: Iterable[Menu], offered: Offer, sent_group: Group | None, *, forgeable: bool, ignore_groups: bool
) -> Chosen:
    menus = tuple(menus)
    for menu in menus:
        for proposal in offered.sa.proposals:
            around = offered.around.get(proposal.number)
            # ESP that the peer offers inside of AH alone isn't ESP without it
            if proposal.protocol != menu.protocol or (around is None) != (menu.around is None):
                continue
            picked = _pick_from(menu.choices, proposal, sent_group, forgeable=forgeable, ignore_groups=ignore_groups)
            if picked is None:
                continue
            if around is None or menu.around is None:
                return Chosen(_shown(proposal, picked), picked)
            outer = _pick_from(menu.around, around, None, forgeable=False, ignore_groups=False)
            if outer is not None:
                return Chosen(_shown(proposal, picked), picked, _shown(around, outer), outer)
    ours = str(child_offer(menus, b"", b"")) or "nothing, since what our rule names failed its self-test"
    raise Refused(
        "no-proposal-chosen",
        f"no common proposal: the peer offers {offered}; we accept {ours}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
    )


def _shown(proposal: Proposal, picked: Picked) -> Proposal:
    said = tuple(choice for choice in picked.values() if choice not in (NO_INTEGRITY, NO_GROUP))
    return replace(proposal, transforms=said)


def _pick_from(
    choices: Choices, proposal: Proposal, sent_group: Group | None, *, forgeable: bool, ignore_groups: bool
) -> Picked | None:
    offered: dict[TransformType, list[Transform]] = {}
    for transform in proposal.transforms:
        if not (ignore_groups and transform.type == TransformType.DH):
            offered.setdefault(transform.type, []).append(transform)
    # RFC 7296 section 3.3.6: a proposal with a transform type we don't know can't be accepted
    if any(kind not in choices for kind in offered):
        return None
    picked: dict[TransformType, Transform] = {}
    for kind, wanted in choices.items():
        available = offered.get(kind) or ([_WHEN_ABSENT[kind]] if kind in _WHEN_ABSENT else [])
        # comparing whole transforms leaves out those with attributes we don't know, as 3.3.6 wants
        common = [choice for choice in wanted if choice in available]
        if not common:
            return None
        if kind == TransformType.DH:
            counting = [min(common, key=available.index)] if forgeable else common
            common = [choice for choice in counting if choice.id == sent_group] or common
        picked[kind] = common[0]
    return picked


# --- what we accept as an answer ---------------------------------------------------------------------------------


def accepted(ours: Sa, answer: Sa, spi_octets: int) -> tuple[Proposal, Picked]:
    """The answer's proposal and its transforms by type, if it is one of ours cut down to one transform of each type
    (RFC 7296 section 2.7); else PeerError("bad-proposal-answer")."""
    if len(answer.proposals) != 1 or len(answer.proposals[0].spi) != spi_octets:
        raise PeerError("bad-proposal-answer", f"not one proposal with an SPI of {spi_octets} octets")
    chosen = answer.proposals[0]
    for proposal in ours.proposals:
        if proposal.number == chosen.number and proposal.protocol == chosen.protocol:
            return chosen, _cut_down(proposal, chosen)
    raise PeerError("bad-proposal-answer", f"proposal {chosen.number} of {chosen.protocol} isn't ours")


def accepted_child(ours: Offer, answer: Offer) -> Chosen:
    """The same for a child SA: where we offered ESP inside of AH, both have to be there, and else no AH around it."""
    chosen, picked = accepted(ours.sa, answer.sa, SPI_OCTETS)
    number = chosen.number
    offered, around = ours.around.get(number), answer.around.get(number)
    if (offered is None) != (around is None):
        raise PeerError("bad-proposal-answer", "AH around ESP, where we offered none" if around else _ONE_OF_TWO)
    if offered is None or around is None:
        return Chosen(chosen, picked)
    return Chosen(chosen, picked, around, _cut_down(offered, around))


def _cut_down(proposal: Proposal, chosen: Proposal) -> Picked:
    picked: dict[TransformType, Transform] = {}
    for transform in chosen.transforms:
        ours = transform in proposal.transforms or _WHEN_ABSENT.get(transform.type) == transform
        if transform.type in picked or not ours:
            raise PeerError("bad-proposal-answer", f"{describe(Sa((chosen,)))} isn't cut down from ours")
        picked[transform.type] = transform
    for kind in {transform.type for transform in proposal.transforms}:
        if kind not in picked or _WHEN_ABSENT.get(kind) == picked[kind]:
            raise PeerError("bad-proposal-answer", f"{describe(Sa((chosen,)))} leaves out {kind}")
    return picked


# --- suites ------------------------------------------------------------------------------------------------------


def ike_suite(picked: Picked) -> IkeSuite:
    prf = algorithms.prf(Prf(picked[TransformType.PRF].id))
    group = algorithms.group(Group(picked[TransformType.DH].id))
    if prf is None or group is None:
        raise LocalError("an IKE proposal was configured with an algorithm that isn't offered")
    return IkeSuite(_encryption(picked), _integrity(picked), prf, group)


def esp_suite(picked: Picked) -> EspSuite:
    group = picked.get(TransformType.DH, NO_GROUP)
    return EspSuite(
        _encryption(picked),
        _integrity(picked),
        algorithms.group(group.id) if group != NO_GROUP else None,
        picked[TransformType.ESN].id == Esn.YES,
    )


def _ah_suite(picked: Picked) -> AhSuite:
    group = picked.get(TransformType.DH, NO_GROUP)
    mac = algorithms.ah_integrity(picked[TransformType.INTEG].id)
    if mac is None:
        raise LocalError("an AH proposal was configured with an algorithm that isn't offered")
    key_exchange = algorithms.group(group.id) if group != NO_GROUP else None
    return AhSuite(mac, key_exchange, picked[TransformType.ESN].id == Esn.YES)


def _encryption(picked: Picked) -> algorithms.Encryption:
    cipher = picked[TransformType.ENCR]
    known = algorithms.encryption(Encr(cipher.id), cipher.key_bits)
    if known is None:
        raise LocalError("a proposal was configured with an algorithm that isn't offered")
    return known


def _integrity(picked: Picked) -> algorithms.Integrity | None:
    mac = picked.get(TransformType.INTEG, NO_INTEGRITY)
    return None if mac == NO_INTEGRITY else algorithms.integrity(mac.id)


def permits_child(proposals: Iterable[ChildProposal], suite: ChildSuite) -> bool:
    """Whether one of the proposals holds all of the suite but its group: a first child has none, whatever PFS says."""
    return any(_permits(proposal, suite) for proposal in proposals)


def lifetime_of(child: Child, suite: ChildSuite) -> Lifetime:
    """That of an SA with this suite. The first proposal that holds the suite says so, whichever of several was meant:
    the answer of a peer, and its rekey, may name any of them."""
    chosen = next((proposal.lifetime for proposal in child.proposals if _permits(proposal, suite)), None)
    return chosen or child.lifetime


def _permits(proposal: ChildProposal, suite: ChildSuite) -> bool:
    match proposal, suite:
        case EspProposal(), EspSuite():
            return _has_ciphers(proposal, suite) and (proposal.esn or not suite.esn)
        case AhProposal(), AhSuite():
            return suite.integrity.id in proposal.integrity and (proposal.esn or not suite.esn)
        case AhEspProposal(), AhEspSuite():
            around = AhProposal(proposal.integrity, esn=proposal.esp.esn)
            return _permits(around, suite.ah) and _permits(proposal.esp, suite.esp)
        case _:
            return False


def permits(proposals: Iterable[IkeProposal], suite: IkeSuite) -> bool:
    """Whether one of the proposals holds all of the suite."""
    return any(
        _has_ciphers(proposal, suite) and suite.prf.id in proposal.prf and suite.group.id in proposal.groups
        for proposal in proposals
    )


def _has_ciphers(proposal: IkeProposal | EspProposal, suite: IkeSuite | EspSuite) -> bool:
    return (suite.encryption.id, suite.encryption.key_bits) in proposal.encryption and (
        suite.integrity is None or suite.integrity.id in proposal.integrity
    )
