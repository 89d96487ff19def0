"""Choosing algorithms (RFC 7296 sections 2.7 and 3.3): what we offer, what we pick, what we accept as an answer.

A *menu* is one combination of lists we would use, by transform type. AEADs and other ciphers need different integrity
lists, so a configured proposal that has both becomes two menus. An algorithm that failed its self-test stands in none,
and a menu left without a choice of some type is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Algorithm
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import Child, EspProposal, IkeProposal, Lifetime
from ipsecd.ike.suites import EspSuite, IkeSuite, describe
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Group, Integ, NotifyType, Prf, Protocol, TransformType

Menu = Mapping[TransformType, tuple[Transform, ...]]
Picked = Mapping[TransformType, Transform]

_NO_INTEGRITY = Transform(TransformType.INTEG, Integ.NONE)
_NO_GROUP = Transform(TransformType.DH, Group.NONE)
# RFC 7296 section 3.3.3: leaving these types out says the same as offering NONE
_WHEN_ABSENT = {TransformType.INTEG: _NO_INTEGRITY, TransformType.DH: _NO_GROUP}


# --- menus -------------------------------------------------------------------------------------------------------


def ike_menus(proposals: Iterable[IkeProposal]) -> tuple[Menu, ...]:
    found: list[Menu] = []
    for proposal in proposals:
        prfs = _transforms(TransformType.PRF, proposal.prf)
        groups = _transforms(TransformType.DH, proposal.groups)
        for ciphers, macs in _cipher_lists(proposal):
            found.append(
                {
                    TransformType.ENCR: ciphers,
                    TransformType.PRF: prfs,
                    TransformType.INTEG: macs,
                    TransformType.DH: groups,
                }
            )
    return _with_choices(found)


def esp_menus(proposals: Iterable[EspProposal], *, pfs: bool) -> tuple[Menu, ...]:
    """``pfs`` False: for IKE_AUTH, where a child has no key exchange of its own (RFC 7296 section 1.2)."""
    found: list[Menu] = []
    for proposal in proposals:
        groups = _transforms(TransformType.DH, proposal.groups)
        if not proposal.groups or (groups and not pfs):  # a child that could never be rekeyed isn't begun
            groups = (_NO_GROUP,)
        esn = (Esn.YES, Esn.NO) if proposal.esn else (Esn.NO,)
        for ciphers, macs in _cipher_lists(proposal):
            menu = {
                TransformType.ENCR: ciphers,
                TransformType.INTEG: macs,
                TransformType.DH: groups,
                TransformType.ESN: tuple(Transform(TransformType.ESN, number) for number in esn),
            }
            if menu not in found:
                found.append(menu)
    return _with_choices(found)


def _with_choices(menus: Iterable[Menu]) -> tuple[Menu, ...]:
    return tuple(menu for menu in menus if all(menu.values()))


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
        lists.append((tuple(aead), (_NO_INTEGRITY,)))
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


def nothing_left(of_ike: Iterable[IkeProposal], of_esp: Iterable[EspProposal]) -> str:
    """Why a child can't be negotiated from these proposals, whoever the peer is; empty if it can."""
    of_ike, of_esp = tuple(of_ike), tuple(of_esp)
    for what, proposals, menus in (
        ("key exchange", of_ike, ike_menus(of_ike)),
        ("ESP", of_esp, esp_menus(of_esp, pfs=True)),
    ):
        if not menus:
            failed = [
                name
                for name, algorithm in algorithms.withdrawn().items()
                if any(_names(proposal, algorithm) for proposal in proposals)
            ]
            return f"each {what} proposal of the rule needs what failed its self-test: {', '.join(failed)}"
    return ""


def _names(proposal: IkeProposal | EspProposal, algorithm: Algorithm) -> bool:
    match algorithm:
        case algorithms.Encryption():
            return (algorithm.id, algorithm.key_bits) in proposal.encryption
        case algorithms.Integrity():
            return algorithm.id in proposal.integrity
        case algorithms.GroupInfo():
            return algorithm.id in proposal.groups
        case algorithms.PrfAlgorithm():
            return isinstance(proposal, IkeProposal) and algorithm.id in proposal.prf


# --- what we offer -----------------------------------------------------------------------------------------------


def offer(menus: Iterable[Menu], protocol: Protocol, spi: bytes) -> Sa:
    """An SA payload with one proposal for each menu, numbered from 1."""
    return Sa(
        tuple(
            Proposal(
                number,
                protocol,
                spi,
                tuple(
                    transform
                    for choices in menu.values()
                    for transform in choices
                    if transform not in (_NO_INTEGRITY, _NO_GROUP)
                ),
            )
            for number, menu in enumerate(menus, 1)
        )
    )


