"""IKEv2 messages written by Scapy, which shares no line with us, mean to us what they meant to it."""

from ipaddress import ip_address

from scapy.contrib.ikev2 import (
    ConfigurationAttribute,
    IKEv2,
    IKEv2_AUTH,
    IKEv2_CP,
    IKEv2_Delete,
    IKEv2_IDi,
    IKEv2_KE,
    IKEv2_Nonce,
    IKEv2_Notify,
    IKEv2_Proposal,
    IKEv2_SA,
    IKEv2_Transform,
    IKEv2_TSi,
    IKEv2_TSr,
    IKEv2_VendorID,
    IPv4TrafficSelector,
    IPv6TrafficSelector,
)
from scapy.packet import Packet

from ipsecd.wire.identity import Identity
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import (
    Auth,
    Cp,
    Delete,
    IdI,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Transform,
    TsI,
    TsR,
    VendorId,
)
from ipsecd.wire.registry import (
    AuthMethod,
    ConfigType,
    Encr,
    Exchange,
    Group,
    IdType,
    NotifyType,
    Prf,
    Protocol,
    TransformType,
)
from ipsecd.wire.selector import Selector


def from_scapy(exchange: int, payloads: Packet) -> bytes:
    head = IKEv2(init_SPI=b"initiate", resp_SPI=b"responds", exch_type=exchange, flags="Initiator", id=7)
    return bytes(head / payloads)


def test_the_first_request() -> None:
    transforms = (
        IKEv2_Transform(transform_type=1, transform_id=20, length=12, key_length=0x800E0100)
        / IKEv2_Transform(transform_type=2, transform_id=5)
        / IKEv2_Transform(transform_type=4, transform_id=31)
    )
    data = from_scapy(
        34,
        IKEv2_SA(prop=IKEv2_Proposal(proposal=1, proto=1, trans_nb=3, trans=transforms))
        / IKEv2_KE(group=31, ke=b"k" * 32)
        / IKEv2_Nonce(nonce=b"n" * 32)
        / IKEv2_Notify(type=16390, notify=b"cookie")
        / IKEv2_VendorID(vendorID=b"scapy"),
    )
    message = decode(data)
    assert (message.header.exchange, message.header.message_id) == (Exchange.IKE_SA_INIT, 7)
    assert message.payloads == (
        Sa(
            (
                Proposal(
                    1,
                    Protocol.IKE,
                    b"",
                    (
                        Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),
                        Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
                        Transform(TransformType.DH, Group.CURVE25519),
                    ),
                ),
            )
        ),
        Ke(Group.CURVE25519, b"k" * 32),
        Nonce(b"n" * 32),
        Notify(NotifyType.COOKIE, b"cookie"),
        VendorId(b"scapy"),
    )
    assert encode(message.header, message.payloads) == data


def test_what_stands_inside_the_second_request() -> None:
    v4 = IPv4TrafficSelector(
        IP_protocol_ID=17,
        start_port=100,
        end_port=200,
        starting_address_v4="192.0.2.0",
        ending_address_v4="192.0.2.255",
    )
    v6 = IPv6TrafficSelector(
        length=40,  # Scapy's own default is 20
        IP_protocol_ID=0,
        start_port=0,
        end_port=65535,
        starting_address_v6="2001:db8::",
        ending_address_v6="2001:db8::ffff",
    )
    data = from_scapy(
        35,
        IKEv2_IDi(IDtype="FQDN", ID=b"gw.example")
        / IKEv2_AUTH(auth_type=2, load=b"a" * 32)
        / IKEv2_TSi(traffic_selector=[v4, v6])
        / IKEv2_TSr(traffic_selector=[v4])
        / IKEv2_CP(CFGType=1, attributes=[ConfigurationAttribute(type=1), ConfigurationAttribute(type=3)]),
    )
    one = Selector(ip_address("192.0.2.0"), ip_address("192.0.2.255"), 17, (100, 200))
    two = Selector(ip_address("2001:db8::"), ip_address("2001:db8::ffff"))
    message = decode(data)
    assert message.payloads == (
        IdI(Identity(IdType.FQDN, b"gw.example")),
        Auth(AuthMethod.SHARED_KEY, b"a" * 32),
        TsI((one, two)),
        TsR((one,)),
        Cp(ConfigType.REQUEST, ((1, b""), (3, b""))),
    )
    assert encode(message.header, message.payloads) == data


def test_a_delete_of_two_children() -> None:
    data = from_scapy(37, IKEv2_Delete(proto=3, SPIsize=4, SPInum=2, SPI=[b"spi1", b"spi2"]))
    message = decode(data)
    assert message.payloads == (Delete(Protocol.ESP, (b"spi1", b"spi2")),)
    assert encode(message.header, message.payloads) == data
