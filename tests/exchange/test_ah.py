"""AH, alone and around ESP (RFC 4302, RFC 2401 section 4.3): what is agreed upon, what its keys are, and that both of
AH with ESP live and die together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike import Ike
from ipsecd.ike.config import AhEspProposal, AhProposal, Child, ChildProposal, IkeConfig, Peer
from ipsecd.ike.effects import AhChildKeys, ChildKeys, InstallInbound, InstallOutbound, RemoveInbound, RemoveOutbound
from ipsecd.ike.nat import TRUE_SOURCE, VENDOR_ID, hash_of
from ipsecd.ike.negotiate import Offer
from ipsecd.ike.status import PartStatus
from ipsecd.ike.v2.around import AROUND
from ipsecd.wire.form import TUNNEL, Form
from ipsecd.wire.ike import NO_SPI
from ipsecd.wire.payloads import AnyPayload, Delete, Notify, Proposal, Sa, Transform, TsI, TsR, VendorId
from ipsecd.wire.proposal import encode_sa
from ipsecd.wire.registry import Esn, Exchange, Group, Integ, NotifyType, Protocol, TransformType
from tests.exchange.answerer import Answerer
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import ESP_GCM, ESP_PFS, KEY, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.natbox import NatBox
from tests.exchange.network import Link, Node
from tests.exchange.stranger import ESP_GCM as GCM_TRANSFORMS
from tests.exchange.stranger import Stranger, notified, prf_plus
from tests.exchange.transcript import Tap

AH = AhProposal((Integ.HMAC_SHA2_256_128,))
AH_GMAC = AhProposal((Integ.AES_128_GMAC,), esn=False)
AH_PFS = replace(AH, groups=(Group.CURVE25519,))
BOTH = AhEspProposal((Integ.HMAC_SHA2_256_128,), ESP_GCM)
BOTH_PFS = AhEspProposal((Integ.HMAC_SHA2_256_128,), ESP_PFS)

SHA256 = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
NO_ESN = Transform(TransformType.ESN, Esn.NO)
AH_SPI = b"\xa0\x01\x02\x03"


def child(*proposals: ChildProposal) -> Child:
    return child_of_a(proposals=proposals)


def pair_of(*proposals: ChildProposal, link: Link | None = None, seed: int = 0) -> Pair:
    return Pair(seed, link, of_a=peer_b(child(*proposals)), of_b=peer_a(mirrored(child(*proposals))))


def suites(*nodes: Node) -> list[str]:
    return [each.suite for node in nodes for sa in node.ike.status() for each in sa.children]


def installed(node: Node) -> list[InstallInbound | InstallOutbound]:
    return [effect for effect in node.effects if isinstance(effect, InstallInbound | InstallOutbound)]


def have_the_same_keys(pair: Pair) -> bool:
    """What one end sends by the other receives by, and with the same keys."""
    ends = ((pair.a, pair.b), (pair.b, pair.a))
    return all(
        {sa.spi: sa.keys for sa in one.inbound.values()} == {sa.spi: sa.keys for sa in other.outbound.values()}
        for one, other in ends
    )


# --- AH alone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposal", "suite"), [(AH, "ah-sha256-esn"), (AH_GMAC, "ah-aes128gmac-noesn")], ids=["sha256", "gmac"]
)
def test_two_of_us_agree_upon_ah_and_its_key_alone(proposal: AhProposal, suite: str) -> None:
    pair = pair_of(proposal)
    assert pair.up()
    assert suites(pair.a, pair.b) == [suite, suite]
    assert have_the_same_keys(pair)
    keys = [sa.keys.integrity_key.reveal() for sa in installed(pair.a) if isinstance(sa.keys, AhChildKeys)]
    assert len(set(keys)) == 2
    assert {len(key) for key in keys} == {32 if proposal is AH else 20}
    assert {sa.path.remote.port for sa in installed(pair.a)} == {4500}  # between two of us in UDP


def test_ah_is_rekeyed_with_a_key_exchange_of_its_own() -> None:
    pair = pair_of(AH_PFS)
    assert pair.up()
    for node in (pair.a, pair.b):
        before = pair.a.inbound_spis
        pair.do(node, node.ike.rekey("net", pair.net.now))
        pair.net.run(60)
        assert pair.agree(1)
        assert not before & pair.a.inbound_spis
    assert suites(pair.a, pair.b) == ["ah-sha256-x25519-esn"] * 2


def test_the_first_method_that_both_have_is_the_one() -> None:
    pair = Pair(of_a=peer_b(child(ESP_GCM, AH)), of_b=peer_a(mirrored(child(AH, ESP_GCM))))
    assert pair.up()
    assert suites(pair.a) == ["ah-sha256-esn"]  # the responder chooses (RFC 7296 section 2.7)


def test_keys_of_ah_are_in_no_key_log() -> None:
    pair = Pair(of_a=peer_b(child(AH), keylog=True), of_b=peer_a(mirrored(child(AH))))
    assert pair.up()
    assert [log.kind for log in pair.a.keys] == ["ike"]


def test_of_ah_with_esp_the_keys_of_esp_are_in_the_key_log() -> None:
    pair = Pair(of_a=peer_b(child(BOTH), keylog=True), of_b=peer_a(mirrored(child(BOTH))))
    pair.up(seconds=5)
    assert [log.kind for log in pair.a.keys] == ["ike", "esp", "esp"]


def test_ah_cant_pass_a_nat_and_that_is_said() -> None:
    pair = Pair(of_a=peer_b(child(AH)), of_b=peer_a(mirrored(child(AH)), remotes=()))
    pair.net.hook = NatBox(A, "203.0.113.1")
    assert not pair.up(seconds=5)
    assert not pair.a.inbound | pair.b.inbound
    reasons = {report.fields["reason"] for report in pair.a.events("auth-failed")}
    assert reasons == {"AH signs the addresses, so it can't pass the NAT between us"}


def test_where_ah_cant_pass_the_method_behind_it_is_taken() -> None:
    pair = Pair(of_a=peer_b(child(AH, ESP_GCM)), of_b=peer_a(mirrored(child(AH, ESP_GCM)), remotes=()))
    pair.net.hook = NatBox(A, "203.0.113.1")
    assert pair.up()
    assert suites(pair.a, pair.b) == ["aes128gcm16-esn"] * 2


# --- with others -----------------------------------------------------------------------------------------------------


class Other(Stranger):
    """One without a NAT before it, and perhaps one of us."""

    ipsecd = False

    def sa_init_payloads(self) -> tuple[AnyPayload, ...]:
        source = hash_of(self.spi_i, NO_SPI, self.path.remote)
        ours = (Notify(TRUE_SOURCE, source), VendorId(VENDOR_ID)) if self.ipsecd else ()
        return (
            *super().sa_init_payloads()[:3],
            Notify(NotifyType.NAT_DETECTION_SOURCE_IP, source),
            Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, hash_of(self.spi_i, NO_SPI, self.path.local)),
            *ours,
        )

    def asks(self, *offer: AnyPayload) -> tuple[AnyPayload, ...]:
        """IKE_SA_INIT and IKE_AUTH, with this offer."""
        assert self.sa_init() is not None
        who = self.auth_payloads(KEY.key.reveal())
        answer = self.ask(Exchange.IKE_AUTH, 1, *who[:3], *offer, *who[4:])
        assert answer is not None
        return answer

    def installs(self) -> list[InstallInbound | InstallOutbound]:
        return [each for each in self.effects if isinstance(each, InstallInbound | InstallOutbound)]


class OneOfUs(Other):
    ipsecd = True


def at_b(kind: type[Other], *proposals: ChildProposal) -> Other:
    peer: Peer = peer_a(mirrored(child(*proposals)))
    return kind(Ike(IkeConfig((peer,)), SeededEntropy("b")), B, A)


def ah_offer(*transforms: Transform, spi: bytes = AH_SPI, number: int = 1) -> Sa:
    return Sa((Proposal(number, Protocol.AH, spi, transforms),))


def granted(payloads: tuple[AnyPayload, ...]) -> Proposal:
    return next(payload.proposals[0] for payload in payloads if isinstance(payload, Sa))


def test_ah_with_others_is_an_ip_protocol_of_its_own() -> None:
    other = at_b(Other, AH)
    answer = other.asks(ah_offer(SHA256, NO_ESN))
    assert (granted(answer).protocol, granted(answer).transforms) == (Protocol.AH, (SHA256, NO_ESN))
    assert [(each.path.local.port, each.path.remote.port) for each in other.installs()] == [(0, 0), (0, 0)]
    ((sa, made),) = ((sa, each) for sa in other.ike.status() for each in sa.children)
    assert (made.encapsulation, sa.far_end(made)) == ("native", A)


def test_the_key_of_ah_is_what_prf_plus_gives_and_nothing_else() -> None:
    """RFC 7296 section 2.17: the initiator's first."""
    other = at_b(Other, AH)
    other.asks(ah_offer(SHA256, NO_ESN))
    stream = prf_plus(other.sk_d, other.nonce + other.nonce_r, 64)
    inbound, outbound = other.installs()
    assert isinstance(inbound.keys, AhChildKeys)
    assert isinstance(outbound.keys, AhChildKeys)
    assert inbound.keys.integrity_key.reveal() == stream[:32]
    assert outbound.keys.integrity_key.reveal() == stream[32:]


