"""Messages too long for one datagram (RFC 7383): cut, lost, doubled, put together, and never more kept than allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipsecd import limits
from ipsecd.crypto.ike_cipher import IkeCipher
from ipsecd.ike import Ike
from ipsecd.ike.config import IkeConfig
from ipsecd.wire.identity import Identity
from ipsecd.wire.ike import HEADER_OCTETS
from ipsecd.wire.ikev2 import decode, encode_chain, skf_prefix
from ipsecd.wire.payloads import AnyPayload, Auth, Notify, Sa, Skf, TsI, TsR
from ipsecd.wire.registry import Exchange, Flag, NotifyType
from tests.exchange.entropy import SeededEntropy
from tests.exchange.gateways import KEY, A, B, Pair, peer_a, peer_b
from tests.exchange.network import Link
from tests.exchange.stranger import Stranger
from tests.exchange.transcript import Tap

KEY_A = KEY.key.reveal()
SUPPORTED = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
BIG = {"local_id": Identity.parse("keyid:0x" + "a1" * 900), "remote_id": Identity.parse("keyid:0x" + "b2" * 900)}
MIRRORED = {"local_id": BIG["remote_id"], "remote_id": BIG["local_id"]}


# --- two gateways ------------------------------------------------------------------------------------------------


def test_a_message_that_does_not_fit_goes_in_pieces_that_do() -> None:
    pair = Pair(of_a=peer_b(**BIG), of_b=peer_a(**MIRRORED))
    tap = Tap(pair.net)
    assert pair.up()
    assert tap.lines() == [
        "a -> IKE_SA_INIT 0 {SA, KE, N}",
        "b <- IKE_SA_INIT 0 {SA, KE, N}",
        "a -> IKE_AUTH 1 {1/2}",
        "a -> IKE_AUTH 1 {2/2}",
        "b <- IKE_AUTH 1 {IDr, AUTH, SA, TSi, TSr}",
    ]
    first, second = (datagram.data for _, datagram in pair.net.sent[2:4])
    assert len(first) == 1_280 - 20 - 8 - 4  # IPv4 and UDP headers, non-ESP marker
    assert len(second) < len(first)


def test_a_message_that_fits_exactly_goes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    assert pair.up()
    octets = len(pair.net.sent[2][1].data) + 20 + 8 + 4
    for size, datagrams in ((octets, 4), (octets - 1, 5)):
        monkeypatch.setattr(limits, "FRAGMENT_SIZE_V4", size)
        again = Pair()
        assert again.up()
        assert len(again.net.sent) == datagrams


@pytest.mark.parametrize("who", ["a", "b"])
def test_who_does_not_want_fragments_gets_none(who: str) -> None:
    """And then they're the network's to make."""
    unwilling = {"fragmentation": False}
    pair = Pair(
        of_a=peer_b(**BIG, **(unwilling if who == "a" else {})),
        of_b=peer_a(**MIRRORED, **(unwilling if who == "b" else {})),
    )
    assert pair.up()
    assert len(pair.net.sent) == 4


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """IKE_AUTH takes four datagrams either way."""
    monkeypatch.setattr(limits, "FRAGMENT_SIZE_V4", 160)


@pytest.mark.usefixtures("in_small_pieces")
def test_every_exchange_works_in_pieces() -> None:
    pair = Pair()
    assert pair.up()
    for node, name in ((pair.a, "net"), (pair.b, "net"), (pair.a, "b"), (pair.b, "a")):
        before = pair.a.established, pair.a.inbound_spis
        pair.do(node, (node.ike.rekey if name == "net" else node.ike.rekey_peer)(name, pair.net.now))
        pair.net.run(10)
        assert pair.agree(1)
        assert (pair.a.established, pair.a.inbound_spis) != before
    assert sum(isinstance(decode(datagram.data).sealed, Skf) for _, datagram in pair.net.sent) > 20
    for node in (pair.a, pair.b):
        assert (node.ike._core.fragments.known.octets, node.ike._core.fragments.strangers.octets) == (0, 0)


@pytest.mark.usefixtures("in_small_pieces")
def test_pieces_come_through_loss_duplication_and_reordering() -> None:
    link = Link(loss=0.2, duplication=0.5, delay=(0.01, 0.5))
    done = 0
    for seed in range(100):
        pair = Pair(f"pieces {seed}", link)
        done += pair.up(seconds=90)
        pair.net.link = Link()
        pair.net.run(100)
        assert pair.a.established == pair.b.established, seed
        assert pair.a.inbound_spis == pair.b.outbound_spis, seed
        assert pair.b.inbound_spis == pair.a.outbound_spis, seed
        for node in (pair.a, pair.b):
            assert (node.ike._core.fragments.known.octets, node.ike._core.fragments.strangers.octets) == (0, 0)
    assert done >= 98


# --- somebody who cuts as he likes -------------------------------------------------------------------------------


class Cutter(Stranger):
    """Knows the keys, and seals fragments of any number and total."""

    def hello(self, *more: AnyPayload) -> None:
        asked = self.sa_init((*self.sa_init_payloads(), *more))
        assert asked is not None
        if isinstance(asked.payloads[0], Notify):  # a cookie
            self.sa_init((asked.payloads[0], *self.sa_init_payloads(), *more))

    def fragment(
        self,
        message_id: int,
        number: int,
        total: int,
        piece: bytes,
        first: int = 35,
        exchange: Exchange = Exchange.IKE_AUTH,
        flags: Flag = Flag.INITIATOR,
    ) -> bytes:
        iv = (1 << 32 | self._iv).to_bytes(8, "big")
        self._iv += 1
        header = self.header(exchange, message_id, flags)
        prefix = skf_prefix(header, first if number == 1 else 0, number, total, 8 + len(piece) + 1 + 16)
        return prefix + iv + AESGCM(self.sk_ei[:16]).encrypt(self.sk_ei[16:] + iv, piece + b"\0", prefix)

    def cut(self, payloads: tuple[AnyPayload, ...], octets: int = 60, message_id: int = 1) -> list[bytes]:
        first, plain = encode_chain(payloads)
        pieces = [plain[start : start + octets] for start in range(0, len(plain), octets)]
        return [self.fragment(message_id, number, len(pieces), piece, first) for number, piece in enumerate(pieces, 1)]

    def send_all(self, datagrams: Iterable[bytes]) -> list[bytes]:
        return [answer for data in datagrams for answer in self.send(data)]

    @property
    def kept(self) -> tuple[int, int]:
        """Octets that the gateway keeps, of whom it knows and of whom it doesn't."""
        return self.ike._core.fragments.known.octets, self.ike._core.fragments.strangers.octets


