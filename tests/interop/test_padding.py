"""Traffic flow confidentiality with strongSwan and with a Linux kernel: each takes the other's padding, and they take
our dummies."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.kernel_forms import changed, hosts, natively, networks, rules
from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_pair import Told
from tests.interop.kernel_strongswan import kernel_pair
from tests.interop.pair import Pair, Terms, pair
from tests.interop.waiting import eventually
from tests.interop.wire import ETHERNET, Wire, kind
from tests.netns.places import GA_WAN, GB_WAN

HIDDEN = {"padding": "mtu", "dummies": 50}
SIZES = (0, 56, 700, 1_200)  # of what pings carry

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel strongswan")]


def sizes(wire: Wire, source: str) -> set[int]:
    """Those of the IP packets with ESP that a gateway has sent."""
    frames = [frame for _, frame in list(wire.frames) if kind(frame).startswith("ESP")]
    return {len(frame) - ETHERNET for frame in frames if ip_source(frame) == source}


def ip_source(frame: bytes) -> str:
    return ".".join(map(str, frame[ETHERNET + 12 : ETHERNET + 16]))


def hidden(told: Told) -> Told:
    """Both sides pad to the path MTU, and we send dummies."""

    def change(policy: dict[str, Any]) -> None:
        for rule in rules(policy):
            name = rule["action"]
            action = policy.get("filter_actions", {}).get(name, {"action": "negotiate"})
            policy["filter_actions"] = {"hidden": action | {"tfc": HIDDEN}}
            rule["action"] = "hidden"

    child = {**told.tunnel.child, "tfc_padding": "mtu"}
    return replace(told, files=changed(told.files, change), tunnel=replace(told.tunnel, child=child))


def dummies_go(both: Pair) -> None:
    before = both.ours.children()[0]["out"]["dummies"]
    eventually(lambda: both.ours.children()[0]["out"]["dummies"] >= before + 100, "dummies go")


@pytest.mark.parametrize("caller", ["ours", "theirs"])
def test_strongswan_takes_padding_and_dummies(tmp_path: Path, caller: str) -> None:
    """kernel-libipsec, which doesn't pad itself."""
    with pair(tmp_path, Terms(action={"tfc": HIDDEN})) as both:
        both.up(caller)
        assert both.ours.children()[0]["tfc"] == {"padding": "mtu", "declined": False, "dummies": 50}
        for size in SIZES:
            assert both.carries(size=size)
        dummies_go(both)
        assert both.carries()
        (size,) = sizes(both.wire, GA_WAN[4])
        assert 1_497 <= size <= 1_500


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        pytest.param("ours", networks(4, "aes128gcm16-x25519-esn"), id="in UDP, AEAD with ESN"),
        pytest.param("theirs", natively(networks(4, "aes256-sha256")), id="native, HMAC"),
    ],
)
@pytest.mark.usefixtures("inline")
def test_a_kernel_and_we_pad_towards_each_other(
    kernel_gateway: Gateway, tmp_path: Path, caller: str, told: Told
) -> None:
    with kernel_pair(kernel_gateway, tmp_path, hidden(told)) as both:
        both.up(caller)
        for size in SIZES:
            assert all(both.carries(version, size=size) for version in (4, 6))
        dummies_go(both)
        assert both.carries()
        for sender in (GA_WAN[4], GB_WAN[4]):
            assert len(sizes(both.wire, sender)) == 1


@pytest.mark.usefixtures("inline")
def test_a_kernel_takes_padded_udp_and_dummies_in_transport_mode(kernel_gateway: Gateway, tmp_path: Path) -> None:
    with kernel_pair(kernel_gateway, tmp_path, hidden(hosts(4, "aes256gcm16-esn"))) as both:
        both.up("ours")
        dummies_go(both)
        assert both.carries()
        with both.sites.inside("ga", socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(60)
            asking.connect((GB_WAN[4], 9))
            asking.send(b"to nobody")
            with pytest.raises(ConnectionRefusedError):  # which the guest says once it has read the datagram
                asking.recv(100)
        assert max(sizes(both.wire, GA_WAN[4])) > 1_490
        assert max(sizes(both.wire, GB_WAN[4])) < 200
