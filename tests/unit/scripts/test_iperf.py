"""What iperf3's reports say; they are those of iperf 3.12, shortened to what counts."""

from __future__ import annotations

from scripts.measuring.iperf import Transfer, delivered, transferred

TCP = {
    "end": {
        "sum_sent": {"seconds": 1.000112, "bytes": 1656750080, "bits_per_second": 13252516358.2, "sender": True},
        "sum_received": {"seconds": 1.000162, "bytes": 1649016832, "bits_per_second": 13189997876.3, "sender": True},
    }
}
UDP = {
    "end": {
        "sum": {"seconds": 2.5, "bytes": 136102400, "lost_packets": 33674, "packets": 99200, "sender": True},
        "sum_sent": {"seconds": 2.0, "bytes": 137200000, "lost_packets": 0, "packets": 100000, "sender": True},
        "sum_received": {"seconds": 2.5, "bytes": 89180000, "lost_packets": 34000, "packets": 99000, "sender": False},
    }
}


def test_of_a_stream_what_was_received_counts() -> None:
    assert transferred(TCP) == Transfer(octets=1649016832, rate=13189997876.3)


def test_of_datagrams_those_received_count_in_the_time_that_sending_took() -> None:
    trial = delivered(UDP, size=1_372, asked=60_000)
    assert (trial.asked, trial.sent, trial.delivered) == (60_000, 50_000, 32_500)


def test_datagrams_that_were_still_under_way_at_the_end_are_lost() -> None:
    assert round(delivered(UDP, size=1_372, asked=60_000).lost, 6) == 0.35
