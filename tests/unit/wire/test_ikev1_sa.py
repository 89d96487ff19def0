"""SA payloads of IKEv1: proposals, bundles, transforms (RFC 2408 sections 3.4 to 3.6 and 4.2)."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import LocalError, WireError
from ipsecd.wire.ikev1_attributes import Attribute, basic, decode_attributes, duration, encode_attributes
from ipsecd.wire.ikev1_bodies import encode_body
from ipsecd.wire.ikev1_payloads import Proposal, Sa, Transform
from ipsecd.wire.ikev1_sa import decode_sa, encode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry_v1 import (
    AhTransform,
    Encapsulation,
    EspTransform,
    LifeType,
    NotifyType,
    Protocol,
    SaAttribute,
    SaAuth,
)

DOI = "00000001 00000001"
TRANSFORM = "00000008 01 01 0000"  # the last of its proposal, without attributes


def read(octets: str) -> Sa:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_sa(body)


def reason(octets: str) -> str:
    with pytest.raises(WireError) as caught:
        read(octets)
    return caught.value.reason


def test_ah_and_esp_or_esp_alone() -> None:
    """The second example of RFC 2408 section 4.2.1, with the attributes of the IPsec DOI."""
    transport = basic(SaAttribute.ENCAPSULATION, Encapsulation.TRANSPORT)
    sha1 = basic(SaAttribute.AUTHENTICATION, SaAuth.HMAC_SHA1)
    ah = Proposal(1, Protocol.AH, b"\xaa\xaa\xaa\xaa", (Transform(1, AhTransform.SHA1, (transport, sha1)),))
    esp = Proposal(1, Protocol.ESP, b"\xbb\xbb\xbb\xbb", (Transform(1, EspTransform.TRIPLE_DES, (transport,)),))
    des = Transform(2, EspTransform.DES, (transport, sha1))
    alone = Proposal(
        2, Protocol.ESP, b"\xcc\xcc\xcc\xcc", (Transform(1, EspTransform.TRIPLE_DES, (transport, sha1)), des)
    )
    octets = (
        f"{DOI}"
        " 0200001c 01 02 04 01 aaaaaaaa 00000010 01 03 0000 80040002 80050002"
        " 02000018 01 03 04 01 bbbbbbbb 0000000c 01 03 0000 80040002"
        " 0000002c 02 03 04 02 cccccccc 03000010 01 03 0000 80040002 80050002 00000010 02 02 0000 80040002 80050002"
    )
    sa = read(octets)
    assert sa == Sa((ah, esp, alone))
    assert sa.bundles == ((ah, esp), (alone,))
    assert encode_sa(sa) == bytes.fromhex(octets)


def proposals(*numbers: int) -> str:
    each = [f"00000010 {number:02x} 01 00 01 {TRANSFORM}" for number in numbers]
    return DOI + "".join(f"02{one[2:]}" for one in each[:-1]) + each[-1]


@pytest.mark.parametrize("numbers", [(0,), (1,), (7,), (0, 1), (1, 1), (1, 1, 2), (3, 8, 8, 255)])
def test_proposals_rise_and_equal_ones_are_neighbours(numbers: tuple[int, ...]) -> None:
    sa = read(proposals(*numbers))
    assert tuple(proposal.number for proposal in sa.proposals) == numbers
    assert [{proposal.number for proposal in bundle} for bundle in sa.bundles] == [{n} for n in sorted(set(numbers))]


@pytest.mark.parametrize("numbers", [(1, 0), (2, 1), (1, 2, 1), (1, 1, 3, 2)])
def test_proposals_that_do_not_rise_are_refused(numbers: tuple[int, ...]) -> None:
    assert reason(proposals(*numbers)) == "bad-proposal-number"


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (1, 3, 2)])
def test_transforms_that_do_not_rise_are_refused(numbers: tuple[int, ...]) -> None:
    body = "".join(f"03000008 {number:02x} 01 0000" for number in numbers[:-1]) + f"00000008 {numbers[-1]:02x} 01 0000"
    assert reason(f"{DOI} 0000{8 + 8 * len(numbers):04x} 01 01 00 {len(numbers):02x} {body}") == "bad-transform-number"


@pytest.mark.parametrize(
    ("protocol", "sizes"),
    [
        (Protocol.ISAKMP, range(17)),
        (Protocol.AH, (4,)),
        (Protocol.ESP, (4,)),
        (Protocol.IPCOMP, (2, 4)),
        (Protocol(200), range(17)),
    ],
)
def test_an_spi_has_a_size_its_protocol_allows(protocol: Protocol, sizes: tuple[int, ...]) -> None:
    for size in range(20):
        octets = f"{DOI} 0000{16 + size:04x} 01 {protocol:02x} {size:02x} 01 {'61' * size} {TRANSFORM}"
        if size in sizes:
            assert read(octets).proposals[0].spi == b"a" * size
        else:
            assert reason(octets) == "bad-spi-size"


@pytest.mark.parametrize(
    ("octets", "expected", "notify"),
    [
        ("00000000 00000001", "bad-doi", NotifyType.DOI_NOT_SUPPORTED),
        ("00000002 00000001", "bad-doi", NotifyType.DOI_NOT_SUPPORTED),
        ("00000001 00000003 00000000", "bad-situation", NotifyType.SITUATION_NOT_SUPPORTED),
        ("00000001 00000000", "bad-situation", NotifyType.SITUATION_NOT_SUPPORTED),
    ],
)
def test_other_domains_and_situations_have_a_notify(octets: str, expected: str, notify: NotifyType) -> None:
    with pytest.raises(WireError) as caught:
        read(octets)
    assert (caught.value.reason, caught.value.notify) == (expected, notify)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", "truncated"),
        (DOI, "truncated"),
        (f"{DOI} 00000003", "bad-length"),
        (f"{DOI} 01000010 01 01 00 01 {TRANSFORM}", "bad-last-substructure"),
        (f"{DOI} 02000010 01 01 00 01 {TRANSFORM}", "truncated"),
        (f"{DOI} 00000010 01 01 00 01 {TRANSFORM} 00", "trailing-octets"),
        (f"{DOI} 00000011 01 01 00 01 {TRANSFORM} 00", "trailing-octets"),
        (f"{DOI} 00000010 01 01 00 00 {TRANSFORM}", "transform-count"),
        (f"{DOI} 00000010 01 01 00 02 {TRANSFORM}", "transform-count"),
        (f"{DOI} 00000008 01 01 00 00", "truncated"),
        (f"{DOI} 00000010 01 01 00 01 02000008 01 01 0000", "bad-last-substructure"),
        (f"{DOI} 00000012 01 01 00 01 0000000a 01 01 0000 8001", "truncated"),
        (f"{DOI} 00000013 01 01 00 01 0000000b 01 01 0000 000100", "truncated"),
        (f"{DOI} 00000014 01 01 00 01 0000000c 01 01 0000 00010001", "truncated"),
    ],
)
def test_lengths_flags_and_counts_must_agree(octets: str, expected: str) -> None:
    assert reason(octets) == expected


def test_there_are_so_many_proposals_transforms_and_attributes_and_no_more() -> None:
    few = Transform(1, 1, (basic(1, 1),) * limits.MAX_V1_ATTRIBUTES)
    many = tuple(Transform(number, 1, ()) for number in range(limits.MAX_TRANSFORMS + 1))
    one = Proposal(1, Protocol.ISAKMP, b"", (few,))
    for fits in (Sa((one,) * limits.MAX_PROPOSALS), Sa((Proposal(1, Protocol.ISAKMP, b"", many[:-1]),))):
        assert decode_sa(Reader(encode_sa(fits))) == fits
    for reason_, sa in (
        ("too-many-proposals", Sa((one,) * (limits.MAX_PROPOSALS + 1))),
        ("too-many-transforms", Sa((Proposal(1, Protocol.ISAKMP, b"", many),))),
        (
            "too-many-attributes",
            Sa((Proposal(1, Protocol.ISAKMP, b"", (Transform(1, 1, (*few.attributes, basic(1, 1))),)),)),
        ),
    ):
        with pytest.raises(WireError, match=f"^{reason_}"):
            decode_sa(Reader(encode_sa(sa)))


def test_the_four_lifetime_attributes_that_the_doi_shows() -> None:
    """RFC 2407 section 4.5.2: 24 hours or 100 MB, whichever ends first."""
    attributes = (
        basic(SaAttribute.LIFE_TYPE, LifeType.SECONDS),
        duration(SaAttribute.LIFE_DURATION, 86_400),
        basic(SaAttribute.LIFE_TYPE, LifeType.KILOBYTES),
        duration(SaAttribute.LIFE_DURATION, 100_000),
    )
    octets = bytes.fromhex("80010001 00020004 00015180 80010002 00020004 000186a0")
    assert encode_attributes(attributes) == octets
    assert decode_attributes(Reader(octets), 4) == attributes
    assert [attribute.number for attribute in attributes] == [1, 86_400, 2, 100_000]


def test_a_short_duration_has_the_short_form_and_either_form_is_read() -> None:
    assert encode_attributes([duration(2, 3_600)]) == bytes.fromhex("80020e10")
    long = decode_attributes(Reader(bytes.fromhex("00020004 00000e10 00020008 0000000000000e10 00020000")), 3)
    assert [attribute.number for attribute in long] == [3_600, 3_600, 0]
    assert encode_attributes(long) == bytes.fromhex("00020004 00000e10 00020008 0000000000000e10 00020000")


@pytest.mark.parametrize("number", [-1, 0x10000])
def test_what_has_more_than_two_octets_is_not_basic(number: int) -> None:
    with pytest.raises(LocalError):
        basic(1, number)


@pytest.mark.parametrize("number", [-1, 0x1_0000_0000])
def test_a_duration_has_four_octets_at_most(number: int) -> None:
    with pytest.raises(LocalError):
        duration(2, number)


@pytest.mark.parametrize(
    "attribute", [Attribute(1, b"a", basic=True), Attribute(0x8001, b""), Attribute(1, bytes(65_536))]
)
def test_an_attribute_that_does_not_fit_is_our_own_mistake(attribute: Attribute) -> None:
    with pytest.raises(LocalError):
        encode_body(Sa((Proposal(1, Protocol.ISAKMP, b"", (Transform(1, 1, (attribute,)),)),)))