def cutter(seed: int = 0, ike: Ike | None = None, remote: str = A) -> Cutter:
    return Cutter(ike or Ike(IkeConfig((peer_a(),)), SeededEntropy("b")), B, remote, seed=seed)


def half_open(seed: int = 0, ike: Ike | None = None, remote: str = A) -> Cutter:
    made = cutter(seed, ike, remote)
    made.hello(SUPPORTED)
    return made


def established() -> Cutter:
    made = half_open()
    assert made.send_all(made.cut(made.auth_payloads(KEY_A)))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_make_the_message(seed: int) -> None:
    stranger = half_open()
    datagrams = stranger.cut(stranger.auth_payloads(KEY_A), 20)
    assert len(datagrams) > 6
    Random(seed).shuffle(datagrams)
    assert stranger.send_all(datagrams[:-1]) == []
    assert stranger.kept[1] > 0
    (answer,) = stranger.send(datagrams[-1])
    assert {type(payload) for payload in stranger.open(answer)} >= {Auth, Sa, TsI, TsR}
    assert stranger.kept == (0, 0)


def test_a_piece_that_comes_again_isnt_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = half_open()
    first, *rest = stranger.cut(stranger.auth_payloads(KEY_A))
    stranger.send(first)
    opened = count_opened(monkeypatch)
    for _ in range(100):
        stranger.send(first)
    assert len(opened) == 0
    assert stranger.ike.counters["fragment-repeated"] == 100
    assert stranger.send_all(rest)


def test_of_a_repeated_request_the_first_piece_alone_brings_the_response_again() -> None:
    """Section 2.6.1."""
    stranger = half_open()
    datagrams = stranger.cut(stranger.auth_payloads(KEY_A))
    answers = stranger.send_all(datagrams)
    assert stranger.send_all(datagrams[1:]) == []
    assert stranger.ike.counters["fragment-repeated"] == len(datagrams) - 1
    assert stranger.send(datagrams[0]) == answers


def test_a_total_that_grows_begins_the_message_anew() -> None:
    """Section 2.6: the sender has cut it smaller, because the larger pieces didn't get through."""
    stranger = half_open()
    payloads = stranger.auth_payloads(KEY_A)
    stranger.send_all(stranger.cut(payloads, 100)[:-1])
    assert stranger.send_all(stranger.cut(payloads, 50))
    assert stranger.kept == (0, 0)


