"""A floor that follows another changes in the kernel what differs, and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecd.io.nftables import Element, Nftables
from ipsecd.io.owner import Owner
from ipsecd.policy.floor import TABLE, ruleset
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.flood import Flood, in_clear
from tests.netns.gateway import Gateway, between_sites, entry
from tests.netns.packets import udp
from tests.netns.places import GA_LAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

COVERED = b"<covered packet>"
PEERS = ("192.0.2.7", "192.0.2.8", "192.0.2.9")


def branches(number: int = 120) -> tuple[Entry, ...]:
    """Some of each kind, so many that they are trees."""
    near, found = "10.1.0.0/16", []
    for each in range(number):
        name, far = f"branch{each}/1", f"10.{100 + each // 100}.{each % 100}.0/24"
        protocol = (0, 0, 6, 17)[each % 4]
        ports = (each, 2 * each) if protocol else (0, 65_535)
        action = (Action.PROTECT, Action.BLOCK, Action.PERMIT)[each % 3]
        found.append(entry(action, Selector.net(near, protocol), Selector.net(far, protocol, ports), name))
    return tuple(found)


BRANCHES = branches()
NEW = entry(Action.BLOCK, Selector.net("10.1.7.0/24"), Selector.net("10.100.50.0/25"), "new/1")
WIDE = entry(Action.PROTECT, Selector.net("0.0.0.0/0", 6), Selector.net("10.100.52.0/22", 6, (80, 90)), "wide/1")
EDITED = replace(BRANCHES[60], action=Action.BLOCK)
STEPS = (
    (NEW, *BRANCHES),
    BRANCHES,
    (*BRANCHES[:60], EDITED, *BRANCHES[61:]),
    (WIDE, *BRANCHES[:60], EDITED, *BRANCHES[61:], NEW),
    (*BRANCHES[:30], *BRANCHES[33:]),
    BRANCHES,
)


def floor(entries: tuple[Entry, ...], outside: str = "wan0") -> str:
    return ruleset(Plan("many", entries=entries), (outside,))


@pytest.fixture(params=[False, True], ids=["of nobody", "with an owner"])
def ours(request: pytest.FixtureRequest) -> Iterator[Nftables]:
    owner = Owner(TABLE) if request.param else None
    yield Nftables(TABLE, owner)
    if owner is not None:
        owner.release()


@pytest.fixture
def gateway(sites: Sites, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(sites, tmp_path, between_sites(Action.BLOCK), raised=False) as gateway:
        yield gateway


def table(sites: Sites, place: str = "ga") -> list[str]:
    """What is in the table: its parts, in whichever order they were made."""
    said = sites.run(place, ["nft", "-s", "list", "table", "inet", TABLE]).stdout
    said = re.sub(r" expires \S+| # progname.*|\n\tflags .*", "", said)
    return sorted(part.strip() for part in said.partition("{\n")[2].removesuffix("}\n").split("\n\n"))


Handles = dict[str, list[int]]


def handles(sites: Sites) -> Handles:
    """Those of the rules in each chain; by no name, that of the table, in which they are numbered anew."""
    said = json.loads(sites.run("ga", ["nft", "-j", "list", "table", "inet", TABLE]).stdout)["nftables"]
    found: Handles = {"": [each["table"]["handle"] for each in said if "table" in each]}
    for each in said:
        if "rule" in each:
            found.setdefault(each["rule"]["chain"], []).append(each["rule"]["handle"])
    return found


def stayed(before: Handles, after: Handles) -> int:
    """How many rules."""
    same = [rules for chain, rules in before.items() if after.get(chain) == rules]
    return sum(map(len, same)) if before[""] == after[""] else 0


def test_what_changes_is_what_would_have_been_written(sites: Sites, gateway: Gateway, ours: Nftables) -> None:
    """And what doesn't differ stays, rule by rule; counters have counted what they have."""
    gateway.do(ours.replace(floor(BRANCHES)))
    for entries in STEPS:
        before = handles(sites)
        gateway.do(ours.replace(floor(entries)))
        after = handles(sites)
        assert stayed(before, after) > sum(map(len, after.values())) // 2
        assert gateway.do(ours.holds())
        changed = table(sites)
        sites.run("ga", ["nft", "add", "table", "inet", "others"])
        assert gateway.do(ours.holds())  # now all of it is read
        sites.run("ga", ["nft", "delete", "table", "inet", "others"])
        with Gateway(sites, gateway.saved.parent, gateway.plan, place="gb", raised=False) as other:
            other.do(other.nftables.replace(floor(entries)))
            assert changed == table(sites, "gb")
            other.do(other.nftables.remove())


def test_a_counter_goes_on_when_rules_come_before_its_own(sites: Sites, gateway: Gateway, ours: Nftables) -> None:
    shut = between_sites(Action.BLOCK).entries
    gateway.do(ours.replace(floor((*BRANCHES, *shut))))
    send(sites, "ha", udp(HA[4], HB[4], COVERED))
    eventually(lambda: gateway.do(ours.counters())["drops.rule/4"] == 1, "it is dropped")
    gateway.do(ours.replace(floor((NEW, *BRANCHES, *shut))))
    send(sites, "ha", udp(HA[4], HB[4], COVERED))
    eventually(lambda: gateway.do(ours.counters())["drops.rule/4"] == 2, "it is dropped again")


