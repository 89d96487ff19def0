"""C1: lengths and counts that don't agree with the octets (CVE-2013-6075, CVE-2023-41913, CVE-2015-3204).

Every payload gets every wrong length a sender may try, every nested structure every wrong length and count, and every
sample is cut at every octet. Each time it is a WireError with a name.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.ikev2 import decode_chain, encode_chain
from ipsecd.wire.payloads import Ke, VendorId
from ipsecd.wire.registry import Group, Payload

HEADER = 4  # octets of a generic payload header


def payload_samples() -> Iterator[tuple[str, Payload, bytes]]:
    for kind in Payload:
        decoder = DECODERS.get(f"payload-{kind.name.lower().replace('_', '-')}")
        for number, sample in enumerate(decoder.samples if decoder else ()):
            yield f"{kind.name} {number}", kind, sample


SAMPLES = list(payload_samples())
each_payload = pytest.mark.parametrize(("kind", "body"), [row[1:] for row in SAMPLES], ids=[row[0] for row in SAMPLES])


def chain(body: bytes, length: int, following: bytes = b"") -> bytes:
    """A payload that claims ``length``, and what stands behind it."""
    announced = Payload.VENDOR_ID if following else Payload.NONE
    return bytes([announced, 0]) + length.to_bytes(2, "big") + body + following


@each_payload
def test_the_length_of_a_payload_alone_is_its_own_or_wrong(kind: Payload, body: bytes) -> None:
    right = HEADER + len(body)
    assert len(decode_chain(kind, chain(body, right))) == 1
    for length in {0, 1, 2, 3, HEADER, HEADER + 1, right - 1, right + 1, right + 4, 255, 256, 65_535} - {right}:
        with pytest.raises(WireError):
            decode_chain(kind, chain(body, length))


@each_payload
def test_the_length_of_a_payload_does_not_reach_into_the_next(kind: Payload, body: bytes) -> None:
    """A length may move the border only to where two well-formed payloads come out again, and never past the end."""
    right = HEADER + len(body)
    following = encode_chain([VendorId(b"next")])[1]
    data = chain(body, right, following)
    assert decode_chain(kind, data)[1] == VendorId(b"next")
    for length in range(len(data) + 2):
        wrong = data[:2] + length.to_bytes(2, "big") + data[4:]
        try:
            payloads = decode_chain(kind, wrong)
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
SA = "00000028 01 03 04 02 aabbccdd 03000010 01000014 800e0100 00050000 0000000c 03000002 800f0001"
TS = "01000000 07 00 0010 0000 ffff c0000200 c00002ff"
NESTED = [
    ("proposal length", Payload.SA, SA, 2, 2),
    ("SPI size", Payload.SA, SA, 6, 1),
    ("number of transforms", Payload.SA, SA, 7, 1),
    ("first transform length", Payload.SA, SA, 14, 2),
    ("attribute length", Payload.SA, SA, 26, 2),
    ("last transform length", Payload.SA, SA, 30, 2),
    ("number of selectors", Payload.TSI, TS, 0, 1),
    ("selector length", Payload.TSI, TS, 6, 2),
    ("SPI size of a delete", Payload.DELETE, "03 04 0002 aabbccdd 11223344", 1, 1),
    ("number of SPIs", Payload.DELETE, "03 04 0002 aabbccdd 11223344", 2, 2),
    ("SPI size of a notify", Payload.NOTIFY, "03 04 4009 aabbccdd", 1, 1),
    ("configuration attribute length", Payload.CP, "01000000 0003 0004 c0000235", 6, 2),
    ("EAP length", Payload.EAP, "01 07 0009 01 68657921", 2, 2),
]


@pytest.mark.parametrize(("kind", "body", "at", "octets"), [row[1:] for row in NESTED], ids=[row[0] for row in NESTED])
def test_every_other_value_of_a_nested_length_or_count_is_refused(
    kind: Payload, body: str, at: int, octets: int
) -> None:
    good = bytes.fromhex(body)
    right = int.from_bytes(good[at : at + octets], "big")
    assert decode_chain(kind, chain(good, HEADER + len(good)))
    accepted = []
    for value in range(min(256, 1 << 8 * octets)) if octets == 1 else (*range(300), 32_767, 32_768, 65_534, 65_535):
        data = good[:at] + value.to_bytes(octets, "big") + good[at + octets :]
        try:
            decode_chain(kind, chain(data, HEADER + len(good)))
        except WireError:
            continue
        accepted.append(value)
    # A notify without SPI has that many octets more of data: the one field that may say something else.
    assert accepted == ([0, right] if kind == Payload.NOTIFY else [right])


@pytest.mark.parametrize("group", list(Group), ids=str)
def test_a_public_value_of_any_size_is_read_as_it_is(group: Group) -> None:
    """Whether it fits the group is checked where the group is known; reading it never depends on the size."""
    for size in (1, 31, 32, 33, 255, 256, 257, 4_096):
        kind, octets = encode_chain([Ke(group, b"\xff" * size)])
        assert decode_chain(kind, octets) == (Ke(group, b"\xff" * size),)
    with pytest.raises(WireError, match=r"^empty-key-exchange"):
        decode_chain(Payload.KE, chain(int(group).to_bytes(2, "big") + bytes(2), HEADER + 4))
