"""ESP and AH in UDP, or as IP protocols themselves: what is said in IKE_SA_INIT, what both ends make of it, and what
can't be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import AhProposal, Child, Encapsulation, IkeConfig, Path
from ipsecd.ike.effects import InstallInbound, InstallOutbound, MovePath
from ipsecd.ike.nat import TRUE_SOURCE, hash_of
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import AnyPayload, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import Esn, Exchange, Integ, NotifyType, Protocol, TransformType
from tests.exchange.answerer import Answerer, Payloads
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import ESP_GCM, KEY, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.natbox import NatBox
from tests.exchange.network import Datagram, Node, endpoint
from tests.exchange.stranger import Stranger, notified

AUTO, UDP, NATIVE = Encapsulation.AUTO, Encapsulation.UDP, Encapsulation.NATIVE
OUTSIDE = "203.0.113.1"
AH = AhProposal((Integ.HMAC_SHA2_256_128,))
NATIVE_A_TO_B = Path(endpoint(A, 0), endpoint(B, 0))
NATIVE_B_TO_A = Path(endpoint(B, 0), endpoint(A, 0))
KEY_A = KEY.key.reveal()
BEHIND_NAT = "there is a NAT between us, which native packets can't pass: its rule needs encapsulation auto or udp"
WITH_AH = child_of_a(proposals=(AH, ESP_GCM))


def pair_of(here: Encapsulation, there: Encapsulation, child: Child | None = None) -> Pair:
    child = child or child_of_a()
    return Pair(of_a=peer_b(child, encapsulation=here), of_b=peer_a(mirrored(child), encapsulation=there))


def paths(node: Node) -> set[Path]:
    return {sa.path for sa in (*node.inbound.values(), *node.outbound.values())}


def said(node: Node) -> list[tuple[str, str]]:
    """What status and log say."""
    (report,) = node.events("ike-established")
    return [(sa.encapsulation, report.fields["encapsulation"]) for sa in node.ike.status()]


def far_ends(node: Node) -> list[str]:
    return [sa.far_end(child) for sa in node.ike.status() for child in sa.children]


# --- between two of us -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there"), [(AUTO, AUTO), (AUTO, UDP), (UDP, AUTO), (UDP, UDP)], ids=lambda each: each.value
)
def test_two_of_us_use_udp_unless_one_wants_something_else(here: Encapsulation, there: Encapsulation) -> None:
    pair = pair_of(here, there)
    assert pair.up()
    assert paths(pair.a) == {Path(endpoint(A, 4500), endpoint(B, 4500), natt=True)}
    assert paths(pair.b) == {Path(endpoint(B, 4500), endpoint(A, 4500), natt=True)}
    assert said(pair.a) == said(pair.b) == [("udp", "udp")]
    assert far_ends(pair.a) == [f"{B}:4500"]


@pytest.mark.parametrize(
    ("here", "there"), [(NATIVE, NATIVE), (AUTO, NATIVE), (NATIVE, AUTO)], ids=lambda each: each.value
)
def test_native_packets_if_one_wants_them_and_ike_stays_where_it_is(here: Encapsulation, there: Encapsulation) -> None:
    pair = pair_of(here, there)
    assert pair.up()
    assert paths(pair.a) == {NATIVE_A_TO_B}
    assert paths(pair.b) == {NATIVE_B_TO_A}
    assert said(pair.a) == said(pair.b) == [("native", "native")]
    assert {datagram.destination.port for _, datagram in pair.net.sent} == {500}
    assert far_ends(pair.a) == [B]
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("net", pair.net.now))
        pair.do(node, node.ike.rekey_peer("b" if node is pair.a else "a", pair.net.now))
        pair.net.run(60)
    assert pair.agree(1)
    assert paths(pair.a) == {NATIVE_A_TO_B}
    assert [each.event for each in pair.a.reports[3:]] == ["child-rekeyed", "ike-rekeyed"] * 2
    assert [sa.encapsulation for sa in (*pair.a.ike.status(), *pair.b.ike.status())] == ["native", "native"]


@pytest.mark.parametrize(
    ("here", "there", "reason"),
    [
        (UDP, NATIVE, "the peer wants native packets, and the rule has ESP in UDP alone"),
        (NATIVE, UDP, "the peer wants ESP in UDP, and the rule has native packets alone"),
    ],
    ids=["udp here", "native here"],
)
def test_who_calls_says_why_two_that_want_different_things_cant_have_either(
    here: Encapsulation, there: Encapsulation, reason: str
) -> None:
    pair = pair_of(here, there)
    assert not pair.up(seconds=10)
    assert [each.fields["reason"] for each in pair.a.events("ike-refused")] == [
        f"the peer's answer is of no use: {reason}"
    ]
    assert pair.a.ike.counters["other-encapsulation"] > 0
    assert not pair.a.inbound | pair.b.inbound


def test_a_message_sent_on_from_elsewhere_moves_no_native_packets() -> None:
    """The native packets of the peer would never bring them back, and keep the IKE SA from asking whether it lives."""
    pair = pair_of(NATIVE, NATIVE)
    assert pair.up()
    taken: list[Datagram] = []

    def take(datagram: Datagram) -> Datagram | None:
        if datagram.source.address != ip_address(A) or taken:
            return datagram
        taken.append(datagram)
        return None

    pair.net.hook = take
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(0.2)
    (datagram,) = taken
    pair.net.inject(replace(datagram, source=endpoint("203.0.113.66")))
    pair.net.run(60)
    assert not pair.b.moves
    assert pair.agree(1)
    assert paths(pair.b) == {NATIVE_B_TO_A}


def test_ah_between_two_of_us_is_native_where_that_is_wanted() -> None:
    pair = pair_of(NATIVE, AUTO, child_of_a(proposals=(AH,)))
    assert pair.up()
    assert paths(pair.a) == {NATIVE_A_TO_B}


def test_a_rule_with_ah_says_no_untruth_and_uses_udp_between_two_of_us() -> None:
    pair = pair_of(AUTO, AUTO, WITH_AH)
    assert pair.up()
    message = decode(pair.net.sent[0][1].data)
    sources = {each.data for each in message.payloads if isinstance(each, Notify) and each.type == 16_388}
    assert sources == {hash_of(message.header.spi_i, NO_SPI, endpoint(A, 500))}
    assert paths(pair.a) == {Path(endpoint(A, 4500), endpoint(B, 4500), natt=True)}


# --- a NAT -----------------------------------------------------------------------------------------------------------


def test_native_packets_cant_pass_a_nat_and_who_calls_says_so() -> None:
    pair = Pair(of_a=peer_b(encapsulation=NATIVE), of_b=peer_a(remotes=()))
    pair.net.hook = NatBox(A, OUTSIDE)
    assert not pair.up(seconds=10)
    (report,) = pair.a.events("ike-refused")
    assert report.fields["reason"] == f"the peer's answer is of no use: {BEHIND_NAT}"
    assert not pair.a.inbound | pair.b.inbound


def test_who_is_called_through_a_nat_and_has_native_packets_alone_refuses() -> None:
    pair = Pair(of_b=peer_a(remotes=(), encapsulation=NATIVE))
    pair.net.hook = NatBox(A, OUTSIDE)
    assert not pair.up(seconds=10)
    assert pair.b.ike.counters["native-behind-nat"] > 0
    reasons = {each.fields["reason"] for each in pair.b.reports if "reason" in each.fields}
    assert reasons == {BEHIND_NAT}


def test_of_several_rules_the_one_of_who_calls_decides_after_a_nat_was_seen() -> None:
    """IKE_SA_INIT is answered before it is known whose rule it is."""
    other = peer_a(name="other", remotes=(), remote_id=Identity.parse("c.example"))
    pair = Pair(of_b=(peer_a(remotes=(), encapsulation=NATIVE), other))
    pair.net.hook = NatBox(A, OUTSIDE)
    assert not pair.up(seconds=5)
    (report,) = pair.b.events("child-failed")
    assert report.fields["reason"] == BEHIND_NAT
    assert not pair.b.inbound


def test_a_packet_that_isnt_in_udp_says_nothing_of_where_ike_goes() -> None:
    pair = pair_of(NATIVE, NATIVE)
    assert pair.up()
    (spi,) = pair.b.inbound
    elsewhere = Path(endpoint(B, 0), endpoint(OUTSIDE, 0))
    assert pair.b.ike.peer_moved(spi, elsewhere, pair.net.now) == []
    assert [sa.remote for sa in pair.b.ike.status()] == [f"{A}:500"]


# --- with others -----------------------------------------------------------------------------------------------------


class Other(Stranger):
    """One without a NAT before it, who isn't one of us."""

    def sa_init_payloads(self) -> tuple[AnyPayload, ...]:
        return (
            *super().sa_init_payloads()[:3],
            Notify(NotifyType.NAT_DETECTION_SOURCE_IP, hash_of(self.spi_i, NO_SPI, self.path.remote)),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, hash_of(self.spi_i, NO_SPI, self.path.local)),
        )

    def believes_in_a_nat(self, answer: tuple[AnyPayload, ...]) -> bool:
        sources = {each.data for each in answer if isinstance(each, Notify) and each.type == 16_388}
        return hash_of(self.spi_i, self.spi_r, endpoint(B, 500)) not in sources


