"""C32: what anybody could have said ends no attempt, and the true answer wins however late it comes (RFC 7296 sections
2.4, 2.6.1 and 2.21.1).

Whoever sees our IKE_SA_INIT request can answer it, and sooner than the peer. Here somebody does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike import Ike
from ipsecd.ike.config import Encapsulation, IkeConfig, Path, SharedKey
from ipsecd.ike.effects import Send
from ipsecd.wire.ike import NO_SPI, Header, decode_header
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import Ke, Notify
from ipsecd.wire.registry import Exchange, Flag, Group, NotifyType
from ipsecd.wire.selector import Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import IKE_X25519, KEY, A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Link, endpoint
from tests.exchange.transcript import Tap

ATTEMPT = 92.0  # the longest that one attempt takes
GROUPS = (Group.CURVE25519, Group.ECP_256, Group.ECP_384)
WRONG_KEY = SharedKey("site", Secret(b"what somebody else takes for the key"))
OTHER_KEY = replace(WRONG_KEY, name="another")


def said(*notifies: Notify) -> Callable[[bytes], bytes]:
    """The answer with these notifies, to a request."""

    def answer(request: bytes) -> bytes:
        header = decode_header(request)
        back = Header(header.spi_i, NO_SPI, 0, 2, 0, Exchange.IKE_SA_INIT, Flag.RESPONSE, 0, 0)
        return encode(back, notifies)

    return answer


def full(seed: int = 0) -> Callable[[bytes], bytes]:
    """The answer of somebody who does as the peer would, but isn't the peer."""

    def answer(request: bytes) -> bytes:
        taken = peer_a(shared_keys=(WRONG_KEY,), proposals=(replace(IKE_X25519, groups=GROUPS),))
        evil = Ike(IkeConfig((taken,)), SeededEntropy(f"evil {seed}"))
        (sent,) = evil.receive(request, Path(endpoint(B), endpoint(A)), 0.0)
        assert isinstance(sent, Send)
        return sent.data

    return answer


