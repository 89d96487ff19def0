"""Every decoder of this room by name, with samples: what the tests enumerate, so that none is forgotten.

A decoder takes any octets and returns a frozen value or raises WireError, nothing else. Where there is an encoder, what
was accepted re-encodes to octets that decode to an equal value.
"""

from __future__ import annotations

from ipsecd.wire import ah, dn, esp, icmp, ike, ikev2, ip, offload, tcp, udpencap
from ipsecd.wire.bodies import decode_body, encode_body
from ipsecd.wire.decoder import Decoder, samples
from ipsecd.wire.decoders_v1 import DECODERS_V1
from ipsecd.wire.identity import Identity
from ipsecd.wire.payloads import AnyPayload
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import Payload

_UDP = bytes.fromhex("4500 0024 0000 4000 40 11 0000 c0000201 c6336401 01f4 1194 0010 0000 0001020304050607")
_TO_CUT = offload.Offload(1, offload.Gso.UDP_DATAGRAMS, 28, 4, 20, 6).encode() + _UDP  # in the machine's own order
_TO_FINISH = offload.Offload(1, offload.Gso.NONE, 0, 0, 20, 6).encode() + _UDP


def _payload(kind: Payload, *octets: str) -> Decoder:
    """The body of one payload type, read to its end."""

    def decode(data: bytes) -> AnyPayload:
        with Reader(data).window(len(data)) as body:
            return decode_body(kind, False, body)

    return Decoder(f"payload-{kind.name.lower().replace('_', '-')}", decode, encode_body, samples(*octets))


def _decode_chain(data: bytes) -> tuple[AnyPayload, ...]:
    """A chain whose first type stands before it, as it does in the header of SK."""
    first = Reader(data).u8()
    return ikev2.decode_chain(first, data[1:])


def _encode_chain(payloads: tuple[AnyPayload, ...]) -> bytes:
    first, octets = ikev2.encode_chain(payloads)
    return bytes([first]) + octets


def _encode_message(message: ikev2.Message) -> bytes:
    if message.sealed:
        return message.sealed.prefix + message.sealed.body
    return ikev2.encode(message.header, message.payloads)


def _encode_trailer(opened: tuple[bytes, int]) -> bytes:
    payload, next_header = opened
    return payload + esp.trailer(len(payload), esp.ALIGNMENT, next_header)


def _encode_ah(header: ah.AhHeader) -> bytes:
    return header.encode() + bytes(header.octets - ah.FIXED_OCTETS)


_SPIS = "c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7"
_TS_V4 = "07 11 0010 01f4 01f4 c0000200 c00002ff"
_TS_V6 = "08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db80000000000000000ffffffff"
_SYN = "1f90 01bb 00000001 00000000 a002 ffff 0000 0000 0101 0204 05b4 0402 080a0000000100000000 0000"
_V4_SYN = "4500 003c 0001 4000 40 06 0000 c0000201 c6336401" + _SYN
_DN = "3018 310a 3008 0603550403 0c0178 310a 3008 060355040a 0c0179"
_V4_ICMP_ECHO = "4500 001c 0000 0000 40 01 0000 c0000201 c6336401 0800 f7ff 0000 0000"

