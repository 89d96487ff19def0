"""The algorithms of the SAs that a quick mode makes (RFC 2407 sections 4.4 and 4.5): a transform is a whole layer, ESP
or AH, with its mode, its group and its lifetime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import GroupInfo
from ipsecd.errors import LocalError
from ipsecd.ike.config import Lifetime
from ipsecd.ike.suites import AhEspSuite, AhSuite, ChildSuite, EspSuite, Layer
from ipsecd.ike.v1 import durations
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_payloads import Transform
from ipsecd.wire.registry import Encr, Integ
from ipsecd.wire.registry_v1 import AhTransform, Encapsulation, EspTransform, Protocol, SaAttribute, SaAuth

_ENCRYPTION = {
    EspTransform.DES: Encr.DES,
    EspTransform.TRIPLE_DES: Encr.TRIPLE_DES,
    EspTransform.NULL: Encr.NULL,
    EspTransform.AES_CBC: Encr.AES_CBC,
    EspTransform.AES_CTR: Encr.AES_CTR,
    EspTransform.AES_CCM_8: Encr.AES_CCM_8,
    EspTransform.AES_CCM_12: Encr.AES_CCM_12,
    EspTransform.AES_CCM_16: Encr.AES_CCM_16,
    EspTransform.AES_GCM_8: Encr.AES_GCM_8,
    EspTransform.AES_GCM_12: Encr.AES_GCM_12,
    EspTransform.AES_GCM_16: Encr.AES_GCM_16,
    EspTransform.CAMELLIA_CBC: Encr.CAMELLIA_CBC,
    EspTransform.NULL_AUTH_AES_GMAC: Encr.NULL_AUTH_AES_GMAC,
}
# Each MAC has a number as the transform of AH, and one as the attribute that ESP and AH have beside their transforms.
_MACS = (
    (AhTransform.MD5, SaAuth.HMAC_MD5, Integ.HMAC_MD5_96),
    (AhTransform.SHA1, SaAuth.HMAC_SHA1, Integ.HMAC_SHA1_96),
    (AhTransform.SHA2_256, SaAuth.HMAC_SHA2_256, Integ.HMAC_SHA2_256_128),
    (AhTransform.SHA2_384, SaAuth.HMAC_SHA2_384, Integ.HMAC_SHA2_384_192),
    (AhTransform.SHA2_512, SaAuth.HMAC_SHA2_512, Integ.HMAC_SHA2_512_256),
    (AhTransform.AES_XCBC, SaAuth.AES_XCBC, Integ.AES_XCBC_96),
    (AhTransform.AES_128_GMAC, SaAuth.AES_128_GMAC, Integ.AES_128_GMAC),
    (AhTransform.AES_192_GMAC, SaAuth.AES_192_GMAC, Integ.AES_192_GMAC),
    (AhTransform.AES_256_GMAC, SaAuth.AES_256_GMAC, Integ.AES_256_GMAC),
)
_AUTHENTICATION = {said: integ for _, said, integ in _MACS}
_AH = {(number, said): integ for number, said, integ in _MACS}
_ENCRYPTION_NUMBER = {encr: number for number, encr in _ENCRYPTION.items()}
_AUTHENTICATION_NUMBER = {integ: said for _, said, integ in _MACS}
_AH_NUMBER = {integ: number for number, _, integ in _MACS}
_ESN = 1  # RFC 4304 section 2
_KNOWN = (
    SaAttribute.KEY_LENGTH,
    SaAttribute.AUTHENTICATION,
    SaAttribute.GROUP,
    SaAttribute.ENCAPSULATION,
    SaAttribute.ESN,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a transform means, but for its lifetime."""

    layer: Layer
    encapsulation: Encapsulation


def protocol_of(layer: Layer) -> Protocol:
    return Protocol.ESP if isinstance(layer, EspSuite) else Protocol.AH


def layers_said(suite: ChildSuite) -> tuple[Layer, ...]:
    """As transforms say them: each has the group of the one key exchange (RFC 2409 section 5.5)."""
    if isinstance(suite, AhEspSuite):
        return (replace(suite.ah, group=suite.group), suite.esp)
    return suite.layers


def can_be_said(suite: ChildSuite) -> bool:
    """Whether IKEv1 has numbers for all of it."""
    return all(_numbers(layer) is not None for layer in suite.layers)