def test_ah_with_a_cipher_is_refused() -> None:
    other = at_b(Other, AH)
    answer = other.asks(ah_offer(SHA256, GCM_TRANSFORMS[0], NO_ESN))
    assert notified(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert other.installs() == []


def test_ah_without_an_spi_isnt_even_read() -> None:
    """RFC 7296 section 3.3.1: it has four octets."""
    other = at_b(Other, AH)
    assert notified(other.asks(ah_offer(SHA256, NO_ESN, spi=b""))) == [NotifyType.INVALID_SYNTAX]
    assert other.installs() == []


def test_a_reserved_spi_of_ah_is_refused() -> None:
    other = at_b(Other, AH)
    assert notified(other.asks(ah_offer(SHA256, NO_ESN, spi=b"\0\0\0\xff"))) == [NotifyType.NO_PROPOSAL_CHOSEN]


def test_a_delete_for_the_other_protocol_deletes_nothing() -> None:
    other = at_b(Other, AH)
    other.asks(ah_offer(SHA256, NO_ESN))
    assert other.ask(Exchange.INFORMATIONAL, 2, Delete(Protocol.ESP, (AH_SPI,))) == ()
    assert other.ike.counters["delete-of-unknown-spi"] == 1
    assert [len(sa.children) for sa in other.ike.status()] == [1]
    (answer,) = other.ask(Exchange.INFORMATIONAL, 3, Delete(Protocol.AH, (AH_SPI,))) or ()
    assert isinstance(answer, Delete)
    assert answer.protocol == Protocol.AH
    assert [len(sa.children) for sa in other.ike.status()] == [0]


def test_a_rekey_that_names_the_other_protocol_finds_nothing() -> None:
    other = at_b(Other, AH)
    other.asks(ah_offer(SHA256, NO_ESN))
    wrong = Notify(NotifyType.REKEY_SA, b"", Protocol.ESP, AH_SPI)
    more = (ah_offer(SHA256, NO_ESN, spi=b"\xa0\x0a\x0b\x0c"), other.sa_init_payloads()[2], *ends(other))
    assert notified(other.ask(Exchange.CREATE_CHILD_SA, 2, wrong, *more)) == [NotifyType.CHILD_SA_NOT_FOUND]
    right = Notify(NotifyType.REKEY_SA, b"", Protocol.AH, AH_SPI)
    answer = other.ask(Exchange.CREATE_CHILD_SA, 3, right, *more)
    assert answer is not None
    assert granted(answer).protocol == Protocol.AH


def ends(other: Other) -> tuple[AnyPayload, ...]:
    return tuple(payload for payload in other.child_payloads() if isinstance(payload, TsI | TsR))


def test_an_answer_of_another_protocol_than_was_offered_isnt_taken() -> None:
    answerer = Answerer(Ike(IkeConfig((peer_b(),)), SeededEntropy("a")), KEY.key.reveal())
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init()
    answerer.answer_auth(
        lambda payloads: tuple(ah_offer(SHA256, NO_ESN) if isinstance(each, Sa) else each for each in payloads)
    )
    assert answerer.ike.counters["bad-proposal-answer"] == 1
    assert not [effect for effect in answerer.effects if isinstance(effect, InstallInbound)]


# --- AH with ESP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proposal", [BOTH, BOTH_PFS], ids=["without pfs", "with pfs"])
def test_two_of_us_have_esp_inside_of_ah(proposal: AhEspProposal) -> None:
    pair = pair_of(proposal)
    tap = Tap(pair.net)
    pair.up(seconds=5)
    assert pair.agree(2)  # two SAs each way
    assert have_the_same_keys(pair)
    assert suites(pair.a, pair.b) == ["ah-sha256-esn+aes128gcm16-esn"] * 2
    assert tap.lines()[2:] == [
        "a -> IKE_AUTH 1 {IDi, N(INITIAL_CONTACT), IDr, AUTH, SA, N(NOTIFYTYPE_40970), TSi, TSr}",
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, N(NOTIFYTYPE_40970), TSi, TSr}",
    ]


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_pair_of_ah_is_installed_first_and_esp_is_within_it(name: str) -> None:
    pair = pair_of(BOTH)
    pair.up(seconds=5)
    node = pair.a if name == "a" else pair.b
    ah_in, esp_in, ah_out, esp_out = installed(node)
    assert [type(each.keys) for each in installed(node)] == [AhChildKeys, ChildKeys] * 2
    assert ah_in.form == ah_out.form == Form(transport=True, outer=True)
    assert esp_in.form == esp_out.form == replace(TUNNEL, within=int.from_bytes(ah_in.spi, "big"))
    assert isinstance(ah_out, InstallOutbound)
    assert isinstance(esp_out, InstallOutbound)
    assert (ah_out.inbound, esp_out.inbound) == (ah_in.spi, esp_in.spi)
    assert {each.child for each in installed(node)} == {"net"}


