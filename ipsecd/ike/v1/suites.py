"""The algorithms of an ISAKMP SA (RFC 2409 appendix A): offered as whole suites, of which the responder takes one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipsecd.crypto import algorithms
from ipsecd.crypto.algorithms import Encryption, GroupInfo, PrfAlgorithm
from ipsecd.errors import LocalError, PeerError, Refused
from ipsecd.ike.config import Lifetime
from ipsecd.ike.v1 import durations
from ipsecd.wire.ikev1_attributes import Attribute, basic
from ipsecd.wire.ikev1_payloads import Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Prf
from ipsecd.wire.registry_v1 import (
    NotifyType,
    OakleyAttribute,
    OakleyAuth,
    OakleyEncryption,
    OakleyHash,
    OakleyTransform,
    Protocol,
)

_ENCRYPTION = {
    OakleyEncryption.DES_CBC: Encr.DES,
    OakleyEncryption.TRIPLE_DES_CBC: Encr.TRIPLE_DES,
    OakleyEncryption.AES_CBC: Encr.AES_CBC,
    OakleyEncryption.CAMELLIA_CBC: Encr.CAMELLIA_CBC,
}
_HASH = {
    OakleyHash.MD5: Prf.HMAC_MD5,
    OakleyHash.SHA1: Prf.HMAC_SHA1,
    OakleyHash.SHA2_256: Prf.HMAC_SHA2_256,
    OakleyHash.SHA2_384: Prf.HMAC_SHA2_384,
    OakleyHash.SHA2_512: Prf.HMAC_SHA2_512,
}
_ENCRYPTION_NUMBER = {encr: number for number, encr in _ENCRYPTION.items()}
_HASH_NUMBER = {prf: number for number, prf in _HASH.items()}
_DEFAULT = Lifetime(28_800)  # RFC 2407 section 4.5, of an offer that doesn't say
_ISAKMP = OakleyTransform.KEY_IKE


@dataclass(frozen=True, slots=True)
class IsakmpSuite:
    """``encryption`` works in CBC mode, ``prf`` is the HMAC of a hash. ``method`` is how both ends prove themselves."""

    encryption: Encryption
    prf: PrfAlgorithm
    group: GroupInfo
    method: OakleyAuth

    def __str__(self) -> str:
        return "-".join((self.encryption.name, self.prf.hash, self.group.name))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and the SA payload that says so. ``lifetime`` was offered with it; without a limit the peer ends
    the SA when it wants to."""

    suite: IsakmpSuite
    lifetime: Lifetime
    answer: Sa


def offer(suites: Iterable[IsakmpSuite], lifetime: Lifetime) -> Sa:
    """One proposal with a transform for each suite, in order. LocalError for a suite that IKEv1 has no numbers for."""
    transforms = tuple(_transform(number, suite, lifetime) for number, suite in enumerate(suites, 1))
    return Sa((Proposal(1, Protocol.ISAKMP, b"", transforms),))


def can_be_said(encryption: Encryption, prf: PrfAlgorithm) -> bool:
    """Whether IKEv1 has numbers for both."""
    return encryption.id in _ENCRYPTION_NUMBER and prf.id in _HASH_NUMBER


def choose(offered: Sa, suites: tuple[IsakmpSuite, ...]) -> Choice:
    """The first transform offered that is one of ``suites``, sent back as it came, with the numbers it had (RFC 2408
    section 4.2). Refused("no-proposal-chosen") if none is."""
    for proposal in offered.proposals:
        if proposal.protocol != Protocol.ISAKMP:
            continue
        for transform in proposal.transforms:
            suite = _suite(transform)
            if suite in suites:
                answer = Proposal(proposal.number, Protocol.ISAKMP, b"", (transform,))
                return Choice(suite, _lifetime(transform), Sa((answer,)))
    raise Refused(
        "no-proposal-chosen",
        f"no common proposal; the peer offers {describe(offered)}; we take {', '.join(map(str, suites))}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
    )


