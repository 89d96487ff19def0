"""C19, the reading part: proposals that miss or mix what they need are read as they are (CVE-2016-5391, CVE-2024-3652).

Nothing is added, defaulted or merged on the way; judging them is negotiation's, and it must see what was sent.
"""

from __future__ import annotations

import pytest

from ipsecd.wire.ikev2 import decode_chain, encode_chain
from ipsecd.wire.payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Group, Integ, Prf, Protocol, TransformType

ENCR = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
PRF = Transform(TransformType.PRF, Prf.HMAC_SHA2_256)
INTEG = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
DH = Transform(TransformType.DH, Group.CURVE25519)
IKE = (ENCR, PRF, INTEG, DH)


def read(octets: bytes) -> tuple[Transform, ...]:
    (sa,) = decode_chain(33, octets)
    assert isinstance(sa, Sa)
    return sa.proposals[0].transforms


def sent(*transforms: Transform) -> tuple[Transform, ...]:
    return read(encode_chain([Sa((Proposal(1, Protocol.IKE, b"", transforms),))])[1])


@pytest.mark.parametrize("missing", IKE, ids=lambda transform: str(transform.type))
def test_a_transform_type_that_is_missing_stays_missing(missing: Transform) -> None:
    left = tuple(transform for transform in IKE if transform != missing)
    assert sent(*left) == left


@pytest.mark.parametrize(
    "mix",
    [
        (Transform(TransformType.ENCR, Encr.AES_GCM_16, 256), INTEG, PRF, DH),
        (Transform(TransformType.ENCR, Encr.NULL), Transform(TransformType.INTEG, Integ.NONE), PRF, DH),
        (Transform(TransformType.ENCR, Encr.NULL_AUTH_AES_GMAC, 128), PRF, DH),
        (ENCR, ENCR, PRF, INTEG, DH),
        (*IKE, Transform(TransformType.ESN, Esn.NO), Transform(TransformType.ESN, Esn.YES)),
        (DH, INTEG, PRF, ENCR),
    ],
    ids=repr,
)
def test_a_strange_mix_keeps_its_parts_and_their_order(mix: tuple[Transform, ...]) -> None:
    assert sent(*mix) == mix


@pytest.mark.parametrize("bits", [None, 0, 7, 128, 129, 512, 65_535])
def test_a_key_length_is_what_was_sent_and_absent_if_none_was(bits: int | None) -> None:
    assert sent(Transform(TransformType.ENCR, Encr.AES_CBC, bits))[0].key_bits == bits


@pytest.mark.parametrize(
    ("attributes", "key_bits"),
    [("800e0080 800e0100", 128), ("800e0100 800e0100", 256), ("000e0002 0100", None), ("000e0000", None)],
)
def test_a_key_length_given_twice_or_at_length_leaves_a_transform_nobody_may_choose(
    attributes: str, key_bits: int | None
) -> None:
    extra = bytes.fromhex(attributes)
    transform = bytes(2) + (8 + len(extra)).to_bytes(2, "big") + bytes.fromhex("0100000c") + extra
    proposal = bytes(2) + (8 + len(transform)).to_bytes(2, "big") + bytes.fromhex("01010001") + transform
    (found,) = read(bytes(2) + (4 + len(proposal)).to_bytes(2, "big") + proposal)
    assert found.key_bits == key_bits
    assert found.unknown != ()
