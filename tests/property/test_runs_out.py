"""The road out for runs does octet by octet what the road for single packets does."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, OutRun, Result
from ipsecd.wire.offload import Gso, Offload, segments
from tests.property.run_values import ACK, CWR, FIN, PSH, SYN, Big, bigs, often
from tests.unit.crypto.suites import SUITES, Suite
from tests.unit.dataplane.ends import FAR_NETS, NEAR_NETS, End, only, protect
from tests.unit.ipsec.packets import udp
from tests.unit.ipsec.pairs import CHACHA, GCM

PAIRS = tuple(zip(NEAR_NETS, FAR_NETS, strict=True))
AEAD = [suite for suite in SUITES if suite.encryption.aead and suite.icv_octets == 16]


def sender(suite: Suite, *, esn: bool, outer: int, first: int, header: m.OuterHeader, given: m.Limits, mtu: int) -> End:
    end = End(near=True, suite=suite, esn=esn, outer=outer)
    end.policy(protect(*PAIRS, header=header))
    end.install_outbound(limits=given)
    end.roads.handle(m.SetLinkMtu(end.outside.remote, mtu), 0.0)
    (sa,) = end.roads._outbound._sad
    sa.sequence = first
    return end


def one_by_one(results: list[Result]) -> list[Result]:
    """Runs as the single datagrams that they are."""
    found: list[Result] = []
    for result in results:
        if not isinstance(result, OutRun):
            found.append(result)
            continue
        pieces = range(0, len(result.datagrams), result.octets)
        datagrams = [bytes(result.datagrams[at : at + result.octets]) for at in pieces]
        inside = result.packets()
        assert len(inside) == len(datagrams) <= 64
        assert len(result.datagrams) <= 65_450
        found += [
            Out(datagram, result.outside, result.tos, result.df, packet)
            for datagram, packet in zip(datagrams, inside, strict=True)
        ]
    return found


def read(end: End, big: Big, now: float) -> list[Result]:
    """Each result is done with before the next is taken, as the buffers are used again."""
    found: list[Result] = []
    for result in end.roads.from_tun_read(memoryview(big.packet), big.head, now):
        found += one_by_one([result])
    return found


@settings(max_examples=4 * settings().max_examples)
@given(
    big=bigs(),
    suite=often(st.sampled_from([GCM, CHACHA]), st.sampled_from(SUITES)),
    esn=st.booleans(),
    outer=st.sampled_from([4, 6]),
    first=often(st.sampled_from([0, 1, 1_000]), st.sampled_from([(1 << 32) - (1 << 16) - 70, (1 << 32) - 40])),
    header=st.builds(m.OuterHeader, st.sampled_from([None, 46]), st.sampled_from(["copy", "set", "clear"])),
    given=often(st.just(m.Limits()), st.builds(m.Limits, soft_packets=st.just(99), hard_octets=st.just(99_999))),
    mtu=often(st.just(9_000), st.just(1_200)),
)
def test_a_run_is_what_its_packets_are_one_by_one(
    big: Big, suite: Suite, esn: bool, outer: int, first: int, header: m.OuterHeader, given: m.Limits, mtu: int
) -> None:
    ends = [sender(suite, esn=esn, outer=outer, first=first, header=header, given=given, mtu=mtu) for _ in range(2)]
    for now in (1.0, 2.0):  # the buffers have been used before
        together = read(ends[0], big, now)
        apart = ends[1].send(*big.segments(), now=now)
        assert together == apart
    one, two = (end.counters() for end in ends)
    one.paths.pop("runs-out", None)
    assert one == two


@pytest.mark.parametrize(
    "big",
    [
        Big(segment=100, count=64),
        Big(segment=100, count=64, tail=50),
        Big(segment=100, count=100, tail=50, flags=ACK | CWR | PSH | FIN),
        Big(segment=100, count=100, flags=ACK | CWR | PSH | FIN, tos=3),
        Big(segment=1_358, count=47, tail=1_357, version=6, options=0),
        Big(segment=1_000, count=60, tcp=False, tail=1),
        Big(segment=1, count=128, tcp=False, version=6),
        Big(sequence=(1 << 32) - 1_500, identification=0xFFFE, count=10),
    ],
)
@pytest.mark.parametrize("esn", [False, True])
def test_at_the_edges_it_is_so_too(big: Big, esn: bool) -> None:
    """More than one call takes, a last packet for which there is no room, numbers that come round."""
    ends = [sender(GCM, esn=esn, outer=4, first=7, header=m.OuterHeader(), given=m.Limits(), mtu=9_000) for _ in "ab"]
    assert read(ends[0], big, 1.0) == ends[1].send(*big.segments(), now=1.0)
    assert ends[0].paths["runs-out"] >= 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_udp_checksum_that_would_be_none_is_written_otherwise(version: int) -> None:
    # RFC 768
    big = Big(version, tcp=False, segment=2, count=4)
    packet = bytearray(big.packet)
    at = len(packet) - 8
    shown = int.from_bytes(big.segments()[0][-4:-2], "big")
    packet[at : at + 2] = ((int.from_bytes(packet[at : at + 2], "big") + shown) % 0xFFFF).to_bytes(2, "big")
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)
    (run,) = end.roads.from_tun_read(memoryview(bytes(packet)), big.head, 1.0)
    assert isinstance(run, OutRun)
    assert run.packets()[0][-4:-2] == b"\xff\xff"


@pytest.mark.parametrize("big", [Big(flags=SYN), Big(count=2, tail=1), Big(count=0, tail=9)], ids=["SYN", "2", "0"])
def test_what_has_to_be_looked_at_goes_packet_by_packet(big: Big) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=9_000)
    assert {type(result) for result in end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0)} == {Out}


@given(st.sampled_from(AEAD), st.booleans(), st.integers(3, 45), st.integers(0, 999))
def test_a_plain_run_does_not_go_packet_by_packet(suite: Suite, esn: bool, count: int, tail: int) -> None:
    end = sender(suite, esn=esn, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    big = Big(count=count, tail=tail)
    results = list(end.roads.from_tun_read(memoryview(big.packet), big.head, 1.0))
    assert [type(result) for result in results] == [OutRun]
    assert end.paths["runs-out"] == 1


@given(st.binary(max_size=200), st.binary(min_size=0, max_size=12))
def test_whatever_the_kernel_says_is_sent_or_dropped_under_a_name(packet: bytes, head: bytes) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    results = list(end.roads.from_tun_read(memoryview(packet), head, 1.0))
    paths = end.paths
    assert paths["from-tun"] == paths["sealed"] + sum(end.drops.values()) + paths["held"] >= 1
    assert len(only(results, Out)) == paths["datagrams"]


@given(bigs(), st.integers(0, 9), st.integers(0, 255))
def test_a_bent_virtio_header_is_sent_or_dropped_under_a_name(big: Big, at: int, octet: int) -> None:
    end = sender(GCM, esn=False, outer=4, first=0, header=m.OuterHeader(), given=m.Limits(), mtu=1_500)
    head = bytearray(big.head)
    head[at] = octet
    for result in end.roads.from_tun_read(memoryview(big.packet), head, 1.0):
        assert isinstance(result, Out | OutRun) or type(result).__name__ == "ToTun"
    paths = end.paths
    assert paths["from-tun"] == paths["sealed"] + sum(end.drops.values()) + paths["held"] >= 1


def test_a_single_packet_has_its_checksum_finished() -> None:
    whole = udp("10.1.0.1", "10.2.0.1", data=b"some data")
    body = bytearray(whole)
    pseudo = sum(struct.unpack("!4H", whole[12:20])) + 17 + len(whole) - 20
    body[26:28] = (pseudo % 0xFFFF).to_bytes(2, "big")
    assert segments(bytes(body), Offload(1, Gso.NONE, 0, 0, 20, 6)) == [whole]