def test_a_total_that_shrinks_is_dropped_and_changes_nothing() -> None:
    stranger = half_open()
    payloads = stranger.auth_payloads(KEY_A)
    small, large = stranger.cut(payloads, 50), stranger.cut(payloads, 100)
    stranger.send_all(small[:-1])
    before = stranger.kept
    assert stranger.send_all(large) == []
    assert stranger.ike.counters["bad-fragment-number"] == len(large)
    assert stranger.kept == before
    assert stranger.send(small[-1])


def test_a_forged_piece_changes_nothing() -> None:
    stranger = half_open()
    datagrams = stranger.cut(stranger.auth_payloads(KEY_A))
    for data in datagrams:
        stranger.send(data[:-1] + bytes([data[-1] ^ 1]))
    assert stranger.ike.counters["bad-icv"] == len(datagrams)
    assert stranger.kept == (0, 0)
    assert stranger.send_all(datagrams)


def test_a_message_that_never_becomes_whole_is_forgotten_after_thirty_seconds() -> None:
    stranger = established()
    datagrams = [stranger.fragment(2, number, 3, bytes(100), 0, Exchange.INFORMATIONAL) for number in (1, 2)]
    stranger.send_all(datagrams)
    assert stranger.kept == (200, 0)
    stranger.ike.timer(stranger.now + limits.FRAGMENT_TIMEOUT - 0.1)
    assert stranger.kept == (200, 0)
    stranger.ike.timer(stranger.now + limits.FRAGMENT_TIMEOUT)
    assert limits.FRAGMENT_TIMEOUT == 30.0
    assert stranger.kept == (0, 0)
    assert stranger.ike.counters["fragments-incomplete"] == 1
    # and the message may come again
    stranger.now += 40
    assert stranger.send_all([stranger.fragment(2, number, 2, b"", 0, Exchange.INFORMATIONAL) for number in (1, 2)])


def test_an_ike_sa_that_ends_takes_its_pieces_along() -> None:
    stranger = established()
    stranger.send(stranger.fragment(2, 1, 3, bytes(100), 0, Exchange.INFORMATIONAL))
    assert stranger.kept == (100, 0)
    stranger.ike.shutdown("it stops", stranger.now)
    stranger.ike.timer(stranger.now + 100)
    assert stranger.kept == (0, 0)


def test_a_message_over_sixty_four_kib_is_dropped_whole() -> None:
    stranger = established()
    for number in range(1, 6):
        stranger.send(stranger.fragment(2, number, 6, bytes(16_000), 0, Exchange.INFORMATIONAL))
        assert stranger.kept[0] <= limits.MAX_IKE_MESSAGE == 65_536
    assert stranger.kept == (0, 0)
    assert stranger.ike.counters["fragments-too-large"] == 1
    assert stranger.ask(Exchange.INFORMATIONAL, 2) == ()


def test_both_directions_of_an_ike_sa_share_what_it_may_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = established()
    monkeypatch.setattr(stranger.ike._core.fragments.known, "of_each", 20_000)
    stranger.ike.rekey("net", stranger.now)  # something to answer
    answer = Flag.INITIATOR | Flag.RESPONSE
    stranger.send(stranger.fragment(2, 1, 3, bytes(12_000), 0, Exchange.INFORMATIONAL))
    stranger.send(stranger.fragment(0, 1, 3, bytes(8_000), 0, Exchange.CREATE_CHILD_SA, answer))
    assert stranger.kept == (20_000, 0)
    stranger.send(stranger.fragment(0, 2, 3, b"x", 0, Exchange.CREATE_CHILD_SA, answer))
    assert stranger.ike.counters["fragments-too-large"] == 1
    assert stranger.kept == (12_000, 0)


def test_who_has_proven_nothing_may_keep_less() -> None:
    assert limits.MAX_FRAGMENTS_HALF_OPEN < limits.MAX_FRAGMENTS_PER_SA
    stranger = half_open()
    for number in (1, 2):
        stranger.send(stranger.fragment(1, number, 3, bytes(16_000)))
    assert stranger.kept == (0, 32_000)
    stranger.send(stranger.fragment(1, 3, 3, bytes(16_000)))
    assert stranger.ike.counters["fragments-too-large"] == 1
    assert stranger.kept == (0, 0)
    assert stranger.send_all(stranger.cut(stranger.auth_payloads(KEY_A)))


