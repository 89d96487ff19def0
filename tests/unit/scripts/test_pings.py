"""What ping says: iputils 20221126, without and with -D."""

from __future__ import annotations

import pytest

from scripts.measuring.pings import answered_at, percentile, round_trips

TOLD = """\
PING 10.2.0.2 (10.2.0.2) from 10.1.0.2 : 56(84) bytes of data.
64 bytes from 10.2.0.2: icmp_seq=1 ttl=62 time=0.034 ms
From 10.1.0.1 icmp_seq=2 Destination Net Unreachable
64 bytes from 10.2.0.2: icmp_seq=3 ttl=62 time=12.5 ms
64 bytes from 10.2.0.2: icmp_seq=3 ttl=62 time=13 ms (DUP!)

--- 10.2.0.2 ping statistics ---
3 packets transmitted, 2 received, 33% packet loss, time 8ms
rtt min/avg/max/mdev = 0.034/6.267/12.500/6.233 ms
"""
DATED = """\
PATTERN: 0x7265616461626c6520746f20616c6c2e
PING 10.2.0.2 (10.2.0.2) from 10.1.0.2 : 56(84) bytes of data.
[1795660000.000100] From 10.1.0.1 icmp_seq=1 Destination Net Unreachable
[1795660000.015500] 64 bytes from 10.2.0.2: icmp_seq=8 ttl=62 time=0.5 ms
[1795660000.017500] 64 bytes from 10.2.0.2: icmp_seq=9 ttl=62 time=0.5 ms
"""


def test_answers_count_once_and_errors_not_at_all() -> None:
    assert round_trips(TOLD) == (0.034, 12.5)


def test_the_first_answer_has_its_moment() -> None:
    assert answered_at(DATED) == 1795660000.0155
    assert answered_at(DATED[: DATED.index("[1795660000.015500]")]) == 0.0


@pytest.mark.parametrize(("percent", "value"), [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0), (0.5, 1.0), (1.5, 2.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value
