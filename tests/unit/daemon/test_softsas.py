"""Soft SAs: for whom, how many, how long, and how they end. The kernel and the roads are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd import limits
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.heard import HeardPeers
from ipsecd.daemon.softsas import SoftSas
from ipsecd.errors import KernelError
from ipsecd.io.nftables import Element
from ipsecd.io.state_file import StateFile
from ipsecd.policy.plan import Action, Child, Encapsulation, Entry, EspProposal, Fallback, Lifetime, Peer, Plan
from ipsecd.wire.hostpair import pair_id
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr
from ipsecd.wire.selector import Address, Selector

ONE, TWO, SIX = map(ip_address, ("192.0.2.1", "192.0.2.2", "2001:db8::1"))
TO_ONE = bytes.fromhex("4500001c00004000400100000a010002c00002010800f7ff00000000")
TO_TWO = bytes.fromhex("4500001c00004000400100000a010002c00002020800f7ff00000000")


def peer(name: str, *remotes: Address, lifetime: float | None = 300.0) -> Peer:
    """A peer with one child, called like it; without a lifetime it may not fall back."""
    fallback = None if lifetime is None else Fallback(3.0, lifetime)
    here, there = Selector.net("10.1.0.0/16"), Selector.net("192.0.2.0/24")
    esp = EspProposal(((Encr.AES_GCM_16, 128),), ())
    child = Child(f"{name}/1", name, (here,), (there,), (esp,), Lifetime(3_600), start=False, fallback=fallback)
    me, it = Identity.parse("a.example"), Identity.parse(f"{name}.example")
    return Peer(
        name, None, remotes, False, "", 500, me, it, ("key",), (), Lifetime(None), 30.0, Encapsulation.AUTO,
        fragmentation=True, keylog=False, children=(child,),
    )  # fmt: skip


PLAN = Plan(
    "p", peers=(peer("one", ONE, SIX), peer("two", TWO), peer("strict", ip_address("192.0.2.3"), lifetime=None))
)


def ids(plan: Plan) -> dict[str, str]:
    """Identifiers of its children: their names, with a mark."""
    return {child.name: f"id of {child.name}" for each in plan.peers for child in each.children}


IDS = ids(PLAN)


class World:
    """What is around, and what it was told."""

    def __init__(self, folder: Path, plan: Plan = PLAN) -> None:
        self.now = 1_000.0
        self.passing: dict[str, tuple[str, float]] = {}  # set and seconds by address
        self.story: list[str] = []
        self.refuses: list[KernelError] = []
        self.full = False
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0  # the kernel
        self.nothing = asyncio.Event()  # passes any more
        kept = StateFile(folder / "heard.json", "which peers have answered", "none is known")
        self.kept = kept.load
        self.soft = SoftSas(self, HeardPeers(kept), self, self._release, Guard(), lambda: self.now)
        self.soft.assign(plan, ids(plan))

    async def let_pass(self, begin: Collection[Element], end: Collection[Element]) -> None:
        self.asked += 1
        await self.open.wait()
        if self.refuses:
            raise self.refuses.pop()
        for exception in end:
            self.passing.pop(exception.value, None)
        self.passing |= {exception.value: (exception.name, exception.seconds) for exception in begin}
        if not self.passing:
            self.nothing.set()

    def _release(self, child: str) -> None:
        self.story.append(f"release {child} while {', '.join(self.passing)} may pass")

    def send(self, packet: bytes, destination: Address) -> bool:
        self.story.append(f"sent to {destination}")
        return not self.full

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def run(folder: Path, scenario: Callable[[World], Awaitable[None]], plan: Plan = PLAN) -> list[dict[str, object]]:
    """What was logged."""

    async def main() -> None:
        world = World(folder, plan)
        await scenario(world)
        await world.soft.close()
        assert world.passing == {}

    with capture_logs() as logged:
        asyncio.run(main())
    return [dict(line) for line in logged]


def test_a_silent_peer_passes_first_and_then_its_packets_are_handed_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        world.soft.silent("id of one/1", SIX)
        assert world.story == []
        await world.settled()
        assert world.passing == {"192.0.2.1": ("clear_ipv4", 300.0), "2001:db8::1": ("clear_ipv6", 300.0)}
        assert world.story == ["release id of one/1 while 192.0.2.1, 2001:db8::1 may pass"] * 2
        assert [soft.remote for soft in world.soft.standing()] == [ONE, SIX]
        assert world.soft.rules() == {"one"}
        world.now += 100
        assert (world.soft.left(ONE), world.soft.left(TWO)) == (200.0, None)
        assert world.soft.exceptions() == (
            Element("clear_ipv4", "192.0.2.1", 200.0),
            Element("clear_ipv6", "2001:db8::1", 200.0),
        )

    logged = run(tmp_path, scenario)
    assert logged[0] == {
        "event": "soft-sa-made",
        "log_level": "warning",
        "peer": "one",
        "rule": "one",
        "child": "one/1",
        "filter": "10.1.0.0/16 = 192.0.2.0/24",
        "point": "peer",
        "remote": "192.0.2.1",
        "reason": "no answer for 3 s",
        "seconds": 300.0,
    }
    ended = logged[0] | {"event": "soft-sa-ended", "reason": "ipsecd is stopping", "seconds": 100.0}
    assert logged[2] == {name: value for name, value in ended.items() if name != "point"}  # nothing has failed


@pytest.mark.parametrize("name", ["strict/1", "nobody"])
def test_of_a_rule_that_may_not_fall_back_nothing_passes(tmp_path: Path, name: str) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent(f"id of {name}", ip_address("192.0.2.3"))
        await world.settled()
        assert world.passing == {}

    assert run(tmp_path, scenario) == []


def test_it_ends_as_soon_as_the_peer_is_heard_and_never_comes_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        world.soft.silent("id of two/1", TWO)
        await world.settled()
        world.now += 7
        world.soft.heard((ONE,))
        assert [soft.remote for soft in world.soft.standing()] == [TWO]  # a floor that is made anew now hasn't it
        await world.settled()
        assert list(world.passing) == ["192.0.2.2"]
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert list(world.passing) == ["192.0.2.2"]
        assert world.soft.counters == {"made": 2, "ended": 1, "refused": 1}

    logged = run(tmp_path, scenario)
    assert [(line["event"], line["reason"]) for line in logged[2:4]] == [
        ("soft-sa-ended", "the peer answers"),
        ("soft-sa-refused", "it has answered since the policy was assigned"),
    ]


def test_a_peer_that_was_heard_once_is_refused_with_the_reason_until_the_policy_changes(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE, heard=True)
        await world.settled()
        assert world.passing == {}
        assert (world.soft.refused("one"), world.soft.refused("two")) == (
            "it has answered since the policy was assigned",
            "",
        )
        world.soft.assign(PLAN, IDS)
        assert world.soft.refused("one") == ""

    [refused] = run(tmp_path, scenario)
    assert (refused["event"], refused["reason"]) == ("soft-sa-refused", "it has answered since the policy was assigned")
    assert (refused["point"], refused["filter"]) == ("me", "10.1.0.0/16 = 192.0.2.0/24")


def test_a_restart_doesnt_make_a_peer_that_has_answered_a_silent_one(tmp_path: Path) -> None:
    async def before(world: World) -> None:
        world.soft.heard((ONE,))

    async def after(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert world.passing == {}

    run(tmp_path, before)
    [refused] = run(tmp_path, after)
    assert refused["event"] == "soft-sa-refused"


def test_a_name_that_leads_elsewhere_doesnt_make_a_peer_that_has_answered_a_silent_one(tmp_path: Path) -> None:
    def named(*remotes: Address) -> Plan:
        return Plan("p", peers=(replace(peer("one", *remotes), remote_name="gw.example"),))

    async def scenario(world: World) -> None:
        world.soft.heard((ONE,))
        world.soft.assign(named(TWO), ids(named(TWO)))
        world.soft.silent("id of one/1", TWO)
        await world.settled()
        assert (world.passing, world.story) == ({}, [])

    logged = run(tmp_path, scenario, named(ONE))
    assert [line["event"] for line in logged] == ["soft-sa-refused"]


@pytest.mark.parametrize("again", [ONE, TWO], ids=["at the same address", "at another"])
def test_a_peer_that_has_answered_while_it_had_to_isnt_silent_once_an_edit_lets_it_fall_back(
    tmp_path: Path, again: Address
) -> None:
    def named(remote: Address, lifetime: float | None) -> Plan:
        return Plan("p", peers=(replace(peer("one", remote, lifetime=lifetime), remote_name="gw.example"),))

    async def scenario(world: World) -> None:
        world.soft.heard((ONE,))
        assert world.kept() is None
        now = named(again, 300.0)
        world.soft.assign(now, ids(now))
        world.soft.silent("id of one/1", again)
        await world.settled()
        assert world.passing == {}

    [refused] = run(tmp_path, scenario, named(ONE, None))
    assert refused["event"] == "soft-sa-refused"
    assert (tmp_path / "heard.json").exists()


def test_a_peer_of_a_persistent_rule_that_requires_is_remembered_under_another_policy(tmp_path: Path) -> None:
    def lasting(policy: str, lifetime: float | None) -> Plan:
        entry = Entry("one/1", "one", Action.PROTECT, (), child="one/1", persistent=True)
        return Plan(policy, peers=(peer("one", ONE, lifetime=lifetime),), entries=(entry,))

    async def scenario(world: World) -> None:
        world.soft.heard((ONE,))
        for plan in (lasting("q", None), lasting("q", 300.0)):
            world.soft.assign(plan, ids(plan))
            world.soft.over()
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert world.passing == {}

    assert [line["event"] for line in run(tmp_path, scenario, lasting("p", None))] == ["soft-sa-refused"]


def test_a_peer_that_answers_while_the_kernel_is_told_doesnt_pass_and_nothing_is_handed_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.open.clear()
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.soft.heard((ONE,))
        world.open.set()
        await world.settled()
        assert (world.passing, world.story) == ({}, [])

    run(tmp_path, scenario)


def test_the_kernel_is_told_of_many_at_once_so_that_who_answers_waits_for_nobody(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.open.clear()
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.soft.silent("id of two/1", TWO)
        world.soft.silent("id of one/1", SIX)
        world.soft.heard((ONE,))
        world.open.set()
        await world.settled()
        assert (list(world.passing), world.asked) == (["192.0.2.2", "2001:db8::1"], 2)

    run(tmp_path, scenario)


def test_who_can_not_be_kept_from_passing_is_named(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.refuses.append(KernelError("nft is gone"))
        world.soft.heard((ONE,))
        await world.settled()
        world.passing.clear()  # the kernel ends it after its time

    failed = run(tmp_path, scenario)[-1]
    assert (failed["event"], failed["remotes"], failed["reason"]) == ("soft-sa-not-ended", "192.0.2.1", "nft is gone")


def test_who_can_not_be_kept_from_passing_at_once_is_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESTORE_PAUSE", 0.0)

    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.refuses.append(KernelError("nft is busy"))
        world.soft.heard((ONE,))
        async with asyncio.timeout(60):
            await world.nothing.wait()

    assert [line["event"] for line in run(tmp_path, scenario)] == ["soft-sa-made", "soft-sa-ended", "soft-sa-not-ended"]


def test_it_is_over_after_its_time(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        await asyncio.wait_for(world.nothing.wait(), 30)
        assert world.soft.standing() == ()

    logged = run(tmp_path, scenario, Plan("p", peers=(peer("one", ONE, lifetime=0.0),)))
    assert [(line["event"], line["reason"]) for line in logged] == [
        ("soft-sa-made", "no answer for 3 s"),
        ("soft-sa-ended", "its time is over"),
    ]


def test_a_peer_that_is_still_silent_has_its_whole_time_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.now += 299
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert world.passing == {"192.0.2.1": ("clear_ipv4", 300.0)}
        [soft] = world.soft.standing()
        assert (soft.since, soft.until) == (1_000.0, 1_599.0)
        assert len(world.story) == 2  # its packets come back again, too

    run(tmp_path, scenario)


def test_there_are_never_more_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SOFT_SAS", 1)

    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        world.soft.silent("id of two/1", TWO)
        world.soft.silent("id of one/1", ONE)  # which is there already
        await world.settled()
        assert list(world.passing) == ["192.0.2.1"]

    logged = run(tmp_path, scenario)
    assert logged[0]["reason"] == "there are as many soft SAs as there may be"


def test_the_hosts_of_one_rule_leave_some_to_the_other_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SOFT_SAS_PER_RULE", 1)
    many = Selector.net("198.51.100.0/24")
    lan = replace(peer("lan", ONE, lifetime=300.0), remotes=(), each=True)
    lan = replace(lan, children=(replace(lan.children[0], remote=(many,)),))
    plan = replace(PLAN, peers=(lan, *PLAN.peers))

    async def scenario(world: World) -> None:
        for last in (1, 2, 3):
            remote = ip_address(f"198.51.100.{last}")
            world.soft.silent(pair_id("id of lan/1", ip_address("192.0.2.100"), remote), remote)
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert list(world.passing) == ["198.51.100.1", "192.0.2.1"]

    refused = [line for line in run(tmp_path, scenario, plan) if line["event"] == "soft-sa-refused"]
    assert [line["reason"] for line in refused] == ["the rule has as many soft SAs as one may have"] * 2


def test_what_the_policy_no_longer_allows_ends(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        world.soft.silent("id of two/1", TWO)
        await world.settled()
        world.soft.assign(replace(PLAN, peers=(peer("one", ONE), peer("two", TWO, lifetime=None))), IDS)
        await world.settled()
        assert list(world.passing) == ["192.0.2.1"]

    assert [line["reason"] for line in run(tmp_path, scenario)[2:3]] == ["the policy has changed"]


def test_one_that_stands_is_called_as_the_policy_calls_it_now(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        renamed = peer("uno", ONE)
        world.soft.assign(Plan("p", peers=(peer("two", TWO), renamed)), {"uno/1": "id of one/1", "two/1": "2"})
        [soft] = world.soft.standing()
        assert (soft.rule, soft.peer, soft.child) == ("uno", "uno", "uno/1")
        other = replace(
            peer("other", ONE), children=(replace(peer("other").children[0], local=(Selector.net(f"{TWO}/32"),)),)
        )
        world.soft.assign(Plan("p", peers=(other,)), {"other/1": "3"})
        [soft] = world.soft.standing()
        assert (soft.rule, soft.peer, soft.filter) == ("other", "other", "192.0.2.2 = 192.0.2.0/24")
        world.now += 300.0
        world.soft._over(soft)
        await world.settled()
        assert world.passing == {}

    ended = run(tmp_path, scenario)[-1]
    assert (ended["event"], ended["rule"], ended["child"]) == ("soft-sa-ended", "other", "other/1")


def test_one_of_many_hosts_is_called_anew_with_its_address(tmp_path: Path) -> None:
    def lan(name: str) -> Plan:
        made = replace(peer(name, lifetime=300.0), each=True)
        return Plan("p", peers=(made,))

    async def scenario(world: World) -> None:
        world.soft.silent(pair_id("7", TWO, ONE), ONE)
        await world.settled()
        world.soft.assign(lan("net"), {"net/1": "7"})
        [soft] = world.soft.standing()
        assert (soft.rule, soft.peer, soft.child) == ("net", "net@192.0.2.1", "net/1@192.0.2.1")

    async def begin(world: World) -> None:
        world.soft.assign(lan("lan"), {"lan/1": "7"})
        await scenario(world)

    run(tmp_path, begin)


def test_where_the_kernel_refuses_nothing_passes_and_nothing_is_handed_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.refuses.append(KernelError("nft is gone"))
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        assert (world.soft.standing(), world.soft.exceptions(), world.story) == ((), (), [])

    [failed] = run(tmp_path, scenario)
    assert (failed["event"], failed["log_level"], failed["reason"]) == ("soft-sa-failed", "error", "nft is gone")


def test_only_packets_to_the_peer_that_passes_leave(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent("id of one/1", ONE)
        await world.settled()
        world.story.clear()
        world.soft.released("id of one/1", TO_ONE)
        assert world.story == ["sent to 192.0.2.1"]
        world.soft.released("id of one/1", TO_TWO)
        world.soft.released("id of strict/1", TO_ONE)
        world.soft.released("id of one/1", b"no packet")
        assert world.story == ["sent to 192.0.2.1"]
        world.full = True
        world.soft.released("id of one/1", TO_ONE)
        assert world.soft.drops == {"released-unsent": 4}
        assert world.soft.counters == {"made": 1, "sent": 1}

    run(tmp_path, scenario)


# --- a rule that has a child for each pair of hosts -------------------------------------------------------------------


def hosts(name: str, lifetime: float | None = 300.0, subnet: str = "192.0.2.0/24") -> Peer:
    """What they are made after; its child is called as a peer's is."""
    one = peer(name, lifetime=lifetime)
    child = replace(one.children[0], local=(Selector.net("10.1.0.2"),), remote=(Selector.net(subnet, 6, (80, 80)),))
    return replace(one, each=True, local_id=None, remote_id=None, children=(child,))