def test_status_and_log_have_the_spis_of_both() -> None:
    pair = pair_of(BOTH)
    pair.up(seconds=5)
    ah_in, esp_in, ah_out, esp_out = (each.spi.hex() for each in installed(pair.a))
    ((child_a,),) = (sa.children for sa in pair.a.ike.status())
    assert child_a.protocol == "AH around ESP"
    assert (child_a.spi_in, child_a.spi_out) == (esp_in, esp_out)
    assert child_a.around == (PartStatus("AH", ah_in, ah_out),)
    (event,) = pair.a.events("child-established")
    told = {name: event.fields[name] for name in ("protocol", "spi_in", "spi_out", "ah_spi_in", "ah_spi_out")}
    assert told == {
        "protocol": "AH around ESP",
        "spi_in": esp_in,
        "spi_out": esp_out,
        "ah_spi_in": ah_in,
        "ah_spi_out": ah_out,
    }


def test_ah_alone_has_nothing_around_it() -> None:
    pair = pair_of(AH)
    pair.up(seconds=5)
    ((child_a,),) = (sa.children for sa in pair.a.ike.status())
    assert (child_a.protocol, child_a.encapsulation, child_a.around) == ("AH", "udp", ())
    (event,) = pair.a.events("child-established")
    assert (event.fields["protocol"], event.fields["encapsulation"]) == ("AH", "udp")
    assert "ah_spi_in" not in event.fields


