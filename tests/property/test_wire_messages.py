"""Whatever can be said in IKEv2 is said in octets that say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd.errors import WireError
from ipsecd.wire import dn
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import Message, decode, decode_chain, encode, encode_chain, sk_prefix, skf_prefix
from ipsecd.wire.payloads import AnyPayload, Sk, Skf
from tests.property.wire_values import chains, distinguished_names, headers, octet, policy_identities

Chain = tuple[AnyPayload, ...]


@given(headers, chains)
def test_a_clear_message_decodes_to_what_was_encoded(header: Header, payloads: Chain) -> None:
    data = encode(header, payloads)
    first = encode_chain(payloads)[0]
    assert decode(data) == Message(replace(header, next_payload=first, length=len(data)), payloads)


@given(chains)
def test_the_inside_of_a_sealed_message_decodes_to_what_was_encoded(payloads: Chain) -> None:
    assert decode_chain(*encode_chain(payloads)) == payloads


@given(headers, octet, st.binary(max_size=100), st.integers(1, 64), st.integers(1, 64))
def test_a_sealed_message_is_its_prefix_and_its_body(
    header: Header, first: int, body: bytes, one: int, other: int
) -> None:
    number, total = sorted((one, other))
    prefix = sk_prefix(header, first, len(body))
    assert decode(prefix + body).sealed == Sk(first, prefix, body)
    prefix = skf_prefix(header, first, number, total, len(body))
    assert decode(prefix + body).sealed == Skf(first if number == 1 else 0, number, total, prefix, body)


@given(chains.filter(bool), st.data())
def test_one_octet_more_or_less_is_noticed(payloads: Chain, data: st.DataObject) -> None:
    first, octets = encode_chain(payloads)
    end = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(WireError, match=r"^truncated"):
        decode_chain(first, octets[:end])
    with pytest.raises(WireError, match=r"^trailing-octets"):
        decode_chain(first, octets + b"\0")


@given(distinguished_names)
def test_a_distinguished_name_survives_its_octets_and_its_text(name: dn.Name) -> None:
    der = dn.encode(name)
    assert dn.same(dn.decode(der), name)
    assert dn.encode(dn.decode(der)) == der
    assert dn.parse(dn.text(name)) == name


@given(policy_identities)
def test_an_identity_survives_its_octets_and_unless_it_is_long_its_text(identity: Identity) -> None:
    assert Identity.decode(identity.encode()) == identity
    shown = str(identity)
    assert shown.isprintable()
    if "…" not in shown and "\\" not in shown:
        assert Identity.parse(shown).matches(identity)


@given(policy_identities, policy_identities)
def test_matching_is_symmetric_and_equals_match(one: Identity, two: Identity) -> None:
    assert one.matches(one)
    assert one.matches(two) == two.matches(one)
