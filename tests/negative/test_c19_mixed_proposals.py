"""C19, the negotiation's part: an offer that misses or mixes what it needs makes nothing (CVE-2016-5391,
CVE-2024-3652).

Each is offered alone by somebody who has the right key, to a gateway that would take its good form.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import EspProposal, IkeConfig
from ipsecd.ike.effects import InstallInbound, InstallOutbound
from ipsecd.wire.payloads import Ke, Nonce, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Esn, Exchange, Group, Integ, NotifyType, Prf, Protocol, TransformType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import (
    ESP_CLASSIC,
    ESP_GCM,
    IKE_CLASSIC,
    IKE_X25519,
    KEY,
    A,
    B,
    child_of_a,
    mirrored,
    peer_a,
)
from tests.exchange.stranger import Stranger, notified

KEY_A = KEY.key.reveal()
GCM, PRF = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128), Transform(TransformType.PRF, Prf.HMAC_SHA2_256)
CBC, CBC_256 = Transform(TransformType.ENCR, Encr.AES_CBC, 128), Transform(TransformType.ENCR, Encr.AES_CBC, 256)
MAC, NO_MAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128), Transform(TransformType.INTEG, Integ.NONE)
NULL, GMAC = Transform(TransformType.ENCR, Encr.NULL), Transform(TransformType.ENCR, Encr.NULL_AUTH_AES_GMAC, 128)
X25519, P256 = Transform(TransformType.DH, Group.CURVE25519), Transform(TransformType.DH, Group.ECP_256)
NO_GROUP = Transform(TransformType.DH, Group.NONE)
ESN, NO_ESN = Transform(TransformType.ESN, Esn.YES), Transform(TransformType.ESN, Esn.NO)
ODD_LENGTHS = (None, 0, 1, 7, 64, 127, 129, 512, 65_535)
TWICE = ((0x800E, (128).to_bytes(2, "big")),)  # a second key length


def odd(cipher: Transform, *right: int) -> dict[str, Transform]:
    return {
        **{f"a key of {bits} bits": replace(cipher, key_bits=bits) for bits in ODD_LENGTHS if bits not in right},
        "two key lengths": replace(cipher, unknown=TWICE),
        "an attribute nobody knows": replace(cipher, unknown=((0x800F, b"\0\0"),)),
    }


def gateway() -> tuple[Ike, SeededEntropy]:
    child = mirrored(child_of_a(proposals=(ESP_GCM, ESP_CLASSIC)))
    entropy = SeededEntropy("b")
    both = (IKE_X25519, replace(IKE_CLASSIC, groups=(Group.CURVE25519,)))
    return Ike(IkeConfig((peer_a(child, proposals=both),)), entropy), entropy


GOOD_OF_IKE = {
    "AEAD": (GCM, PRF, X25519),
    "AEAD and no MAC": (GCM, PRF, NO_MAC, X25519),
    "CBC": (CBC_256, PRF, MAC, X25519),
}
BAD_OF_IKE: dict[str, tuple[Transform, ...]] = {
    "no cipher": (PRF, X25519),
    "no PRF": (GCM, X25519),
    "no group": (GCM, PRF),
    "no group by name": (GCM, PRF, NO_GROUP),
    "CBC without a MAC": (CBC_256, PRF, X25519),
    "CBC with no MAC by name": (CBC_256, PRF, NO_MAC, X25519),
    "CBC without a PRF": (CBC_256, MAC, X25519),
    "AEAD with a MAC": (GCM, PRF, MAC, X25519),
    "no encryption": (NULL, PRF, MAC, X25519),
    "neither encryption nor MAC": (NULL, PRF, NO_MAC, X25519),
    "GMAC": (GMAC, PRF, X25519),
    "a PRF of a broken hash": (GCM, Transform(TransformType.PRF, Prf.HMAC_MD5), X25519),
    "a PRF for the MAC": (CBC_256, PRF, Transform(TransformType.INTEG, Integ.HMAC_MD5_96), X25519),
    "a group of 1024 bits": (GCM, PRF, Transform(TransformType.DH, Group.MODP_1024)),
    "sequence numbers": (GCM, PRF, X25519, NO_ESN),
    **{f"GCM, {name}": (cipher, PRF, X25519) for name, cipher in odd(GCM, 128).items()},
    **{f"CBC, {name}": (cipher, PRF, MAC, X25519) for name, cipher in odd(CBC_256, 256).items()},
}


def begin(transforms: tuple[Transform, ...]) -> tuple[Stranger, SeededEntropy, list[NotifyType]]:
    ike, entropy = gateway()
    stranger = Stranger(ike, B, A)
    _, *rest = stranger.sa_init_payloads()
    answer = stranger.sa_init((Sa((Proposal(1, Protocol.IKE, b"", transforms),)), *rest))
    return stranger, entropy, notified(answer.payloads if answer else ())


@pytest.mark.parametrize("case", GOOD_OF_IKE)
def test_a_good_offer_for_an_ike_sa_makes_one(case: str) -> None:
    stranger, entropy, errors = begin(GOOD_OF_IKE[case])
    assert not [error for error in errors if error.is_error]
    assert len(stranger.ike.status()) == sum(entropy.key_pairs.values()) == 1


@pytest.mark.parametrize("case", BAD_OF_IKE)
def test_a_bad_offer_for_an_ike_sa_costs_no_key_pair(case: str) -> None:
    stranger, entropy, errors = begin(BAD_OF_IKE[case])
    assert errors == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert not stranger.ike.status()
    assert not entropy.key_pairs


GOOD_OF_CHILD = {
    "AEAD": (GCM, NO_ESN),
    "AEAD and no MAC": (GCM, NO_MAC, NO_ESN),
    "CBC": (CBC, MAC, NO_ESN),
    "either kind of sequence numbers": (GCM, NO_ESN, ESN),
    "no group by name": (GCM, NO_GROUP, ESN),
}
BAD_OF_CHILD: dict[str, tuple[Transform, ...]] = {
    "no cipher": (NO_ESN,),
    "no sequence numbers": (GCM,),
    "CBC without a MAC": (CBC, NO_ESN),
    "CBC with no MAC by name": (CBC, NO_MAC, NO_ESN),
    "CBC without sequence numbers": (CBC, MAC),
    "AEAD with a MAC": (GCM, MAC, NO_ESN),
    "no encryption": (NULL, MAC, NO_ESN),
    "neither encryption nor MAC": (NULL, NO_MAC, NO_ESN),
    "GMAC": (GMAC, NO_ESN),
    "a PRF": (GCM, PRF, NO_ESN),
    "sequence numbers nobody knows": (GCM, Transform(TransformType.ESN, 2)),
    **{f"GCM, {name}": (cipher, NO_ESN) for name, cipher in odd(GCM, 128).items()},
    **{f"CBC, {name}": (cipher, MAC, NO_ESN) for name, cipher in odd(CBC, 128).items()},
}


def offered_by(stranger: Stranger, transforms: tuple[Transform, ...], exchange: Exchange) -> list[NotifyType]:
    """The errors of the answer to such an offer, in IKE_AUTH or after it."""
    if exchange == Exchange.IKE_AUTH:
        *before, sa, left, right = stranger.auth_payloads(KEY_A)
        answer = stranger.ask(exchange, 1, *before, bent(sa, transforms), left, right)
    else:
        stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A)[:3])  # without a child
        sa, left, right = stranger.child_payloads()
        answer = stranger.ask(exchange, 2, bent(sa, transforms), Nonce(bytes(32)), left, right)
    return notified(answer)


def bent(sa: object, transforms: tuple[Transform, ...]) -> Sa:
    assert isinstance(sa, Sa)
    return Sa((replace(sa.proposals[0], transforms=transforms),))


def installed(stranger: Stranger) -> int:
    return len([effect for effect in stranger.effects if isinstance(effect, InstallInbound | InstallOutbound)])


@pytest.mark.parametrize("exchange", [Exchange.IKE_AUTH, Exchange.CREATE_CHILD_SA], ids=str)
@pytest.mark.parametrize("case", GOOD_OF_CHILD)
def test_a_good_offer_for_a_child_makes_one(case: str, exchange: Exchange) -> None:
    stranger = Stranger(gateway()[0], B, A)
    stranger.sa_init()
    assert offered_by(stranger, GOOD_OF_CHILD[case], exchange) == []
    assert installed(stranger) == 2


@pytest.mark.parametrize("exchange", [Exchange.IKE_AUTH, Exchange.CREATE_CHILD_SA], ids=str)
@pytest.mark.parametrize("case", BAD_OF_CHILD)
def test_a_bad_offer_for_a_child_makes_none(case: str, exchange: Exchange) -> None:
    stranger = Stranger(gateway()[0], B, A)
    stranger.sa_init()
    errors = offered_by(stranger, BAD_OF_CHILD[case], exchange)
    assert errors == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert installed(stranger) == 0


def test_pfs_that_we_want_and_the_peer_does_not_offer_is_refused() -> None:
    child = mirrored(child_of_a(proposals=(EspProposal(ESP_GCM.encryption, (), groups=(Group.CURVE25519,)),)))
    stranger = Stranger(Ike(IkeConfig((peer_a(child),)), SeededEntropy("b")), B, A)
    stranger.connect(KEY_A)
    sa, left, right = stranger.child_payloads()
    value = Ke(Group.CURVE25519, bytes(range(32)))
    for message_id, transforms in enumerate(((GCM, NO_ESN), (GCM, NO_GROUP, NO_ESN), (GCM, P256, NO_ESN)), 2):
        payloads = (bent(sa, transforms), Nonce(bytes(32)), value, left, right)
        answer = stranger.ask(Exchange.CREATE_CHILD_SA, message_id, *payloads)
        assert notified(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
    payloads = (bent(sa, (GCM, X25519, NO_ESN)), Nonce(bytes(32)), left, right)
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 5, *payloads)
    assert answer == (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x1f"),)