LAN = Plan("p", peers=(hosts("lan"), hosts("strict", lifetime=None)))


def of_lan(remote: Address) -> str:
    return f"id of lan/1@10.1.0.2@{remote}"


def test_of_a_pair_of_hosts_exactly_the_silent_one_passes_and_its_packets_are_handed_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent(of_lan(ONE), ONE)
        world.soft.silent(f"id of strict/1@10.1.0.2@{TWO}", TWO)
        await world.settled()
        assert world.passing == {"192.0.2.1": ("clear_ipv4", 300.0)}
        assert world.story == ["release id of lan/1@10.1.0.2@192.0.2.1 while 192.0.2.1 may pass"]
        assert world.soft.rules() == {"lan"}
        world.story.clear()
        world.soft.released(of_lan(ONE), TO_ONE)
        world.soft.released(of_lan(TWO), TO_TWO)
        assert world.story == ["sent to 192.0.2.1"]
        world.soft.heard((TWO,))
        await world.settled()
        assert list(world.passing) == ["192.0.2.1"]
        world.soft.heard((ONE,))
        await world.settled()
        assert world.passing == {}

    logged = run(tmp_path, scenario, LAN)
    names = {"peer": "lan@192.0.2.1", "rule": "lan", "child": "lan/1@192.0.2.1", "remote": "192.0.2.1"}
    assert {name: logged[0][name] for name in names} == names


