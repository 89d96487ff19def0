"""Quick mode of IKEv1: both ends, in virtual time, on good networks and bad ones (RFC 2409 section 5.5)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Lifetime, Path
from ipsecd.ike.effects import AhChildKeys, ChildKeys, InstallInbound, InstallOutbound, RemoveInbound, Send
from ipsecd.ike.suites import ChildSuite
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.wire import ikev1
from ipsecd.wire.form import Form
from ipsecd.wire.ikev1_payloads import AnyPayload, Notify, Sa
from ipsecd.wire.registry import Encr, Group, Integ
from ipsecd.wire.registry_v1 import Encapsulation, Exchange, NotifyType, Protocol
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import Remembering
from tests.exchange.network import Link
from tests.exchange.phase_2 import LEFT, RIGHT, QuickLine, line, mirrored, of_hosts, terms
from tests.exchange.v1_line import NAT_ADDRESS, OURS, THEIRS
from tests.exchange.v1_suites import ah, both, esp

GROUP = Group.CURVE25519
EVERYTHING = Selector.net("0.0.0.0/0")
HOST_L, HOST_R = of_hosts()
NATIVE = Path(replace(OURS, port=0), replace(THEIRS, port=0))


def same(wire: QuickLine, pairs: int = 1) -> None:
    """Both ends have the same SAs, mirrored, and nothing went wrong inside."""
    ends = (wire.i, wire.r)
    assert [end.core.counters["internal-error"] for end in ends] == [0, 0]
    assert [len(end.pairs) for end in ends] == [pairs, pairs], [end.failures for end in ends]
    for one, other in (ends, reversed(ends)):
        there = {each.spi: each for each in other.inbound}
        for out in one.outbound:
            each = there[out.spi]
            assert (each.keys, each.local, each.remote) == (out.keys, out.remote, out.local)
            assert (each.form.transport, each.form.outer) == (out.form.transport, out.form.outer)
        assert len({each.spi for each in one.inbound}) == len(one.inbound) == len(one.outbound)


def opened(wire: QuickLine, *datagrams: bytes) -> tuple[AnyPayload, ...]:
    """What the last of the first messages of a quick mode says."""
    sa, messages = wire.i.sa, [ikev1.decode(data) for data in datagrams]
    chain = sa.cipher.phase_2(sa.chain, messages[0].header.message_id)
    for message in messages[:-1]:
        chain.accept(message.sealed)
    return ikev1.decode_chain(messages[-1].first, chain.open(messages[-1].sealed)).payloads


def test_three_messages_make_a_pair_of_sas() -> None:
    wire = line(terms()).run(1.0)
    same(wire)
    assert (len(wire.i.sent), len(wire.r.sent)) == (2, 1)
    (inbound,), (outbound,) = wire.i.inbound, wire.i.outbound
    assert (inbound.child, inbound.peer, inbound.local, inbound.remote) == ("c", "p", (LEFT,), (RIGHT,))
    assert (inbound.path, inbound.form) == (NATIVE, Form())
    assert (outbound.inbound, outbound.hard) == (inbound.spi, Lifetime(3_600.0, None, limits.HARD_PACKETS))
    assert isinstance(inbound.keys, ChildKeys)
    assert (inbound.keys.encryption, inbound.keys.key_bits, inbound.keys.integrity, inbound.keys.esn) == (
        Encr.AES_CBC,
        128,
        Integ.HMAC_SHA2_256_128,
        False,
    )
    assert wire.run(600.0).i.sent == wire.i.sent[:2]  # nothing is said when all is said
    assert (wire.i.pending, wire.r.pending) == (0, 0)


def test_who_may_get_packets_is_ready_before_it_says_so() -> None:
    wire = line(terms()).run(1.0)
    assert [type(each) for each in wire.i.effects] == [Send, InstallInbound, Send, InstallOutbound]
    assert [type(each) for each in wire.r.effects] == [InstallInbound, Send, InstallOutbound]


@pytest.mark.parametrize("group", [None, GROUP, Group.MODP_2048])
@pytest.mark.parametrize(
    "suite",
    [
        esp(Encr.AES_GCM_16, 256, None),
        esp(Encr.AES_CCM_12, 128, None),
        esp(Encr.NULL_AUTH_AES_GMAC, 192, None),
        esp(Encr.CAMELLIA_CBC, 192, Integ.HMAC_SHA2_512_256),
        esp(Encr.AES_CTR, 128, Integ.AES_XCBC_96),
        esp(Encr.TRIPLE_DES, None, Integ.HMAC_SHA1_96),
        esp(Encr.DES, None, Integ.HMAC_MD5_96),
        esp(Encr.NULL, None, Integ.HMAC_SHA2_384_192),
        esp(esn=True),
    ],
    ids=str,
)
def test_every_kind_of_esp_with_and_without_pfs(suite: ChildSuite, group: Group | None) -> None:
    suite = replace(suite, group=esp(group=group).group)
    wire = line(terms(suite)).run(1.0)
    same(wire)
    assert wire.i.pairs[0].suite == wire.r.pairs[0].suite == suite
    assert [end.core.entropy.key_pairs.total() for end in (wire.i, wire.r)] == [int(group is not None)] * 2  # type: ignore[attr-defined]  # of the seeded one


def test_a_shared_secret_is_wiped_when_keys_are_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Secret] = []
    shared = Remembering.shared

    def noted(self: Remembering, peer_public: bytes) -> Secret:
        given.append(shared(self, peer_public))
        return given[-1]

    monkeypatch.setattr(Remembering, "shared", noted)
    same(line(terms(esp(group=GROUP))).run(1.0))
    assert [any(secret.reveal()) for secret in given] == [False, False]


def test_spis_stay_promised_for_whoever_gets_the_pair() -> None:
    wire = line(terms(both(ah(), esp()))).run(1.0)
    for end in (wire.i, wire.r):
        assert end.core.promised == {each.spi for each in end.inbound}
        assert len(end.core.promised) == 2


def test_spis_of_what_is_offered_and_not_taken_are_free_again() -> None:
    wire = line(terms(esp(), ah()), mirrored(terms(esp()))).run(1.0)
    same(wire)
    assert wire.i.core.promised == {wire.i.inbound[0].spi}


@pytest.mark.parametrize("integ", [Integ.HMAC_SHA1_96, Integ.HMAC_SHA2_512_256, Integ.AES_XCBC_96, Integ.AES_128_GMAC])
def test_ah_alone(integ: Integ) -> None:
    wire = line(terms(ah(integ, GROUP))).run(1.0)
    same(wire)
    keys = wire.i.inbound[0].keys
    assert isinstance(keys, AhChildKeys)
    assert (keys.integrity, keys.esn) == (integ, False)


def test_ah_and_esp_are_one_offer() -> None:
    wire = line(terms(both(ah(Integ.HMAC_SHA1_96), esp(group=GROUP)))).run(1.0)
    same(wire)
    outer, inner = wire.r.inbound
    assert isinstance(outer.keys, AhChildKeys)
    assert isinstance(inner.keys, ChildKeys)
    assert outer.form == Form(transport=True, outer=True)
    assert inner.form == Form(within=int.from_bytes(outer.spi, "big"))
    offer = opened(wire, wire.i.sent[0])[1]
    assert [(each.number, each.protocol.name, len(each.transforms)) for each in offer.proposals] == [  # type: ignore[union-attr]  # an SA payload
        (1, "AH", 1),
        (1, "ESP", 1),
    ]


def test_the_first_one_offered_that_the_responder_takes_is_taken() -> None:
    gcm, cbc, bundle, alone = esp(Encr.AES_GCM_16, 256, None), esp(), both(ah(), esp()), ah()
    of_i = terms(gcm, bundle, alone, cbc)
    for takes, expected in (
        ((cbc, gcm), gcm),
        ((cbc, bundle), bundle),
        ((cbc, alone), alone),
        ((cbc,), cbc),
        ((esp(Encr.DES, None, Integ.HMAC_MD5_96), cbc), cbc),
    ):
        wire = line(of_i, replace(mirrored(of_i), suites=takes)).run(1.0)
        same(wire)
        assert wire.i.pairs[0].suite == expected


def test_suites_of_other_groups_are_not_offered_together() -> None:
    """One public value goes with the offer (RFC 2409 section 5.5)."""
    of_i = terms(esp(group=GROUP), esp(group=Group.ECP_256), esp(Encr.AES_CBC, 256, group=GROUP))
    wire = line(of_i, replace(mirrored(of_i), suites=of_i.suites[2:])).run(1.0)
    same(wire)
    assert len(opened(wire, wire.i.sent[0])[1].proposals[0].transforms) == 2  # type: ignore[union-attr]  # an SA payload


# --- what for -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        (Selector.net("10.1.0.7/32"), Selector.net("10.2.0.0/25")),
        (Selector(ip_address("10.1.0.3"), ip_address("10.1.0.9")), RIGHT),
        (Selector.net("10.1.0.7/32", 6, (443, 443)), Selector.net("10.2.0.0/24", 6)),
        (Selector.net("2001:db8:1::/48", 17), Selector(ip_address("2001:db8:2::1"), ip_address("2001:db8:2::5"), 17)),
    ],
    ids=["address-and-subnet", "range", "protocol-and-port", "ipv6"],
)
def test_each_kind_of_traffic(local: Selector, remote: Selector) -> None:
    wide = terms(local=EVERYTHING, remote=EVERYTHING)
    wide = replace(wide, local=(EVERYTHING, Selector.net("::/0")), remote=(EVERYTHING, Selector.net("::/0")))
    wire = QuickLine((wide,), (wide,)).begin(wide, Ends(local, remote)).run(1.0)
    same(wire)
    assert (wire.r.inbound[0].local, wire.r.inbound[0].remote) == ((remote,), (local,))


def test_a_request_is_granted_by_the_first_rule_that_has_it_whole() -> None:
    small, large = terms(child="small", local=Selector.net("10.2.0.0/25"), remote=LEFT), terms(child="large")
    wire = QuickLine((), (small, mirrored(large))).begin(terms()).run(1.0)
    assert wire.r.pairs[0].terms.child == "large"
    wire = QuickLine((), (small, mirrored(large))).begin(terms(remote=Selector.net("10.2.0.9/32"))).run(1.0)
    assert wire.r.pairs[0].terms.child == "small"


@pytest.mark.parametrize(
    "asked",
    [
        terms(remote=Selector.net("10.2.0.0/23")),
        terms(local=Selector.net("10.1.1.0/32")),
        terms(local=Selector.net("10.1.0.0/24", 6), remote=Selector.net("10.2.0.0/24", 17)),
        terms(local=Selector.net("2001:db8::/64")),
    ],
    ids=["wider", "beside", "two protocols", "two families"],
)
def test_what_no_rule_has_whole_is_refused(asked: QuickTerms) -> None:
    wire = QuickLine((), (mirrored(terms()),)).begin(asked).run(600.0)
    assert (wire.i.pairs, wire.r.pairs, wire.r.inbound) == ([], [], [])
    assert wire.r.core.counters["no-such-traffic"] == 1
    assert wire.i.failures == ["the peer says INVALID_ID_INFORMATION"]
    assert (len(wire.i.sent), len(wire.r.sent)) == (1, 1)
    assert wire.i.core.promised == wire.r.core.promised == set()


@pytest.mark.parametrize("spi", [b"", bytes(4)], ids=["none", "zeros"])
def test_a_refusal_without_an_spi_is_of_the_one_that_goes_on(spi: bytes) -> None:
    """strongSwan says zeros where it knows none."""
    wire = line(terms())
    wire.i.all.refused(Notify(NotifyType.NO_PROPOSAL_CHOSEN, protocol=Protocol.ESP, spi=spi))
    assert wire.i.failures == ["the peer says NO_PROPOSAL_CHOSEN"]


# --- how packets are made -----------------------------------------------------------------------------------------


def test_transport_mode_between_two_hosts() -> None:
    wire = line(terms(local=HOST_L, remote=HOST_R, transport=True)).run(1.0)
    same(wire)
    assert (wire.i.inbound[0].form, wire.r.inbound[0].form) == (Form(transport=True),) * 2
    assert wire.r.inbound[0].path == Path(replace(THEIRS, port=0), replace(OURS, port=0))


def test_who_wants_transport_mode_gives_tunnel_mode_to_who_asks_for_it() -> None:
    of_i = terms(local=HOST_L, remote=HOST_R)
    wire = line(of_i, replace(mirrored(of_i), transport=True)).run(1.0)
    same(wire)
    assert (wire.i.inbound[0].form, wire.r.inbound[0].form) == (Form(), Form())


def test_a_rule_for_tunnels_gives_no_transport_mode() -> None:
    of_i = terms(local=HOST_L, remote=HOST_R, transport=True)
    wire = line(of_i, replace(mirrored(of_i), transport=False)).run(1.0)
    assert (wire.r.pairs, wire.r.core.counters["no-proposal-chosen"]) == ([], 1)


def test_transport_mode_is_for_the_two_ends_alone() -> None:
    of_r = replace(mirrored(terms(local=EVERYTHING, remote=EVERYTHING)), transport=True)
    asked = terms(local=HOST_L, remote=Selector.net("198.51.100.2/32"), transport=True)
    wire = QuickLine((), (of_r,)).begin(asked).run(1.0)
    assert (wire.r.pairs, wire.r.core.counters["no-proposal-chosen"]) == ([], 1)


@pytest.mark.parametrize(
    ("revision", "transport", "expected"),
    [
        (0, False, Encapsulation.UDP_TUNNEL),
        (0, True, Encapsulation.UDP_TRANSPORT),
        (1, False, Encapsulation.UDP_TUNNEL_DRAFTS),
        (3, True, Encapsulation.UDP_TRANSPORT_DRAFTS),
    ],
)
def test_behind_a_nat_all_goes_in_udp(revision: int, transport: bool, expected: Encapsulation) -> None:
    of_i = terms(local=HOST_L, remote=HOST_R, transport=transport)
    seen_l, seen_r = of_hosts(nat=True) if transport else (HOST_L, HOST_R)
    of_r = replace(of_i, local=(seen_r,), remote=(seen_l,))
    wire = line(of_i, of_r, nat=True, revision=revision).run(1.0)
    offer = opened(wire, wire.i.sent[0])[1]
    assert offer.proposals[0].transforms[0].attributes[2].number == expected  # type: ignore[union-attr]  # an SA payload
    (of_us,), (of_them,) = wire.i.inbound, wire.r.inbound
    assert (of_us.path, of_them.path) == (wire.i.sa.path, wire.r.sa.path)
    assert (of_us.path.natt, of_them.path.remote.port) == (True, 14_500)
    assert of_us.keys == wire.r.outbound[0].keys
    if transport:
        # the initiator sends from the address that it has, to the one that the responder has
        assert of_them.form == Form(transport=True, original=(OURS.address, THEIRS.address))
        # and the responder to the one that the NAT has
        assert of_us.form == Form(transport=True, original=(THEIRS.address, NAT_ADDRESS))
        assert of_them.remote == (Selector(NAT_ADDRESS, NAT_ADDRESS),)
        assert of_us.local == (HOST_L,)
    else:
        assert (of_us.form, of_them.form) == (Form(), Form())
    assert wire.r.inbound[0].remote == wire.r.outbound[0].remote


def test_without_a_nat_nothing_goes_in_udp_and_with_one_nothing_else() -> None:
    wire = line(terms(), udp=True)
    for lines in (QuickLine((), (mirrored(terms()),)), QuickLine((), (mirrored(terms()),), udp=True)):
        other = line(terms(), udp=not lines.r.sa.path.natt)
        lines.give(to_responder=True, data=other.i.sent[0])
        assert (lines.r.pairs, lines.r.core.counters["no-proposal-chosen"]) == ([], 1)
    same(wire.run(1.0))


# --- lifetimes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_i", "of_r", "hard_i", "hard_r", "told"),
    [
        (Lifetime(3_600), Lifetime(3_600), (3_600, None), (3_600, None), False),
        (Lifetime(3_600), Lifetime(28_800), (3_600, None), (3_600, None), False),
        (Lifetime(100_000), Lifetime(3_600), (3_600, None), (3_600, None), True),
        (Lifetime(None), Lifetime(3_600), (3_600, None), (3_600, None), False),
        (Lifetime(3_600), Lifetime(None), (3_600, None), (3_600, None), False),
        (Lifetime(3_600), Lifetime(3_600, 1 << 30), (3_600, 1 << 30), (3_600, 1 << 30), True),
        (Lifetime(3_600, 1 << 30), Lifetime(600, 1 << 40), (600, 1 << 30), (600, 1 << 30), True),
        (Lifetime(None, 1 << 43), Lifetime(600), (600, 0xFFFF_FFFF << 10), (600, 0xFFFF_FFFF << 10), True),
    ],
)
def test_an_sa_ends_when_the_first_side_wants_it_to(
    of_i: Lifetime,
    of_r: Lifetime,
    hard_i: tuple[int, int | None],
    hard_r: tuple[int, int | None],
    told: bool,
) -> None:
    wire = line(terms(lifetime=of_i), mirrored(terms(lifetime=of_r))).run(1.0)
    same(wire)
    assert [(end.inbound[0].hard.seconds, end.inbound[0].hard.octets) for end in (wire.i, wire.r)] == [hard_i, hard_r]
    soft, hard = wire.i.outbound[0].soft.seconds, wire.i.outbound[0].hard.seconds
    assert soft is not None
    assert hard is not None
    assert 0 < soft < hard
    answer = opened(wire, wire.i.sent[0], wire.r.sent[0])
    notifies = [each for each in answer if isinstance(each, Notify)]
    assert [(each.type, each.protocol, each.spi) for each in notifies] == (
        [(NotifyType.RESPONDER_LIFETIME, Protocol.ESP, wire.r.inbound[0].spi)] if told else []
    )


# --- several ------------------------------------------------------------------------------------------------------


def test_several_at_once_from_both_sides() -> None:
    of_i = terms()
    wire = QuickLine((of_i,), (mirrored(of_i),), link=Link(delay=(0.01, 0.3)))
    for _ in range(5):
        wire.begin(of_i).begin_there(mirrored(of_i))
    assert wire.i.pending == 5
    same(wire.run(60.0), pairs=10)
    ids = {ikev1.decode(data).header.message_id for data in (*wire.i.sent, *wire.r.sent)}
    assert len(ids) == 10


def test_keys_are_never_those_of_another_quick_mode() -> None:
    wire = QuickLine((), (mirrored(terms()),)).begin(terms()).begin(terms()).run(10.0)
    same(wire, pairs=2)
    keys = [each.keys.integrity_key.reveal() for each in (*wire.i.inbound, *wire.i.outbound)]
    assert len(set(keys)) == 4


def test_an_isakmp_sa_has_but_so_many_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MESSAGE_IDS", 3)
    wire = QuickLine((), (mirrored(terms()),))
    for _ in range(4):
        wire.begin(terms()).run(600.0)
    assert (len(wire.i.pairs), len(wire.r.pairs)) == (3, 3)
    assert wire.i.failures == ["the ISAKMP SA has had too many exchanges and must be replaced"]
    other = line(terms(), seed="other")
    wire.give(to_responder=True, data=other.i.sent[0])
    assert (wire.r.core.counters["too-many-exchanges"], len(wire.r.pairs)) == (1, 3)


def test_a_peer_begins_but_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_QUICK_MODES", 2)
    wire = QuickLine((), (mirrored(terms()),), alter=lambda from_i, data: data if from_i else None)
    for _ in range(3):
        wire.begin(terms())
    wire.run(1.0)
    assert (wire.r.pending, wire.r.core.counters["too-many-exchanges"]) == (2, 1)


def test_when_the_isakmp_sa_is_gone_so_is_what_was_begun() -> None:
    wire = QuickLine((), (mirrored(terms()),), alter=lambda from_i, data: data if from_i else None)
    wire.begin(terms()).run(1.0)
    for end in (wire.i, wire.r):
        end.all.end("the ISAKMP SA is gone")
    wire.collect()
    assert (wire.i.failures, wire.r.failures) == (["the ISAKMP SA is gone"],) * 2
    assert (wire.i.ends, wire.r.ends) == (["the ISAKMP SA is gone"],) * 2
    assert RemoveInbound(wire.r.inbound[0].spi) in wire.r.effects
    assert wire.i.core.promised == wire.r.core.promised == set()
    before = len(wire.i.sent)
    assert len(wire.run(600.0).i.sent) == before


# --- bad networks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(4))
def test_a_fifth_is_lost_and_more_comes_twice_and_in_disorder(part: int) -> None:
    link = Link(loss=0.2, duplication=0.2, delay=(0.01, 0.8))
    up = 0
    for seed in range(50 * part, 50 * part + 50):
        wire = line(terms(), seed=seed, link=link).run(60.0)
        if wire.i.pairs and wire.r.pairs:
            same(wire)
            up += 1
        assert wire.i.core.counters["internal-error"] == wire.r.core.counters["internal-error"] == 0
    assert up >= 49


@pytest.mark.parametrize("lost", range(3))
def test_any_one_message_may_be_lost(lost: int) -> None:
    seen: list[bytes] = []

    def alter(_: bool, data: bytes) -> bytes | None:
        seen.append(data)
        return None if len(seen) == lost + 1 else data

    wire = line(terms(), alter=alter).run(10.0)
    same(wire)
    assert len(set(seen)) == 3  # repeats are the same octets


def test_what_comes_twice_is_said_once_more_and_installed_once() -> None:
    same(line(terms(), link=Link(duplication=1.0)).run(10.0))


def test_a_responder_that_hears_no_more_takes_back_what_it_has_installed() -> None:
    seen: list[bytes] = []

    def alter(from_initiator: bool, data: bytes) -> bytes | None:
        seen.append(data)
        return None if from_initiator and data != seen[0] else data

    wire = line(terms(), alter=alter).run(600.0)
    assert (len(wire.i.pairs), wire.r.pairs) == (1, [])
    assert wire.r.failures == ["the initiator didn't go on"]
    assert wire.r.effects[-1] == RemoveInbound(wire.r.inbound[0].spi)
    *answers, delete = wire.r.sent
    assert answers == [answers[0]] * (1 + limits.RETRANSMIT_TRIES)
    assert ikev1.decode(delete).header.exchange == Exchange.INFORMATIONAL
    assert wire.i.deletes == [(Protocol.ESP, (wire.r.inbound[0].spi,))]  # by which the initiator would go on sending
    assert wire.i.sent[1:] == [wire.i.sent[1]] * (1 + limits.RETRANSMIT_TRIES)  # each is answered the same way
    assert (wire.r.pending, wire.r.core.promised) == (0, set())


def test_without_any_answer_it_is_given_up() -> None:
    wire = line(terms(), alter=lambda *_: None).run(600.0)
    assert wire.i.failures == ["the peer doesn't answer our offer of SAs"]
    assert (len(wire.i.sent), wire.i.pending, wire.i.core.promised) == (1 + limits.RETRANSMIT_TRIES, 0, set())


def test_an_offer_without_a_lifetime_goes_back_with_ours_and_others_as_they_came() -> None:
    for of_i, expected in ((Lifetime(None), [(1, 1), (2, 600)]), (Lifetime(3_600), [(1, 1), (2, 3_600)])):
        wire = line(terms(lifetime=of_i), mirrored(terms(lifetime=Lifetime(600)))).run(1.0)
        (answer,) = (each for each in opened(wire, wire.i.sent[0], wire.r.sent[0]) if isinstance(each, Sa))
        attributes = answer.proposals[0].transforms[0].attributes
        assert [(each.type, each.number) for each in attributes if each.type in (1, 2)] == expected