@pytest.mark.parametrize("who", ["a", "b"])
def test_both_are_rekeyed_together(who: str) -> None:
    pair = pair_of(BOTH_PFS)
    pair.up(seconds=5)
    before = pair.a.inbound_spis
    node = pair.a if who == "a" else pair.b
    pair.do(node, node.ike.rekey("net", pair.net.now))
    pair.net.run(60)
    assert pair.agree(2)
    assert not before & pair.a.inbound_spis
    assert suites(pair.a, pair.b) == ["ah-sha256-esn+aes128gcm16-x25519-esn"] * 2
    assert have_the_same_keys(pair)


@pytest.mark.parametrize("who", ["a", "b"])
def test_both_go_together_esp_first(who: str) -> None:
    pair = pair_of(BOTH)
    pair.up(seconds=5)
    node = pair.a if who == "a" else pair.b
    ah_in, esp_in, ah_out, esp_out = installed(node)
    pair.do(node, node.ike.down("net", pair.net.now))
    pair.net.run(5)
    assert not pair.a.inbound | pair.b.inbound
    assert not pair.a.outbound | pair.b.outbound
    gone = [effect for effect in node.effects if isinstance(effect, RemoveInbound | RemoveOutbound)]
    assert gone == [
        RemoveOutbound(esp_out.spi, esp_in.spi),
        RemoveOutbound(ah_out.spi, ah_in.spi),
        RemoveInbound(esp_in.spi),
        RemoveInbound(ah_in.spi),
    ]