def accepted(suites: tuple[IsakmpSuite, ...], answer: Sa) -> IsakmpSuite:
    """The suite that the responder took. PeerError("bad-proposal-answer") unless it's one of ``suites``, our offer.
    The lifetime beside it doesn't count: the responder must send back ours (RFC 2409 section 5)."""
    transforms = [transform for proposal in answer.proposals for transform in proposal.transforms]
    suite = _suite(transforms[0]) if len(transforms) == 1 else None
    if suite not in suites or answer.proposals[0].protocol != Protocol.ISAKMP or suite is None:
        raise PeerError("bad-proposal-answer", f"it takes {describe(answer)}, which we didn't offer")
    return suite


def describe(sa: Sa) -> str:
    """Suites in the keywords of a policy, for people."""
    return ", ".join(_text(transform) for proposal in sa.proposals for transform in proposal.transforms)


def _transform(number: int, suite: IsakmpSuite, lifetime: Lifetime) -> Transform:
    encryption, prf = _ENCRYPTION_NUMBER.get(suite.encryption.id), _HASH_NUMBER.get(suite.prf.id)
    if encryption is None or prf is None:
        raise LocalError(f"IKEv1 has no numbers for {suite}")
    bits = suite.encryption.key_bits
    key_length = () if bits is None else (basic(OakleyAttribute.KEY_LENGTH, bits),)
    attributes = (
        basic(OakleyAttribute.ENCRYPTION, encryption),
        *key_length,
        basic(OakleyAttribute.HASH, prf),
        basic(OakleyAttribute.GROUP, suite.group.id),
        basic(OakleyAttribute.AUTHENTICATION, suite.method),
        *durations.written(lifetime, durations.OF_PHASE_1),
    )
    return Transform(number, _ISAKMP, attributes)


_BASIC = (
    OakleyAttribute.ENCRYPTION,
    OakleyAttribute.KEY_LENGTH,
    OakleyAttribute.HASH,
    OakleyAttribute.AUTHENTICATION,
    OakleyAttribute.GROUP,
    OakleyAttribute.LIFE_TYPE,
)


def _suite(transform: Transform) -> IsakmpSuite | None:
    """What a transform means; None if any part of it isn't understood, isn't offered by us, or contradicts another."""
    said: dict[int, int] = {}
    if transform.id != _ISAKMP:
        return None
    for attribute in transform.attributes:
        if attribute.type in durations.OF_PHASE_1:
            continue  # which never makes a suite unacceptable: the SA ends when the first side wants it to
        known = attribute.type in _BASIC and attribute.basic
        if not known or said.setdefault(attribute.type, attribute.number) != attribute.number:
            return None
    encr = _ENCRYPTION.get(OakleyEncryption(said.get(OakleyAttribute.ENCRYPTION, 0)))
    prf_id = _HASH.get(OakleyHash(said.get(OakleyAttribute.HASH, 0)))
    group = algorithms.group(said.get(OakleyAttribute.GROUP, 0))
    method = said.get(OakleyAttribute.AUTHENTICATION)
    if encr is None or prf_id is None or group is None or method is None:
        return None
    encryption = algorithms.encryption(encr, said.get(OakleyAttribute.KEY_LENGTH))
    prf = algorithms.prf(prf_id)
    if encryption is None or prf is None:
        return None
    return IsakmpSuite(encryption, prf, group, OakleyAuth(method))


def _lifetime(transform: Transform) -> Lifetime:
    """0 seconds is what strongSwan says if it has no limit."""
    found = durations.read(transform.attributes, durations.OF_PHASE_1)
    endless = any(each.type == OakleyAttribute.LIFE_DURATION and not each.number for each in transform.attributes)
    return found if found.seconds is not None or endless else durations.shorter(found, _DEFAULT)


def _text(transform: Transform) -> str:
    suite = _suite(transform)
    if suite is not None:
        return f"{suite} by {suite.method}"
    return "-".join(map(_attribute_text, transform.attributes)) or "nothing"


_NAMES = {
    OakleyAttribute.ENCRYPTION: OakleyEncryption,
    OakleyAttribute.HASH: OakleyHash,
    OakleyAttribute.AUTHENTICATION: OakleyAuth,
}


def _attribute_text(attribute: Attribute) -> str:
    registry = _NAMES.get(OakleyAttribute(attribute.type))
    number = attribute.number & 0xFFFF
    return str(registry(number)) if registry else f"{OakleyAttribute(attribute.type)}={attribute.number}"