def test_sets_have_what_they_are_to_have_from_then_on_and_no_more(
    sites: Sites, gateway: Gateway, ours: Nftables
) -> None:
    first, second, third = (Element("clear_ipv4", peer, 60.0) for peer in PEERS)
    gateway.do(ours.replace(floor(BRANCHES), [first, second]))
    gateway.do(ours.change([third], []))
    gateway.do(ours.replace(floor((NEW, *BRANCHES)), [second]))
    said = sites.run("ga", ["nft", "list", "set", "inet", TABLE, "clear_ipv4"]).stdout
    assert [peer for peer in PEERS if peer in said] == ["192.0.2.8"]


@pytest.mark.parametrize(
    "change", ["nft flush chain inet ipsecd leaving", "nft delete table inet ipsecd", "nft add counter inet ipsecd c"]
)
def test_a_table_that_somebody_has_changed_is_written_whole(sites: Sites, gateway: Gateway, change: str) -> None:
    ours = gateway.nftables
    gateway.do(ours.replace(floor(BRANCHES)))
    before = handles(sites)
    sites.run("ga", change.split())
    gateway.do(ours.replace(floor((NEW, *BRANCHES))))
    assert stayed(before, handles(sites)) == 0
    assert gateway.do(ours.holds())
    assert "counter c {" not in "".join(table(sites))


@pytest.mark.parametrize(
    "change",
    ["insert rule inet ipsecd leaving accept", "delete table inet ipsecd", "add table inet others"],
)
@pytest.mark.parametrize("behind", [False, True])
def test_what_somebody_changes_at_the_same_time_makes_it_be_written_whole(
    sites: Sites, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, change: str, behind: bool
) -> None:
    ours, honest = gateway.nftables, Nftables._nft
    turns = [change]

    async def together(self: Nftables, text: str, *words: str) -> str:
        now = turns.pop() if words == ("-f", "-") and turns else ""
        if now and not behind:
            sites.run("ga", ["nft", *now.split()])
        said = await honest(self, text, *words)
        if now and behind:
            sites.run("ga", ["nft", *now.split()])
        return said

    gateway.do(ours.replace(floor(BRANCHES)))
    before = handles(sites)
    monkeypatch.setattr(Nftables, "_nft", together)
    gateway.do(ours.replace(floor((NEW, *BRANCHES))))
    assert stayed(before, handles(sites)) == 0
    assert gateway.do(ours.holds())


def test_a_rule_that_got_lost_is_written_with_the_whole(
    sites: Sites, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, honest = gateway.nftables, Nftables._nft
    lost = []

    async def forgetful(self: Nftables, text: str, *words: str) -> str:
        if words == ("-f", "-") and not lost:
            lost.append(text)
            text = re.sub(r'\n\t\t[^\n]*counter name "drops.new/1" drop', "", text, count=1)
        return await honest(self, text, *words)

    gateway.do(ours.replace(floor(BRANCHES)))
    before = handles(sites)
    monkeypatch.setattr(Nftables, "_nft", forgetful)
    gateway.do(ours.replace(floor((NEW, *BRANCHES))))
    assert lost
    assert "delete table" not in lost[0]
    assert stayed(before, handles(sites)) == 0


def test_who_is_told_to_stop_meanwhile_writes_the_whole_next_time(
    sites: Sites, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, honest = gateway.nftables, Nftables._nft
    gateway.do(ours.replace(floor(BRANCHES)))
    before = handles(sites)

    async def stopped() -> None:
        begun = asyncio.Event()

        async def telling(self: Nftables, text: str, *words: str) -> str:
            begun.set()
            return await honest(self, text, *words)

        monkeypatch.setattr(Nftables, "_nft", telling)
        replacing = asyncio.create_task(ours.replace(floor((NEW, *BRANCHES))))
        await begun.wait()
        replacing.cancel()
        await asyncio.wait([replacing])

    gateway.do(stopped())
    assert not gateway.do(ours.holds())
    gateway.do(ours.replace(floor(BRANCHES)))
    assert stayed(before, handles(sites)) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_passes_while_the_floor_changes(sites: Sites, gateway: Gateway, ours: Nftables, version: int) -> None:
    """Rules before and behind those that block come and go, of the same branch and of others."""
    far, shut = HB[version], between_sites(Action.BLOCK).entries
    near = {4: ("10.1.0.0/16", "10.2.0.0/24"), 6: ("fd01::/16", "fd02::/16")}[version]
    ways = (
        entry(Action.PERMIT, Selector.net(near[0], 6), Selector.net(near[1], 6, (7, 7)), "port/1"),
        entry(Action.PROTECT, Selector.net(near[0], 17), Selector.net(near[1], 17, (7, 7)), "other/1"),
        entry(Action.BLOCK, Selector.net(near[0]), Selector.net(near[1]), "network/1"),
    )
    gateway.do(ours.replace(floor((*BRANCHES, *shut))))
    with (
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[version], far), gap=0.0),
        Flood(sites, "ga", (GA_LAN[version], far), gap=0.0),
    ):
        for number in range(30):
            more = ways[: 1 + number % 3]
            before = handles(sites) if number % 10 == 9 else {}
            gateway.do(ours.replace(floor((*more, *BRANCHES[number:], *shut))))
            assert not before or stayed(before, handles(sites))
        assert in_clear(wan) == []
        gateway.do(ours.remove())
        eventually(lambda: in_clear(wan), "without a floor it leaves in clear")
