"""Messages and descriptors between two processes of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ipsecd import limits
from ipsecd.io.channel import Channel, channel_pair


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = channel_pair()
    with one, other:
        yield Channel(one), Channel(other)


def received(channel: Channel) -> bytes:
    arrived = channel.receive()
    assert arrived is not None
    assert arrived.descriptors == ()
    return bytes(arrived.data)


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    for data in (b"first", b"x", b"third" * 1_000):
        assert one.send(data)
    other.wait()
    assert [received(other) for _ in range(3)] == [b"first", b"x", b"third" * 1_000]
    assert other.receive() is None


@pytest.mark.root
def test_the_largest_message_passes(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    assert one.send(bytes(limits.MAX_CONTROL_FRAME))
    assert len(received(other)) == limits.MAX_CONTROL_FRAME


def test_descriptors_come_along_and_are_not_inherited(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    reading, writing = os.pipe()
    assert one.send(b"a pipe", [reading, writing])
    os.close(reading)
    os.close(writing)
    arrived = other.receive()
    assert arrived is not None
    assert bytes(arrived.data) == b"a pipe"
    assert len(arrived.descriptors) == 2
    assert not any(os.get_inheritable(each) for each in arrived.descriptors)
    os.write(arrived.descriptors[1], b"through")
    assert os.read(arrived.descriptors[0], 100) == b"through"
    for each in arrived.descriptors:
        os.close(each)


def test_a_full_channel_takes_no_more_until_somebody_reads(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    data, sent = bytes(100_000), 0
    while one.send(data):
        sent += 1
        assert sent < 1_000
    assert not one.send(b"small")
    assert [len(received(other)) for _ in range(sent)] == [100_000] * sent
    assert one.send(b"small")
    assert received(other) == b"small"


def test_the_end_of_the_other_side_is_told_behind_its_last_message(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send(b"last")
    one.close()
    assert received(other) == b"last"
    with pytest.raises(EOFError):
        other.receive()
    assert other.send(b"into nothing")
    with pytest.raises(EOFError):
        other.receive()