@pytest.mark.parametrize("protocol", [Protocol.AH, Protocol.ESP], ids=["ah", "esp"])
def test_the_delete_of_one_is_the_end_of_both(protocol: Protocol) -> None:
    us = at_b(OneOfUs, BOTH)
    us.asks(esp_offer(), around(SHA256, NO_ESN))
    spi = AH_SPI if protocol == Protocol.AH else b"\xc0\x01\x02\x03"
    answer = us.ask(Exchange.INFORMATIONAL, 2, Delete(protocol, (spi,)))
    assert answer is not None
    assert {each.protocol: len(each.spis) for each in answer if isinstance(each, Delete)} == {
        Protocol.ESP: 1,
        Protocol.AH: 1,
    }
    assert [len(sa.children) for sa in us.ike.status()] == [0]
    assert len([each for each in us.effects if isinstance(each, RemoveInbound)]) == 2


@pytest.mark.parametrize("which", ["ah", "esp"])
def test_what_the_data_plane_says_of_one_holds_for_both(which: str) -> None:
    pair = pair_of(BOTH)
    pair.up(seconds=5)
    ah_in, esp_in, *_ = installed(pair.a)
    pair.do(pair.a, pair.a.ike.soft_expired(ah_in.spi if which == "ah" else esp_in.spi, pair.net.now))
    pair.net.run(60)
    assert pair.agree(2)
    assert not {ah_in.spi, esp_in.spi} & pair.a.inbound_spis
    assert len(pair.a.events("child-rekeyed")) == 1


def test_what_the_data_plane_has_lost_of_both_is_told_once() -> None:
    pair = pair_of(BOTH)
    pair.up(seconds=5)
    pair.do(pair.a, pair.a.ike.lost(tuple(pair.a.inbound), pair.net.now))
    assert len(pair.a.events("child-lost")) == 1


@pytest.mark.parametrize("seed", range(12))
def test_both_ends_agree_whatever_the_network_loses_doubles_and_crosses(seed: int) -> None:
    pair = pair_of(BOTH_PFS, AH, link=Link(loss=0.2, duplication=0.3, delay=(0.01, 0.5)), seed=seed)
    pair.up(seconds=60)
    for node in (pair.a, pair.b):
        pair.do(node, node.ike.rekey("net", pair.net.now))
    pair.net.run(240)
    assert pair.agree(2)
    assert have_the_same_keys(pair)


