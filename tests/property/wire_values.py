"""Any value the wire can carry."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.wire import dn
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import Header
from ipsecd.wire.payloads import (
    AnyPayload,
    Auth,
    Cert,
    CertReq,
    Cp,
    Delete,
    Eap,
    IdI,
    IdR,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    Transform,
    TsI,
    TsR,
    Unknown,
    VendorId,
)
from ipsecd.wire.registry import (
    AuthMethod,
    CertEncoding,
    ConfigType,
    Exchange,
    Flag,
    Group,
    IdType,
    NotifyType,
    Payload,
    Protocol,
    TransformType,
)
from ipsecd.wire.selector import OPAQUE, Selector

octet = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFF)
some = st.binary(max_size=48)
addresses_v4 = st.builds(IPv4Address, st.integers(0, (1 << 32) - 1))
addresses_v6 = st.builds(IPv6Address, st.integers(0, (1 << 128) - 1))

headers = st.builds(
    Header,
    st.binary(min_size=8, max_size=8).filter(any),
    st.binary(min_size=8, max_size=8),
    st.just(0),
    st.just(2),
    st.integers(0, 15),
    octet.map(Exchange),
    octet.map(Flag),
    st.integers(0, 0xFFFF_FFFF),
    st.just(28),
)


def _unknown_attribute(kind: int, value: bytes) -> tuple[int, bytes]:
    return (kind, value[:2].ljust(2, b"\0")) if kind & 0x8000 else (kind, value)


transforms = st.builds(
    Transform,
    octet.map(TransformType),
    word,
    st.none() | word,
    st.lists(
        st.builds(_unknown_attribute, word.filter(lambda kind: kind != 0x800E), some),
        max_size=limits.MAX_ATTRIBUTES - 1,
    ).map(tuple),
)
_spis = {
    Protocol.IKE: st.sampled_from((b"", b"ike spi.")),
    Protocol.AH: st.just(b"ah  "),
    Protocol.ESP: st.just(b"esp "),
}
_protocols_with_spi = st.one_of(
    *(st.tuples(st.just(protocol), spi) for protocol, spi in _spis.items()),
    st.tuples(st.integers(4, 255).map(Protocol), some),
)


def _numbered(parts: list[tuple[tuple[Protocol, bytes], tuple[Transform, ...]]]) -> Sa:
    return Sa(tuple(Proposal(number, *spi, found) for number, (spi, found) in enumerate(parts, 1)))


security_associations = st.lists(
    st.tuples(_protocols_with_spi, st.lists(transforms, min_size=1, max_size=5).map(tuple)), min_size=1, max_size=4
).map(_numbered)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    family = draw(st.sampled_from((addresses_v4, addresses_v6)))
    start, end = sorted((draw(family), draw(family)))
    first, last = sorted((draw(word), draw(word)))
    return Selector(start, end, draw(octet), draw(st.sampled_from(((first, last), (0, 65_535), OPAQUE))))


_unknown_selectors = st.lists(
    st.tuples(octet.filter(lambda kind: kind not in (7, 8)), st.binary(min_size=1, max_size=20)), max_size=2
).map(tuple)
_letters = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_names = st.text(_letters, min_size=1, max_size=40)

parts = st.tuples(
    st.sampled_from(("CN", "C", "O", "OU", "DC", "E", "UID", "serialNumber", "1.2.3.4", "2.999.5")),
    st.text(max_size=12),
)
distinguished_names = st.lists(st.lists(parts, min_size=1, max_size=3).map(tuple), min_size=1, max_size=5).map(tuple)
policy_identities = st.one_of(
    addresses_v4.map(lambda address: Identity(IdType.IPV4_ADDR, address.packed)),
    addresses_v6.map(lambda address: Identity(IdType.IPV6_ADDR, address.packed)),
    _names.map(lambda name: Identity(IdType.FQDN, name.encode())),
    st.tuples(_names, _names.filter(lambda domain: "@" not in domain)).map(
        lambda names: Identity(IdType.RFC822_ADDR, "@".join(names).encode())
    ),
    st.binary(min_size=1, max_size=60).map(lambda data: Identity(IdType.KEY_ID, data)),
    distinguished_names.map(lambda name: Identity(IdType.DER_ASN1_DN, dn.encode(name))),
)
identities = policy_identities | st.builds(Identity, st.integers(9, 255).map(IdType), some)


def _notify(kind: int, data: bytes, concerned: tuple[Protocol, bytes]) -> Notify:
    protocol, spi = concerned
    return Notify(NotifyType(kind), data, protocol if spi else Protocol.NONE, spi)


def _eap(code: int, identifier: int, data: bytes) -> Eap:
    body = data if code < 3 else b""
    return Eap(bytes([code, identifier]) + (4 + len(body)).to_bytes(2, "big") + body)


payloads: st.SearchStrategy[AnyPayload] = st.one_of(
    security_associations,
    st.builds(Ke, word.map(Group), st.binary(min_size=1, max_size=64)),
    st.builds(IdI, identities, st.binary(min_size=3, max_size=3)),
    st.builds(IdR, identities),
    st.builds(Cert, octet.map(CertEncoding), some),
    st.builds(CertReq, octet.map(CertEncoding), some),
    st.builds(Auth, octet.map(AuthMethod), some),
    st.builds(Nonce, st.binary(min_size=limits.MIN_NONCE, max_size=limits.MAX_NONCE)),
    st.builds(
        _notify, word, some, st.sampled_from(((Protocol.NONE, b""), (Protocol.ESP, b"spi1"), (Protocol.AH, b"spi1")))
    ),
    st.builds(
        Delete,
        st.sampled_from((Protocol.AH, Protocol.ESP)),
        st.lists(st.binary(min_size=4, max_size=4), max_size=5).map(tuple),
    ),
    st.just(Delete(Protocol.IKE)),
    st.builds(VendorId, some),
    st.builds(TsI, st.lists(selectors(), min_size=1, max_size=4).map(tuple), _unknown_selectors),
    st.builds(TsR, st.lists(selectors(), min_size=1, max_size=4).map(tuple), _unknown_selectors),
    st.builds(Cp, octet.map(ConfigType), st.lists(st.tuples(st.integers(0, 0x7FFF), some), max_size=4).map(tuple)),
    st.builds(_eap, st.integers(1, 4), octet, st.binary(min_size=1, max_size=20)),
    st.builds(Unknown, st.integers(1, 255).filter(lambda kind: kind not in set(Payload)), st.booleans(), some),
)
chains = st.lists(payloads, max_size=8).map(tuple)