@pytest.mark.parametrize(
    ("new", "stays"),
    [
        (hosts("lan", lifetime=60.0), True),
        (hosts("other", subnet="192.0.0.0/16"), True),
        (hosts("lan", lifetime=None), False),
        (hosts("lan", subnet="192.0.2.2"), False),
        (hosts("lan", subnet="2001:db8::/32"), False),
        (peer("lan", ONE), True),
    ],
)
def test_of_hosts_only_those_that_the_policy_no_longer_allows_end(tmp_path: Path, new: Peer, stays: bool) -> None:
    async def scenario(world: World) -> None:
        world.soft.silent(of_lan(ONE), ONE)
        await world.settled()
        plan = Plan("p", peers=(new,))
        world.soft.assign(plan, ids(plan))
        await world.settled()
        assert list(world.passing) == (["192.0.2.1"] if stays else [])

    run(tmp_path, scenario, LAN)


def test_a_host_of_persistent_rules_that_has_answered_is_barred_whatever_policy_is_assigned(tmp_path: Path) -> None:
    def plan(name: str) -> Plan:
        lasting = Entry("lan/1", "lan", Action.PROTECT, (), child="lan/1", persistent=True, fallback=True)
        return Plan(name, entries=(lasting,), peers=(hosts("lan"), hosts("other", subnet="192.0.2.2")))

    async def scenario(world: World) -> None:
        world.soft.heard((ONE, ip_address("198.51.100.1")))
        world.soft.assign(plan("q"), ids(plan("q")))
        world.soft.over()
        world.soft.silent(of_lan(ONE), ONE)
        world.soft.silent(of_lan(TWO), TWO)
        await world.settled()
        assert list(world.passing) == ["192.0.2.2"]

    run(tmp_path, scenario, plan("p"))
