"""C2: no input makes a decoder run long (CVE-2017-9023, CVE-2026-35333, CVE-2016-10396).

The work is counted, not timed: a read takes at least one octet, or opens or empties a window that took some. So a
decoder that asks for octets more often than there are octets has found a way to go round without going on.
"""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire import dn, ip
from ipsecd.wire.decoder import Decoder
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import decode, decode_chain, encode_chain
from ipsecd.wire.payloads import Cp, Proposal, Sa, Transform, TsI, Unknown, VendorId
from ipsecd.wire.registry import ConfigType, Exchange, Flag, Payload, Protocol, TransformType
from ipsecd.wire.selector import Selector
from tests.negative.conftest import Reads

HEADER = Header(b"initiate", bytes(8), 0, 2, 0, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, 0)
SLACK = 16


def payload(body: bytes) -> bytes:
    return bytes(2) + (4 + len(body)).to_bytes(2, "big") + body


def reason(kind: Payload, body: bytes) -> str:
    with pytest.raises(WireError) as caught:
        decode_chain(kind, payload(body))
    return caught.value.reason


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_a_decoder_never_reads_more_often_than_there_are_octets(decoder: Decoder, reads: Reads) -> None:
    for sample in decoder.samples:
        reads.count = 0
        decoder.decode(sample)
        assert reads.count <= len(sample) + SLACK


class TestNothingThatTakesNoOctetsIsRepeated:
    def test_attributes_of_no_octets(self, reads: Reads) -> None:
        attributes = bytes.fromhex("000f0000") * 4_000
        transform = bytes(2) + (8 + len(attributes)).to_bytes(2, "big") + bytes.fromhex("01000014") + attributes
        proposal = bytes(2) + (8 + len(transform)).to_bytes(2, "big") + bytes.fromhex("01010001") + transform
        assert reason(Payload.SA, proposal) == "too-many-attributes"
        assert reads.count < 40

    @pytest.mark.parametrize("length", [0, 1, 2, 3])
    def test_substructures_that_claim_less_than_their_header(self, length: int, reads: Reads) -> None:
        empty = b"\x02\x00" + length.to_bytes(2, "big")
        assert reason(Payload.SA, empty * 4_000) == "bad-length"
        selectors = b"\xff\0\0\0" + (b"\xc8\x00" + length.to_bytes(2, "big")) * 4_000
        assert reason(Payload.TSI, selectors) == "bad-length"
        assert reads.count < 40

    def test_a_delete_that_counts_65535_spis_of_no_octets(self, reads: Reads) -> None:
        assert reason(Payload.DELETE, bytes.fromhex("0300ffff")) == "bad-spi-size"
        assert reason(Payload.DELETE, bytes.fromhex("0100ffff")) == "spi-count"
        assert reads.count < 40

    def test_configuration_attributes_of_no_octets(self, reads: Reads) -> None:
        assert reason(Payload.CP, bytes(4) + bytes.fromhex("00010000") * 4_000) == "too-many-attributes"
        assert reads.count < 300

    def test_payloads_of_no_octets(self, reads: Reads) -> None:
        empty = bytes.fromhex("c8000004")
        with pytest.raises(WireError, match=r"^too-many-payloads"):
            decode_chain(200, empty * 4_000)
        assert reads.count < 4 * limits.MAX_PAYLOADS

    @pytest.mark.parametrize("length", [0, 1, 2, 3])
    def test_payloads_that_claim_less_than_their_header(self, length: int) -> None:
        data = (b"\xc8\x00" + length.to_bytes(2, "big")) * 100
        with pytest.raises(WireError, match=r"^bad-length"):
            decode_chain(200, data)

    def test_names_of_empty_elements(self, reads: Reads) -> None:
        empty = bytes.fromhex("3100") * 400
        with pytest.raises(WireError):
            dn.decode(b"\x30\x82" + len(empty).to_bytes(2, "big") + empty)
        assert reads.count < 40

    def test_ip_options_of_no_octets(self, reads: Reads) -> None:
        header = bytes.fromhex("4f00003c 00000000 40110000 c0000201 c6336401")
        for options in (bytes.fromhex("0700") * 20, bytes.fromhex("0701") * 20):
            with pytest.raises(WireError, match=r"^bad-option"):
                ip.parse(header + options)
        ip.parse(header[:2] + b"\0\x40" + header[4:] + b"\x01" * 40 + bytes(4))
        assert reads.count < 60

    def test_ipv6_extension_headers_without_end(self, reads: Reads) -> None:
        chain = bytes.fromhex("3c00010400000000") * 8_000
        header = bytes.fromhex("60000000") + len(chain).to_bytes(2, "big") + b"\x3c\x40" + bytes(32)
        with pytest.raises(WireError, match=r"^bad-extension-header"):
            ip.parse(header + chain)
        assert reads.count < 40


class TestTheLargestMessagesWeTake:
    """Each is as big as a sender can make it, and read once."""

    def count(self, payloads: tuple[object, ...], reads: Reads) -> tuple[int, int]:
        first, octets = encode_chain(payloads)  # type: ignore[arg-type]  # payloads of any kind
        assert len(octets) <= limits.MAX_IKE_MESSAGE
        reads.count = 0
        assert decode_chain(first, octets) == payloads
        return reads.count, len(octets)

    def test_all_proposals_with_all_transforms_with_all_attributes(self, reads: Reads) -> None:
        attributes = ((0x800F, b"\0\0"),) * limits.MAX_ATTRIBUTES
        full = Transform(TransformType.ENCR, 20, None, attributes)
        transforms = (full,) * limits.MAX_TRANSFORMS
        proposals = tuple(Proposal(number, Protocol.IKE, b"", transforms) for number in range(1, 20))
        count, octets = self.count((Sa(proposals),), reads)
        assert count <= octets + SLACK

    def test_all_selectors_in_all_payloads(self, reads: Reads) -> None:
        selectors = (Selector.net("192.0.2.0/24"),) * limits.MAX_SELECTORS_READ
        count, octets = self.count((TsI(selectors),) * 15, reads)
        assert count <= octets + SLACK

    def test_all_configuration_attributes_in_all_payloads(self, reads: Reads) -> None:
        full = Cp(ConfigType.REQUEST, ((1, b""),) * limits.MAX_CONFIG_ATTRIBUTES)
        count, octets = self.count((full,) * limits.MAX_PAYLOADS, reads)
        assert count <= octets + SLACK

    def test_all_payloads(self, reads: Reads) -> None:
        count, octets = self.count((Unknown(200, False, b""), VendorId(b"")) * (limits.MAX_PAYLOADS // 2), reads)
        assert count <= octets + SLACK


def test_a_datagram_beyond_the_limit_costs_nothing(reads: Reads) -> None:
    with pytest.raises(WireError, match=r"^too-long"):
        decode(HEADER.encode() + bytes(limits.MAX_UDP_DATAGRAM - 28))
    assert reads.count == 0


@pytest.mark.parametrize(("number", "total"), [(1, 65_535), (65_535, 65_535), (1, limits.MAX_FRAGMENTS + 1)])
def test_a_fragment_of_very_many_is_refused_before_anything_is_kept(number: int, total: int) -> None:
    numbers = number.to_bytes(2, "big") + total.to_bytes(2, "big")
    body = payload(numbers + bytes(16))
    data = (
        HEADER.encode()[:16]
        + bytes([Payload.SKF])
        + HEADER.encode()[17:24]
        + (28 + len(body)).to_bytes(4, "big")
        + body
    )
    with pytest.raises(WireError, match=r"^too-many-fragments"):
        decode(data)
