"""Hosts of a rule without a tunnel, by the versions of IKE that it has."""

from __future__ import annotations

import pytest

from ipsecd.ike.config import Version
from tests.exchange import lan
from tests.exchange.gateways import IKE_CLASSIC
from tests.exchange.two_versions import (
    NEW_OLD,
    OLD,
)


def hosts(versions: tuple[Version, ...]) -> lan.Lan:
    rules = {
        name: lan.rule_at(address, versions=versions, proposals=(IKE_CLASSIC,))
        for name, address in zip("abc", (lan.A, lan.B, lan.C), strict=True)
    }
    return lan.Lan(**rules)  # type: ignore[arg-type]  # rules


def test_hosts_of_a_pattern_speak_ikev1_with_each_other() -> None:
    world = hosts(OLD)
    assert world.up(world.a, world.b)
    assert world.up(world.a, world.c)
    assert sorted(sa.version for sa in world.a.ike.status()) == ["IKEv1", "IKEv1"]
    (name,) = [report.fields["child"] for report in world.b.events("child-established")]
    assert name == "lan/1@192.0.2.1"


def test_a_pattern_put_down_ends_the_sas_of_all_its_pairs() -> None:
    world = hosts(OLD)
    assert world.up(world.a, world.b)
    assert world.up(world.a, world.c)
    world.net.carry_out(world.a, world.a.ike.down("7", world.net.now))
    world.net.run(10.0)
    assert (world.a.inbound, world.b.inbound, world.c.inbound) == ({}, {}, {})


def test_a_pattern_falls_back_from_ikev2_with_each_pair_for_itself() -> None:
    world = hosts(NEW_OLD)
    world.net.hook = lambda each: (
        None if each.data[17] >> 4 == 2 and lan.IP_B in (each.source.address, each.destination.address) else each
    )
    world.packet(world.a, lan.B)
    world.packet(world.a, lan.C)
    assert world.net.run(200.0, until=lambda: world.have(world.a, world.b))
    assert world.have(world.a, world.c)
    assert sorted(sa.version for sa in world.a.ike.status() if sa.stage == "established") == ["IKEv1", "IKEv2"]
    (downgraded,) = world.a.events("ike-downgraded")
    assert downgraded.fields["peer"] == "lan@192.0.2.2"


def test_calls_by_ikev1_count_among_those_to_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecd.limits.MAX_NEW_HOSTS_CALLED", 2)
    world = hosts(OLD)
    world.net.hook = lambda _: None
    for last in (10, 11, 12):
        world.packet(world.a, f"192.0.2.{last}")
    (gave_up,) = world.a.gave_up
    assert gave_up.reason.startswith("2 hosts are being called already")
