"""What is like the last thing is sent by the shortest way, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ipsecd.dataplane.results import Out, OutRun
from ipsecd.dataplane.sending import Sending, on_the_wire
from ipsecd.io.outgoing import Refusal
from tests.unit.dataplane.samples import OUTSIDE

ONE = Out(b"one", OUTSIDE, 0, True, b"inside")
RUN = OutRun(memoryview(b"onetwo"), 3, OUTSIDE, 0, True, list)


class Socket:
    """Tells what was sent, and by which way. ``works``: sending again succeeds."""

    def __init__(self) -> None:
        self.story: list[tuple[Any, ...]] = []
        self.works = True
        self.refusal: Refusal | None = None
        self.drops: Counter[str] = Counter({"send-full": 2})

    def send(self, data: Any, *_: Any, traffic_class: int, may_fragment: bool, segment: int, **__: Any) -> Any:
        self.story.append(("send", bytes(data), traffic_class, may_fragment, segment))
        return self.refusal

    def repeat(self, *_: Any, traffic_class: int, may_fragment: bool, segment: int, **__: Any) -> Callable[[Any], bool]:
        def again(data: Any) -> bool:
            self.story.append(("again", bytes(data), traffic_class, may_fragment, segment))
            return self.works

        return again


@pytest.fixture
def opened() -> Socket:
    return Socket()


@pytest.fixture
def sending(opened: Socket) -> Sending:
    return Sending({(4, OUTSIDE.local_port): opened}, {})  # type: ignore[dict-item]  # all that is asked of it


@pytest.mark.parametrize(("out", "segment", "data"), [(ONE, 0, b"one"), (RUN, 3, b"onetwo")])
def test_the_same_again_is_sent_again(sending: Sending, opened: Socket, out: Any, segment: int, data: bytes) -> None:
    assert [sending.send(out) for _ in range(3)] == [0, 0, 0]
    like = (data, 0, False, segment)
    assert opened.story == [("send", *like), ("again", *like), ("again", *like)]


@pytest.mark.parametrize(
    "other",
    [
        ONE._replace(outside=replace(OUTSIDE, remote_port=4_501)),
        ONE._replace(tos=0xB8),
        ONE._replace(df=False),
        RUN,
    ],
)
def test_another_is_sent_from_the_start(sending: Sending, opened: Socket, other: Any) -> None:
    for out in (ONE, other, ONE):
        sending.send(out)
    assert [way for way, *_ in opened.story] == ["send"] * 3


def test_what_cannot_be_sent_again_is_sent_from_the_start_and_refused_there(sending: Sending, opened: Socket) -> None:
    sending.send(ONE)
    opened.works, opened.refusal = False, Refusal("send-too-big", 1_400)
    assert sending.send(ONE) == 1_400
    assert [way for way, *_ in opened.story] == ["send", "again", "send"]


def test_without_a_socket_it_is_counted(sending: Sending) -> None:
    nowhere = replace(OUTSIDE, local_port=1)
    assert sending.send(ONE._replace(outside=nowhere)) == 0
    assert sending.send(RUN._replace(outside=nowhere)) == 0
    assert sending.drops() == {"send-no-socket": 3, "send-full": 2}


# --- without UDP --------------------------------------------------------------------------------------------------

NATIVE = replace(OUTSIDE, local_port=0, remote_port=0)
PACKET = Out(b"one", NATIVE, 0, True, b"inside")


class RawSocket(Socket):
    def send(self, data: Any, *ends: Any, segment: int) -> Any:  # type: ignore[override]  # only what it is asked with
        self.story.append(("send", bytes(data), *ends, segment))
        return self.refusal

    def repeat(self, *_: Any, segment: int) -> Callable[[Any], bool]:  # type: ignore[override]  # likewise
        return super().repeat(traffic_class=0, may_fragment=False, segment=segment)


def test_a_whole_packet_leaves_by_the_raw_socket_of_its_version() -> None:
    udp, raw = Socket(), RawSocket()
    sending = Sending({(4, OUTSIDE.local_port): udp}, {4: raw})  # type: ignore[dict-item]  # all that is asked of them
    assert [sending.send(PACKET), sending.send(PACKET._replace(datagram=b"two"))] == [0, 0]
    assert raw.story == [("send", b"one", NATIVE.local, NATIVE.remote, 0), ("again", b"two", 0, False, 0)]
    assert udp.story == []
    assert sending.drops() == {"send-full": 4}


def test_a_run_of_whole_packets_leaves_by_the_raw_socket_too() -> None:
    raw = RawSocket()
    sending = Sending({}, {4: raw})  # type: ignore[dict-item]  # all that is asked of it
    run = RUN._replace(outside=NATIVE)
    assert [sending.send(run), sending.send(run)] == [0, 0]
    assert raw.story == [("send", b"onetwo", NATIVE.local, NATIVE.remote, 3), ("again", b"onetwo", 0, False, 3)]
    nowhere = Sending({}, {})
    assert nowhere.send(run) == 0
    assert nowhere.drops() == {"send-no-socket": 2}


def test_the_mtu_of_a_link_that_a_whole_packet_exceeds_comes_back() -> None:
    raw = RawSocket()
    raw.refusal = Refusal("send-too-big", 1_300)
    sending = Sending({}, {4: raw})  # type: ignore[dict-item]  # all that is asked of it
    assert [sending.send(PACKET), sending.send(PACKET)] == [1_300, 1_300]
    assert [what for what, *_ in raw.story] == ["send", "send"]


def test_without_a_raw_socket_a_whole_packet_is_counted(sending: Sending, opened: Socket) -> None:
    assert sending.send(PACKET) == 0
    assert sending.drops() == {"send-no-socket": 1, "send-full": 2}
    assert opened.story == []


def test_what_is_on_the_wire_has_the_headers_that_the_kernel_adds() -> None:
    four = replace(OUTSIDE, remote=OUTSIDE.local)
    assert on_the_wire(ONE) == on_the_wire(RUN) == 40 + 8 + 3
    assert on_the_wire(ONE._replace(outside=four)) == 20 + 8 + 3
    assert on_the_wire(PACKET) == 3