_ALL = (
    Decoder(
        "ike-header",
        ike.decode_header,
        lambda header: header.encode() + bytes(header.length - ike.HEADER_OCTETS),
        samples(
            f"{_SPIS} 00 20 25 08 00000001 0000001c", "c0c1c2c3c4c5c6c7 0000000000000000 00 10 02 01 00000000 0000001c"
        ),
    ),
    Decoder(
        "ike-message",
        ikev2.decode,
        _encode_message,
        samples(
            # IKE_SA_INIT: SA, KE, Nonce, N(COOKIE), an unknown critical payload
            "c0c1c2c3c4c5c6c7 0000000000000000 21 20 22 08 00000000 00000099"
            "2200 0030 0000 002c 01 01 00 04"
            "0300000c 0100000c 800e0080 03000008 02000005 03000008 0300000c 00000008 0400001f"
            "2800 0018 001f 0000 00112233445566778899aabbccddeeff"
            "2900 0014 000102030405060708090a0b0c0d0e0f"
            "c800 000c 0000 4006 01020304"
            "0080 0015 0102030405060708090a0b0c0d0e0f1011",
            # RFC 7634 appendix B: INFORMATIONAL, SK with ChaCha20-Poly1305
            f"{_SPIS} 2e 20 25 00 00000009 00000045 29000029 1011121314151617 610394701f8d017f7c12924889"
            "6b71bfe25236efd7cdc67066906315b2",
            # SKF: the second of three fragments
            f"{_SPIS} 35 20 23 08 00000001 00000034 00000018 0002 0003 1011121314151617 18191a1b1c1d1e1f",
        ),
    ),
    Decoder(
        "payload-chain",
        _decode_chain,
        _encode_chain,
        samples(
            "00",
            "29 0000000c000040010000000a",  # RFC 7634 appendix B, opened
            f"23 2700000c 02000000 61406263 2c00000c 02000000 00112233 2d000018 01000000 {_TS_V4}"
            f"29000040 02000000 {_TS_V6} {_TS_V4}"
            "c8000008 00004000 00000004",
        ),
    ),
    _payload(
        Payload.SA,
        "0000002c 01 01 00 04 0300000c 0100000c 800e0080 03000008 02000005 03000008 0300000c 00000008 0400001f",
        "02000028 01 03 04 03 aabbccdd 0300000c 01000014 800e0100 03000008 05000001 00000008 05000000"
        "00000024 02 03 04 02 aabbccdd 03000010 0100000c 00050004 deadbeef 00000008 03000000",
        "0000001c 01 01 08 01 0102030405060708 0000000c 0100001c 800f0001",
    ),
    _payload(Payload.KE, "001f 0000 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    _payload(
        Payload.IDI,
        "01000000 c0000201",
        "05000000 20010db8000000000000000000000001",
        "02000000 67772e6578616d706c65",
        "03000000 6140622e6578616d706c65",
        f"09000000 {_DN}",
        "0b000000 00ff",
    ),
    _payload(Payload.IDR, "02aabbcc 67772e6578616d706c65", "0d000000"),
    _payload(Payload.CERT, "04 3082000a"),
    _payload(Payload.CERTREQ, "04 000102030405060708090a0b0c0d0e0f10111213", "0c"),
    _payload(Payload.AUTH, "02000000 000102030405060708090a0b0c0d0e0f"),
    _payload(Payload.NONCE, "000102030405060708090a0b0c0d0e0f", "a5" * 256),
    _payload(
        Payload.NOTIFY, "00 00 4004 000102030405060708090a0b0c0d0e0f10111213", "03 04 4009 aabbccdd", "01 00 0007"
    ),
    _payload(Payload.DELETE, "01 00 0000", "03 04 0002 aabbccdd 11223344", "02 04 0000"),
    _payload(Payload.VENDOR_ID, "", "4048b7d56ebce88525e7de7f00d6c2d3"),
    _payload(Payload.TSI, f"02000000 {_TS_V4} {_TS_V6}", f"02000000 09 00 0008 01020304 {_TS_V4}"),
    _payload(Payload.TSR, "01000000 07 00 0010 ffff 0000 00000000 ffffffff"),
    _payload(Payload.CP, "01000000 0001 0000 0003 0004 c0000235 8008 0000", "02000000"),
    _payload(Payload.EAP, "01 07 0009 01 68657921", "03 07 0004"),
    Decoder("identity", Identity.decode, Identity.encode, samples("02000000 67772e6578616d706c65", f"09000000 {_DN}")),
    Decoder(
        "distinguished-name",
        dn.decode,
        dn.encode,
        samples(_DN, "3000", "3013 3111 300f 0603 550403 1e08 0067007700310032"),
    ),
    Decoder(
        "ip-packet",
        ip.parse,
        None,
        samples(
            _V4_ICMP_ECHO,
            _V4_SYN,
            "4600 0028 0000 2000 40 11 0000 c0000201 c6336401 94040000 01f4 1194 0018 0000 0000000000000000",
            "4500 001c 0000 0002 40 11 0000 c0000201 c6336401 0001020304050607",
            # hop-by-hop, destination options, routing, fragment (first), UDP
            "60000000 0028 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
            "3c00 010400000000 2b00 010400000000 2c00 000000000000 1100 0001 00000007 01f4 1194 0018 0000",
            "60000000 0010 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
            "3a00 0008 00000007 0001020304050607",
            "60000000 0008 87 40 20010db8000000000000000000000001 20010db8000000000000000000000002 3b00 0500 0000 0000",
        ),
    ),
    Decoder("ip-packet-quoted", ip.parse_quoted, None, samples(_V4_ICMP_ECHO, _V4_SYN[:66])),
    Decoder(
        "icmp-error",
        icmp.parse_error,
        None,
        samples(
            f"4500 0038 0000 0000 40 01 0000 c6336401 c0000201 0304 862f 0000 0578 {_V4_ICMP_ECHO}",
        ),
    ),
    Decoder("virtio-header", offload.decode, offload.Offload.encode, (_TO_CUT[: offload.OCTETS], bytes(10))),
    Decoder(
        "packet-behind-virtio-header",
        lambda data: tuple(offload.segments(data[offload.OCTETS :], offload.decode(data))),
        None,
        (_TO_CUT, _TO_FINISH),
    ),
    Decoder("tcp-mss", lambda data: tcp.mss_offset(ip.parse(data), data), None, samples(_V4_SYN)),
    Decoder("esp-header", esp.decode_header, esp.EspHeader.encode, samples("01020304 00000005 1011121314151617")),
    Decoder("ah-header", ah.decode_header, _encode_ah, samples(f"1104 0000 01020304 00000005 {'c0' * 12} 01f4 1194")),
    Decoder(
        "esp-trailer", esp.strip_trailer, _encode_trailer, samples("45000054 010202 04", "0004", "0102 0102 02 29")
    ),
    Decoder(
        "udp-encapsulation",
        lambda data: udpencap.classify(data, natt=True),
        None,
        samples("ff", "00000000c0", "01020304ff", ""),
    ),
)

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (*_ALL, *DECODERS_V1)}