def said(number: int, layer: Layer, encapsulation: Encapsulation, lifetime: Lifetime) -> Transform:
    """The transform that says this. LocalError if IKEv1 has no numbers for it."""
    numbers = _numbers(layer)
    if numbers is None:
        raise LocalError(f"IKEv1 has no numbers for {layer}")
    id_, authentication = numbers
    bits = layer.encryption.key_bits if isinstance(layer, EspSuite) else None
    attributes = (
        *_basic(SaAttribute.KEY_LENGTH, bits),
        *_basic(SaAttribute.AUTHENTICATION, authentication),
        *_basic(SaAttribute.GROUP, layer.group.id if layer.group else None),
        basic(SaAttribute.ENCAPSULATION, encapsulation),
        *_basic(SaAttribute.ESN, _ESN if layer.esn else None),
        *durations.written(lifetime),
    )
    return Transform(number, id_, attributes)


def _basic(kind: SaAttribute, number: int | None) -> tuple[Attribute, ...]:
    return () if number is None else (basic(kind, number),)


def _numbers(layer: Layer) -> tuple[int, int | None] | None:
    """The transform's number, and that of its MAC if it has one."""
    authentication = _AUTHENTICATION_NUMBER.get(layer.integrity.id) if layer.integrity else None
    if layer.integrity and authentication is None:
        return None
    if not isinstance(layer, EspSuite):
        return _AH_NUMBER[layer.integrity.id], authentication
    id_ = _ENCRYPTION_NUMBER.get(layer.encryption.id)
    return None if id_ is None else (id_, authentication)


def meaning(protocol: Protocol, transform: Transform) -> Said | None:
    """None if any part of it isn't understood, isn't offered by us, or contradicts another. A transform has to say its
    mode: without, that depends on the host (RFC 2407 section 4.5)."""
    numbers = _attributes(transform.attributes)
    if numbers is None or SaAttribute.ENCAPSULATION not in numbers:
        return None
    layer = _layer(protocol, transform.id, numbers)
    if layer is None:
        return None
    return Said(layer, Encapsulation(numbers[SaAttribute.ENCAPSULATION]))


def _attributes(attributes: Iterable[Attribute]) -> dict[int, int] | None:
    found: dict[int, int] = {}
    for attribute in attributes:
        if attribute.type in durations.ATTRIBUTES:
            continue  # which never makes a transform unacceptable: an SA ends when the first side wants it to
        known = attribute.type in _KNOWN and attribute.basic
        if not known or found.setdefault(attribute.type, attribute.number) != attribute.number:
            return None
    return found


def _layer(protocol: Protocol, id_: int, numbers: dict[int, int]) -> Layer | None:
    group = algorithms.group(numbers[SaAttribute.GROUP]) if SaAttribute.GROUP in numbers else None
    esn = numbers.get(SaAttribute.ESN)
    if (group is None and SaAttribute.GROUP in numbers) or esn not in (None, _ESN):
        return None
    if protocol == Protocol.ESP:
        return _esp(id_, numbers, group, esn=esn is not None)
    return _ah(id_, numbers, group, esn=esn is not None) if protocol == Protocol.AH else None


def _esp(id_: int, numbers: dict[int, int], group: GroupInfo | None, *, esn: bool) -> EspSuite | None:
    encr, said_mac = _ENCRYPTION.get(EspTransform(id_)), numbers.get(SaAttribute.AUTHENTICATION)
    encryption = algorithms.encryption(encr, numbers.get(SaAttribute.KEY_LENGTH)) if encr is not None else None
    integ = _AUTHENTICATION.get(SaAuth(said_mac)) if said_mac is not None else None
    mac = algorithms.integrity(integ) if integ is not None else None
    # encryption alone, which RFC 2407 has, can be changed under way
    if encryption is None or encryption.aead != (said_mac is None) or encryption.aead != (mac is None):
        return None
    return EspSuite(encryption, mac, group, esn)


def _ah(id_: int, numbers: dict[int, int], group: GroupInfo | None, *, esn: bool) -> AhSuite | None:
    integ = _AH.get((AhTransform(id_), SaAuth(numbers.get(SaAttribute.AUTHENTICATION, SaAuth.NONE))))
    mac = algorithms.ah_integrity(integ) if integ is not None else None
    if mac is None or SaAttribute.KEY_LENGTH in numbers:
        return None
    return AhSuite(mac, group, esn)
