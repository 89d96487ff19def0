"""C17: strangers in any number cost what one request costs, and stand in nobody's way (CVE-2002-20001; RFC 7296 section
2.6). Work before a cookie: a look at the header and one MAC. Work before AUTH: one key exchange.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

import pytest

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike import Ike
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.cookie import CookieJar
from ipsecd.ike.effects import Effect, Send
from ipsecd.ike.guard import Guard
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import decode, encode
from ipsecd.wire.payloads import AnyPayload, Ke, Nonce, Notify, Proposal, Sa, Transform
from ipsecd.wire.registry import Encr, Exchange, Flag, Group, NotifyType, Protocol, TransformType
from ipsecd.wire.selector import Address, Selector
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import A, B, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Node, endpoint
from tests.exchange.stranger import Stranger

C = "203.0.113.3"  # a third gateway
NOBODY = Stranger(Ike(IkeConfig(), SeededEntropy(0)), B, A)
PAYLOADS = NOBODY.sa_init_payloads()
SHORT_VALUE = tuple(Ke(Group.CURVE25519, bytes(31)) if isinstance(p, Ke) else p for p in PAYLOADS)
SMALL_ORDER = tuple(Ke(Group.CURVE25519, bytes(32)) if isinstance(p, Ke) else p for p in PAYLOADS)
NO_PROPOSAL = (
    Sa((Proposal(1, Protocol.IKE, b"", (Transform(TransformType.ENCR, Encr.DES),)),)),
    *PAYLOADS[1:],
)


def request(random: Random, payloads: tuple[AnyPayload, ...] = PAYLOADS, spi: bytes = b"") -> bytes:
    header = Header(spi or random.randbytes(8), bytes(8), 0, 2, 0, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, 0)
    return encode(header, payloads)


def with_cookie(data: bytes, answer: bytes, payloads: tuple[AnyPayload, ...] = PAYLOADS) -> bytes:
    """The request again, with the cookie it was asked for."""
    (notify,) = decode(answer).payloads
    assert isinstance(notify, Notify)
    assert notify.type == NotifyType.COOKIE
    return encode(decode(data).header, (notify, *payloads))


def gateway(threshold: int = limits.COOKIE_THRESHOLD) -> tuple[Ike, SeededEntropy]:
    entropy = SeededEntropy("b")
    return Ike(IkeConfig((peer_a(remotes=()),), cookie_threshold=threshold), entropy), entropy


def at(address: str | Address, port: int = 500) -> Path:
    return Path(endpoint(B), Endpoint(ip_address(str(address)), port))


def sent(effects: list[Effect]) -> list[bytes]:
    return [effect.data for effect in effects if isinstance(effect, Send)]


def asks_for_cookie(effects: list[Effect]) -> bool:
    return any(
        isinstance(payload, Notify) and payload.type == NotifyType.COOKIE
        for data in sent(effects)
        for payload in decode(data).payloads
    )


# --- floods ------------------------------------------------------------------------------------------------------


def three_gateways() -> tuple[Pair, Node]:
    """Gateway b knows a by its address, and c by its identity; c will call it."""
    of_c, name = child_of_a("c", local=(Selector.net("10.3.0.0/16"),)), Identity.parse("c.example")
    pair = Pair(of_b=(peer_a(), peer_a(mirrored(of_c), name="c", remotes=(), remote_id=name)))
    c = pair.net.add("c", C, IkeConfig((peer_b(of_c, local=ip_address(C), local_id=name),)))
    return pair, c


def test_ten_thousand_spoofed_requests_hurt_neither_those_who_are_there_nor_those_who_come() -> None:
    pair, c = three_gateways()
    assert pair.up()
    made_before = sum(pair.b.entropy.key_pairs.values())
    random = Random(17)
    for number in range(10_000):
        source = Endpoint(IPv4Address(0x0A000000 + random.randrange(1 << 24)), 500)
        pair.net.inject(Datagram(request(random), source, endpoint(B), natt=False), number / 1_000)
    pair.net.run(4)
    pair.do(c, c.ike.up("c", pair.net.now))
    assert pair.net.run(5, until=lambda: bool(c.inbound))
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(1)
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(5)
    assert len(pair.a.events("child-rekeyed")) == len(pair.a.events("ike-rekeyed")) == 1
    assert not pair.a.events("peer-dead")
    assert pair.b.ike.counters["cookie-asked"] > 9_900
    # those of the flood, one for c, one for the rekey of the IKE SA
    assert sum(pair.b.entropy.key_pairs.values()) - made_before <= limits.COOKIE_THRESHOLD + 2
    pair.net.run(60)
    engine = pair.b.ike
    assert len(engine._core.ikes) == len(pair.b.established) == 2
    assert (engine._reception._asked, engine._reception._strangers, engine._core.guard.half_open) == ({}, {}, 0)
    assert not engine._core.guard._half_open


@pytest.mark.parametrize("payloads", [PAYLOADS, SHORT_VALUE, NO_PROPOSAL], ids=["good", "malformed", "no proposal"])
def test_whoever_spoofs_the_peers_own_address_does_not_lock_it_out(payloads: tuple[AnyPayload, ...]) -> None:
    pair = Pair()
    random = Random(200)
    for number in range(200 * 20):
        pair.net.inject(Datagram(request(random, payloads), endpoint(A), endpoint(B), natt=False), number / 200)
    pair.net.run(10)
    start = pair.net.now
    assert pair.up(seconds=5)
    assert pair.net.now - start < 1, "a cookie is all that it costs"


@pytest.mark.parametrize(
    ("payloads", "pairs"), [(SHORT_VALUE, 0), (NO_PROPOSAL, 0), (SMALL_ORDER, limits.COOKIE_THRESHOLD)]
)
def test_what_fails_counts_as_much_as_what_is_half_open(payloads: tuple[AnyPayload, ...], pairs: int) -> None:
    ike, entropy = gateway()
    random = Random(1)
    for number in range(2_000):
        ike.receive(request(random, payloads), at(IPv4Address(0x0A000000 + number)), 1_000.0 + number / 1_000)
    assert sum(entropy.key_pairs.values()) == pairs
    assert ike.counters["cookie-asked"] == 2_000 - limits.COOKIE_THRESHOLD
    later = 1_002.0 + limits.HALF_OPEN_LIFETIME + limits.COOKIE_CALM
    assert not asks_for_cookie(ike.receive(request(random), at(A), later))


def test_what_fails_counts_for_its_source_too() -> None:
    ike, _ = gateway(threshold=10**9)
    random = Random(2)
    asked = [asks_for_cookie(ike.receive(request(random, NO_PROPOSAL), at(A), 1_000.0)) for _ in range(5)]
    assert asked == [False] * limits.COOKIE_THRESHOLD_PER_ADDRESS + [True] * 2
    assert not asks_for_cookie(ike.receive(request(random, NO_PROPOSAL), at("192.0.2.2"), 1_000.0))


def test_what_fails_is_remembered_for_as_many_as_may_be_half_open_and_no_longer() -> None:
    guard = Guard(SeededEntropy(0))
    for number in range(5_000):
        guard.failed(Endpoint(IPv4Address(0x0A000000 + number % 2_000), 500), 1_000.0)
    assert guard._failures.count(1_000.0) == limits.MAX_HALF_OPEN
    assert len(guard._failures._by_source) <= limits.MAX_HALF_OPEN
    assert guard._failures.count(1_000.0 + limits.HALF_OPEN_LIFETIME) == 0
    assert not guard._failures._by_source


def test_work_before_a_cookie_is_one_mac_and_no_key_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    ike, entropy = gateway(threshold=0)
    macs = []
    real = hmac.digest
    monkeypatch.setattr("ipsecd.ike.cookie.hmac.digest", lambda *args: (macs.append(args), real(*args))[1])
    monkeypatch.setattr("ipsecd.ike.v2.reception.decode", lambda data: pytest.fail("the whole message is decoded"))
    data = request(Random(3))
    assert asks_for_cookie(ike.receive(data, at(A), 1_000.0))
    assert len(macs) == 1
    assert not entropy.key_pairs
    made_up = encode(decode(data).header, (Notify(NotifyType.COOKIE, b"\1" + bytes(16)), *PAYLOADS))
    macs.clear()
    assert asks_for_cookie(ike.receive(made_up, at(A), 1_000.0))
    assert len(macs) == 2  # one more to see that it's wrong
    other_version = encode(decode(data).header, (Notify(NotifyType.COOKIE, b"\7" + bytes(16)), *PAYLOADS))
    macs.clear()
    assert asks_for_cookie(ike.receive(other_version, at(A), 1_000.0))
    assert len(macs) == 1


def test_work_before_auth_is_one_key_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    ike, entropy = gateway()
    data = request(Random(4))
    for _ in range(100):
        ike.receive(data, at(A), 1_000.0)
    assert sum(entropy.key_pairs.values()) == 1
    assert len(ike._core.ikes) == 1


# --- numbers -----------------------------------------------------------------------------------------------------

SAME_SOURCE = {
    "one address": [ip_address("192.0.2.77")] * 10,
    "one /64": [IPv6Address("2001:db8:0:1::") + number * 0x1_0001 for number in range(10)],
}


@pytest.mark.parametrize("addresses", SAME_SOURCE.values(), ids=SAME_SOURCE)
def test_the_fourth_from_one_source_is_asked_for_a_cookie_and_the_sixth_is_refused_with_one(
    addresses: list[Address],
) -> None:
    ike, _ = gateway()
    random = Random(5)
    local = ip_address("2001:db8::b" if addresses[0].version == 6 else B)
    for number, address in enumerate(addresses):
        path = Path(Endpoint(local, 500), Endpoint(address, 500))
        ike._core.config = replace(ike._core.config, peers=(peer_a(remotes=(), local=local),))
        data = request(random)
        effects = ike.receive(data, path, 1_000.0 + number)
        assert asks_for_cookie(effects) == (number >= limits.COOKIE_THRESHOLD_PER_ADDRESS)
        if asks_for_cookie(effects):
            effects = ike.receive(with_cookie(data, *sent(effects)), path, 1_000.0 + number)
        assert bool(sent(effects)) == (number < limits.MAX_HALF_OPEN_PER_ADDRESS)
    assert ike.counters["half-open-limit"] == 10 - limits.MAX_HALF_OPEN_PER_ADDRESS
    # another source isn't concerned
    other = addresses[0] + (1 << 64 if addresses[0].version == 6 else 1)
    assert not asks_for_cookie(ike.receive(request(random), Path(Endpoint(local, 500), Endpoint(other, 500)), 1_010.0))


def test_a_thousand_half_open_in_all_and_then_no_more_until_they_are_over() -> None:
    ike, _ = gateway(threshold=10**9)
    random = Random(6)
    for number in range(limits.MAX_HALF_OPEN + 50):
        ike.receive(request(random), at(IPv4Address(0x0A000000 + number)), 1_000.0)
    assert ike._core.guard.half_open == limits.MAX_HALF_OPEN == 1_000
    assert ike.counters["half-open-limit"] == 50
    ike.timer(1_000.0 + limits.HALF_OPEN_LIFETIME)
    assert ike._core.guard.half_open == 0
    assert sent(ike.receive(request(random), at(A), 1_031.0))


def test_twenty_a_second_with_cookies_and_five_at_once() -> None:
    ike, _ = gateway(threshold=0)
    random = Random(7)
    asked = []
    for _ in range(60):
        data = request(random, NO_PROPOSAL)
        asked.append(with_cookie(data, *sent(ike.receive(data, at(A), 1_000.0)), NO_PROPOSAL))
    for data in asked[:10]:
        ike.receive(data, at(A), 1_000.0)
    assert ike.counters["no-proposal-chosen"] == limits.INIT_BURST == 5
    assert ike.counters["sa-init-rate"] == 5
    for data in asked[10:]:
        ike.receive(data, at(A), 1_001.0)
    assert ike.counters["no-proposal-chosen"] == 10
    for number, data in enumerate(asked[20:]):
        ike.receive(data, at(A), 1_002.0 + number / limits.INIT_RATE)
    assert ike.counters["no-proposal-chosen"] == 50


def test_without_a_cookie_the_sixth_at_once_is_asked_for_one_and_twenty_a_second_are_not() -> None:
    guard = Guard(SeededEntropy(0))
    data = request(Random(8))
    remote = endpoint(A)

    def admit(now: float) -> bool:
        return guard.admit(data[16], data[:8], data, remote, 30, now) is None

    assert [admit(1_000.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [admit(1_001.0 + number / limits.INIT_RATE) for number in range(100)] == [True] * 100


def test_sources_beyond_those_that_can_be_remembered_forget_the_oldest() -> None:
    guard = Guard(SeededEntropy(0))
    for number in range(limits.INIT_BUCKETS + 100):
        guard.may_complain(Endpoint(IPv4Address(number), 500), 1_000.0)
    assert len(guard._errors._buckets) == limits.INIT_BUCKETS


def test_cookies_stay_on_until_it_has_been_calm_for_ten_seconds() -> None:
    ike, _ = gateway()
    random = Random(9)
    for number in range(limits.COOKIE_THRESHOLD):
        assert not asks_for_cookie(ike.receive(request(random), at(IPv4Address(0x0A000000 + number)), 1_000.0))
    assert asks_for_cookie(ike.receive(request(random), at("10.1.0.1"), 1_029.0))
    ike.timer(1_030.0)  # none of them is half-open any more
    assert ike._core.guard.half_open == 0
    assert asks_for_cookie(ike.receive(request(random), at("10.1.0.1"), 1_038.9))
    assert not asks_for_cookie(ike.receive(request(random), at("10.1.0.1"), 1_039.1))


# --- cookies -----------------------------------------------------------------------------------------------------

NONCE, SPI = bytes(range(32)), b"initiate"


def jar() -> tuple[CookieJar, bytes]:
    made = CookieJar(SeededEntropy(0))
    return made, made.bake(NONCE, endpoint(A), SPI, 1_000.0)


def test_a_cookie_is_good_where_and_for_what_it_was_given() -> None:
    made, cookie = jar()
    assert len(cookie) == 17
    assert made.good(cookie, NONCE, endpoint(A), SPI, 1_000.0)
    assert not made.good(cookie, NONCE, endpoint("192.0.2.2"), SPI, 1_000.0)
    assert not made.good(cookie, NONCE, endpoint(A, 501), SPI, 1_000.0)
    assert not made.good(cookie, NONCE[:-1] + b"\0", endpoint(A), SPI, 1_000.0)
    assert not made.good(cookie, NONCE, endpoint(A), b"another!", 1_000.0)
    assert not made.good(bytes([cookie[0] ^ 1]) + cookie[1:], NONCE, endpoint(A), SPI, 1_000.0)
    assert not CookieJar(SeededEntropy(1)).good(cookie, NONCE, endpoint(A), SPI, 1_000.0)
    for bent in (b"", cookie[:1], cookie[:-1], cookie + b"\0", cookie[:-1] + bytes([cookie[-1] ^ 1])):
        assert not made.good(bent, NONCE, endpoint(A), SPI, 1_000.0)


def test_a_cookie_outlives_one_new_secret_and_not_two() -> None:
    made, cookie = jar()
    life = limits.COOKIE_SECRET_LIFETIME
    second = made.bake(NONCE, endpoint(A), SPI, 1_000.0 + life)
    assert second != cookie
    assert made.good(cookie, NONCE, endpoint(A), SPI, 1_000.0 + 2 * life - 1)
    assert made.good(second, NONCE, endpoint(A), SPI, 1_000.0 + 2 * life - 1)
    third = made.bake(NONCE, endpoint(A), SPI, 1_000.0 + 2 * life)
    assert not made.good(cookie, NONCE, endpoint(A), SPI, 1_000.0 + 2 * life)
    assert made.good(second, NONCE, endpoint(A), SPI, 1_000.0 + 2 * life)
    assert made.good(third, NONCE, endpoint(A), SPI, 1_000.0 + 2 * life)


def test_after_a_long_rest_no_old_secret_is_kept() -> None:
    made, cookie = jar()
    assert not made.good(cookie, NONCE, endpoint(A), SPI, 1_000.0 + 2 * limits.COOKIE_SECRET_LIFETIME)


def test_versions_come_round_without_bringing_old_cookies_back() -> None:
    made, cookie = jar()
    for turn in range(1, 257):
        made.bake(NONCE, endpoint(A), SPI, 1_000.0 + turn * limits.COOKIE_SECRET_LIFETIME)
    now = 1_000.0 + 256 * limits.COOKIE_SECRET_LIFETIME
    assert made.bake(NONCE, endpoint(A), SPI, now)[0] == cookie[0]
    assert not made.good(cookie, NONCE, endpoint(A), SPI, now)


def test_a_wrong_cookie_is_ignored_and_another_asked_for() -> None:
    """RFC 7296 section 2.6: as if no cookie had been included."""
    ike, entropy = gateway(threshold=0)
    data = request(Random(10))
    (answer,) = sent(ike.receive(data, at(A), 1_000.0))
    good = with_cookie(data, answer)
    assert asks_for_cookie(ike.receive(good, at("192.0.2.9"), 1_000.0))
    assert asks_for_cookie(ike.receive(good, at(A, 4_500), 1_000.0))
    assert not entropy.key_pairs
    assert not asks_for_cookie(ike.receive(good, at(A), 1_000.0))
    assert ike._core.guard.half_open == 1


def test_a_cookie_stands_before_everything_else_or_is_still_found() -> None:
    ike, _ = gateway(threshold=0)
    data = request(Random(11))
    (answer,) = sent(ike.receive(data, at(A), 1_000.0))
    (cookie,) = decode(answer).payloads
    behind = encode(decode(data).header, (*PAYLOADS, cookie))
    assert not asks_for_cookie(ike.receive(behind, at(A), 1_000.0))


def test_what_is_no_request_is_dropped_before_any_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecd.ike.cookie.hmac.digest", lambda *_: pytest.fail("a MAC for nothing"))
    guard = Guard(SeededEntropy(0))
    header = decode(request(Random(12))).header
    for payloads in ((), PAYLOADS[:2], (Nonce(bytes(15)),), (Nonce(bytes(257)),)):
        data = encode(header, payloads)
        with pytest.raises(PeerError):
            guard.admit(data[16], data[:8], data, endpoint(A), 0, 1_000.0)
