"""C3, the engine's part: versions, exchanges and payloads that aren't ours have a named end, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig, Version
from ipsecd.wire.ike import HEADER_OCTETS, Header
from ipsecd.wire.ikev2 import decode
from ipsecd.wire.payloads import Notify
from ipsecd.wire.registry import Exchange, Flag, NotifyType, Payload
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import IKE_CLASSIC, IKE_X25519, KEY, A, B, peer_a
from tests.exchange.stranger import Stranger

KEY_A = KEY.key.reveal()
BODIES = (b"", bytes(4), bytes(range(40)))


def stranger_of(ike: Ike, seed: int = 0) -> Stranger:
    return Stranger(ike, B, A, seed=seed)


def gateway() -> Ike:
    return Ike(IkeConfig((peer_a(),)), SeededEntropy("b"))


def connected() -> Stranger:
    stranger = stranger_of(gateway())
    stranger.connect(KEY_A)
    return stranger


def payload(body: bytes) -> bytes:
    return bytes(2) + (4 + len(body)).to_bytes(2, "big") + body


def datagram(header: Header, first: int, octets: bytes) -> bytes:
    return replace(header, next_payload=first, length=HEADER_OCTETS + len(octets)).encode() + octets


def test_a_major_version_is_one_of_ours_or_dropped_and_a_higher_one_told_once() -> None:
    for version in range(256):
        stranger = stranger_of(gateway())
        major, minor = version >> 4, version & 15
        header = replace(stranger.header(Exchange.IKE_SA_INIT, 0), major=major, minor=minor)
        answers = stranger.send(datagram(header, Payload.NOTIFY, payload(b"\0\0\x40\x00") * 4))
        assert stranger.ike.counters["major-version"] == (major not in (1, 2))
        assert major != 1 or sum(stranger.ike.counters.values()) == 1
        if major <= 2:
            assert answers == []
            continue
        (answer,) = answers
        assert decode(answer).payloads == (Notify(NotifyType.INVALID_MAJOR_VERSION),)
        assert decode(answer).header.flags == Flag.RESPONSE
        assert answer[:8] == header.spi_i


def both_versions() -> Ike:
    peer = peer_a(versions=(Version.IKEV2, Version.IKEV1), proposals=(IKE_X25519, IKE_CLASSIC))
    return Ike(IkeConfig((peer,)), SeededEntropy("b"))


@pytest.mark.parametrize("engine", [gateway, both_versions])
def test_exchanges_of_ikev1_that_arent_spoken_have_no_answer_and_leave_nothing(engine: Callable[[], Ike]) -> None:
    """AuthIP's are 243 and what follows; 34 to 37 are those of IKEv2, whose SPIs would be cookies here."""
    ike = engine()
    stranger = stranger_of(ike)
    spoken = {2, 4, 5, 6, 32}
    for number in set(range(256)) - spoken:
        for spi_r in (bytes(8), bytes(range(8))):
            header = replace(stranger.header(Exchange(number), 0), major=1, spi_r=spi_r)
            assert stranger.send(datagram(header, 0, b"")) == []
            assert stranger.send(datagram(header, Payload.NOTIFY, payload(b"\0\0\x40\x00"))) == []
    assert ike.status() == []
    assert sum(ike.counters.values()) == 4 * (256 - len(spoken))
    stranger.connect(KEY_A)
    assert [sa.stage for sa in ike.status()] == ["established"]


@pytest.mark.parametrize("engine", [gateway, both_versions])
def test_ikev1_on_an_ike_sa_of_ours_changes_nothing(engine: Callable[[], Ike]) -> None:
    stranger = stranger_of(engine())
    stranger.connect(KEY_A)
    before = stranger.ike.status()
    for number in range(256):
        for flags in (Flag(0), Flag(1)):  # in clear, and as if encrypted
            header = replace(stranger.header(Exchange(number), 2), major=1, flags=flags)
            for kind in (0, 1, 5, 8, 11, 12):
                stranger.send(datagram(header, kind, payload(bytes(60))))
    assert [replace(sa, age=0.0) for sa in stranger.ike.status()] == [replace(sa, age=0.0) for sa in before]
    assert stranger.ask(Exchange.INFORMATIONAL, 2) == ()


class Newer(Stranger):
    """Speaks a minor version of its own."""

    minor = 0

    def header(self, exchange: Exchange, message_id: int, flags: Flag = Flag.INITIATOR) -> Header:
        return replace(super().header(exchange, message_id, flags), minor=self.minor)


def test_a_higher_minor_version_is_answered_as_ours() -> None:
    for minor in range(16):
        stranger = Newer(gateway(), B, A)
        stranger.minor = minor
        stranger.connect(KEY_A)
        assert [sa.stage for sa in stranger.ike.status()] == ["established"]


@pytest.mark.parametrize("body", BODIES, ids=len)
def test_every_payload_in_clear_has_a_named_end(body: bytes) -> None:
    for exchange in (Exchange.IKE_SA_INIT, Exchange.IKE_AUTH, Exchange.INFORMATIONAL, Exchange(240)):
        ike = gateway()
        for kind in range(256):
            stranger = stranger_of(ike, kind)
            stranger.send(datagram(stranger.header(exchange, 0), kind, payload(body)))
        assert sum(ike.counters.values()) >= 256
        assert ike.status() == []


@pytest.mark.parametrize("exchange", [Exchange.INFORMATIONAL, Exchange.CREATE_CHILD_SA], ids=str)
def test_every_payload_inside_a_sealed_request_is_answered(exchange: Exchange) -> None:
    """RFC 7296 section 2.21.3: whatever it is, once it's authentic."""
    kinds = range(256) if exchange == Exchange.INFORMATIONAL else (*Payload, 1, 49, 255)
    stranger, message_id = connected(), 1
    for kind in kinds:
        for body in BODIES:
            if not stranger.ike.status():
                stranger, message_id = connected(), 1
            message_id += 1
            sealed = stranger.seal_octets(stranger.header(exchange, message_id), kind, payload(body))
            (answer, *_) = stranger.send(sealed)
            stranger.open(answer)


def test_every_exchange_in_a_sealed_request_is_answered_and_those_we_dont_know_end_the_ike_sa() -> None:
    for number in (*range(0, 256, 9), *Exchange):
        stranger = connected()
        answers = stranger.send(stranger.seal_octets(stranger.header(Exchange(number), 2), 0, b""))
        assert len(answers) == 1, number
        assert bool(stranger.ike.status()) == (number == Exchange.INFORMATIONAL)


def test_the_other_protocol_version_on_an_ike_sa_of_ours_changes_nothing() -> None:
    """CVE-2015-3991 was a payload of one version in a message of the other."""
    stranger = connected()
    before = stranger.ike.status()
    for major in (0, 1, 3, 15):
        for kind in range(256):
            header = replace(stranger.header(Exchange.INFORMATIONAL, 2), major=major)
            stranger.send(datagram(header, kind, payload(bytes(60))))
    assert stranger.ike.status() == before
    assert stranger.ask(Exchange.INFORMATIONAL, 2) == ()