def esp_offer(number: int = 1) -> Sa:
    return Sa((Proposal(number, Protocol.ESP, b"\xc0\x01\x02\x03", GCM_TRANSFORMS),))


def around(*transforms: Transform, spi: bytes = AH_SPI, number: int = 1) -> Notify:
    return Notify(AROUND, encode_sa(ah_offer(*transforms, spi=spi, number=number)))


def test_keys_of_both_come_in_the_order_of_their_headers() -> None:
    """RFC 7296 section 2.17: AH's first, then ESP's, and all of one direction before those of the other."""
    us = at_b(OneOfUs, BOTH)
    us.asks(esp_offer(), around(SHA256, NO_ESN))
    stream = prf_plus(us.sk_d, us.nonce + us.nonce_r, 2 * (32 + 20))
    keys = [each.keys for each in us.installs()]
    revealed = [
        each.integrity_key.reveal() if isinstance(each, AhChildKeys) else each.encryption_key.reveal() for each in keys
    ]
    assert revealed == [stream[:32], stream[32:52], stream[52:84], stream[84:]]


def test_others_cant_have_both_under_ikev2_and_are_told_so() -> None:
    other = at_b(Other, BOTH)
    answer = other.asks(esp_offer(), around(SHA256, NO_ESN))
    assert notified(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
    reports = [each for each in other.effects if getattr(each, "event", "") == "child-failed"]
    assert [each.fields["reason"] for each in reports] == ["AH with ESP needs an ipsecd peer under IKEv2"]  # type: ignore[union-attr]  # reports


def test_what_others_mean_by_the_same_number_is_their_own_business() -> None:
    other = at_b(Other, ESP_GCM)
    answer = other.asks(esp_offer(), Notify(AROUND, b"anything"))
    assert notified(answer) == []
    assert granted(answer).protocol == Protocol.ESP


def test_others_arent_asked_for_both() -> None:
    answerer = Answerer(Ike(IkeConfig((peer_b(child(BOTH)),)), SeededEntropy("a")), KEY.key.reveal())
    answerer.take(answerer.ike.up("net", answerer.now))
    answerer.answer_init()
    assert Exchange.IKE_AUTH not in answerer.exchanges()


def test_one_of_us_that_knows_nothing_of_it_has_its_half_deleted() -> None:
    """What it grants is ESP without the AH around it."""
    pair = pair_of(BOTH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ipsecd.ike.v2.grant.around.heard", lambda request, *, ipsecd: without(request.one(Sa)))
        patch.setattr("ipsecd.ike.v2.grant.carried", lambda sa, peer, child: (ESP_GCM,))
        pair.up(seconds=30)
    assert pair.a.ike.counters["bad-proposal-answer"] == 1
    assert not pair.a.inbound | pair.b.inbound


def without(sa: Sa) -> Offer:
    return Offer(sa)


@pytest.mark.parametrize(
    "said",
    [
        Notify(AROUND, b""),
        Notify(AROUND, encode_sa(ah_offer(SHA256, NO_ESN)) + b"\0"),
        Notify(AROUND, encode_sa(esp_offer())),
        Notify(AROUND, encode_sa(Sa((*ah_offer(SHA256).proposals, *ah_offer(SHA256, number=2).proposals)))),
    ],
    ids=["nothing", "octets behind it", "esp", "two proposals"],
)
def test_a_notify_that_says_no_ah_around_esp_is_malformed(said: Notify) -> None:
    us = at_b(OneOfUs, BOTH)
    assert notified(us.asks(esp_offer(), said)) == [NotifyType.INVALID_SYNTAX]
    assert us.installs() == []
    assert us.ike.counters["bad-around"] == 1


def test_two_notifies_for_one_proposal_are_malformed() -> None:
    us = at_b(OneOfUs, BOTH)
    twice = (around(SHA256, NO_ESN), around(SHA256, NO_ESN, spi=b"\xa0\x09\x09\x09"))
    assert notified(us.asks(esp_offer(), *twice)) == [NotifyType.INVALID_SYNTAX]
