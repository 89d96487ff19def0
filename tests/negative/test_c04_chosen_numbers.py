"""C4, the negotiation's part: of all numbers there are, none but a configured one is ever chosen (CVE-2014-9221)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig, Path
from ipsecd.ike.effects import Effect, Send
from ipsecd.ike.menus import Menu, child_menus, ike_menus
from ipsecd.ike.negotiate import Picked, pick
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import Ke, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Flag, Group, Integ, NotifyType, Prf, Protocol, TransformType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import ESP_GCM, IKE_CLASSIC, IKE_X25519, A, B, peer_a, peer_b
from tests.exchange.network import endpoint

Menus = tuple[Menu, ...]
ALL = range(1 << 16)
PER_PAYLOAD = limits.MAX_PROPOSALS * limits.MAX_TRANSFORMS // 2
CONFIGURED = (Group.CURVE25519, Group.ECP_256, Group.ECP_384)
GCM, SHA256 = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128), Transform(TransformType.PRF, Prf.HMAC_SHA2_256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
MAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
X25519 = Transform(TransformType.DH, Group.CURVE25519)


def picked(menus: Menus, protocol: Protocol, proposals: list[tuple[Transform, ...]], group: int) -> Picked | None:
    spi = b"four" if protocol == Protocol.ESP else b""
    offer = Sa(tuple(Proposal(number, protocol, spi, offered) for number, offered in enumerate(proposals, 1)))
    try:
        return pick(menus, offer, sent_group=Group(group))[1]
    except Refused:
        return None


def chosen(
    menus: Menus, protocol: Protocol, variants: Iterable[Transform], *others: Transform, group: int = 31
) -> set[Transform]:
    """What is chosen of many transforms of one type, beside others. They are offered some at a time, again and again
    without what was chosen, until all is refused."""
    found: set[Transform] = set()
    left = list(variants)
    while left:
        batch, left = left[:PER_PAYLOAD], left[PER_PAYLOAD:]
        while batch:
            parts = [batch[at : at + limits.MAX_TRANSFORMS] for at in range(0, len(batch), limits.MAX_TRANSFORMS)]
            choice = picked(menus, protocol, [(*others, *part) for part in parts], group)
            if choice is None:
                break
            found.add(choice[batch[0].type])
            batch.remove(choice[batch[0].type])
    return found


def numbered(kind: TransformType, key_bits: int | None = None) -> Iterable[Transform]:
    return (Transform(kind, number, key_bits) for number in ALL)


def test_of_all_groups_the_configured_ones_alone_are_picked() -> None:
    menus = ike_menus([replace(IKE_X25519, groups=CONFIGURED)])
    found = chosen(menus, Protocol.IKE, numbered(TransformType.DH), GCM, SHA256)
    assert {transform.id for transform in found} == set(CONFIGURED)


def test_whatever_group_the_peer_sends_a_value_of_a_configured_one_is_picked() -> None:
    menus = ike_menus([replace(IKE_X25519, groups=CONFIGURED)])
    for group in ALL:
        offers = [(GCM, SHA256, X25519, Transform(TransformType.DH, 19), Transform(TransformType.DH, group))]
        choice = picked(menus, Protocol.IKE, offers, group)
        assert choice is not None
        assert choice[TransformType.DH].id == (group if group in CONFIGURED else Group.CURVE25519)


def test_of_all_prfs_the_configured_one_alone_is_picked() -> None:
    found = chosen(ike_menus([IKE_X25519]), Protocol.IKE, numbered(TransformType.PRF), GCM, X25519)
    assert found == {SHA256}


def test_of_all_integrity_algorithms_the_configured_one_alone_is_picked() -> None:
    p256 = Transform(TransformType.DH, Group.ECP_256)
    found = chosen(ike_menus([IKE_CLASSIC]), Protocol.IKE, numbered(TransformType.INTEG), CBC, SHA256, p256)
    assert found == {MAC}


@pytest.mark.parametrize(
    ("protocol", "others"),
    [(Protocol.IKE, (SHA256, X25519)), (Protocol.ESP, (Transform(TransformType.ESN, Esn.NO),))],
    ids=["IKE", "ESP"],
)
def test_of_all_ciphers_with_any_key_length_the_configured_one_alone_is_picked(
    protocol: Protocol, others: tuple[Transform, ...]
) -> None:
    menus = ike_menus([IKE_X25519]) if protocol == Protocol.IKE else child_menus([ESP_GCM], pfs=False)
    for key_bits, found in ((None, set()), (0, set()), (128, {GCM}), (256, set())):
        assert chosen(menus, protocol, numbered(TransformType.ENCR, key_bits), *others) == found
    assert chosen(menus, protocol, (replace(GCM, key_bits=bits) for bits in ALL), *others) == {GCM}


def test_of_all_sequence_number_transforms_the_two_that_there_are_alone_are_picked() -> None:
    found = chosen(child_menus([ESP_GCM], pfs=False), Protocol.ESP, numbered(TransformType.ESN), GCM)
    assert {transform.id for transform in found} == {Esn.NO, Esn.YES}
    plain = child_menus([replace(ESP_GCM, esn=False)], pfs=False)
    assert {transform.id for transform in chosen(plain, Protocol.ESP, numbered(TransformType.ESN), GCM)} == {Esn.NO}


def test_a_transform_type_nobody_knows_makes_the_proposal_unacceptable() -> None:
    """RFC 7296 section 3.3.6."""
    menus = ike_menus([IKE_X25519])
    for kind in range(256):
        offers = [(Transform(TransformType(kind), 1), GCM, SHA256, X25519)]
        known = {TransformType.ENCR, TransformType.PRF, TransformType.DH}
        assert (picked(menus, Protocol.IKE, offers, 31) is not None) == (kind in known), kind


# --- what others ask us for --------------------------------------------------------------------------------------


def calling() -> tuple[Ike, bytes]:
    ike = Ike(IkeConfig((peer_b(proposals=(replace(IKE_X25519, groups=CONFIGURED),)),)), SeededEntropy("a"))
    return ike, requests(ike.up("net", 1_000.0))[0]


def requests(effects: list[Effect]) -> list[bytes]:
    return [effect.data for effect in effects if isinstance(effect, Send)]


PATH = Path(endpoint(A), endpoint(B))


def test_of_all_groups_a_responder_may_wish_for_the_offered_ones_alone_are_tried() -> None:
    ike, _ = calling()
    (sa,) = ike._core.ikes.values()
    tried = []
    for number in ALL:
        with contextlib.suppress(PeerError):
            sa.active._take_error(Notify(NotifyType.INVALID_KE_PAYLOAD, number.to_bytes(2, "big")))  # type: ignore[union-attr]  # the task that asks
            tried.append(number)
    assert tried == [Group.ECP_256, Group.ECP_384]  # 31 is what was asked with
    said = [decode(data).payloads for data in requests(ike._core.take_effects())]
    assert [payload.group for payloads in said for payload in payloads if isinstance(payload, Ke)] == tried


def test_a_wish_of_another_size_than_two_octets_is_none() -> None:
    ike, request = calling()
    header = replace(decode(request).header, flags=Flag.RESPONSE)
    for data in (b"", b"\x13", b"\0\0\x13", b"\0\x13\0\x14", bytes(limits.MAX_NOTIFY_DATA)):
        assert not requests(ike.receive(encode(header, (Notify(NotifyType.INVALID_KE_PAYLOAD, data),)), PATH, 1_000.0))


def test_of_all_groups_a_public_value_may_claim_to_be_of_the_chosen_one_alone_counts() -> None:
    """In an answer: group 1025 was an internal number of another implementation."""
    ike, request = calling()
    responder = Ike(IkeConfig((peer_a(),)), SeededEntropy("b"))
    (answer,) = requests(responder.receive(request, Path(endpoint(B), endpoint(A)), 1_000.0))
    message = decode(answer)
    taken = []
    for number in (*range(1 << 11), *range(0x8000, 0x8010), 0xFFFF):
        if number == Group.CURVE25519:
            continue
        payloads = tuple(
            replace(payload, group=Group(number)) if isinstance(payload, Ke) else payload
            for payload in message.payloads
        )
        taken += requests(ike.receive(encode(message.header, payloads), PATH, 1_000.0))
    assert taken == []
    assert ike.counters["wrong-ke-group"] == 2_048 - 1 + 17
    assert requests(ike.receive(answer, PATH, 1_000.0))