def test_strangers_that_fill_their_memory_keep_neither_each_other_nor_the_known_from_being_heard() -> None:
    ike = Ike(IkeConfig((peer_a(remotes=()),)), SeededEntropy("b"))
    peer = half_open(10_000, ike, "192.0.2.200")
    assert peer.send_all(peer.cut(peer.auth_payloads(KEY_A)))
    for seed in range(60):
        stranger = half_open(seed, ike, f"203.0.{seed}.7")
        for number in (1, 2):
            stranger.send(stranger.fragment(1, number, 64, bytes(16_000)))
        assert stranger.kept[1] <= limits.MAX_FRAGMENTS_HALF_OPEN_TOTAL == 1 << 20
    assert ike.counters["fragments-displaced"] == 60 - 32
    assert stranger.kept == (0, 2 * 16_000 * 32)
    # one that comes now displaces the oldest, and is heard
    honest = half_open(1_000, ike, "198.18.0.1")
    assert honest.send_all(honest.cut(honest.auth_payloads(KEY_A, identity="a.example")))
    # and they take nothing of what is kept for those who are known
    for number in range(1, 5):
        honest.send(honest.fragment(2, number, 64, bytes(16_000), 0, Exchange.INFORMATIONAL))
    assert honest.kept[0] == 64_000


def test_those_who_are_known_displace_the_oldest_too_when_all_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = established()
    monkeypatch.setattr(stranger.ike._core.fragments.known, "_of_all", 150)
    stranger.ike.rekey("net", stranger.now)
    stranger.send(stranger.fragment(2, 1, 3, bytes(100), 0, Exchange.INFORMATIONAL))
    answer = Flag.INITIATOR | Flag.RESPONSE
    stranger.send(stranger.fragment(0, 1, 3, bytes(100), 0, Exchange.CREATE_CHILD_SA, answer))
    assert stranger.kept == (100, 0)
    assert stranger.ike.counters["fragments-displaced"] == 1
    assert limits.MAX_FRAGMENTS_TOTAL == 16 << 20


def test_fragments_that_nobody_has_agreed_to_are_dropped_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = cutter()
    stranger.hello()
    opened = count_opened(monkeypatch)
    datagrams = stranger.cut(stranger.auth_payloads(KEY_A))
    assert stranger.send_all(datagrams) == []
    assert stranger.ike.counters["fragment-unasked"] == len(datagrams)
    assert len(opened) == 0
    assert stranger.kept == (0, 0)


def test_ten_thousand_fragments_cost_one_opening_each_at_most_and_leave_one_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CVE-2016-10396 was a list searched for each fragment."""
    stranger = established()
    timers = len(stranger.ike._core.timers)
    opened = count_opened(monkeypatch)
    random = Random(64)
    sent = 0
    while sent < 10_000:
        total = random.randrange(1, 65)
        for number in random.sample(range(1, total + 1), total):
            if number == 1 and random.random() < 0.9:
                continue  # hardly any message becomes whole
            stranger.send(stranger.fragment(2, number, total, bytes(8), 0, Exchange.INFORMATIONAL))
            sent += 1
            assert sum(stranger.kept) <= 64 * 8
    assert len(opened) <= sent
    assert len(opened) < stranger.ike.counters["bad-fragment-number"] + stranger.ike.counters["fragment-repeated"]
    assert len(stranger.ike._core.timers) <= timers + 1
    assert stranger.ike.counters["internal-error"] == 0


def count_opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each sealed body that is opened."""
    opened: list[int] = []
    real = IkeCipher.open

    def counted(self: IkeCipher, prefix: bytes, body: bytes) -> bytes:
        opened.append(len(body))
        return real(self, prefix, body)

    monkeypatch.setattr(IkeCipher, "open", counted)
    return opened


def test_headers_of_all_pieces_but_their_own_numbers_are_alike() -> None:
    """Section 2.5: next payload zero in all but the first."""
    pair = Pair(of_a=peer_b(**BIG), of_b=peer_a(**MIRRORED))
    assert pair.up()
    first, second = (decode(datagram.data) for _, datagram in pair.net.sent[2:4])
    assert replace(first.header, length=0) == replace(second.header, length=0)
    assert isinstance(first.sealed, Skf)
    assert isinstance(second.sealed, Skf)
    assert (first.sealed.first, first.sealed.number, first.sealed.total) == (35, 1, 2)
    assert (second.sealed.first, second.sealed.number, second.sealed.total) == (0, 2, 2)
    assert len(first.sealed.prefix) == HEADER_OCTETS + 8
