"""Messages of IKEv1 in parts: cut and put together, and what is done about parts that don't fit."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import permutations
from random import Random

import pytest

from ipsecd import limits
from ipsecd.errors import PeerError
from ipsecd.ike.config import Endpoint, IkeConfig, Path
from ipsecd.ike.core import Core
from ipsecd.ike.v1.fragments import Joining, in_parts
from ipsecd.wire import ikev1
from ipsecd.wire.ikev1_payloads import AnyPayload, Fragment, VendorId
from ipsecd.wire.registry_v1 import Exchange
from tests.exchange.entropy import SeededEntropy

HEADER = ikev1.Header(b"cookie-i", b"cookie-r", Exchange.MAIN)
END = Endpoint(ip_address("192.0.2.1"), 500)
PATH = Path(END, END)
WHOLE = ikev1.encode(HEADER, [VendorId(bytes([number]) * 200) for number in range(20)])


def core() -> Core:
    return Core(IkeConfig(), SeededEntropy(0))


def part(id_: int, number: int, data: bytes, *, last: bool = False, header: ikev1.Header = HEADER) -> ikev1.Message:
    return ikev1.decode(ikev1.encode(header, [Fragment(id_, number, last, data)]))


def parts(whole: bytes = WHOLE, id_: int = 1) -> list[ikev1.Message]:
    return [ikev1.decode(datagram) for datagram in in_parts(whole, HEADER, id_, PATH)]


def reason(joining: Joining, message: ikev1.Message) -> str:
    with pytest.raises(PeerError) as caught:
        joining.add(message)
    return caught.value.reason


@pytest.mark.parametrize(
    ("address", "natt", "most"),
    [("192.0.2.1", False, 1_252), ("192.0.2.1", True, 1_248), ("2001:db8::1", False, 1_232)],
)
def test_a_message_is_cut_where_a_packet_of_1280_octets_ends(address: str, natt: bool, most: int) -> None:
    end = Endpoint(ip_address(address), 4500 if natt else 500)
    path = Path(end, end, natt)
    datagrams = in_parts(WHOLE, HEADER, 7, path)
    assert [len(each) for each in datagrams[:-1]] == [most] * 3
    assert len(datagrams[-1]) <= most
    fits = ikev1.encode(HEADER, [VendorId(bytes(most - 32))])
    assert in_parts(fits, HEADER, 7, path) == (fits,)
    assert len(in_parts(fits + b"\0", HEADER, 7, path)) == 2
    found = [ikev1.decode(each) for each in datagrams]
    assert {
        (each.header, each.chain.payloads[0].id) for each in found if isinstance(each.chain.payloads[0], Fragment)
    } == {(HEADER, 7)}


def test_parts_in_any_order_make_the_whole() -> None:
    for order in permutations(parts()):
        joining = Joining(core())
        assert [joining.add(each) for each in order] == [None, None, None, WHOLE]
        assert joining._pool.octets == 0


def test_a_part_twice_is_one() -> None:
    joining = Joining(core())
    first, *others = parts()
    assert joining.add(first) is None
    assert reason(joining, first) == "fragment-repeated"
    assert [joining.add(each) for each in others][-1] == WHOLE


def test_the_same_message_may_come_again() -> None:
    joining = Joining(core())
    for _ in range(3):
        assert [joining.add(each) for each in parts()][-1] == WHOLE


@pytest.mark.parametrize(
    "odd",
    [
        part(2, 1, b"x"),  # of another message
        part(1, 1, b"x", header=ikev1.Header(b"cookie-i", b"another.", Exchange.MAIN)),  # and of another SA
        part(1, 2, b"x"),  # other octets than before
        part(1, 1, b"x", last=True),  # the end in front of what is there
        part(1, 2, b"x", last=True),
    ],
)
def test_a_part_that_contradicts_those_before_it_begins_anew(odd: ikev1.Message) -> None:
    """strongSwan numbers all its messages 1, and whoever sent what was there before may have been anybody."""
    ours = core()
    joining = Joining(ours)
    _, second, third, _ = parts()
    joining.add(second)
    joining.add(third)
    found: list[bytes | None] = []
    for message in (odd, *parts(), *parts()):  # the whole is repeated, as nothing answers it
        ours.guarded("part", lambda given=message: found.append(joining.add(given)))  # type: ignore[misc]  # of a list
    assert WHOLE in found
    assert ours.counters["internal-error"] == 0


def test_behind_the_last_part_there_is_none() -> None:
    joining = Joining(core())
    joining.add(part(1, 3, b"x", last=True))
    joining.add(part(1, 4, b"y"))
    assert joining._queue is not None
    assert joining._queue.parts == {4: b"y"}


def test_what_is_put_together_is_a_message_of_the_same_sa_and_no_part_itself() -> None:
    other = ikev1.encode(ikev1.Header(b"cookie-i", b"another.", Exchange.MAIN), [VendorId(b"")])
    nested = ikev1.encode(HEADER, [Fragment(1, 1, True, b"x")])
    for whole in (other, nested):
        assert reason(Joining(core()), part(1, 1, whole, last=True)) == "bad-fragment"
    assert reason(Joining(core()), part(1, 1, b"short", last=True)) in ("truncated", "bad-length")


@pytest.mark.parametrize("payloads", [(), (VendorId(b""),), (Fragment(1, 1, True, b"x"), VendorId(b""))])
def test_a_part_stands_alone(payloads: tuple[AnyPayload, ...]) -> None:
    assert reason(Joining(core()), ikev1.decode(ikev1.encode(HEADER, payloads))) == "bad-fragment"


def test_what_does_not_become_whole_is_forgotten() -> None:
    ours = core()
    joining = Joining(ours)
    joining.add(parts()[0])
    ours.now = limits.FRAGMENT_TIMEOUT
    for timer in ours.timers.due(ours.now):
        timer.ring()
    assert (ours.counters["fragments-incomplete"], joining._pool.octets) == (1, 0)
    joining.add(parts()[0])
    joining.clear()
    assert joining._pool.octets == 0


def test_no_more_is_kept_than_strangers_may_have() -> None:
    ours = core()
    joining = Joining(ours)
    big = limits.MAX_IKE_DATAGRAM // 2
    joining.add(part(1, 1, bytes(big)))
    joining.add(part(1, 2, bytes(big)))
    assert reason(joining, part(1, 3, b"x")) == "fragments-too-large"
    assert joining._pool.octets == 0
    many = [Joining(ours) for _ in range(200)]
    for each in many:
        each.add(part(1, 1, bytes(big)))
    assert joining._pool.octets <= limits.MAX_FRAGMENTS_HALF_OPEN_TOTAL
    assert ours.counters["fragments-displaced"] == 200 - limits.MAX_FRAGMENTS_HALF_OPEN_TOTAL // big
    assert many[0]._queue is None


def test_any_parts_whatsoever_are_survived() -> None:
    """C2 (CVE-2016-1287, CVE-2016-10396): duplicates, ends that move, numbers out of order; work is that of one look-up
    for each, and nothing is left behind."""
    random = Random(5)
    ours = core()
    joining = Joining(ours)
    for _ in range(20_000):
        message = part(
            random.randrange(3),
            random.randint(1, limits.MAX_FRAGMENTS),
            random.randbytes(random.randint(1, 60)),
            last=random.random() < 0.1,
        )
        ours.guarded("part", lambda given=message: joining.add(given))  # type: ignore[misc]  # what it returns is left
    assert ours.counters["internal-error"] == 0
    joining.clear()
    assert joining._pool.octets == 0
