"""Every message of IKEv1 sessions of strongSwan: what is in it, and that it's written again to the octet."""

from __future__ import annotations

import pytest

from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import Attributes, Delete, Notify, Proposal, Sa, Transform, VendorId
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import (
    ConfigAttribute,
    Encapsulation,
    EspTransform,
    IdType,
    LifeType,
    NotifyType,
    OakleyAttribute,
    OakleyAuth,
    OakleyEncryption,
    OakleyHash,
    OakleyTransform,
    Protocol,
    SaAttribute,
    SaAuth,
)
from ipsecd.wire.selector import Selector
from ipsecd.wire.vendor_ids import meaning, product
from tests.unit.crypto.captured_v1 import CAPTURED, Captured

each_session = pytest.mark.parametrize("session", CAPTURED.values(), ids=CAPTURED)

SEQUENCES = {
    "psk": """
        i MAIN Sa VendorId VendorId VendorId VendorId VendorId VendorId
        r MAIN Sa VendorId VendorId VendorId VendorId VendorId
        i MAIN Ke Nonce NatD NatD
        r MAIN Ke Nonce NatD NatD
        i MAIN Id Hash Notify
        r MAIN Id Hash
        i QUICK Hash Sa Nonce Ke Id Id
        r QUICK Hash Sa Nonce Ke Id Id
        i QUICK Hash
        r INFORMATIONAL Hash Notify
        i INFORMATIONAL Hash Notify
        r INFORMATIONAL Hash Notify
        i INFORMATIONAL Hash Notify
        i INFORMATIONAL Hash Delete
        i INFORMATIONAL Hash Delete
    """,
    "rsa": """
        i MAIN Sa VendorId VendorId VendorId VendorId VendorId VendorId
        r MAIN Sa VendorId VendorId VendorId VendorId VendorId
        i MAIN Ke Nonce NatD NatD
        r MAIN Ke Nonce CertReq NatD NatD
        i MAIN Fragment
        i MAIN Fragment
        i QUICK Hash Sa Nonce Id Id
        r QUICK Hash Sa Nonce Id Id
        i QUICK Hash
        i INFORMATIONAL Hash Delete
        i INFORMATIONAL Hash Delete
    """,
    "aggressive": """
        i AGGRESSIVE Sa Ke Nonce Id VendorId VendorId VendorId VendorId VendorId VendorId
        r AGGRESSIVE Sa Ke Nonce Id VendorId VendorId VendorId VendorId VendorId NatD NatD Hash
        i AGGRESSIVE Hash NatD NatD
        i TRANSACTION Hash Attributes
        r TRANSACTION Hash Attributes
        i QUICK Hash Sa Nonce Id Id
        r QUICK Hash Sa Nonce Id Id
        i QUICK Hash
        i INFORMATIONAL Hash Delete
        i INFORMATIONAL Hash Delete
    """,
    "ah": """
        i MAIN Sa VendorId VendorId VendorId VendorId VendorId VendorId
        r MAIN Sa VendorId VendorId VendorId VendorId VendorId
        i MAIN Ke Nonce NatD NatD
        r MAIN Ke Nonce NatD NatD
        i MAIN Id Hash Notify
        r MAIN Id Hash
        i QUICK Hash Sa Nonce Id Id
        r QUICK Hash Sa Nonce Id Id
        i INFORMATIONAL Hash Notify
        i INFORMATIONAL Hash Delete
    """,
    "xauth": """
        i AGGRESSIVE Sa Ke Nonce Id VendorId VendorId VendorId VendorId VendorId VendorId
        r AGGRESSIVE Sa Ke Nonce Id VendorId VendorId VendorId VendorId VendorId NatD NatD Hash
        i AGGRESSIVE Hash NatD NatD
        r TRANSACTION Hash Attributes
        i TRANSACTION Hash Attributes
        r TRANSACTION Hash Attributes
        i TRANSACTION Hash Attributes
    """,
}


@each_session
def test_each_message_is_read(session: Captured) -> None:
    lines = [
        " ".join(["i" if ours else "r", str(message.header.exchange), *(type(p).__name__ for p in chain.payloads)])
        for ours, message, chain in session.decoded()
    ]
    assert lines == [line.strip() for line in SEQUENCES[session.name].strip().splitlines()]


@each_session
def test_each_message_is_written_to_the_octet(session: Captured) -> None:
    datagrams = {datagram: plain for _, datagram, plain in session.messages}
    for datagram, plain in datagrams.items():
        message = ikev1.decode(datagram)
        if message.sealed:
            assert ikev1.encode_sealed(message.header, message.first, message.sealed) == datagram
        else:
            assert ikev1.encode(message.header, message.chain.payloads) == datagram
        if plain:
            first, octets = ikev1.encode_chain(ikev1.decode_chain(message.first, plain).payloads)
            assert (first, octets) == (message.first, plain[: len(octets)])


