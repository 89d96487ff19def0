"""Whatever arrives, a reader returns a value that stands up or raises its own error.

IPSECD_FUZZ=long multiplies the cases; IPSECD_FUZZ_SEED=n tries others. A failure names target, seed, case and octets.
"""

from __future__ import annotations

import json
import os
from random import Random

import pytest

from tests.fuzz.plain import plain
from tests.fuzz.targets import LONG, LONG_FACTOR, TARGETS, Target

SEED = int(os.environ.get("IPSECD_FUZZ_SEED", "20141001"))

pytestmark = pytest.mark.timeout(3_600 if LONG else 300)
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def stands_up(target: Target, data: bytes) -> bool:
    """Whether ``data`` is accepted; what is accepted must survive repr, hash, JSON and a trip through its encoder."""
    try:
        value = target.decode(data)
    except target.errors:
        return False
    if target.plain:
        repr(value)
        hash(value)
        json.dumps(plain(value))
    if target.encode is not None:
        octets = target.encode(value)
        assert target.decode(octets) == value, "what was encoded decodes to something else"
        assert target.encode(target.decode(octets)) == octets, "encoding twice gives other octets"
    return True


def check(target: Target, data: bytes, where: str) -> bool:
    try:
        return stands_up(target, data)
    except Exception as error:  # noqa: BLE001 - any escape at all is what is being looked for
        pytest.fail(f"{target.name} {where}: {type(error).__name__}: {error}\n{data.hex()}")


@each_target
def test_samples_are_accepted(target: Target) -> None:
    assert [check(target, sample, "sample") for sample in target.samples] == [True] * len(target.samples)


@each_target
def test_every_truncation_of_every_sample_is_survived(target: Target) -> None:
    for sample in target.samples:
        for end in range(len(sample)):
            check(target, sample[:end], f"cut to {end} octets")


@each_target
def test_mutated_samples_are_survived(target: Target) -> None:
    rng = Random(f"{SEED} {target.name}")
    accepted = 0
    for case in range(target.cases * (LONG_FACTOR if LONG else 1)):
        data = target.mutate(rng, target.samples)
        if target.repair and case % 2:
            data = target.repair(data, rng)
        accepted += check(target, data, f"seed {SEED} case {case}")
    assert accepted > 0, f"seed {SEED}: no case got through; the mutations are too coarse to reach anything"


def test_every_target_has_a_name_of_its_own() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
