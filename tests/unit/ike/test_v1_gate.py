"""How often passwords are tried."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.v1.gate import Gate, Tries

HERE = ip_address("192.0.2.1")
A, B, ADDRESS = ("user", "a"), ("user", "b"), ("address", "192.0.2.1")


def test_so_many_in_so_many_seconds() -> None:
    tries = Tries()
    assert [tries.take((A, ADDRESS), float(second)) for second in range(12)] == [True] * 10 + [False] * 2
    assert not tries.take((A,), 599.9)
    assert [tries.take((A,), 600.0), tries.take((A,), 600.0)] == [True, False]


def test_each_key_bounds() -> None:
    tries = Tries()
    assert all(tries.take((A, ADDRESS), 0.0) for _ in range(10))
    assert not tries.take((B, ADDRESS), 1.0)
    assert not tries.take((A, ("address", "other")), 1.0)
    assert tries.take((B, ("address", "other")), 1.0)


def test_what_is_refused_does_not_count() -> None:
    tries = Tries()
    assert all(tries.take((ADDRESS,), 0.0) for _ in range(10))
    assert not any(tries.take((A, ADDRESS), 1.0) for _ in range(50))
    assert all(tries.take((A,), 2.0) for _ in range(10))


def test_what_is_given_back_does_not_count() -> None:
    tries = Tries()
    for second in range(100):
        assert tries.take((A, ADDRESS), float(second))
        tries.give_back((A, ADDRESS), float(second))
    tries.give_back((B,), 1.0)


def test_so_many_keys_are_remembered_and_no_more() -> None:
    tries = Tries()
    for number in range(2 * limits.MAX_XAUTH_TRIED):
        assert tries.take((("user", str(number)),), 0.0)
    assert len(tries) == limits.MAX_XAUTH_TRIED


def test_many_at_once_are_bounded_before_any_is_judged() -> None:
    judged: list[Callable[[bool], None]] = []
    gate = Gate(lambda _, __, then: judged.append(then))
    reasons: list[str] = []
    for _ in range(30):
        gate.ask("a", Secret(b"x"), HERE, 0.0, reasons.append)
    assert (len(judged), len(reasons)) == (10, 20)
    for then in judged:
        then(False)
    assert reasons[20:] == ["there is no user 'a' with this password"] * 10


def test_a_whole_network_of_ipv6_is_one_address() -> None:
    looked: list[str] = []
    gate = Gate(lambda user, _, then: (looked.append(user), then(False))[1])
    for number in range(30):
        gate.ask(f"user {number}", Secret(b"x"), ip_address(f"2001:db8::{number:x}"), 0.0, lambda _: None)
    assert len(looked) == 10
    gate.ask("other", Secret(b"x"), ip_address("2001:db8:0:1::"), 0.0, lambda _: None)
    assert len(looked) == 11


def test_a_password_is_wiped_and_a_name_shown_as_it_can_be() -> None:
    secret, reasons = Secret(b"hunter2"), list[str]()
    Gate(lambda _, __, then: then(False)).ask("a\x1b\n", secret, HERE, 0.0, reasons.append)
    assert reasons == [r"there is no user 'a\x1b\n' with this password"]
    assert secret.reveal() == bytes(7)