def groups_of(menus: Iterable[Menu]) -> tuple[Group, ...]:
    """The key exchange methods in the menus, best first; empty if none has one."""
    found = [Group(choice.id) for menu in menus for choice in menu[TransformType.DH] if choice.id != Group.NONE]
    return tuple(dict.fromkeys(found))


# --- what we pick ------------------------------------------------------------------------------------------------


def pick(
    menus: Iterable[Menu],
    offered: Sa,
    protocol: Protocol,
    *,
    sent_group: Group | None,
    forgeable: bool = False,
    ignore_groups: bool = False,
) -> tuple[Proposal, Picked]:
    """The proposal we take, cut down to one transform of each type, and its transforms by type.

    Our preference decides, but for the group: the one the peer sent a value of wins where we would use it, since any
    other costs a round trip. In IKE_SA_INIT (``forgeable``) it has to be the first that the peer offers and we would
    use: an INVALID_KE_PAYLOAD is anybody's word there, and must not lead to a weaker group than both prefer (1.2).
    ``ignore_groups``: IKE_AUTH. Raises Refused("no-proposal-chosen") with both sides' lists.
    """
    menus = tuple(menus)
    for menu in menus:
        for proposal in offered.proposals:
            if proposal.protocol != protocol:
                continue
            picked = _pick_from(menu, proposal, sent_group, forgeable=forgeable, ignore_groups=ignore_groups)
            if picked is not None:
                shown = tuple(choice for choice in picked.values() if choice not in (_NO_INTEGRITY, _NO_GROUP))
                return Proposal(proposal.number, protocol, proposal.spi, shown), picked
    ours = describe(offer(menus, protocol, b"")) or "nothing, since what our rule names failed its self-test"
    raise Refused(
        "no-proposal-chosen",
        f"no common proposal: the peer offers {describe(offered)}; we accept {ours}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
    )


def _pick_from(
    menu: Menu, proposal: Proposal, sent_group: Group | None, *, forgeable: bool, ignore_groups: bool
) -> Picked | None:
    offered: dict[TransformType, list[Transform]] = {}
    for transform in proposal.transforms:
        if not (ignore_groups and transform.type == TransformType.DH):
            offered.setdefault(transform.type, []).append(transform)
    # RFC 7296 section 3.3.6: a proposal with a transform type we don't know can't be accepted
    if any(kind not in menu for kind in offered):
        return None
    picked: dict[TransformType, Transform] = {}
    for kind, choices in menu.items():
        available = offered.get(kind) or ([_WHEN_ABSENT[kind]] if kind in _WHEN_ABSENT else [])
        # comparing whole transforms leaves out those with attributes we don't know, as 3.3.6 wants
        common = [choice for choice in choices if choice in available]
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
    group = picked.get(TransformType.DH, _NO_GROUP)
    return EspSuite(
        _encryption(picked),
        _integrity(picked),
        algorithms.group(group.id) if group != _NO_GROUP else None,
        picked[TransformType.ESN].id == Esn.YES,
    )


def _encryption(picked: Picked) -> algorithms.Encryption:
    cipher = picked[TransformType.ENCR]
    known = algorithms.encryption(Encr(cipher.id), cipher.key_bits)
    if known is None:
        raise LocalError("a proposal was configured with an algorithm that isn't offered")
    return known


def _integrity(picked: Picked) -> algorithms.Integrity | None:
    mac = picked.get(TransformType.INTEG, _NO_INTEGRITY)
    return None if mac == _NO_INTEGRITY else algorithms.integrity(mac.id)


def permits_child(proposals: Iterable[EspProposal], suite: EspSuite) -> bool:
    """Whether one of the proposals holds all of the suite but its group: a first child has none, whatever PFS says."""
    return any(_permits(proposal, suite) for proposal in proposals)


def lifetime_of(child: Child, suite: EspSuite) -> Lifetime:
    """That of an SA with this suite. The first proposal that holds the suite says so, whichever of several was meant:
    the answer of a peer, and its rekey, may name any of them."""
    chosen = next((proposal.lifetime for proposal in child.proposals if _permits(proposal, suite)), None)
    return chosen or child.lifetime


def _permits(proposal: EspProposal, suite: EspSuite) -> bool:
    return _has_ciphers(proposal, suite) and (proposal.esn or not suite.esn)


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
