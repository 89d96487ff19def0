"""ipsecd and strongSwan on a Linux kernel that has IPsec itself: what they negotiate carries traffic both ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interop.kernel_forms import hosts, natively, networks, signed
from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_pair import Told
from tests.interop.kernel_strongswan import KernelStrongSwan, kernel_pair
from tests.interop.pair import Both
from tests.interop.traffic import Ping, received
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel strongswan")]

whole = pytest.mark.whole  # one form of native ESP and of AH in each mode is enough for every run
FORMS = [  # who calls, and what is agreed
    pytest.param("ours", networks(4, "aes128gcm16-x25519-esn"), id="tunnel over IPv4, AEAD with ESN"),
    pytest.param("theirs", networks(4, "aes256-sha512-x25519"), id="tunnel over IPv4, HMAC"),
    pytest.param("theirs", networks(6, "aes128-sha256-esn"), id="tunnel over IPv6, HMAC with ESN"),
    pytest.param("ours", hosts(4, "aes256gcm16-esn"), id="transport over IPv4"),
    pytest.param("theirs", hosts(6, "aes128-sha256"), id="transport over IPv6"),
    pytest.param("ours", natively(networks(4, "aes128gcm16-x25519-esn")), id="native, in a tunnel over IPv4"),
    pytest.param("theirs", natively(networks(6, "aes256-sha512")), id="native, in a tunnel over IPv6", marks=whole),
    pytest.param("theirs", natively(hosts(4, "aes128-sha256")), id="native, transport over IPv4", marks=whole),
    pytest.param("ours", natively(hosts(6, "aes256gcm16-esn")), id="native, transport over IPv6"),
    pytest.param("ours", signed(networks(4, "sha512"), "sha512"), id="AH in a tunnel over IPv4", marks=whole),
    pytest.param("theirs", signed(networks(6, "sha256-esn"), "sha256"), id="AH in a tunnel over IPv6"),
    pytest.param("ours", signed(hosts(4, "sha256"), "sha256"), id="AH in transport mode over IPv4"),
    pytest.param("theirs", signed(hosts(6, "sha384-esn"), "sha384"), id="AH in transport mode over IPv6", marks=whole),
]
each_form = pytest.mark.parametrize(("caller", "told"), FORMS)


def spis(both: Both[KernelStrongSwan]) -> set[str]:
    """The SPIs of the SAs that strongSwan has."""
    return {child["spi-in"] for child in both.theirs.children()}


@each_form
@pytest.mark.usefixtures("inline")
def test_it_carries_traffic_while_it_is_rekeyed(
    kernel_gateway: Gateway, tmp_path: Path, caller: str, told: Told
) -> None:
    with kernel_pair(kernel_gateway, tmp_path, told) as both:
        both.up(caller, told.versions[0])
        assert all(both.carries(version) for version in told.versions)
        assert both.carries(told.versions[0], size=4_000)  # fragments, which a tunnel cuts if they are of IPv4
        mode = told.tunnel.child.get("mode", "tunnel")
        esn = "1" if told.tunnel.esp.endswith("-esn") else None
        seen = [(child["mode"].lower(), child.get("esn")) for child in both.theirs.children()]
        assert seen == [(mode, esn)] * len(told.versions)
        target = both.host(both.far, told.versions[0])
        with Ping(both.sites, both.near, target, tmp_path / "ping") as ping:
            before = spis(both)
            both.ours.ctl("rekey", both.ours.children()[0]["name"])
            eventually(lambda: len(spis(both)) == len(before) and spis(both) != before, "a new child")
            ping.flows()
            between = spis(both)
            both.theirs.rekey("child")
            eventually(lambda: len(spis(both)) == len(before) and spis(both).isdisjoint(between), "new children")
            ping.flows()
        assert ping.gaps == []


@each_form
@pytest.mark.whole
def test_nothing_of_much_traffic_is_lost(kernel_gateway: Gateway, tmp_path: Path, caller: str, told: Told) -> None:
    """Floods of pings and 100 MB of TCP each way, between the guest and ours."""
    with kernel_pair(kernel_gateway, tmp_path, told) as both:
        both.up(caller, told.versions[0])
        ours, flood = both.host(both.near, told.versions[0]), ["ping", "-n", "-q", "-f", "-c", "5000"]
        assert received(both.sites.run(both.near, [*flood, told.guest]).stdout) == 5_000
        assert received(kernel_gateway.guest.run(*flood, "-I", told.guest, ours).output) == 5_000
        for way in ([], ["-R"]):
            kernel_gateway.guest.start("iperf3", "-s", "-1")
            eventually(lambda: ":5201" in kernel_gateway.guest.run("ss", "-Hltn").output, "iperf3 listens")
            client = ["iperf3", "-c", told.guest, "-n", "110M", "-J", *way]
            report = json.loads(both.sites.run(both.near, client, timeout=None).stdout)
            assert report["end"]["sum_received"]["bytes"] > 100_000_000  # what was on its way at the end isn't counted
