"""ipsecd and strongSwan on a Linux kernel that has IPsec itself: what they negotiate carries traffic both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.interop import pair as terms
from tests.interop.kernel_gateway import Gateway, gateway
from tests.interop.kernel_strongswan import Told, kernel_pair
from tests.interop.pair import Pair, Terms
from tests.interop.strongswan import Tunnel
from tests.interop.traffic import Ping, received
from tests.interop.waiting import eventually
from tests.netns.pair import KEY
from tests.netns.pair import files as files_of
from tests.netns.places import GA_WAN, GB_WAN, NET_A, NET_B

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel strongswan")]

ALL = {"name": "all", "filter_list": "all-ip", "action": "require-security", "authentication": [{"psk": "peer"}]}


def networks(outside: int, esp: str) -> Told:
    """A tunnel with packets of both versions inside."""
    ours_ts, theirs_ts = (NET_A[4], NET_A[6]), (NET_B[4], NET_B[6])
    said = Terms(esp=esp, outside=outside, ours_ts=ours_ts, theirs_ts=theirs_ts)
    ours, theirs = GA_WAN[outside], GB_WAN[outside]
    return Told(terms.files(said, ours, theirs), terms.tunnel(said, theirs, ours), (4, 6))


def hosts(version: int, esp: str, mode: str = "transport") -> Told:
    """By a rule without a tunnel."""
    ours, theirs = GA_WAN[version], GB_WAN[version]
    tunnel = Tunnel(
        local=theirs,
        remote=ours,
        local_id=theirs,
        remote_id=ours,
        psk=KEY,
        local_ts=("dynamic",),
        remote_ts=("dynamic",),
        esp=esp,
        child={"mode": mode},
    )
    return Told(files_of(ALL), tunnel, (version,), hosts=True)


def natively(told: Told) -> Told:
    """As IP protocol 50, which strongSwan leaves as it is where nobody says that there is a NAT."""
    files = dict(told.files)
    files["policy.yaml"] = files["policy.yaml"].replace("  tunnel:", "  encapsulation: native\n      tunnel:")
    return replace(told, files=files, tunnel=replace(told.tunnel, connection={"encap": "no"}), native="ESP")


def signed(told: Told, mac: str) -> Told:
    """By AH in the place of ESP; ``auto`` leaves it to be IP protocol 51, as strongSwan isn't ipsecd."""
    policy = yaml.safe_load(told.files["policy.yaml"])
    method = {"ah": {"integrity": mac}}
    policy["filter_actions"] = {"sign": {"action": "negotiate", "security_methods": [method]}}
    for rule in policy["policies"][policy["assigned"]]["rules"]:
        rule["action"] = "sign"
    child = {**told.tunnel.child, "esp_proposals": [], "ah_proposals": [told.tunnel.esp]}
    tunnel = replace(told.tunnel, connection={"encap": "no"}, child=child)
    files = {**told.files, "policy.yaml": yaml.safe_dump(policy)}
    return replace(told, files=files, tunnel=tunnel, native="AH")


FORMS = {  # and who calls
    "tunnel over IPv4, AEAD with ESN": ("ours", networks(4, "aes128gcm16-x25519-esn")),
    "tunnel over IPv4, HMAC": ("theirs", networks(4, "aes256-sha512-x25519")),
    "tunnel over IPv6, HMAC with ESN": ("theirs", networks(6, "aes128-sha256-esn")),
    "transport over IPv4": ("ours", hosts(4, "aes256gcm16-esn")),
    "transport over IPv6": ("theirs", hosts(6, "aes128-sha256")),
    "native, in a tunnel": ("ours", natively(networks(4, "aes128gcm16-x25519-esn"))),
    "AH in a tunnel": ("theirs", signed(networks(6, "sha256-esn"), "sha256")),
    "AH in transport mode": ("ours", signed(hosts(4, "sha256"), "sha256")),
}
each_form = pytest.mark.parametrize(("caller", "told"), FORMS.values(), ids=FORMS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("kernel") / "guest") as made:
        yield made


def spis(both: Pair) -> set[str]:
    """The SPIs of the SAs that strongSwan has."""
    return {child["spi-in"] for child in both.theirs.children()}


@each_form
@pytest.mark.usefixtures("inline")
def test_it_carries_traffic_while_it_is_rekeyed(built: Gateway, tmp_path: Path, caller: str, told: Told) -> None:
    with kernel_pair(built, tmp_path, told) as both:
        both.up(caller, told.versions[0])
        assert all(both.carries(version) for version in told.versions)
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
def test_nothing_of_much_traffic_is_lost(built: Gateway, tmp_path: Path, caller: str, told: Told) -> None:
    """Floods of pings and 100 MB of TCP each way, between the guest and ours."""
    with kernel_pair(built, tmp_path, told) as both:
        both.up(caller, told.versions[0])
        ours, flood = both.host(both.near, told.versions[0]), ["ping", "-n", "-q", "-f", "-c", "5000"]
        assert received(both.sites.run(both.near, [*flood, told.guest]).stdout) == 5_000
        assert received(built.guest.run(*flood, "-I", told.guest, ours).output) == 5_000
        for way in ([], ["-R"]):
            built.guest.start("iperf3", "-s", "-1")
            eventually(lambda: ":5201" in built.guest.run("ss", "-Hltn").output, "iperf3 listens")
            client = ["iperf3", "-c", told.guest, "-n", "110M", "-J", *way]
            report = json.loads(both.sites.run(both.near, client, timeout=None).stdout)
            assert report["end"]["sum_received"]["bytes"] > 100_000_000  # what was on its way at the end isn't counted
