"""What the network sees of a rule that hides sizes and times: packets of one size, also while nobody sends any."""

from __future__ import annotations

import socket
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.interop.wire import ETHERNET, Wire
from tests.interop.wire import kind as wire_kind
from tests.netns.pair import KEY, policy, rule
from tests.netns.places import GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

PORT = 7_007
ADDRESS = {"ga": GA_WAN[4], "gb": GB_WAN[4]}
SIZES = (0, 56, 400, 1_200, 1_410)  # of what pings carry


def files(made: dict[str, Any], **more: object) -> dict[str, str]:
    action = {"own": {"action": "negotiate", **more}}
    rules = policy({**made, "action": "own"})
    return {"policy.yaml": rules + yaml.safe_dump({"filter_actions": action}), "peer.psk": KEY}


def octets(wire: Wire, source: str, target: str, kind: str) -> list[int]:
    """The sizes of the IP packets of a kind from one gateway to the other, in order."""
    ends = ip_address(source).packed + ip_address(target).packed
    frames = [frame for _, frame in list(wire.frames)]
    packets = [frame[ETHERNET:] for frame in frames if wire_kind(frame) in (kind, f"{kind} {source} > {target}")]
    return [int.from_bytes(each[2:4], "big") for each in packets if each[12:20] == ends]


def udp_socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, PORT))
    opened.settimeout(60)
    return opened


def child(daemon: Ipsecd) -> dict[str, Any]:
    (found,) = daemon.children()
    return found


@pytest.mark.parametrize(("encapsulation", "kind"), [("auto", "ESP in UDP"), ("native", "ESP")])
def test_packets_in_a_tunnel_have_one_size_and_dummies_go_while_nobody_sends(
    sites: Sites, tmp_path: Path, encapsulation: str, kind: str
) -> None:
    ours, theirs = (rule(side, encapsulation=encapsulation) for side in ("a", "b"))
    hidden = files(ours, tfc={"padding": "mtu", "dummies": 50})
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", hidden) as a,
        Ipsecd(sites, "gb", tmp_path / "b", files(theirs)) as b,
    ):
        for size in SIZES:
            assert answers(sites, "ha", HB[4], size=size) == 3
            assert answers(sites, "hb", HA[4], size=size) == 3
        assert child(a)["tfc"] == {"padding": "mtu", "declined": False, "dummies": 50}
        before = child(b)["in"]
        so_far = len(octets(wire, GA_WAN[4], GB_WAN[4], kind))
        eventually(lambda: child(b)["in"]["dummies"] >= before["dummies"] + 100, "dummies come")
        after = child(b)["in"]
        assert after["packets"] - after["dummies"] == before["packets"] - before["dummies"] == 2 * 3 * len(SIZES)
        assert after["idle"] > before["idle"]
        assert child(b)["out"]["dummies"] == child(a)["in"]["dummies"] == 0
        assert b.ask("status")["drops"]["dummy"] >= 100
        eventually(lambda: len(octets(wire, GA_WAN[4], GB_WAN[4], kind)) >= so_far + 100, "the wire has shown them")
    (size,) = set(octets(wire, GA_WAN[4], GB_WAN[4], kind))
    assert 1_497 <= size <= 1_500  # but for what the cipher's blocks leave
    assert len(set(octets(wire, GB_WAN[4], GA_WAN[4], kind))) >= len(SIZES)
    assert wire.cleartext("ESP" if kind == "ESP" else "") == {}


def test_udp_between_two_hosts_is_padded_and_what_else_they_send_is_not(sites: Sites, tmp_path: Path) -> None:
    made = {"name": "all", "filter_list": "all-ip", "authentication": [{"psk": "peer"}]}
    hidden = files(made, tfc={"padding": 1_000})
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", hidden),
        Ipsecd(sites, "gb", tmp_path / "b", hidden) as b,
    ):
        assert answers(sites, "ga", GB_WAN[4]) == 3
        assert child(b)["mode"] == "transport"
        here, there = (sites.inside(place, udp_socket, ADDRESS[place]) for place in ("ga", "gb"))
        with here, there:
            for data in (b"", b"x", b"y" * 100, b"z" * 900):
                here.sendto(data, (GB_WAN[4], PORT))
                got, source = there.recvfrom(9_000)
                assert got == data
                there.sendto(got, source)
                assert here.recv(9_000) == data
    crossed = Counter(octets(wire, GA_WAN[4], GB_WAN[4], "ESP in UDP"))
    (ping, pings), (size, padded) = sorted(crossed.items())
    assert (pings, padded) == (3, 4)
    assert ping < 1_000 < size < 1_060