FORGED: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "a cookie": (said(Notify(NotifyType.COOKIE, b"made up")),),
    "three cookies": tuple(said(Notify(NotifyType.COOKIE, bytes([n]) * 16)) for n in range(3)),
    "a cookie that is too long": (said(Notify(NotifyType.COOKIE, bytes(65))),),
    "an offered group": (said(Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x13")),),
    "groups back and forth": tuple(said(Notify(NotifyType.INVALID_KE_PAYLOAD, bytes([0, g]))) for g in (19, 31, 19)),
    "a group nobody offered": (said(Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x0e")),),
    "another version": (said(Notify(NotifyType.INVALID_MAJOR_VERSION)),),
    "no proposal": (said(Notify(NotifyType.NO_PROPOSAL_CHOSEN)),),
    "an authentication failure": (said(Notify(NotifyType.AUTHENTICATION_FAILED)),),
    "a full answer": (full(),),
    "four full answers": tuple(full(n) for n in range(4)),
    "a cookie and a full answer": (said(Notify(NotifyType.COOKIE, b"made up")), full()),
}


def calling(cookie_threshold: int = 30, link: Link | None = None) -> Pair:
    """Gateway a offers three groups, of which b takes the last."""
    pair = Pair(
        of_a=peer_b(proposals=(replace(IKE_X25519, groups=GROUPS),)),
        of_b=peer_a(proposals=(replace(IKE_X25519, groups=GROUPS[-1:]),)),
        cookie_threshold=cookie_threshold,
        link=link,
    )
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    return pair


def forge(pair: Pair, answer: Callable[[bytes], bytes], delay: float = 0.0) -> None:
    request = pair.net.sent[0][1].data
    pair.net.inject(Datagram(answer(request), endpoint(B), endpoint(A), natt=False), delay)


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("cookies", [False, True], ids=["", "cookies wanted"])
def test_the_true_answer_wins_whatever_somebody_says_before_or_after_it(forged: str, cookies: bool) -> None:
    # the peer's answers take 20 ms; its last one comes after 40 or, with a cookie, after 60 ms
    for delay in (0.0, 0.019, 0.021, 0.039, 0.041, 0.059, 0.061):
        pair = Pair(cookie_threshold=0 if cookies else 30)
        pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
        for answer in FORGED[forged]:
            forge(pair, answer, delay)
        assert pair.net.run(ATTEMPT, until=lambda: pair.agree(1)), (delay, pair.a.ike.counters)  # noqa: B023 - run here
        assert len(pair.a.events("ike-calling")) == 1, "that took more than one attempt"


@pytest.mark.parametrize("forged", [name for name in FORGED if "full" not in name])
@pytest.mark.parametrize("cookies", [False, True], ids=["", "cookies wanted"])
def test_the_true_wish_for_another_group_is_heard_too(forged: str, cookies: bool) -> None:
    for delay in (0.0, 0.021, 0.041, 0.061):
        pair = calling(0 if cookies else 30)
        for answer in FORGED[forged]:
            forge(pair, answer, delay)
        assert pair.net.run(ATTEMPT, until=lambda: pair.agree(1)), (delay, pair.a.ike.counters)  # noqa: B023 - run here
        assert len(pair.a.events("ike-calling")) == 1


@pytest.mark.parametrize("wanted", GROUPS[1:])
@pytest.mark.parametrize("lost", [False, True], ids=["", "the true answer is lost"])
def test_a_forged_wish_for_a_weaker_group_is_not_granted(wanted: Group, lost: bool) -> None:
    # RFC 7296 section 1.2: or an attacker could trick both into a weaker suite than they prefer
    both = replace(IKE_X25519, groups=GROUPS)
    pair = Pair(of_a=peer_b(proposals=(both,)), of_b=peer_a(proposals=(both,)))
    answers = iter(range(10))
    if lost:
        pair.net.hook = lambda datagram: None if str(datagram.source.address) == B and not next(answers) else datagram
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, said(Notify(NotifyType.INVALID_KE_PAYLOAD, wanted.to_bytes(2, "big"))))
    assert pair.net.run(ATTEMPT, until=lambda: pair.agree(1))
    assert {node.ike.status()[0].suite.rpartition("-")[2] for node in (pair.a, pair.b)} == {"x25519"}
    assert len(pair.a.events("ike-calling")) == 1


def test_forgeries_in_any_number_and_order_on_a_bad_network_end_with_agreement() -> None:
    """As often as the network alone lets it."""
    done = 0
    for seed in range(100):
        rng = Random(seed)
        pair = calling(rng.choice((0, 30)), Link(loss=0.1, delay=(0.01, 0.3)))
        answers = [answer for name, several in FORGED.items() if "full" not in name for answer in several]
        for answer in rng.sample(answers, 5):
            forge(pair, answer, rng.uniform(0.0, 3.0))
        pair.net.run(ATTEMPT, until=lambda: pair.agree(1))  # noqa: B023 - run here
        done += pair.agree(1)
    assert done >= 97


def test_a_cookie_that_changes_while_the_answer_is_on_its_way_costs_no_attempt() -> None:
    """A responder whose cookies change each second, at a distance of 1.2 s: our first request was repeated by then."""
    pair = Pair(cookie_threshold=0, link=Link(delay=(1.2, 1.2)))
    jar = pair.b.ike._core.guard._jar
    baked = iter(range(1, 100))
    jar.bake = lambda *_: b"\1" + bytes([next(baked)]) * 16  # type: ignore[method-assign]  # another each time
    jar.good = lambda *_: True  # type: ignore[method-assign]  # and all of them are good
    assert pair.up(seconds=40)
    assert pair.a.events("auth-failed") == pair.b.events("auth-failed") == []


def test_an_answer_to_the_request_before_a_forged_cookie_is_followed_by_the_one_to_the_request_after_it() -> None:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, FORGED["a cookie"][0])
    tap = Tap(pair.net)
    assert pair.net.run(1, until=lambda: pair.agree(1))
    assert [line for line in tap.lines() if line.startswith("b")] == [
        "b <- IKE_SA_INIT 0 {SA, KE, N}",  # to the request without a cookie
        "b <- IKE_SA_INIT 0 {SA, KE, N}",  # to the one with it
        "b <- IKE_AUTH 1 {N(AUTHENTICATION_FAILED)}",  # our proof covered the second
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
    ]
    assert not pair.a.ike._core.candidates


def test_the_request_is_repeated_while_nobody_has_proven_to_be_the_peer() -> None:
    """A forged answer, and the true one is lost: it comes again with the next repeat."""
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, full())
    lost: list[Datagram] = []

    def lose_first_answer(datagram: Datagram) -> Datagram | None:
        if str(datagram.source.address) == B and not lost:
            lost.append(datagram)
            return None
        return datagram

    pair.net.hook = lose_first_answer
    assert pair.net.run(10, until=lambda: pair.agree(1))


def test_an_answer_that_comes_again_while_it_waits_counts_once() -> None:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    for seed in (1, 2, 2, 2, 2, 2):
        forge(pair, full(seed))
    pair.net.run(0.01)
    assert pair.a.ike.counters == {"answer-repeated": 4}
    assert pair.net.run(10, until=lambda: pair.agree(1))


