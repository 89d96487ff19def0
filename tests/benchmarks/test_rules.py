"""What many rules cost: `.venv/bin/python -m pytest tests/benchmarks/test_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import count
from typing import Any

import pytest

from ipsecd.daemon.compose import spd_entries
from ipsecd.daemon.identifiers import Identifiers
from ipsecd.ipsec.selectors import Flow
from ipsecd.ipsec.spd import Direction, Spd, SpdEntry
from ipsecd.policy.floor import ruleset
from ipsecd.policy.load import load_policy
from ipsecd.policy.planning import plan
from tests.benchmarks.large import planned, policy

Benchmark = Callable[..., Any]  # calls its first argument with the others, many times

SOME = pytest.mark.parametrize("rules", [10, 1_000])
ENDS = pytest.mark.parametrize(
    ("source", "destination"),
    [("10.1.0.9", "10.100.0.5"), ("10.1.0.9", "198.51.100.200"), ("fd01::9", "fd02:64:0::1")],
    ids=["protected", "of-no-rule", "IPv6"],
)


def entries(rules: int) -> tuple[SpdEntry, ...]:
    made = planned(rules)
    return spd_entries(made, Identifiers().of(made))


def flows(source: str, destination: str) -> Iterator[Flow]:
    """New ones for ever."""
    ends = ip_address(source), ip_address(destination)
    return (Flow.build(*ends, 6, 1_024 + number % 60_000, 8_000 + number // 60_000) for number in count())


@SOME
@ENDS
def test_spd_miss(benchmark: Benchmark, rules: int, source: str, destination: str) -> None:
    """A flow that hasn't been seen before, which is made here, too."""
    spd, new = Spd(entries(rules)), flows(source, destination)
    benchmark(lambda: spd.lookup(next(new), Direction.OUTBOUND))


@SOME
def test_spd_hit(benchmark: Benchmark, rules: int) -> None:
    spd, flow = Spd(entries(rules)), next(flows("10.1.0.9", "10.100.0.5"))
    assert benchmark(spd.lookup, flow, Direction.OUTBOUND) is not None


@SOME
def test_load(benchmark: Benchmark, rules: int) -> None:
    """From the text of the file to the checked policy."""
    benchmark(load_policy, policy(rules), "hub.yaml")


@SOME
def test_plan(benchmark: Benchmark, rules: int) -> None:
    benchmark(plan, load_policy(policy(rules), "hub.yaml"), lambda _: (), (ip_address("10.1.0.1"),))


@SOME
def test_ruleset(benchmark: Benchmark, rules: int) -> None:
    benchmark(ruleset, planned(rules), ("wan0",))


@SOME
def test_spd(benchmark: Benchmark, rules: int) -> None:
    benchmark(Spd, entries(rules))
