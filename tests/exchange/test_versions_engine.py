"""What is asked of the engine, and what the data plane tells it, by IKEv1: as by IKEv2."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.ike.config import Endpoint, Path
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import IP_A, IP_B, NET_A, Pair, child_of_a
from tests.exchange.network import Node
from tests.exchange.two_versions import NEW, OLD, agree, pair_of, said, up

ELSEWHERE = Selector.net("10.9.0.0/16")
CHILD, MORE = child_of_a(), child_of_a("more", local=(NET_A,), remote=(ELSEWHERE,))


def standing(*children: object) -> Pair:
    """Both speak IKEv1, and all children have SAs."""
    pair = pair_of(OLD, OLD, *children)  # type: ignore[arg-type]  # children
    for child in children or (CHILD,):
        pair.do(pair.a, pair.a.ike.up(child.id, pair.net.now))  # type: ignore[attr-defined]  # a child
    assert pair.net.run(10.0, until=lambda: agree(pair, "IKEv1", len(children) or 1))
    pair.net.run(1.0)
    return pair


def spi_of(node: Node, child: str = "net") -> bytes:
    return next(spi for spi, sa in node.inbound.items() if sa.child == child)


def events(node: Node) -> list[str]:
    return [report.event for report in node.reports]


# --- commands -----------------------------------------------------------------------------------------------------


def test_down_ends_a_child_on_both_sides_and_it_stays_down_until_it_is_wanted_up() -> None:
    pair = standing(CHILD, MORE)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.run(10.0)
    assert agree(pair, "IKEv1", 1)
    assert [sa.child for sa in pair.a.inbound.values()] == ["more"]
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    assert pair.a.gave_up[-1].reason == "it was put down by command"
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    assert pair.net.run(10.0, until=lambda: agree(pair, "IKEv1", 2))


def test_down_peer_ends_all_with_it() -> None:
    pair = standing(CHILD, MORE)
    pair.do(pair.a, pair.a.ike.down_peer("b", pair.net.now))
    pair.net.run(10.0)
    assert (pair.a.ike.status(), pair.b.ike.status(), pair.a.inbound, pair.b.inbound) == ([], [], {}, {})
    assert pair.a.ike.held("net")
    assert pair.a.ike.held("more")


def test_down_while_it_is_called_for_ends_the_call() -> None:
    pair = pair_of(OLD, OLD)
    pair.net.hook = lambda _: None
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    pair.net.run(3.0)
    pair.do(pair.a, pair.a.ike.down("net", pair.net.now))
    pair.net.sent.clear()
    pair.net.run(200.0)
    assert (pair.a.ike.status(), pair.net.sent) == ([], [])


def test_rekey_makes_another_pair_and_rekey_peer_another_isakmp_sa() -> None:
    pair = standing()
    before, cookies = spi_of(pair.a), pair.a.ike.status()[0].spi_i
    pair.do(pair.a, pair.a.ike.rekey("net", pair.net.now))
    pair.net.run(120.0)
    assert agree(pair, "IKEv1")
    assert spi_of(pair.a) != before
    pair.do(pair.a, pair.a.ike.rekey_peer("b", pair.net.now))
    pair.net.run(120.0)
    assert agree(pair, "IKEv1")
    assert pair.a.ike.status()[0].spi_i != cookies


def test_shutdown_tells_the_peer_and_nothing_is_begun_or_answered_any_more() -> None:
    pair = standing()
    pair.do(pair.a, pair.a.ike.shutdown("the daemon stops", pair.net.now))
    pair.net.run(10.0)
    assert (pair.b.ike.status(), pair.a.inbound, pair.b.inbound) == ([], {}, {})
    pair.do(pair.a, pair.a.ike.acquire("net", None, pair.net.now))
    pair.do(pair.b, pair.b.ike.up("net", pair.net.now))
    pair.net.run(30.0)
    assert (pair.a.inbound, pair.b.inbound) == ({}, {})


def test_a_late_answer_has_a_turn_of_its_own_and_its_faults_end_there() -> None:
    pair = standing()
    core = pair.a.ike._core
    effects = pair.a.ike.resume(lambda: core.report("peer-complains", "info", peer="b", reason="late"), pair.net.now)
    assert [effect.event for effect in effects] == ["peer-complains"]  # type: ignore[union-attr]  # a report
    assert core.now == pair.net.now
    (fault,) = pair.a.ike.resume(lambda: next(iter(())), pair.net.now)
    assert fault.event == "internal-error"  # type: ignore[union-attr]  # a report


def test_after_a_sleep_the_peer_is_asked_whether_it_is_still_there() -> None:
    pair = standing()
    pair.net.now += 3_000.0
    pair.net.sent.clear()
    pair.do(pair.a, pair.a.ike.woke(pair.net.now))
    pair.net.run(1.0)
    assert {1} == set(said(pair, pair.a))


# --- what the data plane tells ------------------------------------------------------------------------------------


def test_its_spis_are_among_those_there_are() -> None:
    pair = standing(CHILD, MORE)
    assert set(pair.a.ike.inbound_spis()) == set(pair.a.inbound)


def test_a_soft_limit_makes_another_pair() -> None:
    pair = standing()
    before = spi_of(pair.a)
    pair.do(pair.a, pair.a.ike.soft_expired(before, pair.net.now))
    pair.net.run(120.0)
    assert agree(pair, "IKEv1")
    assert spi_of(pair.a) != before


@pytest.mark.parametrize("event", ["child-expired", "child-lost"])
def test_a_hard_limit_or_its_loss_ends_it_on_both_sides(event: str) -> None:
    pair = standing()
    spi = spi_of(pair.a)
    told = pair.a.ike.hard_expired(spi, pair.net.now) if event == "child-expired" else []
    pair.do(pair.a, told or pair.a.ike.lost((spi, b"none"), pair.net.now))
    pair.net.run(1.0)
    assert (pair.a.inbound, pair.b.inbound) == ({}, {})
    assert event in events(pair.a)


def test_what_is_to_be_up_is_brought_back_after_its_loss() -> None:
    pair = standing(replace(CHILD, start=True))
    pair.do(pair.a, pair.a.ike.lost((spi_of(pair.a),), pair.net.now))
    assert pair.net.run(20.0, until=lambda: agree(pair, "IKEv1"))


def test_what_cant_be_installed_ends_and_is_told() -> None:
    pair = standing()
    pair.do(pair.a, pair.a.ike.install_failed(spi_of(pair.a), "no memory", pair.net.now))
    pair.net.run(10.0)
    assert (pair.a.inbound, pair.b.inbound) == ({}, {})
    (failed,) = pair.a.events("install-failed")
    assert "no memory" in str(failed.fields["reason"])
    assert pair.a.gave_up[-1].child == "net"


def test_packets_that_come_in_and_dont_get_there_are_told_without_a_fault() -> None:
    pair = standing()
    spi, path = spi_of(pair.a), pair.a.inbound[spi_of(pair.a)].path
    for effects in (
        pair.a.ike.inbound_used(spi, pair.net.now),
        pair.a.ike.peer_alive((spi,), pair.net.now),
        pair.a.ike.peer_moved(spi, path, pair.net.now),
        pair.a.ike.unreached(spi, "the host is unreachable", pair.net.now),
        pair.a.ike.unreachable(Endpoint(IP_B, 500), "the host is unreachable", pair.net.now),
    ):
        pair.do(pair.a, effects)
    assert agree(pair, "IKEv1")
    assert "child-unreached" in events(pair.a)
    assert "ike-unreachable" in events(pair.a)


def test_of_spis_of_nobody_nothing_comes() -> None:
    pair = standing()
    nobody, path = bytes.fromhex("01020304"), Path(Endpoint(IP_A, 4500), Endpoint(IP_B, 4500), natt=True)
    now = pair.net.now
    ike = pair.a.ike
    assert ike.soft_expired(nobody, now) == ike.hard_expired(nobody, now) == ike.lost((nobody,), now) == []
    assert ike.inbound_used(nobody, now) == ike.peer_alive((nobody,), now) == ike.peer_moved(nobody, path, now) == []
    assert ike.install_failed(nobody, "", now) == ike.unreached(nobody, "", now) == []


def test_a_status_says_which_version_it_is() -> None:
    pair = standing()
    (sa,) = pair.a.ike.status()
    assert (sa.version, sa.stage, sa.peer, sa.initiator) == ("IKEv1", "established", "b", True)
    (child,) = sa.children
    assert (child.name, child.stage, child.sending) == ("net", "up", True)
    assert bytes.fromhex(child.spi_in) in pair.a.inbound


def test_events_say_which_version_they_are_of() -> None:
    for versions, name in ((OLD, "IKEv1"), (NEW, "IKEv2")):
        pair = pair_of(versions, versions)
        assert up(pair, name)
        for event in ("ike-calling", "ike-established"):
            (report,) = pair.a.events(event)
            assert report.fields["version"] == name
