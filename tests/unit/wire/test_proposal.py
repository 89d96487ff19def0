"""Security Association payloads (RFC 7296 section 3.3)."""

import pytest

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.proposal import decode_sa, encode_sa
from ipsecd.wire.reader import Reader
from ipsecd.wire.registry import Encr, Esn, Group, Integ, Prf, Protocol, TransformType

ENCR, INTEG, ESN = TransformType.ENCR, TransformType.INTEG, TransformType.ESN

TRANSFORM = "00000008 05000000"  # ESN, none: the last of its proposal


def read(octets: str) -> Sa:
    data = bytes.fromhex(octets)
    with Reader(data).window(len(data)) as body:
        return decode_sa(body)


def reason(octets: str) -> str:
    with pytest.raises(WireError) as caught:
        read(octets)
    return caught.value.reason


def test_the_two_proposals_that_the_rfc_draws() -> None:
    """The example of section 3.3: ESP with AES-CBC and HMAC or XCBC, or with AES-GCM; ESN allowed but not required."""
    esn = (Transform(ESN, Esn.NO), Transform(ESN, Esn.YES))
    cbc = tuple(Transform(ENCR, Encr.AES_CBC, bits) for bits in (128, 192, 256))
    macs = (Transform(INTEG, Integ.HMAC_SHA1_96), Transform(INTEG, Integ.AES_XCBC_96))
    gcm = tuple(Transform(ENCR, Encr.AES_GCM_8, bits) for bits in (128, 256))
    spi = bytes.fromhex("052357bb")
    sa = Sa((Proposal(1, Protocol.ESP, spi, cbc + macs + esn), Proposal(2, Protocol.ESP, spi, gcm + esn)))
    octets = (
        "02000050 01 03 04 07 052357bb"
        " 0300000c 0100000c 800e0080 0300000c 0100000c 800e00c0 0300000c 0100000c 800e0100"
        " 03000008 03000002 03000008 03000005 03000008 05000000 00000008 05000001"
        " 00000034 02 03 04 04 052357bb"
        " 0300000c 01000012 800e0080 0300000c 01000012 800e0100 03000008 05000000 00000008 05000001"
    )
    assert read(octets) == sa
    assert encode_sa(sa) == bytes.fromhex(octets)


def test_an_ike_offer_has_no_spi_and_a_rekey_offer_eight_octets() -> None:
    transforms = (
        Transform(ENCR, Encr.CHACHA20_POLY1305),
        Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
        Transform(TransformType.DH, Group.CURVE25519),
    )
    for spi in (b"", b"rekeyspi"):
        sa = Sa((Proposal(1, Protocol.IKE, spi, transforms),))
        assert decode_sa(Reader(encode_sa(sa))) == sa


def test_an_answer_keeps_the_number_of_the_proposal_it_accepts() -> None:
    assert read(f"00000014 07 03 04 01 61626364 {TRANSFORM}").proposals[0].number == 7


@pytest.mark.parametrize("numbers", [(0,), (0, 1), (2, 3), (1, 1), (1, 3), (2, 1)])
def test_offered_proposals_count_from_one(numbers: tuple[int, ...]) -> None:
    proposals = [f"{number:02x} 01 00 01 {TRANSFORM}" for number in numbers]
    octets = "".join(f"02000010 {proposal}" for proposal in proposals[:-1]) + f"00000010 {proposals[-1]}"
    assert reason(octets) == "bad-proposal-number"


@pytest.mark.parametrize(
    ("protocol", "sizes"),
    [(Protocol.IKE, (0, 8)), (Protocol.AH, (4,)), (Protocol.ESP, (4,)), (Protocol(200), range(9))],
)
def test_an_spi_has_the_size_its_protocol_gives_it(protocol: Protocol, sizes: tuple[int, ...]) -> None:
    for size in range(9):
        octets = f"0000{16 + size:04x} 01 {protocol:02x} {size:02x} 01 {'61' * size} {TRANSFORM}"
        if size in sizes:
            assert read(octets).proposals[0].spi == b"a" * size
        else:
            assert reason(octets) == "bad-spi-size"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", "truncated"),
        ("000000", "truncated"),
        ("00000003", "bad-length"),
        ("00000000", "bad-length"),
        ("00000004", "truncated"),
        (f"0000000f 01 01 00 01 {TRANSFORM}", "truncated"),
        (f"00000011 01 01 00 01 {TRANSFORM}", "truncated"),
        (f"00000011 01 01 00 01 {TRANSFORM} 00", "trailing-octets"),
        (f"00000010 01 01 00 01 {TRANSFORM} 00", "trailing-octets"),
        (f"02000010 01 01 00 01 {TRANSFORM}", "truncated"),
        (f"01000010 01 01 00 01 {TRANSFORM}", "bad-last-substructure"),
        (f"03000010 01 01 00 01 {TRANSFORM}", "bad-last-substructure"),
        (f"00000010 01 01 00 00 {TRANSFORM}", "transform-count"),
        (f"00000010 01 01 00 02 {TRANSFORM}", "transform-count"),
        (f"00000010 01 01 00 ff {TRANSFORM}", "transform-count"),
        ("00000008 01 01 00 00", "truncated"),  # one or more transforms
        ("00000010 01 01 00 01 02000008 05000000", "bad-last-substructure"),
        ("00000010 01 01 00 01 03000008 05000000", "truncated"),
        ("00000010 01 01 00 01 00000007 05000000", "truncated"),
        ("00000010 01 01 00 01 00000003 05000000", "bad-length"),
        ("00000010 01 01 00 01 00000009 05000000", "truncated"),
        ("00000012 01 01 00 01 0000000a 01000014 800e", "truncated"),
        ("00000014 01 01 00 01 0000000c 01000014 000e 0001", "truncated"),
        ("00000010 01 01 ff 01 00000008 05000000", "bad-spi-size"),
    ],
)
def test_lengths_flags_and_counts_must_agree(octets: str, expected: str) -> None:
    assert reason(octets) == expected


