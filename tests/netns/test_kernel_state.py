"""What ipsecd has in the kernel: raised whole, kept, left standing at every end, and removed without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import AsyncIPRoute

from ipsecd.errors import KernelError
from ipsecd.io import advice, kernel_state
from ipsecd.io.compiled import Message, Unreadable
from ipsecd.io.nftables import Element, Nftables
from ipsecd.io.owner import Owner
from ipsecd.io.state_file import StateFile
from ipsecd.io.tun import Tun
from ipsecd.io.watch import Change, RoutingWatch
from ipsecd.policy import floor
from ipsecd.policy.plan import Action, Entry, Plan, Settings
from ipsecd.wire.selector import Selector
from tests.netns.capture import PATIENCE, Capture, send
from tests.netns.gateway import Gateway, between_sites, others_table
from tests.netns.packets import ping, udp
from tests.netns.places import GA_LAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

MARK = b"<covered packet>"
CONTROL = b"<control packet>"
PLAN = between_sites(Action.PROTECT)


def kernel(sites: Sites) -> dict[str, Any]:
    """Everything in ga that we might have changed, as iproute2 and nft show it; counters and clocks left out."""
    still = {"handle": 0, "packets": 0, "bytes": 0}
    found: dict[str, Any] = {}
    for version in (4, 6):
        for words in ("rule", "route show table all", "addr"):
            text = sites.run("ga", ["ip", f"-{version}", *words.split()]).stdout
            found[f"{version} {words}"] = sorted(line for line in text.splitlines() if "valid_lft" not in line)
    found["links"] = sites.run("ga", ["ip", "-o", "link"]).stdout
    ruleset = json.loads(sites.run("ga", ["nft", "-j", "list", "ruleset"]).stdout)["nftables"]
    found["nft"] = [{kind: item[kind] | still for kind in item} for item in ruleset]
    return found


def eventually(question: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < end, what
        time.sleep(0.01)  # another process changes the kernel


def others_state(sites: Sites) -> None:
    """What another program might have: near to ours, but not ours."""
    others_table(sites, ("filter hook forward priority 5", "counter"))
    for words in (
        "rule add pref 4499 fwmark 0x1000000/0x3000000 lookup 4501 protocol 51",
        "rule add pref 4504 lookup 4500 protocol static",
        "route add 10.66.0.0/16 via 192.0.2.2 table 4500 proto static",
        "route add 10.67.0.0/16 via 192.0.2.2 proto 51",
        "-6 rule add pref 4499 fwmark 0x1000000/0x3000000 lookup 4501 protocol 51",
    ):
        sites.run("ga", ["ip", *words.split()])


def test_everything_stays_but_the_tun_when_the_process_ends(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN):
        during = kernel(sites)
    after = kernel(sites)
    assert after["nft"] == during["nft"]
    assert [line.replace(" [detached]", "") for line in after["4 rule"]] == during["4 rule"]
    assert "ipsecd0" not in after["links"]
    assert [line for line in after["4 route show table all"] if "4500" in line] == [
        "unreachable default table 4500 proto 50 metric 4294967295 "
    ]
    with Capture(sites, "ha", "eth0") as lan, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[4], HB[4], MARK))
        lan.wait(lambda seen: not seen.outgoing and seen.packet[9] == 1 and MARK in seen.packet, "host unreachable")
        assert wan.count(MARK) == 0


def test_removal_leaves_no_trace_and_touches_nothing_else(sites: Sites, tmp_path: Path) -> None:
    others_state(sites)
    before = kernel(sites)
    with Gateway(sites, tmp_path, PLAN) as gateway:
        assert kernel(sites) != before
        assert gateway.saved.exists()
        gateway.do(gateway.state.lower())
        assert kernel(sites) == before
        assert not gateway.saved.exists()


def test_removal_needs_no_daemon_and_no_policy(sites: Sites, tmp_path: Path) -> None:
    others_state(sites)
    before = kernel(sites)
    odd = Plan(PLAN.policy, entries=PLAN.entries, settings=Settings("odd0", None, 16, 32, 112, 77, 900))
    with Gateway(sites, tmp_path, odd) as gateway:
        store = StateFile(gateway.saved, "the floor", "gone at a reboot")
    with Gateway(sites, tmp_path, PLAN, raised=False) as stranger:
        stranger.do(kernel_state.flush(stranger.netlink, stranger.nftables, store))
        assert kernel(sites) == before
        assert store.load() is None
        stranger.do(kernel_state.flush(stranger.netlink, stranger.nftables, store))  # nothing there: nothing to say


def test_a_restart_finds_its_state_and_doubles_nothing(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN):
        first = kernel(sites)
    with Gateway(sites, tmp_path, PLAN) as gateway:
        second = kernel(sites)
        assert second["4 rule"] == first["4 rule"]
        assert second["6 rule"] == first["6 rule"]
        assert second["nft"] == first["nft"]
        send(sites, "ha", udp(HA[4], HB[4], MARK))
        gateway.wait_in_tun(MARK)


def test_a_restart_with_other_numbers_removes_the_old_ones(sites: Sites, tmp_path: Path) -> None:
    odd = Plan(PLAN.policy, entries=PLAN.entries, settings=Settings("odd0", None, 16, 32, 112, 77, 900))
    with Gateway(sites, tmp_path, odd):
        pass
    with Gateway(sites, tmp_path, PLAN) as gateway:
        assert {rule.preference for rule in gateway.do(gateway.netlink.rules())} == set(range(4500, 4506))
        assert {route.table for route in gateway.do(gateway.netlink.routes())} == {4500}


def test_the_saved_floor_stands_without_us(sites: Sites, tmp_path: Path) -> None:
    """As after a reboot: nothing but nft has run."""
    with Gateway(sites, tmp_path, PLAN) as gateway:
        saved = gateway.saved
        kept = saved.read_text()
        gateway.do(gateway.state.lower())
    saved.write_text(kept)
    with Capture(sites, "ga", "wan0") as wan, Capture(sites, "ha", "eth0") as lan:
        sites.run("ga", ["nft", "-f", saved])
        send(sites, "ha", udp(HA[4], HB[4], MARK), udp(HA[6], HB[6], MARK))
        send(sites, "hb", udp(HB[4], HA[4], MARK), udp(HB[6], HA[6], MARK))
        send(sites, "ha", ping(HA[4], GB_WAN[4], CONTROL))
        lan.wait(lambda seen: not seen.outgoing and CONTROL in seen.packet, "an uncovered answer")
        assert not [seen for seen in wan.seen if seen.outgoing and MARK in seen.packet]
        assert not [seen for seen in lan.seen if not seen.outgoing and MARK in seen.packet]


def test_the_tun_has_no_address_at_all(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        assert sites.run("ga", ["ip", "-o", "addr", "show", "dev", "ipsecd0"]).stdout == ""
        link = gateway.do(gateway.netlink.link("ipsecd0"))
        assert link is not None
        assert (link.kind, link.mtu, link.up, link.generates, link.reverse_mark) == ("tun", 1_400, True, False, True)
        assert link.group == 4500
        assert " qlen 1000" in sites.run("ga", ["ip", "-o", "link", "show", "ipsecd0"]).stdout


def test_a_changed_mtu_reaches_the_tun(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        gateway.do(gateway.state.set_mtu(1_300))
        assert gateway.do(gateway.netlink.link("ipsecd0")).mtu == 1_300  # type: ignore[union-attr]  # it is there
        assert gateway.do(gateway.state.restore()) == ()


def test_where_ipv6_is_off_the_rest_works(sites: Sites, tmp_path: Path) -> None:
    sites.sysctl("ga", "ipv6/conf/default/disable_ipv6", 1)
    with Gateway(sites, tmp_path, PLAN) as gateway, Capture(sites, "ga", "wan0") as wan:
        send(sites, "ha", udp(HA[4], HB[4], MARK))
        gateway.wait_in_tun(MARK)
        send(sites, "ha", udp(HA[6], HB[6], MARK))  # wan0 still speaks it: this must not leave there
        send(sites, "ha", udp(HA[6], GB_WAN[6], CONTROL))
        wan.wait_for(CONTROL)
        assert wan.count(MARK) == 0
        assert gateway.do(gateway.state.restore()) == ()


def test_an_interface_of_somebody_else_is_not_taken(sites: Sites, tmp_path: Path) -> None:
    sites.run("ga", ["ip", "tuntap", "add", "ipsecd0", "mode", "tun"])
    with (
        Gateway(sites, tmp_path, PLAN, raised=False) as gateway,
        pytest.raises(KernelError, match=r"can't make the TUN interface ipsecd0: .*set another name"),
    ):
        gateway.up()
    assert "ipsecd0" in kernel(sites)["links"]


def test_a_keyword_the_library_drops_is_noticed(sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyroute2 ignores what it doesn't know; a rule without its mark would steer everything."""
    honest = AsyncIPRoute.rule

    async def forgetful(self: AsyncIPRoute, command: str, **keys: Any) -> Any:
        keys = {{"fwmark": "fw_mark", "fwmask": "fw_mask"}.get(key, key): value for key, value in keys.items()}
        return await honest(self, command, **keys)

    monkeypatch.setattr(AsyncIPRoute, "rule", forgetful)
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:
        with pytest.raises(KernelError, match="asked for Rule"):
            gateway.up()
        monkeypatch.setattr(AsyncIPRoute, "rule", honest)
        assert all(rule.action == "nop" for rule in gateway.do(gateway.netlink.rules()))


