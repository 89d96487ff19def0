"""C4: a number from the wire is that number and no other thing (CVE-2014-9221).

Reading never turns it into an internal identifier, an exception or another number; what the registry doesn't name isn't
known.
"""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.wire.ikev2 import decode_chain, encode_chain
from ipsecd.wire.payloads import Ke, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Group, NotifyType, OpenEnum, Protocol, TransformType

ALL = range(1 << 16)
PER_PAYLOAD = limits.MAX_PROPOSALS * limits.MAX_TRANSFORMS


def test_every_group_number_in_a_key_exchange_stays_what_it_is() -> None:
    for number in ALL:
        (ke,) = decode_chain(34, bytes.fromhex("00000009") + number.to_bytes(2, "big") + bytes(2) + b"y")
        assert isinstance(ke, Ke)
        assert ke.group.value == number
        assert ke.group.known == (number in Group.__members__.values())


@pytest.mark.parametrize("kind", [*TransformType, TransformType(0), TransformType(200)], ids=str)
def test_every_transform_id_of_every_type_stays_what_it_is(kind: TransformType) -> None:
    for start in range(0, 1 << 16, PER_PAYLOAD):
        proposals = tuple(
            Proposal(
                number + 1,
                Protocol.IKE,
                b"",
                tuple(
                    Transform(kind, start + number * limits.MAX_TRANSFORMS + index)
                    for index in range(limits.MAX_TRANSFORMS)
                ),
            )
            for number in range(limits.MAX_PROPOSALS)
        )
        assert decode_chain(*encode_chain([Sa(proposals)])) == (Sa(proposals),)


def test_every_group_number_in_invalid_ke_payload_stays_what_it_is() -> None:
    for number in ALL:
        notify = Notify(NotifyType.INVALID_KE_PAYLOAD, number.to_bytes(2, "big"))
        assert decode_chain(*encode_chain([notify])) == (notify,)


@pytest.mark.parametrize("registry", OpenEnum.__subclasses__(), ids=lambda registry: registry.__name__)
def test_a_registry_knows_its_own_numbers_and_no_others(registry: type[OpenEnum]) -> None:
    named = {member.value for member in registry}
    assert {number for number in ALL if registry(number).known} == named


def test_private_numbers_that_other_implementations_use_inside_are_unknown() -> None:
    """Group 1025 reached an internal table of strongSwan; 0x8000 and above are private in every table."""
    for number in (1024, 1025, 1026, 1032, 0x8000, 0xFFFF):
        assert not Group(number).known
        assert not Encr(number).known
