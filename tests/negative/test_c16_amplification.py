"""C16: nobody's traffic is multiplied, and nobody gets what he didn't ask for (CVE-2016-5361; RFC 7296 section 2.21.4).

Each request here comes from somebody who has proven nothing. What it makes us send in a minute is held against it.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import product

import pytest

from ipsecd.crypto.exchange import generate
from ipsecd.ike import Ike
from ipsecd.ike.config import Encapsulation, IkeConfig, IkeProposal, Path
from ipsecd.ike.effects import Send
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import Message, decode, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa, Transform, Unknown, VendorId
from ipsecd.wire.registry import Encr, Exchange, Flag, Group, Integ, NotifyType, Prf, Protocol, TransformType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import IKE_X25519, A, B, peer_a
from tests.exchange.network import endpoint

PATH = Path(endpoint(B), endpoint(A))
SPI = b"stranger"
GROUPS = (
    *(Group.MODP_2048, Group.MODP_3072, Group.MODP_4096, Group.MODP_6144, Group.MODP_8192),
    *(Group.ECP_256, Group.ECP_384, Group.ECP_521, Group.CURVE25519, Group.CURVE448),
)
GCM = (Transform(TransformType.ENCR, Encr.AES_GCM_16, 128), Transform(TransformType.PRF, Prf.HMAC_SHA2_256))
CBC = (
    Transform(TransformType.ENCR, Encr.AES_CBC, 128),
    Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
    Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
)
IKE_CBC = IkeProposal(((Encr.AES_CBC, 128),), (Integ.HMAC_SHA2_256_128,), (Prf.HMAC_SHA2_256,), GROUPS)
HASHES = (
    Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20)),
    Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, bytes(20)),
)


def gateway(cookie_threshold: int = 30, encapsulation: Encapsulation = Encapsulation.AUTO) -> Ike:
    peer = peer_a(proposals=(replace(IKE_X25519, groups=GROUPS), IKE_CBC), encapsulation=encapsulation)
    return Ike(IkeConfig((peer,), cookie_threshold=cookie_threshold), SeededEntropy("b"))


def offer(*transforms: Transform) -> Sa:
    return Sa((Proposal(1, Protocol.IKE, b"", transforms),))


def smallest(group: Group, transforms: tuple[Transform, ...] = GCM) -> tuple[AnyPayload, ...]:
    """The least that begins an IKE SA with ESP in UDP: one proposal, the shortest nonce."""
    group_offered = Transform(TransformType.DH, group)
    return (offer(*transforms, group_offered), Ke(group, generate(group).public), Nonce(bytes(16)), *HASHES)


SMALLEST = smallest(Group.CURVE25519)
SA, KE, NONCE = SMALLEST[:3]


def request(payloads: tuple[AnyPayload, ...], exchange: Exchange = Exchange.IKE_SA_INIT, **header: object) -> bytes:
    plain = Header(SPI, bytes(8), 0, 2, 0, exchange, Flag.INITIATOR, 0, 0)
    return encode(replace(plain, **header), payloads)  # type: ignore[arg-type]  # names of its fields


def sent_within_a_minute(ike: Ike, data: bytes, path: Path = PATH) -> list[bytes]:
    effects = ike.receive(data, path, 1_000.0)
    for second in range(60):
        effects += ike.timer(1_000.0 + second)
    assert ike.counters["internal-error"] == 0
    return [effect.data for effect in effects if isinstance(effect, Send)]


def answered(data: bytes, cookie_threshold: int = 30) -> Message:
    """The one answer, which is the only thing that is sent in a minute."""
    (answer,) = sent_within_a_minute(gateway(cookie_threshold), data)
    return decode(answer)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_the_answer_to_the_smallest_request_is_at_most_half_as_long_again(group: Group) -> None:
    for transforms, native in product((GCM, CBC), (False, True)):
        data = request(smallest(group, transforms)[: 3 if native else None])
        message = answered(data)
        assert any(isinstance(payload, Ke) for payload in message.payloads)
        assert message.header.length <= 1.5 * len(data)


def test_an_answer_to_one_of_us_is_no_longer_than_that_either() -> None:
    data = request((*SMALLEST, Notify(NotifyType(40_969), bytes(20)), VendorId(b"ipsecd-1")))
    assert answered(data).header.length <= 1.5 * len(data)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_a_cookie_is_less_than_a_third_of_the_smallest_request_that_could_be_taken(group: Group) -> None:
    data = request(smallest(group))
    message = answered(data, cookie_threshold=0)
    assert [payload.type for payload in message.payloads if isinstance(payload, Notify)] == [NotifyType.COOKIE]
    assert message.header.length <= 0.3 * len(data)


def test_a_request_too_short_to_be_taken_is_not_even_asked_for_a_cookie() -> None:
    ike = gateway(cookie_threshold=0)
    assert sent_within_a_minute(ike, request((Nonce(bytes(16)),))) == []
    assert ike.counters == {"sa-init-too-short": 1}


ERRORS: dict[str, tuple[bytes, NotifyType]] = {
    "another group": (
        request((offer(*GCM, Transform(TransformType.DH, Group.ECP_256)), *SMALLEST[1:])),
        NotifyType.INVALID_KE_PAYLOAD,
    ),
    "no proposal": (
        request((offer(Transform(TransformType.ENCR, Encr.DES)), *SMALLEST[1:])),
        NotifyType.NO_PROPOSAL_CHOSEN,
    ),
    "no NAT traversal": (request((SA, KE, NONCE)), NotifyType.NO_PROPOSAL_CHOSEN),
    "a critical payload": (request((*SMALLEST, Unknown(200, True, b""))), NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD),
    "a higher version": (request(SMALLEST, major=3), NotifyType.INVALID_MAJOR_VERSION),
    "an unknown IKE SA": (
        request((NONCE,), Exchange.INFORMATIONAL, spi_r=b"nobody's"),
        NotifyType.INVALID_IKE_SPI,
    ),
}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_no_longer_than_what_it_answers_and_comes_once(error: str) -> None:
    data, kind = ERRORS[error]
    (answer,) = sent_within_a_minute(gateway(encapsulation=Encapsulation.UDP), data)
    (notify,) = decode(answer).payloads
    assert isinstance(notify, Notify)
    assert notify.type == kind
    assert len(answer) <= len(data)


def test_an_error_that_would_be_longer_than_what_it_answers_is_kept_back() -> None:
    for data in (
        request((), Exchange.INFORMATIONAL, spi_r=b"nobody's"),
        request((), major=3),
    ):
        ike = gateway()
        assert sent_within_a_minute(ike, data) == []
        assert ike.counters["complaint-withheld"] == 1


MALFORMED: dict[str, tuple[AnyPayload, ...]] = {
    "nothing": (),
    "no offer": (KE, NONCE, *HASHES),
    "no public value": (SA, NONCE, *HASHES),
    "no nonce": (SA, KE, *HASHES),
    "a short nonce": (SA, KE, Nonce(bytes(15)), *HASHES),
    "two nonces": (*SMALLEST, Nonce(bytes(32))),
    "two offers": (SA, *SMALLEST),
    "a short public value": (SA, Ke(Group.CURVE25519, bytes(31)), NONCE, *HASHES),
    "a public value of small order": (SA, Ke(Group.CURVE25519, bytes(32)), NONCE, *HASHES),
    "two thousand payloads": (Notify(NotifyType(50_000)),) * 2_000,
}
WHOLE = request(SMALLEST)
OTHERS = {
    "bent": WHOLE[:40] + b"\xff" + WHOLE[41:],  # in the proposal
    "cut": WHOLE[:24] + (len(WHOLE) - 7).to_bytes(4, "big") + WHOLE[28:-7],
    "a wrong length": WHOLE[:24] + (len(WHOLE) + 1).to_bytes(4, "big") + WHOLE[28:],
    "no initiator": request(SMALLEST, flags=Flag(0)),
    "message 1": request(SMALLEST, message_id=1),
}
MALFORMED_DATAGRAMS = {name: request(payloads) for name, payloads in MALFORMED.items()} | OTHERS


@pytest.mark.parametrize("case", MALFORMED_DATAGRAMS)
def test_what_is_malformed_gets_no_answer_in_clear(case: str) -> None:
    """RFC 7296 section 3.10.1: INVALID_SYNTAX answers only what was authenticated."""
    ike = gateway()
    assert sent_within_a_minute(ike, MALFORMED_DATAGRAMS[case]) == []
    assert sum(ike.counters.values()) > 0


def test_every_version_below_ours_and_every_response_gets_no_answer() -> None:
    for major in (0, 1):
        assert sent_within_a_minute(gateway(), request(SMALLEST, major=major)) == []
    for exchange in (Exchange.IKE_SA_INIT, Exchange.INFORMATIONAL, Exchange(240)):
        for major in (2, 3):
            data = request(SMALLEST, exchange, flags=Flag.RESPONSE, major=major)
            assert sent_within_a_minute(gateway(), data) == []


def test_a_higher_version_is_told_once_in_a_while() -> None:
    ike = gateway()
    data = request(SMALLEST, major=15)
    sent = [effect for _ in range(1_000) for effect in ike.receive(data, PATH, 1_000.0)]
    assert len(sent) == 10  # the burst
    message = decode(sent[0].data)  # type: ignore[union-attr]  # a Send
    assert message.payloads == (Notify(NotifyType.INVALID_MAJOR_VERSION),)
    assert message.header.major == 2


def test_a_repeated_request_is_answered_where_it_came_from_first_and_seldom() -> None:
    ike = gateway()
    data = request(SMALLEST)
    (first,) = [effect for effect in ike.receive(data, PATH, 1_000.0) if isinstance(effect, Send)]
    elsewhere = Path(endpoint(B), endpoint("203.0.113.200", 53))
    for _ in range(1_000):
        assert ike.receive(data, elsewhere, 1_000.0) == []
    assert ike.counters["sa-init-elsewhere"] == 1_000
    again = [effect for _ in range(1_000) for effect in ike.receive(data, PATH, 1_000.0)]
    assert again == [first] * 10
    assert ike.counters["repeat-rate"] == 990
    other_port = replace(PATH, remote=endpoint(A, 1_024))  # a NAT may change it
    assert ike.receive(data, other_port, 1_001.0) == [Send(first.data, other_port)]


def test_a_responder_never_speaks_unasked_before_it_knows_who_asks() -> None:
    ike = gateway()
    for number in range(20):
        path = replace(PATH, remote=endpoint(str(ip_address(A) + number)))
        ike.receive(request((*SMALLEST, Notify(NotifyType(50_000 + number)))), path, 1_000.0)
    effects = [effect for second in range(200) for effect in ike.timer(1_000.0 + second)]
    assert [effect for effect in effects if isinstance(effect, Send)] == []
    assert ike.status() == []