def payload_of(session: str, message: int, kind: type, which: int = 0) -> object:
    chain = CAPTURED[session].decoded()[message][2]
    return [payload for payload in chain.payloads if isinstance(payload, kind)][which]


def test_an_offer_of_phase_1() -> None:
    attributes = (
        basic(OakleyAttribute.ENCRYPTION, OakleyEncryption.AES_CBC),
        basic(OakleyAttribute.KEY_LENGTH, 128),
        basic(OakleyAttribute.HASH, OakleyHash.SHA1),
        basic(OakleyAttribute.GROUP, 14),
        basic(OakleyAttribute.AUTHENTICATION, OakleyAuth.PSK),
        basic(OakleyAttribute.LIFE_TYPE, LifeType.SECONDS),
        basic(OakleyAttribute.LIFE_DURATION, 0),
    )
    offered = payload_of("psk", 0, Sa)
    assert isinstance(offered, Sa)
    (proposal,) = offered.proposals
    (transform,) = proposal.transforms
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, Protocol.ISAKMP, b"")
    assert (transform.number, transform.id) == (1, OakleyTransform.KEY_IKE)
    assert transform.attributes[:6] == attributes[:6]
    assert [attribute.type for attribute in transform.attributes] == [attribute.type for attribute in attributes]


def test_an_offer_of_phase_2() -> None:
    offered = payload_of("aggressive", 5, Sa)
    assert isinstance(offered, Sa)
    assert offered.bundles == (
        (
            Proposal(
                1,
                Protocol.ESP,
                bytes.fromhex("6c0939cd"),
                (
                    Transform(
                        1,
                        EspTransform.TRIPLE_DES,
                        (
                            basic(SaAttribute.AUTHENTICATION, SaAuth.HMAC_MD5),
                            basic(SaAttribute.ENCAPSULATION, Encapsulation.UDP_TUNNEL),
                        ),
                    ),
                ),
            ),
        ),
    )


def test_what_a_quick_mode_is_for() -> None:
    one, two = payload_of("aggressive", 5, Id), payload_of("aggressive", 5, Id, 1)
    assert isinstance(one, Id)
    assert isinstance(two, Id)
    assert (one.type, two.type) == (IdType.IPV4_ADDR, IdType.IPV4_ADDR_SUBNET)
    assert (one.selector, two.selector) == (Selector.net("10.3.0.1"), Selector.net("10.2.0.0/24"))


def test_identities_and_notifies() -> None:
    cookies = b"".join(CAPTURED["psk"].cookies)
    identity = payload_of("psk", 4, Id)
    assert isinstance(identity, Id)
    assert str(identity.identity) == "a.peers.test"
    assert payload_of("psk", 4, Notify) == Notify(NotifyType.INITIAL_CONTACT, spi=cookies)
    probe, answer = (payload_of("psk", message, Notify) for message in (9, 10))
    assert probe == Notify(NotifyType.R_U_THERE, bytes.fromhex("08671e8b"), spi=cookies)
    assert answer == Notify(NotifyType.R_U_THERE_ACK, bytes.fromhex("08671e8b"), spi=cookies)
    assert payload_of("psk", 13, Delete) == Delete(Protocol.ESP, (bytes.fromhex("eef60894"),))
    assert payload_of("psk", 14, Delete) == Delete(Protocol.ISAKMP, (cookies,))


def test_mode_config_and_xauth() -> None:
    assert payload_of("aggressive", 4, Attributes) == Attributes(
        ConfigType.REPLY,
        0,
        (
            Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, bytes([10, 3, 0, 1])),
            Attribute(ConfigAttribute.INTERNAL_IP4_DNS, bytes([10, 2, 0, 1])),
        ),
    )
    asked = payload_of("xauth", 3, Attributes)
    assert isinstance(asked, Attributes)
    assert [attribute.type for attribute in asked.attributes] == [
        ConfigAttribute.XAUTH_USER_NAME,
        ConfigAttribute.XAUTH_USER_PASSWORD,
    ]


def test_vendor_ids_name_the_product_and_what_it_can_do() -> None:
    vendor_ids = [payload.data for payload in CAPTURED["psk"].decoded()[0][2].payloads if isinstance(payload, VendorId)]
    assert product(vendor_ids) == "strongSwan"
    assert [meaning(vendor_id) for vendor_id in vendor_ids] == [
        "strongSwan",
        "XAUTH",
        "DPD",
        "FRAGMENTATION",
        "RFC 3947",
        "draft-ietf-ipsec-nat-t-ike-02 with a line feed",
    ]
