"""The system's randomness: as much as asked for, never the same twice; and a stand-in that tests can dictate."""

from __future__ import annotations

import pytest

from ipsecd.crypto.entropy import Entropy, SystemEntropy
from ipsecd.errors import LocalError
from ipsecd.wire.registry import Group


def test_octets_come_in_the_number_asked_for_and_do_not_repeat() -> None:
    entropy: Entropy = SystemEntropy()
    assert [len(entropy.octets(count)) for count in (0, 1, 8, 16, 32)] == [0, 1, 8, 16, 32]
    assert len({entropy.octets(16) for _ in range(1000)}) == 1000


def test_key_pairs_are_fresh() -> None:
    entropy = SystemEntropy()
    assert entropy.key_pair(Group.CURVE25519).public != entropy.key_pair(Group.CURVE25519).public
    assert entropy.key_pair(Group.ECP_256).group == Group.ECP_256


def test_there_are_no_key_pairs_of_groups_we_decline() -> None:
    with pytest.raises(LocalError):
        SystemEntropy().key_pair(Group.MODP_1024_160)