def test_a_rule_of_the_table_that_got_lost_is_noticed(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Nftables._nft

    async def forgetful(self: Nftables, text: str, *words: str) -> str:
        if words == ("-f", "-"):
            text = text.replace("ip saddr 10.1.0.0/24 ", "", 1)
        return await honest(self, text, *words)

    monkeypatch.setattr(Nftables, "_nft", forgetful)
    with (
        Gateway(sites, tmp_path, PLAN, raised=False) as gateway,
        pytest.raises(KernelError, match=r"the kernel holds other rules in chain \w+ than it was given"),
    ):
        gateway.do(gateway.state.raise_floor(floor.ruleset(PLAN)))


WIDER = floor.ruleset(PLAN, ("wan0", "wan1"))


def test_a_rule_that_got_lost_is_noticed_in_later_tables_too(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Nftables._nft

    async def forgetful(self: Nftables, text: str, *words: str) -> str:
        return await honest(self, re.sub(r"\n\t\t.*wan1.*", "", text, count=1), *words)

    with Gateway(sites, tmp_path, PLAN) as gateway:
        monkeypatch.setattr(Nftables, "_nft", forgetful)
        with pytest.raises(KernelError, match="more rules than it was given, or fewer"):
            gateway.do(gateway.nftables.replace(WIDER))
        assert not gateway.do(gateway.nftables.holds())


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ("insert rule inet ipsecd to_wire accept", True),
        ("delete table inet ipsecd", True),
        ("add table inet others", False),
    ],
)
def test_what_somebody_changes_at_the_same_time_is_no_part_of_what_was_put_in_place(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, ours: bool
) -> None:
    honest = Nftables._nft

    async def together(self: Nftables, text: str, *words: str) -> str:
        said = await honest(self, text, *words)
        if words == ("-f", "-"):
            sites.run("ga", ["nft", *change.split()])
        return said

    with Gateway(sites, tmp_path, PLAN) as gateway:
        monkeypatch.setattr(Nftables, "_nft", together)
        if ours:
            with pytest.raises(KernelError):
                gateway.do(gateway.nftables.replace(WIDER))
        else:
            gateway.do(gateway.nftables.replace(WIDER))
        assert gateway.do(gateway.nftables.holds()) is not ours


