"""Any payload that IKEv1 can carry."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from ipsecd.wire.ikev1_attributes import Attribute, basic, duration
from ipsecd.wire.ikev1_identity import Id
from ipsecd.wire.ikev1_payloads import (
    AnyPayload,
    Attributes,
    Cert,
    CertReq,
    Delete,
    Hash,
    Ke,
    NatD,
    NatOa,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Signature,
    Transform,
    Unknown,
    VendorId,
)
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import CertEncoding, IdType, NotifyType, Protocol

octet, word = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
some = st.binary(min_size=1, max_size=48)
protocols = st.integers(0, 5).map(Protocol)
kinds = st.one_of(st.sampled_from(NotifyType), word.map(NotifyType))
_SPI_OCTETS = {Protocol.ISAKMP: 16}

attributes: st.SearchStrategy[Attribute] = st.one_of(
    st.builds(basic, st.integers(0, 0x7FFF), word),
    st.builds(duration, st.integers(0, 20), st.integers(0, 0xFFFF_FFFF)),
)
transforms = st.builds(Transform, octet, octet, st.lists(attributes, max_size=8).map(tuple))
spis = st.sampled_from((b"", b"abcd", b"eightoct"))
proposals = st.builds(Proposal, octet, protocols, spis, st.lists(transforms, min_size=1, max_size=3).map(tuple))
ids = st.one_of(
    st.builds(Id, octet.map(IdType), some, octet, word),
    st.builds(Id, st.just(IdType.IPV4_ADDR_SUBNET), st.binary(min_size=8, max_size=8), octet, word),
    st.builds(Id, st.just(IdType.IPV6_ADDR), st.binary(min_size=16, max_size=16), octet, word),
)


def _delete(protocol: Protocol, count: int, seed: bytes) -> Delete:
    size = _SPI_OCTETS.get(protocol, 4)
    return Delete(protocol, tuple((seed * 32)[at : at + size] for at in range(count)))


payloads: st.SearchStrategy[AnyPayload] = st.one_of(
    st.lists(proposals, min_size=1, max_size=3).map(tuple).map(Sa),
    st.builds(Ke, some),
    st.builds(Nonce, st.binary(min_size=8, max_size=64)),
    ids,
    st.builds(Hash, some),
    st.builds(Signature, some),
    st.builds(Cert, octet.map(CertEncoding), some),
    st.builds(CertReq, octet.map(CertEncoding), some),
    st.builds(VendorId, some),
    st.builds(Notify, kinds, some, protocols, st.sampled_from((b"", b"abcd", b"eightoct" * 2))),
    st.builds(_delete, st.sampled_from((Protocol.ISAKMP, Protocol.AH, Protocol.ESP)), st.integers(1, 4), some),
    st.builds(Attributes, octet.map(ConfigType), word, st.lists(attributes, max_size=5).map(tuple)),
    st.builds(NatD, some),
    st.builds(NatOa, st.integers(0, (1 << 32) - 1).map(IPv4Address)),
    st.builds(NatOa, st.integers(0, (1 << 128) - 1).map(IPv6Address)),
    st.builds(Unknown, st.integers(128, 255).filter(lambda kind: kind not in (130, 131, 132)), some),
)
chains = st.lists(payloads, max_size=5).map(tuple)
