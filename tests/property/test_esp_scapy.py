"""Our ESP held against Scapy's, an independent implementation: each opens what the other seals."""

from __future__ import annotations

import itertools

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw, raw

from ipsecd.dataplane import messages as m
from ipsecd.dataplane.results import Out, ToTun
from ipsecd.ipsec.sa import InboundSa, OutboundSa
from ipsecd.wire.registry import Encr
from tests.unit.crypto.suites import EACH, SUITES, Suite
from tests.unit.dataplane.ends import End, only, tunnel
from tests.unit.ipsec.packets import echo, sized, syn

CIPHERS = {
    Encr.AES_GCM_16: "AES-GCM",
    Encr.AES_CCM_16: "AES-CCM",
    Encr.NULL_AUTH_AES_GMAC: "AES-NULL-GMAC",
    Encr.CHACHA20_POLY1305: "CHACHA20-POLY1305",
    Encr.AES_CBC: "AES-CBC",
    Encr.AES_CTR: "AES-CTR",
    Encr.TRIPLE_DES: "3DES",
    Encr.DES: "DES",
    Encr.NULL: "NULL",
}
MACS = {"sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192", "sha512": "SHA2-512-256"}
MACS |= {"aescmac": "AES-CMAC-96", "md5": "HMAC-MD5-96"}
KNOWN = [
    suite
    for suite in EACH
    if suite.encryption.id in CIPHERS and (suite.integrity is None or suite.integrity.name in MACS)
]
ENDS = {4: ("10.1.0.1", "10.2.0.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}
SIZES = (48, 49, 50, 51, 61, 62, 63, 64, 65, 575, 1_280, 1_380)


def scapy_sa(suite: Suite, end: End, outer: int, esn: bool) -> SecurityAssociation:
    """Scapy's side of the SA that the near end sends on."""
    cipher = CIPHERS[suite.encryption.id]
    mac = {"auth_algo": MACS[suite.integrity.name], "auth_key": suite.key_a} if suite.integrity else {}
    here, there = str(end.outside.local), str(end.outside.remote)
    header = IP(src=here, dst=there) if outer == 4 else IPv6(src=here, dst=there)
    ports = UDP(sport=4500, dport=4500)
    return SecurityAssociation(
        ESP,
        spi=end.outbound,
        crypt_algo=cipher,
        crypt_key=suite.key_e,
        tunnel_header=header,
        nat_t_header=ports,
        esn_en=esn,
        **mac,
    )


def the_outbound(end: End) -> OutboundSa:
    (sa,) = end.roads._outbound._sad
    return sa


def the_inbound(end: End) -> InboundSa:
    (sa,) = end.roads._inbound._sad
    return sa


COMBINATIONS = list(itertools.product(KNOWN, (4, 6), (4, 6), (False, True)))


def label(value: object) -> str:
    return value.name if isinstance(value, Suite) else str(value)


def test_scapy_knows_all_ciphers_but_camellia_and_those_with_short_icvs() -> None:
    missing = {suite.encryption.name for suite in SUITES} - {suite.encryption.name for suite in KNOWN}
    short = {f"aes{bits}{mode}{icv}" for bits in (128, 192, 256) for mode in ("gcm", "ccm") for icv in (8, 12)}
    assert missing == short | {"camellia128", "camellia192", "camellia256"}


@pytest.mark.parametrize(("suite", "outer", "inner", "esn"), COMBINATIONS, ids=label)
def test_scapy_opens_what_we_seal(suite: Suite, outer: int, inner: int, esn: bool) -> None:
    near, _ = tunnel(outer=outer, suite=suite, esn=esn)
    high = 3 if esn else 0
    the_outbound(near).sequence = (high << 32) + 0x1234
    other = scapy_sa(suite, near, outer, esn)
    packets = [*(sized(*ENDS[inner], octets) for octets in SIZES), echo(*ENDS[inner]), syn(*ENDS[inner], 1_300)]
    for number, packet in enumerate(packets, 0x1235):
        (out,) = only(near.send(packet), Out)
        wire = raw(other.tunnel_header / UDP(sport=4500, dport=4500) / Raw(out.datagram))
        received = (IP if outer == 4 else IPv6)(wire)
        assert received[ESP].seq == number
        assert raw(other.decrypt(received, esn_en=esn, esn=high)) == packet


@pytest.mark.parametrize(("suite", "outer", "inner", "esn"), COMBINATIONS, ids=label)
def test_we_open_what_scapy_seals(suite: Suite, outer: int, inner: int, esn: bool) -> None:
    near, far = tunnel(outer=outer, suite=suite, esn=esn)
    high = 3 if esn else 0
    the_inbound(far).window.top = (high << 32) + 0x1234
    other = scapy_sa(suite, near, outer, esn)
    kind = IP if inner == 4 else IPv6
    for number, octets in enumerate(SIZES, 0x1235):
        packet = sized(*ENDS[inner], octets)
        iv = number.to_bytes(16, "big")[16 - suite.encryption.iv_octets :]
        sealed = other.encrypt(kind(packet), seq_num=number, iv=iv, esn_en=esn, esn=high)
        datagram = raw(sealed[UDP].payload)
        assert only(far.receive(datagram), ToTun) == [ToTun(packet)]
    assert the_inbound(far).window.top == (high << 32) + 0x1234 + len(SIZES)
    assert far.drops == {}


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("suite", KNOWN, ids=label)
def test_scapy_opens_what_we_pad(suite: Suite, inner: int) -> None:
    near, _ = tunnel(suite=suite)
    near.roads.handle(m.RemoveOutbound(near.outbound, near.inbound), 0.0)
    near.install_outbound(tfc=m.Tfc(1_200))
    other = scapy_sa(suite, near, 4, esn=False)
    for packet in (sized(*ENDS[inner], 48), sized(*ENDS[inner], 1_199), sized(*ENDS[inner], 1_201)):
        (out,) = only(near.send(packet), Out)
        opened = raw(other.decrypt(IP(raw(other.tunnel_header / UDP(sport=4500, dport=4500) / Raw(out.datagram)))))
        assert opened == packet + bytes(max(0, 1_200 - len(packet)))


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("suite", KNOWN, ids=label)
def test_we_open_what_scapy_pads(suite: Suite, inner: int) -> None:
    near, far = tunnel(suite=suite)
    other = scapy_sa(suite, near, 4, esn=False)
    packet = sized(*ENDS[inner], 100)
    iv = (1).to_bytes(16, "big")[16 - suite.encryption.iv_octets :]
    sealed = other.encrypt((IP if inner == 4 else IPv6)(packet + b"padding" * 50), seq_num=1, iv=iv)
    datagram = raw(sealed[UDP].payload)
    assert len(datagram) > 450
    assert only(far.receive(datagram), ToTun) == [ToTun(packet)]
