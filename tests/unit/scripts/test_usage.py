"""What processes use, as the kernel tells it in proc(5)."""

from __future__ import annotations

import os

from scripts.measuring.usage import Meter, Stat, cpu_seconds, family, memory, parse, proportional

LINE = "77 (a) b (c)) S 12 77 77 0 -1 4194560 100 200 0 0 30 40 5 6 20 0 1 0 12345 1000 200 18446744073709551615\n"
ROLLUP = """\
5581e6a1c000-7ffe2d3f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               20480 kB
Pss:                3072 kB
Pss_Dirty:          1024 kB
"""


def test_a_process_has_run_as_itself_in_the_kernel_and_as_its_children_that_ended() -> None:
    assert parse(LINE) == Stat(parent=12, ticks=30 + 40 + 5 + 6)


def test_a_family_has_grandchildren_and_no_strangers() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
    stats = {pid: Stat(parent, 0) for pid, parent in parents.items()}
    assert sorted(family(10, stats)) == [10, 11, 12, 13]


def test_a_proportional_set_size_is_told_in_kibibytes() -> None:
    assert proportional(ROLLUP) == 3 * 1024 * 1024
    assert proportional("") == 0


def test_a_process_of_this_machine_uses_something_and_one_that_is_gone_nothing() -> None:
    assert memory(os.getpid()) > 1_000_000
    assert memory(-1) == 0
    assert cpu_seconds([os.getpid()]) > 0.0
    assert cpu_seconds([-1]) == 0.0


def test_the_peak_is_that_of_the_largest_daemon_when_it_was_largest() -> None:
    sizes = {1: iter([10, 30, 20]), 2: iter([25, 15, 5])}
    meter = Meter([1, 2], lambda root: next(sizes[root]))
    for _ in range(3):
        meter.look()
    assert meter.peak == 30
