"""ESP packets exchanged with Scapy's, an implementation of other people: each opens what the other sealed.

Published vectors know no integrity value behind AES-CBC or counter mode; Scapy does. Its AES-GCM and AES-CCM have
full ICVs only.
"""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation

from ipsecd.crypto.esp_cipher import EspCipher
from ipsecd.wire.registry import Encr
from tests.unit.crypto.suites import SUITES, Suite

SPI, SEQUENCE, HIGH = 0x01020304, 0xFFFFFFF0, 0x00000007
HEADER = SPI.to_bytes(4, "big") + SEQUENCE.to_bytes(4, "big")
INNER = IP(src="10.1.0.1", dst="10.2.0.1") / UDP(sport=1000, dport=2000) / bytes(range(100))
OUTER = IP(src="192.0.2.1", dst="198.51.100.1")
CIPHERS = {
    Encr.AES_CBC: "AES-CBC",
    Encr.AES_CTR: "AES-CTR",
    Encr.TRIPLE_DES: "3DES",
    Encr.DES: "DES",
    Encr.NULL: "NULL",
    Encr.AES_GCM_16: "AES-GCM",
    Encr.AES_CCM_16: "AES-CCM",
    Encr.NULL_AUTH_AES_GMAC: "AES-NULL-GMAC",
    Encr.CHACHA20_POLY1305: "CHACHA20-POLY1305",
}
MACS = {
    "sha1": "HMAC-SHA1-96",
    "sha256": "SHA2-256-128",
    "sha384": "SHA2-384-192",
    "sha512": "SHA2-512-256",
    "aescmac": "AES-CMAC-96",
    "md5": "HMAC-MD5-96",
}


def scapy(suite: Suite, *, esn: bool) -> SecurityAssociation:
    return SecurityAssociation(
        ESP,
        spi=SPI,
        crypt_algo=CIPHERS[suite.encryption.id],
        crypt_key=suite.key_e,
        auth_algo=MACS[suite.integrity.name] if suite.integrity else "NULL",
        auth_key=suite.key_a or None,
        tunnel_header=OUTER,
        esn_en=esn,
        esn=HIGH,
    )


def with_trailer(packet: bytes, align: int) -> bytes:
    """RFC 4303 section 2.4: padding 1, 2, 3 ..., pad length, next header 4."""
    padding = -(len(packet) + 2) % align
    return packet + bytes(range(1, padding + 1)) + bytes([padding, 4])


@pytest.mark.parametrize("esn", [False, True], ids=["32-bit", "64-bit"])
@pytest.mark.parametrize(
    "suite",
    [
        suite
        for suite in SUITES
        if suite.encryption.id in CIPHERS and (suite.integrity is None or suite.integrity.name in MACS)
    ],
    ids=lambda suite: suite.name,
)
def test_scapy_and_ipsecd_open_each_others_packets(suite: Suite, esn: bool) -> None:
    ours = EspCipher(suite.encryption, suite.integrity, suite.key_e, suite.key_a)
    high = HIGH.to_bytes(4, "big") if esn else b""
    iv = bytes(range(suite.encryption.iv_octets))
    plaintext = with_trailer(bytes(INNER), ours.align)

    sealed = HEADER + ours.seal(HEADER, high, iv, plaintext)
    opened = scapy(suite, esn=esn).decrypt(OUTER / ESP(sealed))
    assert bytes(opened) == bytes(INNER)

    packet = bytes(scapy(suite, esn=esn).encrypt(INNER, seq_num=SEQUENCE, iv=iv)[ESP])
    assert packet[:8] == HEADER
    assert ours.open(packet, high)[: len(INNER)] == bytes(INNER)
    assert packet == sealed

    forged = bytearray(sealed)
    forged[-1] ^= 1
    with pytest.raises(IPSecIntegrityError):
        scapy(suite, esn=esn).decrypt(OUTER / ESP(bytes(forged)))
