"""Registry numbers, known and unknown."""

import pickle

import pytest

from ipsecd.wire.registry import Encr, Group, NotifyType, OpenEnum, Payload


def test_a_known_number_has_its_name() -> None:
    assert (str(Group(31)), Group(31).known, Group(31) is Group.CURVE25519) == ("CURVE25519", True, True)


def test_an_unknown_number_keeps_its_number_and_says_whose_it_is() -> None:
    unknown = Group(1025)
    assert (unknown.value, str(unknown), unknown.known) == (1025, "GROUP_1025", False)
    assert unknown == 1025
    assert unknown == Group(1025)
    assert hash(unknown) == hash(Group(1025))


def test_reading_an_unknown_number_teaches_the_registry_nothing() -> None:
    before = list(Encr)
    Encr(999)
    assert list(Encr) == before
    assert not Encr(999).known


@pytest.mark.parametrize("number", [-1, 0x10000, "20", None])
def test_what_fits_no_field_is_not_a_number(number: object) -> None:
    with pytest.raises(ValueError, match=r"is not a valid Encr"):
        Encr(number)  # type: ignore[call-arg]  # the wrong type is the point


def test_unknown_numbers_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(Group(1025))) == Group(1025)


def test_errors_are_the_notifies_below_16384() -> None:
    assert NotifyType.NO_PROPOSAL_CHOSEN.is_error
    assert NotifyType(16383).is_error
    assert not NotifyType.INITIAL_CONTACT.is_error


def test_payload_types_of_ikev1_are_not_ours() -> None:
    assert not any(Payload(number).known for number in range(1, 33))


def test_every_registry_gives_a_number_one_name() -> None:
    for registry in OpenEnum.__subclasses__():
        assert len(registry.__members__) == len(list(registry)), registry
