"""Messages that are only unusual, and those that are wrong once it's proven who sent them: each of these is answered,
and with the right error (RFC 7296 sections 2.5, 2.21.3, 3.2 and 3.10.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.ike.effects import InstallInbound, Report
from ipsecd.wire.payloads import (
    AnyPayload,
    Auth,
    Cp,
    Delete,
    IdR,
    Ke,
    Nonce,
    Notify,
    Proposal,
    Sa,
    TsI,
    Unknown,
    VendorId,
)
from ipsecd.wire.registry import ConfigType, Exchange, Flag, Group, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, Pair, peer_a
from tests.exchange.stranger import ESP_GCM, Stranger, notified
from tests.exchange.transcript import Tap

KEY_A = KEY.key.reveal()
NONCE = Nonce(bytes(range(32)))
BIG_STATUS = Notify(NotifyType(50_000), bytes(2_000))


def called() -> Stranger:
    return Stranger(Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, A)


def connected() -> Stranger:
    stranger = called()
    stranger.connect(KEY_A)
    return stranger


def half_open() -> Stranger:
    stranger = called()
    assert stranger.sa_init() is not None
    return stranger


def stands(stranger: Stranger) -> bool:
    return [sa.stage for sa in stranger.ike.status()] == ["established"]


# --- unusual -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [VendorId(bytes(300)), VendorId(b""), BIG_STATUS, Unknown(200, False, b"x")], ids=repr)
def test_what_is_unusual_in_ike_sa_init_is_no_reason_to_refuse_it(more: AnyPayload) -> None:
    stranger = called()
    answer = stranger.sa_init((*stranger.sa_init_payloads(), more))
    assert answer is not None
    assert any(isinstance(payload, Ke) for payload in answer.payloads)


@pytest.mark.parametrize("more", [VendorId(bytes(300)), BIG_STATUS, Unknown(200, False, b"x"), Cp(ConfigType(1), ())])
def test_what_is_unusual_in_ike_auth_is_no_reason_to_refuse_it(more: AnyPayload) -> None:
    stranger = half_open()
    answer = stranger.ask(Exchange.IKE_AUTH, 1, more, *stranger.auth_payloads(KEY_A))
    assert notified(answer) == []
    assert stands(stranger)


@pytest.mark.parametrize("more", [BIG_STATUS, Notify(NotifyType.SET_WINDOW_SIZE, bytes(4)), VendorId(bytes(3_000))])
def test_what_is_unusual_in_informational_is_no_reason_to_refuse_it(more: AnyPayload) -> None:
    stranger = connected()
    assert stranger.ask(Exchange.INFORMATIONAL, 2, more) == ()
    assert stands(stranger)


def test_a_complaint_that_quotes_a_whole_packet_is_told_and_ends_nothing() -> None:
    """INVALID_SELECTORS holds the start of the packet (section 3.10.1)."""
    stranger = connected()
    quoting = Notify(NotifyType.INVALID_SELECTORS, bytes(1_400), Protocol.ESP, stranger.child_spi)
    assert stranger.ask(Exchange.INFORMATIONAL, 2, quoting) == ()
    assert stands(stranger)
    (report,) = [effect for effect in stranger.effects if isinstance(effect, Report)]
    assert report.event == "peer-complains"
    assert report.fields["reason"] == "the peer got packets outside the traffic selectors (INVALID_SELECTORS)"


@pytest.mark.parametrize("count", [65, 100, 255])
def test_as_many_selectors_as_can_be_counted_are_read_and_narrowed(count: int) -> None:
    stranger = half_open()
    *before, _, right = stranger.auth_payloads(KEY_A)
    many = TsI(tuple(Selector.net(f"10.{number}.0.0/16") for number in range(count)))
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *before, many, right)
    assert notified(answer) == []
    (installed,) = [effect for effect in stranger.effects if isinstance(effect, InstallInbound)]
    assert [str(selector) for selector in installed.remote] == ["10.1.0.0/16"]


def test_a_responder_says_that_an_ike_sa_may_be_had_without_a_child() -> None:
    """RFC 6023 section 3: unasked; and then it must be so."""
    stranger = called()
    answer = stranger.sa_init()
    assert answer is not None
    assert NotifyType.CHILDLESS_IKEV2_SUPPORTED in notified(answer.payloads)
    identity, asked, proof, *_ = stranger.auth_payloads(KEY_A)
    opened = stranger.ask(Exchange.IKE_AUTH, 1, identity, asked, proof)
    assert [type(payload) for payload in opened or ()] == [IdR, Auth]
    assert stands(stranger)
    assert stranger.ask(Exchange.CREATE_CHILD_SA, 2, *stranger.child_payloads(), NONCE)
    assert len(stranger.ike.status()[0].children) == 1


# --- authentic, and wrong ----------------------------------------------------------------------------------------


IMPOSSIBLE = (b"", b"\xff", b"\0\0\3")  # the last octet promises more padding than there is, or isn't there


@pytest.mark.parametrize("padding", IMPOSSIBLE)
def test_an_authentic_request_with_impossible_padding_is_answered_and_ends_the_ike_sa(padding: bytes) -> None:
    stranger = connected()
    (answer,) = stranger.send(stranger.seal_octets(stranger.header(Exchange.INFORMATIONAL, 2), 0, b"", padding))
    assert notified(stranger.open(answer)) == [NotifyType.INVALID_SYNTAX]
    assert stranger.ike.counters["bad-padding"] == 1
    assert not stranger.ike.status()


@pytest.mark.parametrize("padding", IMPOSSIBLE)
def test_an_ike_auth_with_impossible_padding_is_answered_and_ends_the_attempt(padding: bytes) -> None:
    stranger = half_open()
    (answer,) = stranger.send(stranger.seal_octets(stranger.header(Exchange.IKE_AUTH, 1), 0, b"", padding))
    assert notified(stranger.open(answer)) == [NotifyType.INVALID_SYNTAX]
    assert not stranger.ike.status()


@pytest.mark.parametrize("padding", IMPOSSIBLE)
def test_a_response_with_impossible_padding_ends_the_ike_sa_and_what_it_was_to_bring(padding: bytes) -> None:
    stranger = connected()
    stranger.ike.rekey("net", stranger.now)
    header = stranger.header(Exchange.CREATE_CHILD_SA, 0, Flag.INITIATOR | Flag.RESPONSE)
    stranger.send(stranger.seal_octets(header, 0, b"", padding))
    assert stranger.ike.counters["bad-padding"] == 1
    assert not stands(stranger)


WRONG: dict[str, tuple[Exchange, Callable[[Stranger], tuple[AnyPayload, ...]]]] = {
    "no nonce": (Exchange.CREATE_CHILD_SA, lambda stranger: stranger.child_payloads()),
    "two nonces": (Exchange.CREATE_CHILD_SA, lambda stranger: (*stranger.child_payloads(), NONCE, NONCE)),
    "two offers": (
        Exchange.CREATE_CHILD_SA,
        lambda stranger: (*stranger.child_payloads(), *stranger.child_payloads()[:1], NONCE),
    ),
    "no selectors": (Exchange.CREATE_CHILD_SA, lambda stranger: (*stranger.child_payloads()[:2], NONCE)),
    "an SPI of no octets": (
        Exchange.CREATE_CHILD_SA,
        lambda stranger: (
            Unknown(33, False, bytes.fromhex("0000001c 01 03 00 02 0300000c 01000014 800e0080 00000008 05000000")),
            *stranger.child_payloads()[1:],
            NONCE,
        ),
    ),
    "half a delete": (
        Exchange.INFORMATIONAL,
        lambda stranger: (Unknown(42, False, bytes.fromhex("03 04 0002 aabbccdd")),),
    ),
    "octets behind a payload": (Exchange.INFORMATIONAL, lambda stranger: (Unknown(41, False, b"\0"),)),
    "another exchange": (Exchange(240), lambda stranger: ()),
    "IKE_AUTH again": (Exchange.IKE_AUTH, lambda stranger: stranger.auth_payloads(KEY_A)),
    "65 payloads": (Exchange.INFORMATIONAL, lambda stranger: (VendorId(b""),) * 65),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_authentic_request_that_is_malformed_is_answered_with_invalid_syntax_and_ends_the_ike_sa(case: str) -> None:
    exchange, payloads = WRONG[case]
    stranger = connected()
    answer = stranger.ask(exchange, 2, *payloads(stranger))
    assert answer == (Notify(NotifyType.INVALID_SYNTAX),)
    assert not stranger.ike.status()
    # and its repeat gets the same answer, for a while
    assert stranger.ike.counters["internal-error"] == 0


@pytest.mark.parametrize("exchange", [Exchange.INFORMATIONAL, Exchange.CREATE_CHILD_SA])
@pytest.mark.parametrize("kind", [1, 32, 49, 127, 200, 255])
def test_a_critical_payload_nobody_knows_is_refused_by_its_type_and_ends_nothing(exchange: Exchange, kind: int) -> None:
    """Section 2.5: the one octet of data is the payload's type."""
    stranger = connected()
    answer = stranger.ask(exchange, 2, *stranger.child_payloads(), NONCE, Unknown(kind, True, b"?"))
    assert answer == (Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([kind])),)
    assert stands(stranger)
    assert not [effect for effect in stranger.effects if isinstance(effect, InstallInbound)]


