"""A capture of the wire decrypts in tshark, with the keys that ipsecctl exports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.interop.pair import Terms, pair

pytestmark = [pytest.mark.root, pytest.mark.peer]

SUITES = {
    "aes128gcm16-prfsha256-x25519": "aes128gcm16",
    "aes256gcm16-prfsha384-ecp384": "aes256gcm16",
    "aes128-sha256-prfsha256-modp2048": "aes256-sha256",
    "aes256-sha512-prfsha512-ecp256": "aes128-sha512",
}


def tshark(capture: Path, tables: dict[str, list[str]], wanted: str, *fields: str) -> list[str]:
    """The fields of every packet that ``wanted`` selects, with what the tables decrypt."""
    options = ["esp.enable_encryption_decode:TRUE", "esp.enable_authentication_check:TRUE"]
    options += [f"uat:{table}:{line}" for table in ("ikev2_decryption_table", "esp_sa") for line in tables[table]]
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
    none: dict[str, list[str]] = {"ikev2_decryption_table": [], "esp_sa": []}
    assert tshark(capture, none, "icmp", "frame.number") == []


def test_without_keylog_nothing_is_kept(tmp_path: Path) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up("ours")
        keys = both.ours.ctl("keys", "export")
    assert keys["ikev2_decryption_table"] == keys["esp_sa"] == []