def test_a_group_that_was_tried_before_is_tried_again_once_the_request_has_been_repeated() -> None:
    """The answer to the right one was lost, and a forged wish has led away from it."""
    pair = calling()
    lost: list[Datagram] = []

    def lose_the_first_full_answer(datagram: Datagram) -> Datagram | None:
        is_full = str(datagram.source.address) == B and len(datagram.data) > 100
        if is_full and not lost:
            lost.append(datagram)
            return None
        return datagram

    pair.net.hook = lose_the_first_full_answer
    forge(pair, FORGED["an offered group"][0], 0.035)
    assert pair.net.run(10, until=lambda: pair.agree(1))
    assert lost


@pytest.mark.parametrize("seed", range(6))
def test_both_ends_calling_at_once_with_a_forged_answer_before_the_true_one_end_with_one_ike_sa(seed: int) -> None:
    """Our call was begun before the peer's came through, however late its true answer is taken up."""
    pair = Pair(seed)
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, full())
    held: list[Datagram] = []

    def hold_answers_to_a(datagram: Datagram) -> Datagram | None:
        answers_a = datagram.data[:8] == pair.net.sent[0][1].data[:8] and str(datagram.source.address) == B
        if answers_a and pair.net.now < 1_001.0:
            held.append(datagram)
            return None
        return datagram

    pair.net.hook = hold_answers_to_a
    pair.net.run(0.05)
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    assert pair.net.run(0.9, until=lambda: pair.agree(1))
    pair.net.run(20)
    assert held
    assert pair.agree(1)
    assert len(pair.a.events("ike-established")) == len(pair.b.events("ike-established")) == 2


def test_an_answer_that_comes_when_the_request_is_repeated_no_more_is_dropped() -> None:
    pair = Pair()
    pair.net.hook = lambda datagram: None
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, full(1), 60.0)
    forge(pair, full(2), 95.0)
    pair.net.run(96)
    assert len(pair.a.ike._core.candidates) == 1
    assert pair.a.ike.counters == {"unexpected-response": 1}


def test_what_is_wanted_meanwhile_waits_for_the_true_answer() -> None:
    children = (child_of_a(), child_of_a("more", local=(peer_a().children[0].local[0],)))
    pair = Pair(of_a=peer_b(*children), of_b=peer_a(*map(mirrored, children)))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, full())
    pair.do(pair.a, pair.a.ike.up("more", pair.net.now))
    assert pair.net.run(10, until=lambda: pair.agree(2))


def test_somebody_who_forges_without_end_costs_bounded_work_and_the_attempt_ends_in_time() -> None:
    pair = calling()
    pair.net.hook = lambda datagram: None  # the peer hears nothing
    start = pair.net.now
    made = iter(range(10_000))
    while not pair.a.gave_up:
        number = next(made)
        forge(pair, full(number))
        forge(pair, said(Notify(NotifyType.COOKIE, number.to_bytes(4, "big"))))
        forge(pair, said(Notify(NotifyType.INVALID_KE_PAYLOAD, bytes([0, GROUPS[number % 3]]))))
        pair.net.run(0.25)
    assert pair.net.now - start < 2 * ATTEMPT  # the last to answer has had its time too
    assert pair.a.ike.counters["too-many-answers"] > 100
    assert pair.a.ike.counters["cookie-ignored"] > 100
    assert pair.a.ike.counters["group-ignored"] > 100
    of_a = [datagram for _, datagram in pair.net.sent if str(datagram.source.address) == A]
    requests = [datagram for datagram in of_a if decode_header(datagram.data).exchange == Exchange.IKE_SA_INIT]
    # each time: itself, two other groups, a cookie for each group
    assert len(requests) <= 6 * (1 + limits.RETRANSMIT_TRIES)
    assert len({datagram.data[:16] for _, datagram in pair.net.sent}) <= 1 + 4 * (1 + limits.RETRANSMIT_TRIES)
    assert not pair.a.ike._core.ikes
    assert not pair.a.ike._core.candidates
    assert not pair.a.ike._core.promised


def test_a_peer_that_refuses_us_is_told_at_once_and_the_attempt_ends_before_the_request_is_repeated() -> None:
    pair = Pair(of_b=peer_a(shared_keys=(WRONG_KEY,)))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(0.1)
    (report,) = pair.a.events("auth-failed")
    assert report.fields["reason"] == "the peer refuses our identity or our credential (AUTHENTICATION_FAILED)"
    assert not pair.a.gave_up
    assert pair.net.run(2.5, until=lambda: bool(pair.a.gave_up))
    assert len(pair.net.sent) == 4
    assert [report.event for report in pair.a.reports] == ["ike-calling", "auth-failed"]
    assert not pair.a.ike.status()


