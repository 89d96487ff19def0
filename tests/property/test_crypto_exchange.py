"""Any octets as a public value: a secret of the group's length, or PeerError("bad-public-value")."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecd.crypto import algorithms, modp
from ipsecd.crypto.algorithms import GroupInfo
from ipsecd.crypto.exchange import generate, load
from ipsecd.crypto.prf import algorithm, prf, prf_plus
from ipsecd.errors import PeerError
from ipsecd.wire.registry import Group, Prf

GROUPS = [found for found in algorithms.offered().values() if isinstance(found, GroupInfo)]
# the largest MODP groups take tens of milliseconds an exchange and run the same code
QUICK = [group for group in GROUPS if group.public_octets <= 256]
PAIRS = {group.id: generate(group.id) for group in QUICK}
SECRETS = {group.id: group.public_octets for group in QUICK} | {
    Group.ECP_256: 32,
    Group.ECP_384: 48,
    Group.ECP_521: 66,
}


@given(st.sampled_from(QUICK), st.data())
def test_any_octets_give_a_secret_or_a_named_refusal(group: GroupInfo, data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.just(group.public_octets), st.integers(0, 2 * group.public_octets)))
    value = data.draw(st.binary(min_size=size, max_size=size))
    try:
        outcome: str | int = len(PAIRS[group.id].shared(value))
    except PeerError as error:
        outcome = error.reason
    assert outcome in ("bad-public-value", SECRETS[group.id])
    assert outcome == "bad-public-value" or len(value) == group.public_octets


@settings(max_examples=20)
@given(st.sampled_from(QUICK))
def test_both_sides_find_the_same_secret(group: GroupInfo) -> None:
    one, two = generate(group.id), generate(group.id)
    assert one.shared(two.public) == two.shared(one.public)


@settings(max_examples=30)
@given(st.integers(2, 2**320), st.integers(2, 2**320), st.integers(0, 2**64 - 1))
def test_our_own_diffie_hellman_is_blind_to_its_blind(x: int, y: int, blind: int) -> None:
    group = Group.MODP_2048
    own, peer = modp.public(x, group), modp.public(y, group)
    shared = modp.shared(peer, x, own, blind, group)
    assert shared == modp.shared(own, y, peer, blind ^ 1, group)
    assert shared.to_bytes(256, "big") == load(group, x.to_bytes(41, "big")).shared(peer.to_bytes(256, "big")).reveal()


@given(
    st.sampled_from([Prf.HMAC_SHA1, Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512]),
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.integers(0, 600),
)
def test_prf_plus_is_a_stream_whose_beginning_does_not_depend_on_its_length(
    id_: Prf, key: bytes, seed: bytes, size: int
) -> None:
    stream = prf_plus(id_, key, seed, size)
    assert len(stream) == size
    assert prf_plus(id_, key, seed, size + 70)[:size] == stream
    assert prf(id_, key, seed + b"\x01")[:size] == stream[: algorithm(id_).output_octets]


def test_the_quick_groups_are_all_but_four() -> None:
    assert len(GROUPS) - len(QUICK) == 4
    with pytest.raises(PeerError):
        PAIRS[Group.CURVE25519].shared(b"")
