"""What a child's proposals come to in IKEv1, which offers whole suites: each combination that there are numbers for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import GroupInfo, Integrity
from ipsecd.ike.config import AhEspProposal, AhProposal, ChildProposal, EspProposal
from ipsecd.ike.suites import AhEspSuite, AhSuite, ChildSuite, EspSuite
from ipsecd.ike.v1.child_suites import can_be_said
from ipsecd.wire.registry import Group, Integ


def suites_of(proposals: Iterable[ChildProposal]) -> tuple[ChildSuite, ...]:
    """In order of preference: of ciphers first, then of MACs, groups and sequence numbers. What failed its self-test
    is in none."""
    found = dict.fromkeys(suite for proposal in proposals for suite in _combined(proposal))
    return tuple(suite for suite in found if can_be_said(suite))


def _combined(proposal: ChildProposal) -> Iterator[ChildSuite]:
    match proposal:
        case EspProposal():
            yield from _esp(proposal)
        case AhProposal():
            for mac, group, esn in product(_macs(proposal.integrity), _groups(proposal.groups), _numbers(proposal.esn)):
                yield AhSuite(mac, group, esn)
        case AhEspProposal():
            for esp, mac in product(_esp(proposal.esp), _macs(proposal.integrity)):
                yield AhEspSuite(AhSuite(mac, None, esp.esn), esp)


def _esp(proposal: EspProposal) -> Iterator[EspSuite]:
    for encr, bits in proposal.encryption:
        encryption = algorithms.encryption(encr, bits)
        if encryption is None:
            continue
        macs = [None] if encryption.aead else [algorithms.integrity(each) for each in proposal.integrity]
        for mac, group, esn in product(macs, _groups(proposal.groups), _numbers(proposal.esn)):
            if encryption.aead or mac is not None:
                yield EspSuite(encryption, mac, group, esn)


def _macs(named: Iterable[Integ]) -> list[Integrity]:
    return [mac for mac in map(algorithms.ah_integrity, named) if mac is not None]


def _groups(named: tuple[Group, ...]) -> list[GroupInfo | None]:
    """None: without PFS, where none is named."""
    return [group for group in map(algorithms.group, named) if group is not None] if named else [None]


def _numbers(esn: bool) -> tuple[bool, ...]:  # a value of a proposal
    return (True, False) if esn else (False,)
