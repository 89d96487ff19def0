"""What we write in IKEv1, Wireshark reads: in clear, and with the key that it decrypts by."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from ipsecd.crypto import algorithms, keymat_v1
from ipsecd.crypto.isakmp_cipher import IsakmpCipher
from ipsecd.crypto.secret import Secret
from ipsecd.wire import ikev1, vendor_ids
from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev1_attributes import Attribute, basic, duration
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import (
    AnyPayload,
    Attributes,
    Delete,
    Hash,
    Ke,
    NatD,
    NatOa,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Transform,
    VendorId,
)
from ipsecd.wire.registry import ConfigType, Encr, Prf
from ipsecd.wire.registry_v1 import (
    AhTransform,
    ConfigAttribute,
    Encapsulation,
    EspTransform,
    Exchange,
    LifeType,
    NotifyType,
    OakleyAttribute,
    OakleyAuth,
    OakleyEncryption,
    OakleyHash,
    OakleyTransform,
    Payload,
    Protocol,
    SaAttribute,
    SaAuth,
)
from ipsecd.wire.selector import Selector

pytestmark = pytest.mark.peer

COOKIE_I, COOKIE_R = b"initiate", b"responds"
PHASE_1 = ikev1.Header(COOKIE_I, COOKIE_R, Exchange.MAIN)
PUBLIC_I, PUBLIC_R = b"i" * 256, b"r" * 256
SUITE = Sa(
    (
        Proposal(
            1,
            Protocol.ISAKMP,
            b"",
            (
                Transform(
                    1,
                    OakleyTransform.KEY_IKE,
                    (
                        basic(OakleyAttribute.ENCRYPTION, OakleyEncryption.AES_CBC),
                        basic(OakleyAttribute.KEY_LENGTH, 256),
                        basic(OakleyAttribute.HASH, OakleyHash.SHA2_256),
                        basic(OakleyAttribute.GROUP, 14),
                        basic(OakleyAttribute.AUTHENTICATION, OakleyAuth.PSK),
                        basic(OakleyAttribute.LIFE_TYPE, LifeType.SECONDS),
                        duration(OakleyAttribute.LIFE_DURATION, 28_800),
                    ),
                ),
            ),
        ),
    )
)


def bundle() -> Sa:
    """AH and ESP in transport mode, for 24 hours or 100 MB."""
    both = (
        basic(SaAttribute.LIFE_TYPE, LifeType.SECONDS),
        duration(SaAttribute.LIFE_DURATION, 86_400),
        basic(SaAttribute.LIFE_TYPE, LifeType.KILOBYTES),
        duration(SaAttribute.LIFE_DURATION, 100_000),
        basic(SaAttribute.ENCAPSULATION, Encapsulation.TRANSPORT),
    )
    sha1 = basic(SaAttribute.AUTHENTICATION, SaAuth.HMAC_SHA1)
    return Sa(
        (
            Proposal(1, Protocol.AH, b"\xaa\xaa\xaa\xaa", (Transform(1, AhTransform.SHA1, (*both, sha1)),)),
            Proposal(1, Protocol.ESP, b"\xbb\xbb\xbb\xbb", (Transform(1, EspTransform.TRIPLE_DES, both),)),
        )
    )


def dissected(tmp_path: Path, messages: list[tuple[bool, bytes]], *fields: str, key: bytes = b"") -> list[list[str]]:
    """The fields of each message, as tshark reads them. ``messages`` are (whether of the initiator, octets)."""
    capture = tmp_path / "ikev1.pcap"
    ends = ("192.0.2.1", "192.0.2.2")
    wrpcap(
        str(capture),
        [
            Ether() / IP(src=ends[not ours], dst=ends[ours]) / UDP(sport=500, dport=500) / octets
            for ours, octets in messages
        ],
    )
    command = ["tshark", "-r", str(capture), "-T", "fields", "-e", "_ws.malformed", "-e", "_ws.expert.severity"]
    command += [word for field in fields for word in ("-e", field)]
    command += ["-o", f"uat:ikev1_decryption_table:{COOKIE_I.hex()},{key.hex()}"] if key else []
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["", ""]] * len(messages)  # nothing malformed, no remark
    return [line[2:] for line in lines]


def test_what_stands_in_clear(tmp_path: Path) -> None:
    payloads: list[AnyPayload] = [
        bundle(),
        VendorId(vendor_ids.WINDOWS + bytes([0, 0, 0, 4])),
        Notify(NotifyType.RESPONDER_LIFETIME, bytes.fromhex("80010001 80020e10"), Protocol.ESP, b"abcd"),
        Delete(Protocol.AH, (b"abcd", b"efgh")),
        Id.selecting(Selector.net("198.51.100.0/24", 17, (1701, 1701))),
        NatD(b"h" * 20, Payload.NAT_D_DRAFTS),
        NatD(b"h" * 20),
        NatOa(ip_address("192.0.2.1")),
    ]
    (found,) = dissected(
        tmp_path,
        [(True, ikev1.encode(PHASE_1, payloads))],
        "isakmp.typepayload",
        "isakmp.prop.number",
        "isakmp.prop.protoid",
        "isakmp.spi",
        "isakmp.ipsec.attr.life_duration",
        "isakmp.id.data.ipv4_subnet",
        "isakmp.id.port",
        "isakmp.vid_string",
        "isakmp.notify.msgtype",
    )
    assert found == [
        "1,2,3,2,3,13,11,12,5,130,20,21",
        "1,1",
        "2,3",
        "aaaaaaaa,bbbbbbbb,61626364",
        "86400,100000,86400,100000",
        "255.255.255.0",
        "1701",
        "MS NT5 ISAKMPOAKLEY",
        "24576",
    ]


def test_what_is_encrypted(tmp_path: Path) -> None:
    encryption = algorithms.encryption(Encr.AES_CBC, 256)
    assert encryption is not None
    skeyid = keymat_v1.skeyid_of_psk(Prf.HMAC_SHA2_256, Secret(b"key"), b"12345678", b"87654321")
    keys = keymat_v1.derive_isakmp(Prf.HMAC_SHA2_256, encryption, skeyid, Secret(b"g"), COOKIE_I, COOKIE_R)
    cipher = IsakmpCipher(Prf.HMAC_SHA2_256, encryption, keys.cipher)
    phase_1 = cipher.phase_1(PUBLIC_I, PUBLIC_R)

    def identified(name: str) -> bytes:
        first, octets = ikev1.encode_chain([Id.of(Identity.parse(name)), Hash(b"h" * 32)])
        return ikev1.encode_sealed(PHASE_1, first, phase_1.seal(octets))

    def exchanged(exchange: Exchange, message_id: int, *payloads: AnyPayload) -> bytes:
        octets = ikev1.encode_hashed(
            payloads, lambda tail: keymat_v1.hash_1(Prf.HMAC_SHA2_256, keys.a, message_id, tail)
        )
        header = ikev1.Header(COOKIE_I, COOKIE_R, exchange, message_id=message_id)
        return ikev1.encode_sealed(header, Payload.HASH, cipher.phase_2(phase_1, message_id).seal(octets))

    messages = [
        (True, ikev1.encode(ikev1.Header(COOKIE_I, ikev1.NO_COOKIE, Exchange.MAIN), [SUITE])),
        (False, ikev1.encode(PHASE_1, [SUITE])),
        (True, ikev1.encode(PHASE_1, [Ke(PUBLIC_I), Nonce(b"12345678")])),
        (False, ikev1.encode(PHASE_1, [Ke(PUBLIC_R), Nonce(b"87654321")])),
        (True, identified("a.example")),
        (False, identified("b.example")),
        (True, exchanged(Exchange.QUICK, 0x01020304, bundle(), Nonce(b"12345678"))),
        (True, exchanged(Exchange.INFORMATIONAL, 0x05060708, Delete(Protocol.ISAKMP, (COOKIE_I + COOKIE_R,)))),
        (
            False,
            exchanged(
                Exchange.TRANSACTION,
                0x090A0B0C,
                Attributes(
                    ConfigType.REPLY, 1, (Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, bytes([10, 3, 0, 1])),)
                ),
            ),
        ),
    ]
    fields = ("isakmp.typepayload", "isakmp.id.data.fqdn", "isakmp.spi", "isakmp.cfg.attr.internal_ip4_address")
    assert dissected(tmp_path, messages, *fields, key=keys.cipher.reveal()) == [
        ["1,2,3", "", "", ""],
        ["1,2,3", "", "", ""],
        ["4,10", "", "", ""],
        ["4,10", "", "", ""],
        ["5,8", "a.example", "", ""],
        ["5,8", "b.example", "", ""],
        ["8,1,2,3,2,3,10", "", "aaaaaaaa,bbbbbbbb", ""],
        ["8,12", "", "", ""],
        ["8,14", "", "", "10.3.0.1"],
    ]
