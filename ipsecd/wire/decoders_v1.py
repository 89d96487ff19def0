"""The decoders of IKEv1, a part of the registry in ``decoders.py``."""

from __future__ import annotations

from ipsecd import limits
from ipsecd.wire import ikev1, mode_config
from ipsecd.wire.decoder import Decoder, samples
from ipsecd.wire.ikev1_attributes import decode_attributes, encode_attributes
from ipsecd.wire.ikev1_bodies import decode_body, encode_body
from ipsecd.wire.ikev1_payloads import AnyPayload
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import Payload


def _payload(kind: Payload, *octets: str) -> Decoder:
    """The body of one payload type, read to its end."""

    def decode(data: bytes) -> AnyPayload:
        with Reader(data).window(len(data)) as body:
            return decode_body(kind, body)

    return Decoder(f"v1-{kind.name.lower().replace('_', '-')}", decode, encode_body, samples(*octets))


def _decode_chain(data: bytes) -> ikev1.Chain:
    """A chain whose first type stands before it, as it does in the header of the message."""
    first = Reader(data).u8()
    return ikev1.decode_chain(first, data[1:])


def _encode_chain(chain: ikev1.Chain) -> bytes:
    first, octets = ikev1.encode_chain(chain.payloads)
    return bytes([first]) + octets


def _decode_settings(data: bytes) -> mode_config.NetworkSettings:
    return mode_config.read(decode_attributes(Reader(data), limits.MAX_CONFIG_ATTRIBUTES))


def _encode_message(message: ikev1.Message) -> bytes:
    if message.sealed:
        return ikev1.encode_sealed(message.header, message.first, message.sealed)
    return ikev1.encode(message.header, message.chain.payloads)


_COOKIES = "c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7"
_SUITE = "80010007 800e0080 80020002 80030001 8004000e 800b0001 800c0e10"
_OFFER = f"00000001 00000001 0000002c 01 01 00 01 00000024 01 01 0000 {_SUITE}"
_HASH = "000102030405060708090a0b0c0d0e0f10111213"

DECODERS_V1 = (
    Decoder(
        "v1-message",
        ikev1.decode,
        _encode_message,
        samples(
            # main mode, the first: SA, two vendor IDs, an unknown payload
            f"c0c1c2c3c4c5c6c7 0000000000000000 01 10 02 00 00000000 0000007c 0d000038 {_OFFER}"
            "0d000014 afcad71368a1f1c96b8696fc77570100 c800000c 09002689dfd6b712 00000008 01020304",
            # quick mode, encrypted
            f"{_COOKIES} 08 10 20 01 01020304 0000002c 000102030405060708090a0b0c0d0e0f",
            # the second and last fragment
            f"{_COOKIES} 84 10 02 00 00000000 00000028 0000000c 0001 02 01 01020304",
        ),
    ),
    Decoder(
        "v1-chain",
        _decode_chain,
        _encode_chain,
        samples(
            "00",
            f"05 0800000c 01000000 c0000201 00000018 {_HASH} 00000000",
            f"08 0a000018 {_HASH} 05000014 000102030405060708090a0b0c0d0e0f 0500000c 01000000 c0000201"
            "00000010 04000000 c6336400 ffffff00",
        ),
    ),
    _payload(
        Payload.SA,
        _OFFER,
        # AH and ESP, both transforms of either; or ESP alone
        "00000001 00000001"
        "02000034 01 02 04 02 aabbccdd 03000014 01 03 0000 80050002 80010001 80020384"
        "00000014 02 02 0000 80050001 00020004 00015180"
        "02000028 01 03 04 01 aabbccde 0000001c 01 03 0000 80050002 80040001 80010002 00020004 000186a0"
        "00000018 02 03 04 01 aabbccde 0000000c 01 0c 0000 80060080",
    ),
    _payload(Payload.KE, "000102030405060708090a0b0c0d0e0f"),
    _payload(
        Payload.ID,
        "01 11 01f4 c0000201",
        "02 00 0000 67772e6578616d706c65",
        "03 00 0000 6140622e6578616d706c65",
        "04 06 0050 c6336400 ffffff00",
        "05 00 0000 20010db8000000000000000000000001",
        "06 00 0000 20010db8000000000000000000000000 ffffffffffffffff0000000000000000",
        "07 00 0000 c6336405 c6336409",
        "08 00 0000 20010db8000000000000000000000001 20010db8000000000000000000000009",
        "09 00 0000 3018310a30080603550403 0c0178310a3008060355040a0c0179",
        "0b 00 0000 00ff",
    ),
    _payload(Payload.CERT, "04 3082000a"),
    _payload(Payload.CERTREQ, "04 3000", "04"),
    _payload(Payload.HASH, _HASH),
    _payload(Payload.SIGNATURE, "00ff" * 64),
    _payload(Payload.NONCE, "0001020304050607", "a5" * 256),
    _payload(
        Payload.NOTIFY,
        f"00000001 01 10 6002 {_COOKIES}",
        f"00000001 01 10 8d28 {_COOKIES} 00000001",
        "00000001 03 04 000e aabbccdd",
        "00000000 00 00 0010",
    ),
    _payload(
        Payload.DELETE,
        f"00000001 01 10 0001 {_COOKIES}",
        "00000001 03 04 0002 aabbccdd 11223344",
        "00000001 02 04 0000",
    ),
    _payload(Payload.VENDOR_ID, "", "1e2b516905991c7d7c96fcbfb587e46100000004"),
    _payload(Payload.ATTRIBUTES, "01 00 0001 c0880000 0001 0000 4089 0003 616263", "04 00 0000"),
    *(_payload(numbering, _HASH) for numbering in (Payload.NAT_D, Payload.NAT_D_DRAFTS, Payload.NAT_D_LATER_DRAFTS)),
    *(
        _payload(numbering, "01000000 c0000201", "05000000 20010db8000000000000000000000001")
        for numbering in (Payload.NAT_OA, Payload.NAT_OA_DRAFTS, Payload.NAT_OA_LATER_DRAFTS)
    ),
    _payload(Payload.FRAGMENT, "0001 01 00 010203", "ffff 40 01 00"),
    Decoder(
        "v1-network-settings",
        _decode_settings,
        lambda settings: encode_attributes(mode_config.written(settings)),
        samples(
            "",
            "0001 0004 0a030001 0002 0004 ffffff00 0003 0004 0a020001 0004 0004 0a020002 0005 0004 00000e10",
            "000d 0008 0a020000 ffff0000 0008 0010 20010db8000000000000000000000001 000f 0011"
            "20010db8000000000000000000000000 20 0008 0011 20010db8000000000000000000000002 40",
        ),
    ),
)
