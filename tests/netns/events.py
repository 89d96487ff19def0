"""What happens to the gateway ga while packets flow: the events of docs/policies.md, by name."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.interop.waiting import eventually
from tests.netns import damage
from tests.netns.cell_policies import policy_of_a
from tests.netns.cells import GATEWAYS, batch
from tests.netns.stage import Stage

FLOOR = Path(__file__).parents[2] / "systemd/floor"
MEANWHILE = 1_000  # packets that are sent while something is broken


def start(stage: Stage) -> None:
    """All that was in the kernel is gone but the floor, which the boot has loaded."""
    stage.a.stop(signal.SIGTERM)
    with stage.unexcepted():
        damage.flush_rules(stage.sites)
        damage.flush_routes(stage.sites)
        stage.sites.run("ga", [FLOOR, stage.folder / "a/state/floor.nft"])
        stage.meanwhile(MEANWHILE)
    stage.a.start()


def stopped_and_started(stage: Stage) -> None:
    stage.a.stop(signal.SIGTERM)
    with stage.unexcepted():
        stage.meanwhile(MEANWHILE)
    stage.a.start()


def negotiated_again(stage: Stage) -> None:
    for rule in protecting(stage):
        stage.a.ask("down", name=rule)
    stage.meanwhile(MEANWHILE)
    for rule in protecting(stage):
        stage.a.ask("up", name=rule)


def rekeyed(stage: Stage) -> None:
    before = spis(stage)
    for rule in protecting(stage):
        stage.a.ask("rekey", name=rule)
    for peer in {sa["peer"] for sa in stage.a.ask("sas")["sas"] if rules_of(sa) & set(protecting(stage))}:
        stage.a.ask("rekey", name=f"peer:{peer}")
    eventually(lambda: not spis(stage) & before, "all keys are new")


def protecting(stage: Stage) -> list[str]:
    """The rules that have SAs with a peer that keeps to them."""
    return [rule.name for rule in stage.layout.negotiated("protects")]


def rules_of(sa: dict[str, Any]) -> set[str]:
    """Those that an IKE SA has child SAs of."""
    return {child["rule"] for child in sa["children"]}


def spis(stage: Stage) -> set[str]:
    rules = protecting(stage)
    return {child["spi_out"] for child in stage.a.children() if child["rule"] in rules}


def reloaded(stage: Stage) -> None:
    for more in ((MORE,), ()):
        stage.a.write("policy.yaml", policy_of_a(stage.layout, *more))
        stage.a.ask("reload")


MORE = {"name": "more", "filters": [{"source": "10.6.0.0/24", "destination": "10.7.0.0/24"}], "action": "block"}


def assigned(stage: Stage) -> None:
    for name in ("other", "table"):
        stage.a.ask("assign", name=name)


def unassigned_and_assigned(stage: Stage) -> None:
    in_clear = [cell for cell in stage.flooded_cells if (cell.direction, cell.peer) != ("in", "protects")]
    with stage.let_out():
        stage.a.ask("unassign")
        stage.flow_in_clear(in_clear)  # this capture would have seen it at any other moment
        stage.flow([cell for cell in in_clear if cell.direction == "in"])
        stage.a.ask("assign", name="table")


def killed(stage: Stage) -> None:
    stage.a.stop(signal.SIGKILL)
    stage.meanwhile(MEANWHILE)
    stage.a.start()


def tun_deleted(stage: Stage) -> None:
    damage.delete_tun(stage.sites)


def ruleset_flushed(stage: Stage) -> None:
    stage.sites.run("ga", ["nft", "flush", "ruleset"])
    assert "flags owner" in stage.sites.run("ga", ["nft", "list", "table", "inet", "ipsecd"]).stdout


def ip_rules_flushed(stage: Stage) -> None:
    damage.flush_rules(stage.sites)


def routing_table_flushed(stage: Stage) -> None:
    damage.flush_routes(stage.sites)


def more_specific_routes(stage: Stage) -> None:
    near = [address for gateway in GATEWAYS.values() for address in gateway.values()]
    routes = damage.more_specific_routes(stage.layout.hosts(4) | stage.layout.hosts(6), near)
    batch(stage.sites, "ga", *(f"route add {route}" for route in routes))
    stage.meanwhile(MEANWHILE)
    batch(stage.sites, "ga", *(f"route del {route}" for route in routes))


EVENTS: Mapping[str, Callable[[Stage], None]] = MappingProxyType(
    {
        "start": start,
        "stop and start": stopped_and_started,
        "negotiation": negotiated_again,
        "rekey": rekeyed,
        "reload": reloaded,
        "assign": assigned,
        "unassign and assign": unassigned_and_assigned,
        "SIGKILL": killed,
        "TUN deletion": tun_deleted,
        "nft flush ruleset": ruleset_flushed,
        "ip rule flush": ip_rules_flushed,
        "flushed routing table": routing_table_flushed,
        "more specific routes": more_specific_routes,
    }
)
