"""Packets that wait for their child."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.dataplane.waiting import Entered, WaitingRoom

ASK = Entered(acquire=True)
WAIT = Entered(acquire=False)
FULL = Entered(acquire=False, drop="too-many-wait")


def _with(host: int) -> str:
    """The child of this machine and another host."""
    return f"7@192.0.2.100@192.0.2.{host}"


def test_a_child_is_asked_for_once_and_its_packets_leave_in_order() -> None:
    room = WaitingRoom()
    assert room.enter("a", b"1", 0.0) == ASK
    assert room.enter("a", b"2", 1.0) == WAIT
    assert room.enter("b", b"3", 1.0) == ASK
    assert len(room) == 3
    assert room.leave("a") == [b"1", b"2"]
    assert room.leave("a") == []
    assert len(room) == 1


def test_leaving_a_room_nobody_entered() -> None:
    assert WaitingRoom().leave("a") == []


def test_the_oldest_packet_makes_room() -> None:
    room = WaitingRoom()
    for number in range(limits.ACQUIRE_QUEUE):
        assert room.enter("a", b"%d" % number, 0.0).drop == ""
    assert room.enter("a", b"last", 0.0) == Entered(acquire=False, drop="queue-overflow")
    packets = room.leave("a")
    assert len(packets) == 64
    assert packets[0] == b"1"
    assert packets[-1] == b"last"


def test_a_child_that_was_asked_for_in_vain_is_not_asked_for_again_at_once() -> None:
    room = WaitingRoom()
    room.enter("a", b"1", 100.0)
    room.leave("a")
    assert room.enter("a", b"2", 102.9) == Entered(acquire=False, drop="acquire-throttled")
    assert room.enter("a", b"3", 103.0) == ASK
    assert room.enter("a", b"4", 103.0) == WAIT
    assert room.leave("a") == [b"3", b"4"]


def test_packets_that_are_handed_back_leave_in_order_and_one_that_comes_late_may_ask_at_once() -> None:
    room = WaitingRoom()
    room.enter("a", b"1", 100.0)
    room.enter("a", b"2", 100.5)
    assert room.release("a") == [b"1", b"2"]
    assert room.enter("a", b"3", 101.0) == ASK
    assert room.release("b") == []


def test_a_child_that_was_of_use_and_is_lost_is_asked_for_at_once_but_not_for_ever() -> None:
    room = WaitingRoom()
    assert room.enter("a", b"1", 100.0) == ASK
    for _ in range(3):
        room.leave("a")
        room.lost("a")
        assert room.enter("a", b"2", 100.1) == ASK
        assert room.enter("a", b"3", 100.1) == WAIT
    room.leave("a")
    room.lost("a")
    assert room.enter("a", b"4", 100.2) == Entered(acquire=False, drop="acquire-throttled")
    assert room.enter("a", b"5", 103.2) == ASK


def test_the_loss_of_a_child_nobody_waits_for_is_no_matter() -> None:
    room = WaitingRoom()
    room.lost("a")
    assert room.enter("a", b"1", 0.0) == ASK


def test_an_acquire_nobody_answers_is_sent_again_in_the_end() -> None:
    room = WaitingRoom()
    room.enter("a", b"0", 0.0)
    assert room.enter("a", b"1", 89.9) == WAIT
    assert room.enter("a", b"2", 90.0) == ASK
    assert room.enter("a", b"3", 179.0) == WAIT


def test_asking_again_with_a_full_queue_drops_the_oldest() -> None:
    room = WaitingRoom()
    for _ in range(limits.ACQUIRE_QUEUE):
        room.enter("a", b"old", 0.0)
    assert room.enter("a", b"new", 90.0) == Entered(acquire=True, drop="queue-overflow")
    assert len(room) == 64


def test_children_that_are_gone_are_forgotten_with_their_packets() -> None:
    room = WaitingRoom()
    for child, packet in (("a", b"1"), ("a", b"2"), ("b", b"3")):
        room.enter(child, packet, 0.0)
    assert room.keep_only({"b", "c"}) == 2
    assert room.leave("a") == []
    assert room.leave("b") == [b"3"]


def test_with_too_many_hosts_those_that_wait_for_nothing_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 2)
    room = WaitingRoom()
    room.enter(_with(1), b"1", 0.0)
    room.enter(_with(2), b"2", 0.0)
    assert room.enter(_with(3), b"3", 0.0) == FULL
    room.leave(_with(1))
    assert room.enter(_with(3), b"3", 2.8) == FULL  # the first mustn't be asked for yet
    assert room.enter(_with(3), b"3", 3.0) == ASK
    assert (room.leave(_with(2)), room.leave(_with(3))) == ([b"2"], [b"3"])


def test_while_it_is_full_it_isnt_looked_through_for_each_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 1)
    room = WaitingRoom()
    room.enter(_with(1), b"1", 0.0)
    room.leave(_with(1))
    assert room.enter(_with(2), b"2", 2.95) == FULL
    assert room.enter(_with(2), b"2", 3.0) == FULL  # though there could be room by now
    assert room.enter(_with(2), b"2", 3.25) == ASK


def test_who_tries_many_hosts_doesnt_take_the_room_of_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 1)
    room = WaitingRoom()
    room.enter(_with(1), b"1", 0.0)
    assert room.enter("8", b"2", 0.0) == ASK
    assert room.leave("8") == [b"2"]


def test_who_tries_many_hosts_doesnt_take_the_room_of_those_that_have_had_an_sa(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 4)
    monkeypatch.setattr(limits, "WAITING_SERVED", 2)
    room = WaitingRoom()
    room.enter(_with(1), b"1", 0.0)
    assert room.served(_with(1)) == [b"1"]
    assert room.served(_with(2)) == []  # it has called us
    assert room.served(_with(3)) == []
    for host in range(10, 20):
        room.enter(_with(host), b"2", 10.0)
        room.leave(_with(host))
    assert [room.enter(_with(host), b"3", 13.0) for host in (20, 21, 22)] == [ASK, ASK, FULL]
    assert [room.enter(_with(host), b"3", 13.0) for host in (1, 2, 3)] == [FULL, ASK, ASK]


def test_nobody_who_has_an_sa_is_remembered_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 1)
    room = WaitingRoom()
    for host in (1, 2):
        room.served(_with(host))
    assert list(room._children) == [_with(1)]


def test_the_packets_that_wait_are_bounded_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_OCTETS", 10)
    room = WaitingRoom()
    room.enter("a", b"12345", 0.0)
    room.enter("b", b"12345", 0.0)
    assert room.enter("c", b"1", 0.0) == Entered(acquire=True, drop="too-many-wait")
    assert room.leave("a") == [b"12345"]
    assert room.enter("c", b"12345", 0.0) == WAIT
    assert room.keep_only({"a"}) == 2
    assert room.enter("a", b"1234567890", 3.0) == ASK


def test_children_of_two_hosts_stay_as_long_as_what_they_are_made_after() -> None:
    room = WaitingRoom()
    room.enter("7@192.0.2.1@192.0.2.2", b"1", 0.0)
    room.enter("8@192.0.2.1@192.0.2.2", b"2", 0.0)
    assert room.keep_only({"7"}) == 1
    assert room.leave("7@192.0.2.1@192.0.2.2") == [b"1"]


def test_the_child_of_two_hosts_may_stay_alone() -> None:
    room = WaitingRoom()
    room.enter("7@192.0.2.1@192.0.2.2", b"1", 0.0)
    room.enter("7@192.0.2.1@192.0.2.3", b"2", 0.0)
    assert room.keep_only({"7@192.0.2.1@192.0.2.2"}) == 1
    assert room.leave("7@192.0.2.1@192.0.2.2") == [b"1"]