def test_a_critical_payload_in_ike_auth_is_refused_and_ends_the_attempt() -> None:
    stranger = half_open()
    answer = stranger.ask(Exchange.IKE_AUTH, 1, *stranger.auth_payloads(KEY_A), Unknown(200, True, b""))
    assert answer == (Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8"),)
    assert not stranger.ike.status()


def test_a_critical_payload_in_a_response_is_skipped() -> None:
    """Section 2.5 forbids to send it, and there's nobody to complain to."""
    pair = Pair()
    tap = Tap(pair.net)
    assert pair.up()
    (sa,) = pair.b.ike._core.ikes.values()
    respond = sa.respond
    sa.respond = lambda exchange, payloads, path: respond(  # type: ignore[method-assign]  # b says one more thing
        exchange, (*payloads, Unknown(200, True, b"")), path
    )
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(10)
    assert any("Unknown" in line for line in tap.lines())
    assert pair.agree(1)
    assert len(pair.a.events("child-rekeyed")) == 1


REFUSED: dict[str, tuple[Callable[[Stranger], tuple[AnyPayload, ...]], Notify]] = {
    "no common proposal": (
        lambda stranger: (
            Sa((Proposal(1, Protocol.ESP, b"spi!", (replace(ESP_GCM[0], id=2, key_bits=None), ESP_GCM[1])),)),
            *stranger.child_payloads()[1:],
            NONCE,
        ),
        Notify(NotifyType.NO_PROPOSAL_CHOSEN),
    ),
    "AH": (
        lambda stranger: (
            Sa((Proposal(1, Protocol.AH, b"spi!", ESP_GCM),)),
            *stranger.child_payloads()[1:],
            NONCE,
        ),
        Notify(NotifyType.NO_PROPOSAL_CHOSEN),
    ),
    "selectors of nobody": (
        lambda stranger: (*stranger.child_payloads("10.9.0.0/16"), NONCE),
        Notify(NotifyType.TS_UNACCEPTABLE),
    ),
    "selectors of another family": (
        lambda stranger: (*stranger.child_payloads("2001:db8::/64", "2001:db8:1::/64"), NONCE),
        Notify(NotifyType.TS_UNACCEPTABLE),
    ),
    "a rekey of nothing": (
        lambda stranger: (
            Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, b"none"),
            *stranger.child_payloads(),
            NONCE,
        ),
        Notify(NotifyType.CHILD_SA_NOT_FOUND, b"", Protocol.ESP, b"none"),
    ),
    "another group for the IKE SA": (
        lambda stranger: (
            replace(
                stranger.sa_init_payloads()[0],  # type: ignore[type-var]  # an SA
                proposals=(
                    replace(stranger.sa_init_payloads()[0].proposals[0], spi=b"the heir"),  # type: ignore[union-attr]  # an SA
                ),
            ),
            Ke(Group.ECP_256, bytes(64)),
            NONCE,
        ),
        Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x1f"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_policy_refuses_is_answered_with_the_error_that_names_it_and_ends_nothing(case: str) -> None:
    payloads, error = REFUSED[case]
    stranger = connected()
    answer = stranger.ask(Exchange.CREATE_CHILD_SA, 2, *payloads(stranger))
    assert answer is not None
    (notify,) = answer
    assert isinstance(notify, Notify)
    assert (notify.type, notify.data) == (error.type, error.data)
    assert stands(stranger)
    assert not [effect for effect in stranger.effects if isinstance(effect, InstallInbound)]


@pytest.mark.parametrize("error", [NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX])
def test_the_peers_fatal_errors_end_the_ike_sa_without_a_delete(error: NotifyType) -> None:
    stranger = connected()
    assert stranger.ask(Exchange.INFORMATIONAL, 2, Notify(error)) == ()
    assert not stranger.ike.status()


@pytest.mark.parametrize("error", [NotifyType.INVALID_SPI, NotifyType.TEMPORARY_FAILURE, NotifyType(8_191)])
def test_the_peers_other_errors_are_told_and_end_nothing(error: NotifyType) -> None:
    """Section 3.10.1: an unrecognised error in a request is ignored."""
    stranger = connected()
    assert stranger.ask(Exchange.INFORMATIONAL, 2, Notify(error, b"about it")) == ()
    assert stands(stranger)
    (report,) = [effect for effect in stranger.effects if isinstance(effect, Report)]
    assert report.event == "peer-complains"


def test_a_delete_that_stands_twice_is_carried_out_once() -> None:
    stranger = connected()
    gone = Delete(Protocol.ESP, (stranger.child_spi,) * 2)
    answer = stranger.ask(Exchange.INFORMATIONAL, 2, gone, gone)
    (delete,) = answer or ()
    assert isinstance(delete, Delete)
    assert len(delete.spis) == 1
    assert stranger.ike.counters["internal-error"] == 0
    assert stands(stranger)