class Old(Stranger):
    """One that knows nothing of NATs."""

    def sa_init_payloads(self) -> tuple[AnyPayload, ...]:
        return super().sa_init_payloads()[:3]

    def float(self) -> None:
        """It stays on port 500."""


def at_b(kind: type[Stranger], encapsulation: Encapsulation, child: Child | None = None) -> Stranger:
    peer = peer_a(mirrored(child or child_of_a()), encapsulation=encapsulation)
    return kind(Ike(IkeConfig((peer,)), SeededEntropy("b")), B, A)


def installed(stranger: Stranger) -> set[int]:
    effects = [each for each in stranger.effects if isinstance(each, InstallInbound | InstallOutbound)]
    return {each.path.remote.port for each in effects}


@pytest.mark.parametrize(
    ("encapsulation", "child", "nat", "port"),
    [
        (AUTO, child_of_a(), True, 4500),
        (UDP, child_of_a(), True, 4500),
        (NATIVE, child_of_a(), False, 0),
        (AUTO, WITH_AH, False, 0),
        (UDP, WITH_AH, True, 4500),
    ],
    ids=["auto", "udp", "native", "auto with ah", "udp with ah"],
)
def test_others_believe_in_a_nat_where_udp_is_wanted_and_only_there(
    encapsulation: Encapsulation, child: Child, nat: bool, port: int
) -> None:
    other = at_b(Other, encapsulation, child)
    assert isinstance(other, Other)
    answer = other.sa_init()
    assert answer is not None
    assert other.believes_in_a_nat(answer.payloads) is nat
    assert not [each for each in answer.payloads if isinstance(each, Notify) and each.type == TRUE_SOURCE]
    granted = other.ask(Exchange.IKE_AUTH, 1, *other.auth_payloads(KEY_A))
    assert notified(granted) == []
    assert installed(other) == {port}
    assert not [each for each in other.effects if isinstance(each, MovePath)]


