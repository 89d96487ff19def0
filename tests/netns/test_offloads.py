"""With whatever the kernel does for us and whatever it doesn't, data arrives whole, and the wire shows ESP alone."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from ipsecd.daemon.options import OFFLOADS
from tests.netns.pair import Pair, files, pair, rule
from tests.netns.places import FAMILY, HB
from tests.netns.sites import Sites
from tests.netns.test_sizes import transfer

pytestmark = pytest.mark.root

UDP_SEGMENT = 103
DATA = bytes(range(256)) * 8_000
SIZE, COUNT, LAST = 1_000, 30, 77


def datagrams(sites: Sites, version: int) -> list[bytes]:
    """What arrives at hb of datagrams that ha's kernel hands over as one."""
    target = (HB[version], 5_001)
    data = bytes(number % 251 for number in range(SIZE * COUNT + LAST))
    receiver = sites.inside("hb", socket.socket, FAMILY[version], socket.SOCK_DGRAM)
    sender = sites.inside("ha", socket.socket, FAMILY[version], socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind(target)
        receiver.settimeout(30)
        sender.sendmsg([data], [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("=H", SIZE))], 0, target)
        found = [receiver.recv(65_536) for _ in range(COUNT + 1)]
    assert b"".join(found) == data
    return found


def carry(sites: Sites, both: Pair) -> tuple[dict[str, int], dict[str, int]]:
    """Send TCP and UDP of both versions from ha to hb; how a and b have carried it."""
    for version in (4, 6):
        transfer(sites, version, DATA)
        assert [len(data) for data in datagrams(sites, version)] == [SIZE] * COUNT + [LAST]
    assert both.wire.cleartext() == {}
    counted = [gateway.ctl("status") for gateway in (both.a, both.b)]
    assert [status["drops"] for status in counted] == [{}, {}]
    one, two = (status["packets"] for status in counted)
    return one, two


@pytest.mark.parametrize("without", [(), *((name,) for name in OFFLOADS), OFFLOADS], ids="+".join)
def test_each_offload_may_be_missing(sites: Sites, tmp_path: Path, without: tuple[str, ...]) -> None:
    ours, theirs = files(rule("a", inside=(4, 6))), files(rule("b", inside=(4, 6)))
    with pair(sites, tmp_path, ours, theirs, without=without) as both:
        sent, received = carry(sites, both)
        assert both.a.ctl("status")["offloads"] == {name: name not in without for name in OFFLOADS}
        largest = max(len(frame) for _, frame in both.wire.frames)
    assert (largest > 1_514) == ("udp-segment" not in without)  # a veth shows runs before they are cut
    assert sent["runs-out"] > 0
    assert received["runs-in"] > 0


def test_links_that_cut_and_sum_nothing_carry_runs_too(tmp_path: Path) -> None:
    ours, theirs = files(rule("a", inside=(4, 6))), files(rule("b", inside=(4, 6)))
    with Sites(offload=False) as sites, pair(sites, tmp_path, ours, theirs) as both:
        carry(sites, both)