def test_a_refusal_after_a_cookie_is_told_at_once_and_doubted_until_the_attempts_own_time_is_over() -> None:
    """The cookie may have been forged, and the refusal be of the request before it."""
    pair = Pair(of_b=peer_a(shared_keys=(WRONG_KEY,)), cookie_threshold=0)
    start = pair.net.now
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(0.1)
    assert len(pair.a.events("auth-failed")) == 1
    assert pair.net.run(ATTEMPT, until=lambda: bool(pair.a.gave_up))
    assert 72 < pair.net.now - start < 92
    assert len(pair.b.events("auth-failed")) == 2  # it has forgotten the first time
    assert [report.event for report in pair.a.reports] == ["ike-calling", "auth-failed"]
    assert "refuses our identity" in pair.a.gave_up[0].reason


def test_a_refusal_after_a_cookie_is_not_doubted_while_there_is_another_key_to_try() -> None:
    pair = Pair(of_a=peer_b(shared_keys=(OTHER_KEY, KEY)), cookie_threshold=0)
    assert pair.up(seconds=3)
    assert len(pair.a.events("ike-calling")) == 2


def test_what_is_put_down_before_the_next_key_is_tried_is_given_up() -> None:
    children = (child_of_a(), child_of_a("more", local=(Selector.net("10.3.0.0/16"),)))
    pair = Pair(of_a=peer_b(*children, shared_keys=(OTHER_KEY, KEY)), of_b=peer_a(*map(mirrored, children)))
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(0.1)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    assert pair.net.run(3, until=lambda: bool(pair.a.gave_up))
    assert len(pair.a.events("ike-calling")) == 1
    assert not pair.a.ike._core.ikes


def test_putting_it_down_while_answers_are_followed_up_leaves_nothing() -> None:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    forge(pair, full(1))
    forge(pair, full(2))
    pair.net.run(0.025)
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    core = pair.a.ike._core
    assert (core.ikes, core.candidates, core.promised) == ({}, {}, set())
    pair.net.run(200)
    assert (pair.a.established, pair.a.inbound) == ([], {})


def test_an_answer_that_is_of_no_use_is_told_and_the_attempt_goes_on() -> None:
    """Ends with the cause, not with "the peer doesn't answer"."""
    pair = Pair(of_a=peer_b(encapsulation=Encapsulation.UDP))

    def without_nat_detection(datagram: Datagram) -> Datagram:
        message = decode(datagram.data)
        if str(datagram.source.address) != B or message.sealed is not None:
            return datagram
        left = tuple(
            payload
            for payload in message.payloads
            if not (isinstance(payload, Notify) and payload.type in (16_388, 16_389))
        )
        return replace(datagram, data=encode(message.header, left))

    pair.net.hook = without_nat_detection
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(1)
    (told,) = pair.a.events("ike-refused")
    assert told.fields["final"] is False
    assert told.fields["point"] == "me"
    reason = "the peer's answer is of no use: the peer can't carry ESP in UDP, and the rule has nothing else"
    assert told.fields["reason"] == reason
    assert pair.net.run(ATTEMPT, until=lambda: bool(pair.a.gave_up))
    (failed,) = pair.a.events("ike-failed")
    assert failed.fields["reason"] == reason
    assert len(pair.a.events("ike-refused")) == 1


def test_a_public_value_of_no_group_begins_no_candidate() -> None:
    pair = Pair()
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))

    def bent(request: bytes) -> bytes:
        message = decode(full()(request))
        return encode(
            message.header,
            tuple(Ke(payload.group, bytes(32)) if isinstance(payload, Ke) else payload for payload in message.payloads),
        )

    forge(pair, bent)
    assert pair.net.run(1, until=lambda: pair.agree(1))
    assert pair.a.ike.counters["bad-public-value"] == 1


def test_forged_requests_of_every_kind_are_covered() -> None:
    """The product above holds what section 2.21 lets anybody say in clear."""
    kinds = {decode(answer(_request())).payloads[0] for several in FORGED.values() for answer in several}
    types = {payload.type for payload in kinds if isinstance(payload, Notify)}
    assert types == {
        NotifyType.COOKIE,
        NotifyType.INVALID_KE_PAYLOAD,
        NotifyType.INVALID_MAJOR_VERSION,
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.AUTHENTICATION_FAILED,
    }


def _request() -> bytes:
    pair = calling()
    return pair.net.sent[0][1].data
