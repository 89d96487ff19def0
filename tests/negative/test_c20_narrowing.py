"""C20, the deciding part: whatever is offered, what is granted is never wider than both sides, and never nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.errors import PeerError, Refused
from ipsecd.ike.narrowing import check_answer, narrow_again, narrow_in
from ipsecd.wire import selector
from ipsecd.wire.registry import NotifyType
from ipsecd.wire.selector import OPAQUE, Selector
from tests.exchange.gateways import child_of_a, peer_b
from tests.property.wire_values import selectors

Selectors = tuple[Selector, ...]
Granted = TypeVar("Granted")

near = st.builds(
    Selector.net,
    st.sampled_from(("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16", "0.0.0.0/0", "::/0")),
    st.sampled_from((0, 6, 17)),
    st.sampled_from(((0, 65_535), (80, 80), (1, 1_023), OPAQUE)),
)
sides = st.lists(near | selectors(), min_size=1, max_size=5).map(tuple)
pairs = st.tuples(sides, sides)


def inside(parts: Selectors, whole: Selectors) -> bool:
    return all(any(each.contains(part) for each in whole) for part in parts)


def can_carry_a_packet(local: Selectors, remote: Selectors) -> bool:
    return any(
        one.version == two.version and (one.protocol == two.protocol or not one.protocol or not two.protocol)
        for one in local
        for two in remote
    )


def unless_refused(narrowing: Callable[[], Granted]) -> Granted | None:
    """What is granted; None if the offer is refused, as it should be."""
    with contextlib.suppress(Refused):
        return narrowing()
    with pytest.raises(Refused) as caught:
        narrowing()
    assert caught.value.notify == NotifyType.TS_UNACCEPTABLE
    return None


@given(st.lists(pairs, min_size=1, max_size=4), pairs)
def test_what_is_granted_lies_inside_the_offer_and_inside_one_child_and_carries_something(
    configured: list[tuple[Selectors, Selectors]], offered: tuple[Selectors, Selectors]
) -> None:
    children = [child_of_a(str(n), local=local, remote=remote) for n, (local, remote) in enumerate(configured)]
    granted = unless_refused(lambda: narrow_in([peer_b(*children[:2]), peer_b(*children[2:], name="more")], *offered))
    if granted is None:
        return
    assert inside(granted.local, offered[0])
    assert inside(granted.remote, offered[1])
    assert inside(granted.local, granted.child.local)
    assert inside(granted.remote, granted.child.remote)
    assert can_carry_a_packet(granted.local, granted.remote)


@given(pairs, pairs)
def test_what_a_rekey_is_granted_lies_inside_the_offer_and_inside_its_own_child(
    configured: tuple[Selectors, Selectors], offered: tuple[Selectors, Selectors]
) -> None:
    child = child_of_a(local=configured[0], remote=configured[1])
    granted = unless_refused(lambda: narrow_again(peer_b(child), child, *offered))
    if granted is None:
        return
    assert granted.child is child
    assert inside(granted.local, offered[0])
    assert inside(granted.remote, offered[1])
    assert inside(granted.local, child.local)
    assert inside(granted.remote, child.remote)
    assert can_carry_a_packet(granted.local, granted.remote)


@given(sides, st.lists(near | selectors(), max_size=5).map(tuple))
def test_an_answer_is_taken_only_if_it_is_something_and_lies_inside_the_offer(
    offered: Selectors, answer: Selectors
) -> None:
    if answer and inside(answer, offered):
        assert check_answer(offered, answer, "TSi") == answer
    else:
        with pytest.raises(PeerError, match="selectors-widened: TSi: offered"):
            check_answer(offered, answer, "TSi")


def test_the_largest_offer_costs_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    real = selector._common

    def counted(one: selector._Box, two: selector._Box) -> selector._Box | None:
        nonlocal steps
        steps += 1
        return real(one, two)

    monkeypatch.setattr(selector, "_common", counted)
    ports = tuple(Selector.net("0.0.0.0/0", 17, (port, 60_000 + port)) for port in range(limits.MAX_SELECTORS))
    hosts = [Selector(*(IPv4Address(0x0A01_0000 + number),) * 2) for number in range(4_096)]
    merged = [child_of_a(f"m{n}", local=tuple(hosts[64 * n : 64 * n + 64])) for n in range(64)]
    single = [child_of_a(f"s{n}", local=(host,)) for n, host in enumerate(hosts)]
    for children in (merged, single):
        steps = 0
        assert narrow_in([peer_b(*children)], ports, ports).child.name in {"m0", "s0"}
        assert steps <= 2 * limits.NARROWING_STEPS