def test_a_table_of_many_sets_is_read_whole(sites: Sites, tmp_path: Path) -> None:
    """Each rule for me has one of its own, and the kernel tells of them in several answers."""
    peers = [Selector.net(f"198.51.{number}.0/24") for number in range(200)]
    mine = [
        Entry(f"d{number}/1", "d", Action.BLOCK, (), me=((Selector.net("0.0.0.0/32"), peer),))
        for number, peer in enumerate(peers)
    ]
    with Gateway(sites, tmp_path, Plan("many", entries=tuple(mine))) as gateway:
        assert gateway.do(gateway.nftables.holds())
        for verb in ("add", "delete"):  # nobody can change what is in them, so it needn't be read again
            element = ["nft", verb, "element", "inet", "ipsecd", "__set0", "{ 1 }"]
            assert "Could not process rule" in sites.run("ga", element, check=False).stderr
        assert gateway.do(gateway.nftables.holds())
        sites.run("ga", ["nft", "flush", "chain", "inet", "ipsecd", "arriving"])
        assert not gateway.do(gateway.nftables.holds())


def test_a_table_is_held_while_others_change_theirs_and_not_once_it_is_put_back(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        sites.run("ga", ["nft", "add", "table", "inet", "others"])
        gateway.do(gateway.nftables.change([Element("clear_ipv4", "192.0.2.9", 60.0)], []))
        assert gateway.do(gateway.nftables.holds())
        sites.run("ga", ["nft", "-f", "-"], stdin=gateway.nftables.text)
        assert not gateway.do(gateway.nftables.holds())


class Unable(Owner):
    """On a kernel that has no such tables."""

    def able(self) -> bool:
        return False


class Strange(Nftables):
    """With an nft that says in another way what it sends, from the second table on."""

    def __init__(self) -> None:
        super().__init__(floor.TABLE, Owner(floor.TABLE))
        self.turn = 0

    async def _messages(self, text: str) -> list[Message]:
        self.turn += 1
        if self.turn > 3:
            raise Unreadable("strange")
        return await super()._messages(text)


def test_a_floor_that_others_can_remove_as_nft_is_not_understood_is_told_once(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:
        strange = Strange()
        monkeypatch.setattr(gateway.state, "_nftables", strange)
        for plan, told in ((PLAN, 0), (between_sites(Action.BLOCK), 0), (PLAN, 0), (between_sites(Action.BLOCK), 1)):
            gateway.do(gateway.state.raise_floor(floor.ruleset(plan)))
            assert gateway.events == [("floor-not-owned", {"reason": "strange"})] * told
        gateway.do(gateway.state.raise_floor(floor.ruleset(PLAN)))
        assert len(gateway.events) == 1


def owned(*, able: bool = True) -> Nftables:
    return Nftables(floor.TABLE, (Owner if able else Unable)(floor.TABLE))


@pytest.mark.parametrize(("make", "stays"), [(owned, [True] * 3), (Strange, [True, False, False])])
def test_a_table_with_an_owner_is_what_nft_makes_and_stays_as_long_as_it_has_one(
    sites: Sites, tmp_path: Path, make: Callable[[], Nftables], stays: list[bool]
) -> None:
    plans = PLAN, between_sites(Action.BLOCK), PLAN
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:
        ours = make()
        for plan, stayed in zip(plans, stays, strict=True):
            added = Element("clear_ipv4", "192.0.2.9", 60.0)
            gateway.do(gateway.nftables.replace(floor.ruleset(plan), [added]))
            wanted = ruleset(sites)
            gateway.do(ours.replace(floor.ruleset(plan), [added]))
            assert ruleset(sites) == wanted
            gateway.do(ours.change([added._replace(value="192.0.2.10")], [added]))
            assert gateway.do(ours.holds())
            sites.run("ga", ["nft", "flush", "ruleset"])
            assert (gateway.do(ours.exists()), gateway.do(ours.holds())) == (stayed, stayed)
            assert set(gateway.do(ours.counters()).values()) == ({0} if stayed else set())
            sites.run("ga", ["nft", "-f", "-"], stdin="table inet ipsecd {\n}\n", check=False)
            gateway.do(ours.remove())
            assert ruleset(sites) == []


@pytest.mark.parametrize("able", [True, False])
def test_a_table_that_an_owner_has_left_can_be_replaced_and_removed(sites: Sites, tmp_path: Path, able: bool) -> None:
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:
        gone = owned()
        for remove in (False, True):
            owner = Owner(floor.TABLE)
            gone = Nftables(floor.TABLE, owner)
            gateway.do(gone.replace(floor.ruleset(PLAN)))
            with pytest.raises(KernelError, match="not permitted"):
                gateway.do(gateway.nftables.remove())
            owner.release()
            assert gateway.do(gone.exists())
            after = owned(able=able)
            if not remove:
                gateway.do(after.replace(floor.ruleset(PLAN)))
                assert gateway.do(after.holds())
            gateway.do(after.remove())
            assert ruleset(sites) == []


def test_what_the_kernel_refuses_an_owner_changes_nothing(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:
        ours = owned()
        gateway.do(ours.replace(floor.ruleset(PLAN)))
        before = ruleset(sites)
        for _ in range(2):
            with pytest.raises(KernelError, match="the kernel refused the table"):
                gateway.do(ours.replace(floor.ruleset(PLAN).replace("jump", "goto nowhere #", 1)))
            with pytest.raises(KernelError, match="syntax error"):
                gateway.do(ours.replace("nonsense"))
            assert ruleset(sites) == before
        gateway.do(ours.replace(floor.ruleset(PLAN)))


def ruleset(sites: Sites) -> list[str]:
    """What there is, without what tells of an owner."""
    lines = sites.run("ga", ["nft", "-s", "list", "ruleset"]).stdout.splitlines()
    return [
        re.sub(r" expires \S+| # progname.*", "", line) for line in lines if line and not line.startswith("\tflags ")
    ]


def test_a_floor_that_cant_be_kept_stands_all_the_same(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path / "missing", PLAN) as gateway:
        assert [event for event, _ in gateway.events] == ["floor-not-saved"]
        assert gateway.do(gateway.nftables.holds())


@pytest.mark.parametrize(
    "change",
    [
        "nft flush ruleset",
        "nft delete table inet ipsecd",
        "nft flush chain inet ipsecd leaving",
        "nft insert rule inet ipsecd to_wire accept",
        "ip rule del pref 4500",
        "ip rule del pref 4503",
        "ip rule flush",
        "ip -6 rule del pref 4502",
        "ip route flush table 4500",
        "ip -6 route del default dev ipsecd0 table 4500",
        "ip link del ipsecd0",
        "ip link set ipsecd0 down",
        "ip link set ipsecd0 mtu 1200",
        "ip link set ipsecd0 addrgenmode eui64",
        "ip link set ipsecd0 group 0",
    ],
)
def test_what_disappears_is_put_back_at_once(sites: Sites, tmp_path: Path, change: str) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        before = kernel(sites)
        gateway.keep()
        sites.run("ga", change.split())
        eventually(lambda: "kernel-state-restored" in [event for event, _ in gateway.events], "nothing was put back")
        if change == "ip rule flush":
            sites.run("ga", ["ip", "rule", "add", "pref", "32766", "lookup", "main"])
            sites.run("ga", ["ip", "rule", "add", "pref", "32767", "lookup", "default"])
        eventually(lambda: gateway.do(gateway.state.restore()) == (), "never came to rest")
        after = kernel(sites)
        after.pop("links"), before.pop("links")  # a new TUN has a new index
        assert after == before
        assert len(gateway.new_tuns) == (1 if change == "ip link del ipsecd0" else 0)
        send(sites, "ha", udp(HA[4], HB[4], MARK), udp(HA[6], HB[6], MARK))
        gateway.wait_in_tun(MARK, 2)


def test_changes_of_others_are_none_of_our_business(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        gateway.keep()
        others_state(sites)
        sites.run("ga", ["ip", "addr", "add", "10.55.0.1/24", "dev", "lan0"])
        eventually(lambda: gateway.address_news > 0, "nobody told of a new address")
        others = kernel(sites)
        sites.run("ga", ["ip", "link", "del", "ipsecd0"])
        eventually(lambda: len(gateway.new_tuns) == 1, "the TUN didn't come back")
        eventually(lambda: gateway.do(gateway.state.restore()) == (), "never came to rest")
        assert kernel(sites)["4 rule"] == others["4 rule"]
        assert gateway.events == [("kernel-state-restored", {"what": "tun"})]


def test_a_tun_that_only_its_user_finds_gone_is_made_anew(sites: Sites, tmp_path: Path) -> None:
    """As when its descriptor is spoilt: the kernel has the interface still, and has no news of it."""
    with Gateway(sites, tmp_path, PLAN) as gateway:
        gateway.keep()
        gateway.call(gateway.keeper.tun_lost)
        eventually(lambda: len(gateway.new_tuns) == 1, "nobody made another")
        eventually(lambda: gateway.do(gateway.state.restore()) == (), "never came to rest")
        assert gateway.tun is gateway.new_tuns[0]
        send(sites, "ha", udp(HA[4], HB[4], MARK))
        gateway.wait_in_tun(MARK)


@pytest.mark.parametrize("version", [4, 6])
def test_a_default_route_another_and_one_of_our_table_are_three_kinds_of_news(sites: Sites, version: int) -> None:
    """Busy routers change the others all the time."""
    other, default = {4: ("10.99.0.0/16", "0.0.0.0/1"), 6: ("fd99::/64", "2000::/3")}[version]
    with contextlib.closing(sites.inside("ga", RoutingWatch, 4500)) as watch:
        sites.run("ga", ["ip", "route", "add", other, "via", GB_WAN[version]])
        assert watch._read() == {Change.ELSEWHERE}
        sites.run("ga", ["ip", "route", "add", default, "via", GB_WAN[version]])
        assert watch._read() == {Change.UPLINK}
        sites.run("ga", ["ip", "route", "add", other, "via", GB_WAN[version], "table", "4500"])
        assert watch._read() == {Change.ROUTE}


def test_a_marked_reverse_path_check_of_others_is_named_with_its_remedy(tmp_path: Path) -> None:
    with Sites(rp_filter=1) as sites, Gateway(sites, tmp_path, PLAN) as gateway:
        sites.sysctl("ga", "ipv4/conf/all/src_valid_mark", 1)
        problems = gateway.problems()
        assert [problem.partition(":")[0] for problem in problems] == [
            f"src_valid_mark keeps steered packets that come in by {name} from passing its reverse path check"
            for name in ("lan0", "wan0")
        ]
        for problem in problems:
            name, value = problem.rpartition(" ")[2].split("=")
            sites.sysctl("ga", name.removeprefix("net.").replace(".", "/"), value)
        assert gateway.problems() == ()
        send(sites, "ha", udp(HA[4], HB[4], MARK))
        gateway.wait_in_tun(MARK)


def test_a_tun_without_its_reverse_mark_is_named_with_its_remedy(tmp_path: Path) -> None:
    with Sites(rp_filter=1) as sites, Gateway(sites, tmp_path, PLAN) as gateway:
        sites.sysctl("ga", "ipv4/conf/ipsecd0/src_valid_mark", 0)
        (problem,) = gateway.problems()
        assert problem.startswith("packets out of ipsecd0 fail the reverse path check: sysctl -w ")
        sites.run("ga", problem.partition(": ")[2].split())
        assert gateway.problems() == ()
        with Capture(sites, "ha", "eth0") as lan:
            gateway.into_tun([udp(HB[4], HA[4], MARK)])
            lan.wait_for(MARK)


def test_a_machine_that_forwards_nothing_is_named_with_its_remedy(tmp_path: Path) -> None:
    with Sites() as sites:
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            sites.sysctl("ga", name, 0)
        with Gateway(sites, tmp_path, PLAN) as gateway:
            problems = gateway.problems()
            said = "and a rule is for a network behind it"
            assert problems == (
                f"this machine forwards no IPv4, {said}: sysctl -w net.ipv4.ip_forward=1",
                f"this machine forwards no IPv6, {said}: sysctl -w net.ipv6.conf.all.forwarding=1",
            )
            for problem in problems:
                sites.run("ga", problem.partition(": ")[2].split())
            assert gateway.problems() == ()


def test_bridges_whose_frames_no_rule_sees_are_named(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel does with bridged frames is said by a folder that only a module makes."""
    monkeypatch.setattr(advice, "_BRIDGES", tmp_path)
    said = "what is bridged over br0 passes beside every rule: modprobe br_netfilter && sysctl -w net.bridge."
    with Gateway(sites, tmp_path, PLAN) as gateway:
        for words in ("add br0 type bridge", "add port0 type veth peer name port1", "set port0 master br0"):
            sites.run("ga", ["ip", "link", *words.split()])
        assert gateway.problems() == ()
        sites.run("ga", ["ip", "link", "set", "port1", "master", "br0"])
        assert gateway.problems() == (f"{said}bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",)
        (tmp_path / "bridge-nf-call-iptables").write_text("1\n")
        (tmp_path / "bridge-nf-call-ip6tables").write_text("0\n")
        assert gateway.problems() == (f"{said}bridge-nf-call-ip6tables=1",)
        (tmp_path / "bridge-nf-call-ip6tables").write_text("1\n")
        assert gateway.problems() == ()


def test_addresses_and_the_source_for_a_peer(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN) as gateway:
        addresses = {(name, str(address)) for name, address in gateway.do(gateway.netlink.addresses())}
        assert {("lan0", GA_LAN[4]), ("lan0", GA_LAN[6]), ("wan0", "192.0.2.1"), ("wan0", "2001:db8::1")} < addresses
        assert {"10.1.0.255", "192.0.2.255"} < set(map(str, gateway.do(gateway.netlink.broadcasts())))
        for name, value in (("accept_dad", 1), ("dad_transmits", 100)):
            sites.sysctl("ga", f"ipv6/conf/lan0/{name}", value)
        sites.run("ga", ["ip", "addr", "add", "fd01::77/64", "dev", "lan0"])
        assert "tentative" in sites.run("ga", ["ip", "addr", "show", "to", "fd01::77"]).stdout
        assert ("lan0", ip_address("fd01::77")) in gateway.do(gateway.netlink.addresses())
        own = PLAN.settings.own_mark

        def source(remote: str) -> str:
            return str(gateway.do(gateway.netlink.source_for(ip_address(remote), own)))

        assert source("192.0.2.2") == "192.0.2.1"
        assert source("2001:db8::2") == "2001:db8::1"
        assert source("10.1.0.2") == GA_LAN[4]
        sites.run("ga", ["ip", "route", "del", "default"])
        assert source("203.0.113.1") == "None"


def test_questions_to_the_kernel_may_come_together(sites: Sites, tmp_path: Path) -> None:
    with Gateway(sites, tmp_path, PLAN, raised=False) as gateway:

        async def ask() -> list[int]:
            return [len(links) for links in await asyncio.gather(*(gateway.netlink.links() for _ in range(20)))]

        assert gateway.do(ask()) == [3] * 20


def test_a_tun_counts_what_the_kernel_refuses(sites: Sites) -> None:
    tun = sites.inside("ga", Tun, "test0", 1_400)
    assert tun.write(udp(HB[4], HA[4], MARK)) is False
    sites.inside("ga", tun.up)
    assert tun.write(b"\x00 is no version of IP") is False
    assert tun.write(udp(HB[4], HA[4], MARK)) is True
    assert tun.drops == {"tun-down": 1, "tun-invalid": 1}
    sites.run("ga", ["ip", "link", "del", "test0"])
    with pytest.raises(KernelError, match="can't read from test0"):
        tun.read()
    with pytest.raises(KernelError, match="can't write to test0"):
        tun.write(udp(HB[4], HA[4], MARK))
    tun.close()
