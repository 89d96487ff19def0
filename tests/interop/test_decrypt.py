"""A capture of the wire decrypts in tshark, with the keys that ipsecctl exports."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.kernel_forms import hosts, natively, networks, signed
from tests.interop.kernel_gateway import Gateway
from tests.interop.kernel_pair import Told
from tests.interop.kernel_strongswan import kernel_pair
from tests.interop.pair import Terms, pair
from tests.interop.traffic import answers
from tests.interop.wire import Wire
from tests.netns.pair import files
from tests.netns.places import GB_WAN
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.peer]

SUITES = {
    "aes128gcm16-prfsha256-x25519": "aes128gcm16",
    "aes256gcm16-prfsha384-ecp384": "aes256gcm16",
    "aes128-sha256-prfsha256-modp2048": "aes256-sha256",
    "aes256-sha512-prfsha512-ecp256": "aes128-sha512",
}

NONE: dict[str, list[str]] = {"ikev2_decryption_table": [], "ikev1_decryption_table": [], "esp_sa": []}
ECHOES = {4: ("8\t", "0\t"), 6: ("\t128", "\t129")}  # ICMP's types beside ICMPv6's
whole = pytest.mark.whole
NATIVE = [
    pytest.param(natively(hosts(4, "aes256-sha512", keylog=True)), id="transport over IPv4"),
    pytest.param(natively(hosts(6, "aes128gcm16", keylog=True)), id="transport over IPv6", marks=whole),
    pytest.param(natively(networks(4, "aes128gcm16-x25519", keylog=True)), id="tunnel over IPv4", marks=whole),
    pytest.param(natively(networks(6, "aes256-sha256", keylog=True)), id="tunnel over IPv6", marks=whole),
]
AH = [
    pytest.param(signed(hosts(4, "sha256", keylog=True), "sha256"), id="transport over IPv4", marks=whole),
    pytest.param(signed(hosts(6, "sha384", keylog=True), "sha384"), id="transport over IPv6", marks=whole),
    pytest.param(signed(networks(4, "sha512", keylog=True), "sha512"), id="tunnel over IPv4", marks=whole),
    pytest.param(signed(networks(6, "sha256-esn", keylog=True), "sha256"), id="tunnel over IPv6"),
]


def tshark(capture: Path, tables: dict[str, list[str]], wanted: str, *fields: str) -> list[str]:
    """The fields of every packet that ``wanted`` selects, with what the tables decrypt."""
    options = ["esp.enable_encryption_decode:TRUE", "esp.enable_authentication_check:TRUE"]
    options += [f"uat:{table}:{line}" for table in NONE for line in tables[table]]
    command = ["tshark", "-r", str(capture), "-Y", wanted, "-T", "fields"]
    command += [word for option in options for word in ("-o", option)]
    command += [word for name in fields for word in ("-e", name)]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize(("ike", "esp"), SUITES.items(), ids=SUITES)
def test_capture_decrypts(tmp_path: Path, ike: str, esp: str, initiator: str) -> None:
    with pair(tmp_path, Terms(ike=ike, esp=esp, keylog=True)) as both:
        both.up(initiator)
        assert both.carries()
        keys = both.ours.ctl("keys", "export")
    capture = tmp_path / "wire.pcap"
    both.wire.save(capture)
    identities = tshark(capture, keys, "isakmp.exchangetype == 35", "isakmp.id.data.fqdn")
    assert {name for line in identities for name in line.split(",")} == {"ours.example", "theirs.example"}
    pings = tshark(capture, keys, "icmp", "icmp.type", "esp.icv_good")
    assert len(pings) == (18 if initiator == "ours" else 12)
    assert {ping.split("\t")[0] for ping in pings} == {"8", "0"}
    assert tshark(capture, keys, "esp.icv_bad == 1", "frame.number") == []
    assert tshark(capture, NONE, "icmp", "frame.number") == []


@pytest.mark.xdist_group("kernel strongswan")
@pytest.mark.parametrize("told", NATIVE)
def test_capture_of_native_esp_decrypts(kernel_gateway: Gateway, tmp_path: Path, told: Told) -> None:
    capture, keys = captured(kernel_gateway, tmp_path, told)
    pings = tshark(capture, keys, "esp && !udp && (icmp || icmpv6)", "icmp.type", "icmpv6.type", "esp.icv_good")
    assert Counter(pings) == {f"{echo}\t1": 6 for echo in ECHOES[told.versions[0]]}
    assert tshark(capture, keys, "esp && _ws.expert", "_ws.expert.message") == []
    assert tshark(capture, NONE, "icmp || icmpv6.type == 128", "frame.number") == []


@pytest.mark.xdist_group("kernel strongswan")
@pytest.mark.parametrize("told", AH)
def test_capture_of_ah_is_read_without_complaint(kernel_gateway: Gateway, tmp_path: Path, told: Told) -> None:
    capture, keys = captured(kernel_gateway, tmp_path, told)
    pings = tshark(capture, keys, "ah && (icmp || icmpv6)", "icmp.type", "icmpv6.type")
    assert Counter(pings) == dict.fromkeys(ECHOES[told.versions[0]], 6)
    assert tshark(capture, keys, "ah && _ws.expert", "_ws.expert.message") == []
    agreed = tshark(capture, keys, "isakmp.prop.protoid == 2", "isakmp.spi")
    assert set(tshark(capture, keys, "ah", "ah.spi")) == {f"0x{spi}" for spi in agreed}


def test_capture_of_esp_inside_of_ah_decrypts(tmp_path: Path) -> None:
    """Between two ipsecd: strongSwan has no such thing."""
    method = {"esp": {"encryption": "aes128gcm16"}, "ah": {"integrity": "sha256"}}
    action = {"action": "negotiate", "security_methods": [method]}
    rule = {
        "name": "both",
        "filter_list": "all-ip",
        "action": "both",
        "authentication": [{"psk": "peer"}],
        "encapsulation": "native",
    }
    said = files(rule, keylog=True)
    said["policy.yaml"] += yaml.safe_dump(
        {"filter_actions": {"both": action}, "settings": {"esn": False}}  # with it, tshark 4.0 finds no ICV right
    )
    with (
        Sites() as sites,
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", said) as a,
        Ipsecd(sites, "gb", tmp_path / "b", said),
    ):
        assert answers(sites, "ga", GB_WAN[4]) == 3
        keys = a.ctl("keys", "export")
    capture = tmp_path / "wire.pcap"
    wire.save(capture)
    pings = tshark(capture, keys, "ah && esp && icmp", "icmp.type", "esp.icv_good")
    assert Counter(pings) == {"8\t1": 3, "0\t1": 3}
    assert tshark(capture, keys, "ah && _ws.expert", "_ws.expert.message") == []


def captured(gateway: Gateway, folder: Path, told: Told) -> tuple[Path, dict[str, list[str]]]:
    """Pings both ways between ipsecd and a kernel's strongSwan, and the keys they were protected with."""
    with kernel_pair(gateway, folder, told) as both:
        both.up("theirs")
        assert both.carries(told.versions[0])
        keys: dict[str, list[str]] = both.ours.ctl("keys", "export")
    capture = folder / "wire.pcap"
    both.wire.save(capture)
    return capture, keys


def test_without_keylog_nothing_is_kept(tmp_path: Path) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up("ours")
        keys = both.ours.ctl("keys", "export")
    assert keys["ikev2_decryption_table"] == keys["esp_sa"] == []
