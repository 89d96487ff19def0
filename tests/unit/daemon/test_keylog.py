"""Exported keys, held against Wireshark itself."""

import asyncio
import json
import struct
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ipsecd import limits
from ipsecd.daemon.keylog import Keys
from ipsecd.ike.effects import KeyLog
from ipsecd.wire.registry import Encr, Integ
from tests.unit.daemon.daemons import PATIENCE, pair, policy, settled

IKE: dict[str, Any] = {
    "spi_i": bytes.fromhex("0102030405060708"),
    "spi_r": bytes.fromhex("1112131415161718"),
    "ei": b"\xe1" * 20,
    "er": b"\xe2" * 20,
    "ai": b"",
    "ar": b"",
    "encryption": Encr.AES_GCM_16,
    "key_bits": 128,
    "integrity": Integ.NONE,
}
ISAKMP: dict[str, Any] = {"cookie_i": bytes.fromhex("0102030405060708"), "key": b"\xe3" * 32}
ESP: dict[str, Any] = {
    "source": ip_address("192.0.2.1"),
    "destination": ip_address("192.0.2.2"),
    "spi": bytes.fromhex("c0ffee01"),
    "encryption": Encr.AES_CBC,
    "key_bits": 256,
    "integrity": Integ.HMAC_SHA2_256_128,
    "encryption_key": b"\xee" * 32,
    "integrity_key": b"\xaa" * 32,
}


def exported(*logs: KeyLog) -> dict[str, list[str]]:
    keys = Keys()
    for log in logs:
        keys.keep(log)
    return keys.export()


def test_an_ike_sa_becomes_a_line_of_the_ikev2_decryption_table() -> None:
    assert exported(KeyLog("ike", IKE))["ikev2_decryption_table"] == [
        (
            f"0102030405060708,1112131415161718,{'e1' * 20},{'e2' * 20},"
            '"AES-GCM-128 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"'
        )
    ]


def test_an_isakmp_sa_becomes_a_line_of_the_ikev1_decryption_table() -> None:
    assert exported(KeyLog("isakmp", ISAKMP))["ikev1_decryption_table"] == [f"0102030405060708,{'e3' * 32}"]
    assert "e3e3" not in repr(KeyLog("isakmp", ISAKMP))


def test_an_esp_sa_becomes_a_line_of_esp_sa() -> None:
    assert exported(KeyLog("esp", ESP))["esp_sa"] == [
        (
            f'"IPv4","192.0.2.1","192.0.2.2","0xc0ffee01","AES-CBC [RFC3602]","0x{"ee" * 32}",'
            f'"HMAC-SHA-256-128 [RFC4868]","0x{"aa" * 32}"'
        )
    ]
    gcm = ESP | {"encryption": Encr.AES_GCM_16, "integrity": Integ.NONE, "integrity_key": b""}
    six = {"source": ip_address("2001:db8::1"), "destination": ip_address("2001:db8::2")}
    assert exported(KeyLog("esp", gcm | six))["esp_sa"] == [
        (
            '"IPv6","2001:db8::1","2001:db8::2","0xc0ffee01","AES-GCM with 16 octet ICV [RFC4106]",'
            f'"0x{"ee" * 32}","NULL",""'
        )
    ]


@pytest.mark.parametrize("kind", ["ike", "esp"])
def test_a_cipher_that_wireshark_does_not_know_is_named_instead(kind: str) -> None:
    fields = IKE | ESP | {"encryption": Encr.CHACHA20_POLY1305, "key_bits": None, "integrity": Integ.NONE}
    assert exported(KeyLog(kind, fields)) == {
        "ikev2_decryption_table": [],
        "ikev1_decryption_table": [],
        "esp_sa": [],
        "unknown": ["CHACHA20_POLY1305"],
    }


def test_keys_are_bounded_forgotten_on_request_and_never_shown() -> None:
    keys = Keys()
    for number in range(limits.KEYLOG_LINES + 5):
        keys.keep(KeyLog("ike", IKE | {"spi_i": struct.pack("!Q", number)}))
    assert len(keys.export()["ikev2_decryption_table"]) == 4_096
    assert repr(keys) == "Keys(ikev2_decryption_table: 4096, ikev1_decryption_table: 0, esp_sa: 0)"
    assert "e1e1" not in repr(KeyLog("ike", IKE))
    keys.forget()
    assert keys.export() == {
        "ikev2_decryption_table": [],
        "ikev1_decryption_table": [],
        "esp_sa": [],
        "unknown": [],
    }


def test_keys_are_kept_only_of_sas_made_while_the_policy_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), pair(tmp_path) as (a, _):

            async def lines() -> tuple[int, int]:
                tables = json.loads((await a.ctl("keys", "export", "--json")).output)
                return len(tables["ikev2_decryption_table"]), len(tables["esp_sa"])

            await a.ctl("up", "site", "--wait", "30")
            spi = a.protection.sas()[0].spi_i
            assert (await lines(), a.texts("keylog-on")) == ((0, 0), [])
            a.write("policy.yaml", policy(keylog="true"))
            await a.ctl("reload")
            assert a.protection.sas()[0].spi_i == spi  # the SAs stay
            assert await lines() == (0, 0)
            warning = "KEYS ARE KEPT for export (keylog: true): site. Whoever gets them reads the traffic"
            assert a.texts("keylog-on") == [warning]
            await a.ctl("rekey", "site")
            await settled()
            assert await lines() == (0, 2)
            await a.ctl("rekey", "peer:site")
            await settled()
            assert await lines() == (1, 2)
            a.write("policy.yaml", policy())
            await a.ctl("reload")
            assert (await lines(), a.texts("keylog-on")) == ((0, 0), [warning])

    asyncio.run(main())


@pytest.mark.peer
@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize(
    ("encryption", "integrity"),
    [
        (Encr.AES_GCM_16, Integ.NONE),
        (Encr.AES_GCM_12, Integ.NONE),
        (Encr.AES_GCM_8, Integ.NONE),
        (Encr.AES_CBC, Integ.HMAC_SHA1_96),
        (Encr.AES_CBC, Integ.HMAC_SHA2_256_128),
        (Encr.AES_CBC, Integ.HMAC_SHA2_384_192),
        (Encr.AES_CTR, Integ.HMAC_SHA2_512_256),
    ],
)
def test_wireshark_takes_every_line(tmp_path: Path, bits: int, encryption: Encr, integrity: Integ) -> None:
    suite = {"encryption": encryption, "key_bits": bits, "integrity": integrity}
    salt = {Encr.AES_CBC: 0}.get(encryption, 4)
    tag = {Integ.NONE: 0, Integ.HMAC_SHA1_96: 20, Integ.HMAC_SHA2_256_128: 32}.get(integrity)
    size = tag if tag is not None else {Integ.HMAC_SHA2_384_192: 48}.get(integrity, 64)
    keys = {"ei": bytes(bits // 8 + salt), "er": bytes(bits // 8 + salt), "ai": bytes(size), "ar": bytes(size)}
    tables = exported(
        KeyLog("ike", IKE | suite | keys),
        KeyLog("isakmp", ISAKMP | {"key": bytes(bits // 8)}),
        KeyLog("esp", ESP | suite | {"encryption_key": bytes(bits // 8 + salt), "integrity_key": bytes(size)}),
    )
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
    options = [f"-ouat:{name}:{line}" for name, lines in tables.items() for line in lines]
    assert len(options) == 3
    done = subprocess.run(["tshark", "-r", str(empty), *options], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Running as user")]
    assert (done.returncode, complaints) == (0, [])
