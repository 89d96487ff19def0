"""C22: whoever changes anything of IKE_SA_INIT under way gets no IKE SA established (CVE-2015-4000, CVE-2015-7575).

AUTH covers both messages as they were sent, first octet to last (RFC 7296 section 2.15): offers, public values, nonces,
NAT detection, the cookie, vendor IDs, reserved bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from ipsecd.ike.config import IkeProposal
from ipsecd.wire.ike import HEADER_OCTETS, decode_header
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Sa, VendorId
from ipsecd.wire.registry import Encr, Exchange, Group, NotifyType, Payload, Prf
from tests.exchange.gateways import A, B, Pair, peer_a, peer_b
from tests.exchange.network import Datagram

Tamper = Callable[[bytes], bytes]
STRONG_THEN_WEAK = IkeProposal(
    encryption=((Encr.AES_GCM_16, 256), (Encr.AES_GCM_16, 128)),
    integrity=(),
    prf=(Prf.HMAC_SHA2_512, Prf.HMAC_SHA2_256),
    groups=(Group.CURVE25519,),
)


def tampered(who: str, change: Tamper, cookies: bool = False) -> Pair:
    """Two gateways, and between them somebody who changes each IKE_SA_INIT message of one of them."""
    pair = Pair(
        of_a=peer_b(proposals=(STRONG_THEN_WEAK,)),
        of_b=peer_a(proposals=(STRONG_THEN_WEAK,)),
        cookie_threshold=0 if cookies else 30,
    )

    def between(datagram: Datagram) -> Datagram:
        of_init = not datagram.natt and decode_header(datagram.data).exchange == Exchange.IKE_SA_INIT
        if str(datagram.source.address) != who or not of_init:
            return datagram
        return replace(datagram, data=change(datagram.data))

    pair.net.hook = between
    return pair


def nothing_comes_of_it(pair: Pair) -> bool:
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(200)
    return not (
        pair.a.events("ike-established")
        or [effect for effect in pair.a.effects if "Install" in type(effect).__name__]
        or pair.a.ike.status()
        or pair.b.ike.status()
        or pair.b.inbound
    )


def one_bit(octet: int, bit: int) -> Tamper:
    def change(data: bytes) -> bytes:
        if octet >= len(data):
            return data
        return data[:octet] + bytes([data[octet] ^ 1 << bit]) + data[octet + 1 :]

    return change


def lengths() -> tuple[int, int]:
    """Octets of the request and of the answer."""
    pair = tampered("nobody", bytes)
    assert pair.up()
    return len(pair.net.sent[0][1].data), len(pair.net.sent[1][1].data)


@pytest.mark.parametrize(("who", "message"), [(A, 0), (B, 1)], ids=["request", "answer"])
def test_a_bit_of_any_octet(who: str, message: int) -> None:
    random = Random(22)
    for octet in range(lengths()[message]):
        bit = random.randrange(8)
        assert nothing_comes_of_it(tampered(who, one_bit(octet, bit))), (octet, bit)


def of_payload(data: bytes, kind: type, but: Callable[[AnyPayload], bool] = lambda _: True) -> list[int]:
    """Where the payloads of a class stand in a clear message, header included: every octet of theirs."""
    found: list[int] = []
    at = HEADER_OCTETS
    for payload in decode(data).payloads:
        octets = int.from_bytes(data[at + 2 : at + 4], "big")
        if isinstance(payload, kind) and but(payload):
            found += range(at, at + octets)
        at += octets
    return found


def notify_of(*kinds: NotifyType) -> Callable[[AnyPayload], bool]:
    return lambda payload: isinstance(payload, Notify) and payload.type in kinds


NAT_DETECTION = notify_of(NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP)
PARTS: dict[str, tuple[type, Callable[[AnyPayload], bool]]] = {
    "the offer": (Sa, lambda _: True),
    "the public value": (Ke, lambda _: True),
    "the nonce": (Nonce, lambda _: True),
    "NAT detection": (Notify, NAT_DETECTION),
    "the vendor ID": (VendorId, lambda _: True),
    "fragmentation": (Notify, notify_of(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("who", [A, B], ids=["request", "answer"])
def test_every_bit_of_some_octets_of_each_part(part: str, who: str) -> None:
    kind, but = PARTS[part]
    pair = tampered("nobody", bytes)
    assert pair.up()
    data = pair.net.sent[0 if who == A else 1][1].data
    octets = of_payload(data, kind, but)
    assert octets
    for octet in Random(part).sample(octets, min(4, len(octets))):
        for bit in range(8):
            assert nothing_comes_of_it(tampered(who, one_bit(octet, bit))), (octet, bit)


def test_every_octet_of_the_cookie() -> None:
    """Which stands in the request alone that the initiator repeats with it."""
    first = HEADER_OCTETS

    def change(octet: int) -> Tamper:
        def flip(data: bytes) -> bytes:
            with_cookie = data[16] == Payload.NOTIFY
            return one_bit(octet, octet % 8)(data) if with_cookie else data

        return flip

    for octet in range(first, first + 8 + 17):
        pair = tampered(A, change(octet), cookies=True)
        assert nothing_comes_of_it(pair), octet
        assert not pair.b.entropy.key_pairs or octet < first + 8, "a key pair for a wrong cookie"


def test_a_cookie_that_somebody_adds_or_takes_away() -> None:
    def add(data: bytes) -> bytes:
        message = decode(data)
        return encode(message.header, (Notify(NotifyType.COOKIE, b"added"), *message.payloads))

    assert nothing_comes_of_it(tampered(A, add))

    def take_away(data: bytes) -> bytes:
        message = decode(data)
        left = tuple(payload for payload in message.payloads if not notify_of(NotifyType.COOKIE)(payload))
        return encode(message.header, left)

    assert nothing_comes_of_it(tampered(A, take_away, cookies=True))


def without_strongest(data: bytes) -> bytes:
    """The first transform of each type that has two is struck out."""
    message = decode(data)

    def strike(payload: AnyPayload) -> AnyPayload:
        if not isinstance(payload, Sa):
            return payload
        (proposal,) = payload.proposals
        kinds = [transform.type for transform in proposal.transforms]
        left = [
            transform
            for number, transform in enumerate(proposal.transforms)
            if transform.type in kinds[:number] or kinds.count(transform.type) == 1
        ]
        return Sa((replace(proposal, transforms=tuple(left)),))

    return encode(message.header, tuple(map(strike, message.payloads)))


def test_an_offer_without_its_strongest_transforms_leads_to_the_weaker_ones_and_then_to_nothing() -> None:
    pair = tampered(A, without_strongest)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(0.025)
    (sa,) = pair.b.ike.status()
    assert sa.suite == "aes128gcm16-prfsha256-x25519"  # both believe in it until AUTH
    pair.net.run(200)
    assert not pair.a.events("ike-established")
    assert not pair.b.events("ike-established")
    (report,) = pair.b.events("auth-failed")
    assert report.fields["reason"] == "the pre-shared key of a.example isn't the one we have"


def test_nobody_in_between_and_the_strongest_is_taken() -> None:
    pair = tampered("nobody", bytes)
    assert pair.up()
    assert pair.a.ike.status()[0].suite == "aes256gcm16-prfsha512-x25519"


def test_an_answer_that_is_swapped_for_the_weaker_choice_comes_to_nothing() -> None:
    def weaker(data: bytes) -> bytes:
        message = decode(data)

        def swap(payload: AnyPayload) -> AnyPayload:
            if not isinstance(payload, Sa):
                return payload
            (proposal,) = payload.proposals
            first, *rest = proposal.transforms
            return Sa((replace(proposal, transforms=(replace(first, key_bits=128), *rest)),))

        return encode(message.header, tuple(map(swap, message.payloads)))

    assert nothing_comes_of_it(tampered(B, weaker))
