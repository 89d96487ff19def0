"""IKEv1 messages written by Scapy, which shares no line with us, mean to us what they meant to it."""

from __future__ import annotations

from scapy.layers.isakmp import (
    ISAKMP,
    ISAKMP_payload_Delete,
    ISAKMP_payload_Hash,
    ISAKMP_payload_ID,
    ISAKMP_payload_KE,
    ISAKMP_payload_Nonce,
    ISAKMP_payload_Notify,
    ISAKMP_payload_Proposal,
    ISAKMP_payload_SA,
    ISAKMP_payload_Transform,
    ISAKMP_payload_VendorID,
)
from scapy.packet import Packet

from ipsecd.wire.ikev1 import decode, encode
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import (
    AnyPayload,
    Delete,
    Hash,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Transform,
    VendorId,
)
from ipsecd.wire.registry_v1 import (
    Exchange,
    IdType,
    LifeType,
    NotifyType,
    OakleyAttribute,
    OakleyAuth,
    OakleyEncryption,
    OakleyHash,
    OakleyTransform,
    Protocol,
)

COOKIES = b"initiateresponds"


def means(exchange: Exchange, packet: Packet, *payloads: AnyPayload) -> None:
    """Read, it's ``payloads``; written by us, the same octets as by Scapy."""
    head = ISAKMP(init_cookie=COOKIES[:8], resp_cookie=COOKIES[8:], exch_type=int(exchange), id=7)
    data = bytes(head / packet)
    message = decode(data)
    assert (message.header.exchange, message.header.message_id) == (exchange, 7)
    assert message.chain.payloads == payloads
    assert encode(message.header, payloads) == data


def test_an_offer_with_two_suites() -> None:
    life = [("LifeType", "Seconds"), ("LifeDuration", 86_400)]
    transforms = ISAKMP_payload_Transform(
        transform_count=1,
        transforms=[
            ("Encryption", "AES-CBC"),
            ("KeyLength", 256),
            ("Hash", "SHA2-256"),
            ("Authentication", "PSK"),
            *life,
        ],
    ) / ISAKMP_payload_Transform(
        transform_count=2,
        transforms=[("Encryption", "3DES-CBC"), ("Hash", "SHA"), ("Authentication", "RSA Sig"), *life],
    )
    proposal = ISAKMP_payload_Proposal(proposal=1, proto=1, trans_nb=2, trans=transforms)

    def suite(number: int, *attributes: tuple[OakleyAttribute, int]) -> Transform:
        lasting = (
            basic(OakleyAttribute.LIFE_TYPE, LifeType.SECONDS),
            Attribute(OakleyAttribute.LIFE_DURATION, (86_400).to_bytes(3, "big")),
        )
        return Transform(number, OakleyTransform.KEY_IKE, (*(basic(*one) for one in attributes), *lasting))

    one = suite(
        1,
        (OakleyAttribute.ENCRYPTION, OakleyEncryption.AES_CBC),
        (OakleyAttribute.KEY_LENGTH, 256),
        (OakleyAttribute.HASH, OakleyHash.SHA2_256),
        (OakleyAttribute.AUTHENTICATION, OakleyAuth.PSK),
    )
    two = suite(
        2,
        (OakleyAttribute.ENCRYPTION, OakleyEncryption.TRIPLE_DES_CBC),
        (OakleyAttribute.HASH, OakleyHash.SHA1),
        (OakleyAttribute.AUTHENTICATION, OakleyAuth.RSA_SIGNATURE),
    )
    means(
        Exchange.MAIN,
        ISAKMP_payload_SA(prop=proposal) / ISAKMP_payload_VendorID(VendorID=b"scapy"),
        Sa((Proposal(1, Protocol.ISAKMP, b"", (one, two)),)),
        VendorId(b"scapy"),
    )


def test_keys_nonces_hashes_and_identities() -> None:
    means(
        Exchange.AGGRESSIVE,
        ISAKMP_payload_KE(ke=b"k" * 128)
        / ISAKMP_payload_Nonce(nonce=b"n" * 16)
        / ISAKMP_payload_ID(IDtype="IPv4_addr", ProtoID=17, Port=500, IdentData="192.0.2.1")
        / ISAKMP_payload_Hash(hash=b"h" * 20),
        Ke(b"k" * 128),
        Nonce(b"n" * 16),
        Id(IdType.IPV4_ADDR, bytes([192, 0, 2, 1]), 17, 500),
        Hash(b"h" * 20),
    )


def test_notifies_and_deletes() -> None:
    means(
        Exchange.INFORMATIONAL,
        ISAKMP_payload_Notify(doi=1, proto=1, SPI=COOKIES, notify_msg_type=36_136, notify_data=b"\0\0\0\1")
        / ISAKMP_payload_Delete(doi=1, proto=3, SPIsize=4, SPIcount=2, SPIs=[b"spi1", b"spi2"]),
        Notify(NotifyType.R_U_THERE, b"\0\0\0\1", spi=COOKIES),
        Delete(Protocol.ESP, (b"spi1", b"spi2")),
    )