@pytest.mark.parametrize("encapsulation", [AUTO, NATIVE])
def test_who_knows_nothing_of_nats_has_native_packets(encapsulation: Encapsulation) -> None:
    old = at_b(Old, encapsulation)
    assert old.sa_init() is not None
    assert notified(old.ask(Exchange.IKE_AUTH, 1, *old.auth_payloads(KEY_A))) == []
    assert installed(old) == {0}


def test_who_knows_nothing_of_nats_is_refused_where_the_rule_has_udp_alone() -> None:
    old = at_b(Old, UDP)
    answer = old.sa_init()
    assert answer is not None
    assert notified(answer.payloads) == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert old.ike.counters["no-nat-traversal"] == 1


@pytest.mark.parametrize("native", [True, False])
def test_ah_with_others_is_had_only_on_a_machine_that_can_send_it(native: bool) -> None:
    peer = peer_a(mirrored(child_of_a(proposals=(AH,))), encapsulation=UDP)
    other = Other(Ike(IkeConfig((peer,), native=native), SeededEntropy("b")), B, A)
    assert other.sa_init() is not None
    transforms = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128), Transform(TransformType.ESN, Esn.NO)
    ah = Sa((Proposal(1, Protocol.AH, b"\1\2\3\4", transforms),))
    asked = (ah if isinstance(each, Sa) else each for each in other.auth_payloads(KEY_A))
    assert notified(other.ask(Exchange.IKE_AUTH, 1, *asked)) == ([] if native else [NotifyType.NO_PROPOSAL_CHOSEN])
    assert installed(other) == ({0} if native else set())


def without_notifies(payloads: Payloads) -> Payloads:
    return tuple(each for each in payloads if not isinstance(each, Notify))


def test_an_answer_of_who_knows_nothing_of_nats_leads_to_native_packets_on_port_500() -> None:
    answerer = Answerer(Ike(IkeConfig((peer_b(),)), SeededEntropy("a")), KEY_A)
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init(without_notifies)
    assert [effect.path for effect in answerer.effects if hasattr(effect, "data")][-1] == Path(
        endpoint(A, 500), endpoint(B, 500)
    )
    answerer.answer_auth()
    ends = [effect.path for effect in answerer.effects if isinstance(effect, InstallInbound | InstallOutbound)]
    assert ends == [NATIVE_A_TO_B] * 2


def test_an_attacker_who_takes_nat_detection_away_is_found_out() -> None:
    """What is said in IKE_SA_INIT is signed by IKE_AUTH."""
    pair = Pair()

    def stripped(datagram: Datagram) -> Datagram:
        message = decode(datagram.data)
        if message.sealed is not None or str(datagram.source.address) != B:
            return datagram
        return replace(datagram, data=encode(message.header, without_notifies(message.payloads)))

    pair.net.hook = stripped
    assert not pair.up(seconds=30)
    assert not pair.a.inbound | pair.b.inbound
