"""C1 in IKEv1: lengths and counts that don't agree with the octets (CVE-2016-1287, CVE-2013-6075)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.ikev1 import decode_chain, encode_chain
from ipsecd.wire.ikev1_payloads import VendorId
from ipsecd.wire.registry_v1 import Payload

HEADER = 4  # octets of a generic payload header


def payload_samples() -> Iterator[tuple[str, Payload, bytes]]:
    for kind in Payload:
        decoder = DECODERS.get(f"v1-{kind.name.lower().replace('_', '-')}")
        for number, sample in enumerate(decoder.samples if decoder else ()):
            yield f"{kind.name} {number}", kind, sample


SAMPLES = list(payload_samples())
each_payload = pytest.mark.parametrize(("kind", "body"), [row[1:] for row in SAMPLES], ids=[row[0] for row in SAMPLES])


def chain(body: bytes, length: int, following: bytes = b"") -> bytes:
    """A payload that claims ``length``, and what stands behind it."""
    announced = Payload.VENDOR_ID if following else Payload.NONE
    return bytes([announced, 0]) + length.to_bytes(2, "big") + body + following


@each_payload
def test_a_length_beyond_the_end_or_inside_the_header_is_refused(kind: Payload, body: bytes) -> None:
    right = HEADER + len(body)
    assert len(decode_chain(kind, chain(body, right)).payloads) == 1
    for length in {0, 1, 2, 3, right + 1, right + 4, 65_535} - {right}:
        with pytest.raises(WireError, match=r"^(truncated|bad-length)"):
            decode_chain(kind, chain(body, length))


@each_payload
def test_the_length_of_a_payload_does_not_reach_into_the_next(kind: Payload, body: bytes) -> None:
    """A length may move the border only to where two well-formed payloads come out again, and never past the end."""
    right = HEADER + len(body)
    data = chain(body, right, encode_chain([VendorId(b"next")])[1])
    assert decode_chain(kind, data).payloads[1] == VendorId(b"next")
    for length in range(len(data) + 2):
        wrong = data[:2] + length.to_bytes(2, "big") + data[4:]
        try:
            payloads = decode_chain(kind, wrong).payloads
        except WireError:
            continue
        assert len(encode_chain(payloads)[1]) <= len(wrong)


@each_payload
def test_a_payload_cut_anywhere_is_refused(kind: Payload, body: bytes) -> None:
    whole = chain(body, HEADER + len(body))
    for end in range(len(whole)):
        with pytest.raises(WireError, match=r"^truncated"):
            decode_chain(kind, whole[:end])


# Where a nested length or count stands in the body of a payload, and how many octets it has.
SA = (
    "00000001 00000001 00000034 01 03 04 02 aabbccdd"
    "03000014 01 0c 0000 80060080 80040001 80050002 00000014 02 03 0000 80040001 00020004 00015180"
)
NESTED = [
    ("proposal length", Payload.SA, SA, 10, 2),
    ("SPI size", Payload.SA, SA, 14, 1),
    ("number of transforms", Payload.SA, SA, 15, 1),
    ("first transform length", Payload.SA, SA, 22, 2),
    ("second transform length", Payload.SA, SA, 42, 2),
    ("attribute length", Payload.SA, SA, 54, 2),
    ("notify SPI size", Payload.NOTIFY, "00000001 03 04 000e 61626364", 5, 1),
    ("delete SPI size", Payload.DELETE, "00000001 03 04 0002 61626364 65666768", 5, 1),
    ("delete count", Payload.DELETE, "00000001 03 04 0002 61626364 65666768", 6, 2),
    ("config attribute length", Payload.ATTRIBUTES, "01 00 0000 4089 0003 616263", 6, 2),
]


@pytest.mark.parametrize(("kind", "body", "at", "octets"), [row[1:] for row in NESTED], ids=[row[0] for row in NESTED])
def test_a_nested_length_or_count_is_its_own_or_wrong(kind: Payload, body: str, at: int, octets: int) -> None:
    data = bytes.fromhex(body)
    right = int.from_bytes(data[at : at + octets], "big")
    decode_chain(kind, chain(data, HEADER + len(data)))
    most = (1 << 8 * octets) - 1
    # with a smaller SPI, a notify is one whose data begin sooner
    least = right if kind == Payload.NOTIFY else 0
    for wrong in {0, 1, 2, 3, right - 1, right + 1, right + 4, 255, most} - {right, *range(least)}:
        bent = data[:at] + wrong.to_bytes(octets, "big") + data[at + octets :]
        with pytest.raises(WireError):
            decode_chain(kind, chain(bent, HEADER + len(bent)))
