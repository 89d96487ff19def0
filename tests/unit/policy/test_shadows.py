"""What long policies cost the search for filters that never match or cross; what is said is in test_check.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipsecd import limits
from ipsecd.policy.boxes import Work
from ipsecd.policy.notes import places
from ipsecd.policy.shadows import shadows
from tests.unit.policy.test_ties import MANY, SHAPES, all_overlap, net, text
from tests.unit.policy.texts import load


def held_together(number: int) -> str:
    """Some that overlap all others, and the others nothing."""
    wide = (
        "source: any, destination: any",
        "source: 172.0.0.0/8, destination: any, protocol: tcp",
        "source: any, destination: 10.0.0.0/8, protocol: udp",
    )
    return wide[number] if number < len(wide) else f"source: 172.16.0.0/16, destination: {net(number)}"


def one_by_one(number: int) -> str:
    """A network, and most of its addresses."""
    hosts = f"source: 10.0.{number >> 8}.{number & 255}, destination: 172.16.0.0/16"
    return hosts if number else "source: 10.0.0.0/22, destination: 172.16.0.0/16"


@pytest.mark.parametrize("shape", [*SHAPES.values(), held_together, one_by_one])
def test_a_long_policy_takes_steps_in_proportion_to_its_length(shape: Callable[[int], str]) -> None:
    work = Work()
    shadows([*places(load(text(shape)), "p")], work)
    assert work.complete
    assert limits.MAX_OVERLAP_STEPS - work.left <= 40 * MANY


def host(number: int) -> str:
    return f"source: 10.0.0.{number}, destination: 172.16.0.0/16"


def test_a_network_never_matches_once_its_last_address_has_a_filter_of_its_own() -> None:
    whole = "source: 10.0.0.0/24, destination: 172.16.0.0/16"
    for hosts, never in ((255, []), (256, [("policies", "p", "rules", 0, "filters", 256)])):
        written = text(lambda number, hosts=hosts: host(number) if number < hosts else whole, hosts + 1, rules=1)  # type: ignore[misc]  # a number
        assert [*shadows([*places(load(written), "p")], Work()).never] == never


@pytest.mark.parametrize("steps", [0, 1_000, 20_000])
def test_where_everything_overlaps_the_work_ends_at_its_bound(steps: int) -> None:
    work = Work(left=steps)
    shadows([*places(load(text(all_overlap)), "p")], work)
    assert not work.complete
    assert 0 <= work.left <= steps