def test_reserved_octets_are_ignored_and_sent_as_zero() -> None:
    sa = read("00ff0010 01 01 00 01 00ff0008 05ff0000")
    assert encode_sa(sa) == bytes.fromhex(f"00000010 01 01 00 01 {TRANSFORM}")


def one_transform(octets: str) -> Transform:
    size = len(bytes.fromhex(octets)) + 8
    return read(f"0000{size + 8:04x} 01 01 00 01 0000{size:04x} 01000014 {octets}").proposals[0].transforms[0]


def test_a_key_length_is_the_short_attribute_14() -> None:
    assert one_transform("800e 0100") == Transform(ENCR, Encr.AES_GCM_16, 256)
    assert one_transform("800e 0000") == Transform(ENCR, Encr.AES_GCM_16, 0)


def test_attributes_that_are_not_understood_are_kept_so_that_the_transform_is_not_chosen() -> None:
    assert one_transform("800f 0001").unknown == ((0x800F, b"\0\1"),)
    assert one_transform("000f 0003 616263").unknown == ((0x000F, b"abc"),)
    assert one_transform("000f 0000").unknown == ((0x000F, b""),)


def test_a_key_length_in_long_form_or_given_twice_is_not_understood() -> None:
    assert one_transform("000e 0002 0100") == Transform(ENCR, 20, None, ((0x000E, b"\1\0"),))
    assert one_transform("800e 0080 800e 0100") == Transform(ENCR, 20, 128, ((0x800E, b"\1\0"),))


def test_unknown_attributes_come_back_as_they_were() -> None:
    transform = one_transform("800e 0080 000f 0003 616263 8010 1234")
    sa = Sa((Proposal(1, Protocol.IKE, b"", (transform,)),))
    assert decode_sa(Reader(encode_sa(sa))) == sa


def test_transform_types_and_protocols_nobody_assigned_keep_their_numbers() -> None:
    proposal = read("00000010 01 63 00 01 00000008 c8000001").proposals[0]
    assert (str(proposal.protocol), str(proposal.transforms[0].type)) == ("PROTOCOL_99", "TRANSFORMTYPE_200")


def test_there_are_so_many_attributes_and_no_more() -> None:
    assert len(one_transform("8001 0000" * limits.MAX_ATTRIBUTES).unknown) == limits.MAX_ATTRIBUTES
    with pytest.raises(WireError, match=r"^too-many-attributes"):
        one_transform("8001 0000" * (limits.MAX_ATTRIBUTES + 1))


def test_there_are_so_many_transforms_and_no_more() -> None:
    most = (Transform(ESN, Esn.NO),) * limits.MAX_TRANSFORMS
    assert decode_sa(Reader(encode_sa(Sa((Proposal(1, Protocol.IKE, b"", most),))))).proposals[0].transforms == most
    with pytest.raises(WireError, match=r"^too-many-transforms"):
        decode_sa(Reader(encode_sa(Sa((Proposal(1, Protocol.IKE, b"", (*most, most[0])),)))))


def test_there_are_so_many_proposals_and_no_more() -> None:
    most = [
        Proposal(number, Protocol.IKE, b"", (Transform(ESN, Esn.NO),)) for number in range(1, limits.MAX_PROPOSALS + 2)
    ]
    assert len(decode_sa(Reader(encode_sa(Sa(tuple(most[:-1]))))).proposals) == limits.MAX_PROPOSALS
    with pytest.raises(WireError, match=r"^too-many-proposals"):
        decode_sa(Reader(encode_sa(Sa(tuple(most)))))
