"""The floor comes first and goes last: with no policy assigned, with keys that take their time, after any failure."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest

from ipsecd import limits
from ipsecd.daemon import app as app_module
from ipsecd.daemon import prepare
from ipsecd.daemon.keyring import Keyring
from ipsecd.errors import ConfigError, IpsecdError, KernelError, OperatorError
from ipsecd.io.lookup import Answer
from tests.interop.waiting import eventually
from tests.unit.daemon.daemons import PATIENCE, Daemon, Kernel, beside, policy, rule

ASSIGNS_NONE = policy().replace("assigned: sites\n", "")
SAVED = "table inet ipsecd { the floor of the last policy }\n"


class Left(Daemon):
    """A daemon that starts where another one has left its floor; ``in_kernel`` is what is there under its name."""

    def __init__(self, folder: Path, text: str, *, saved: str = SAVED, in_kernel: str = "") -> None:
        super().__init__(folder, text)
        self.table.there = in_kernel
        if saved:
            self.options.state.mkdir()
            self.options.floor.save(saved)


def run(daemon: Daemon) -> None:
    """Start it and stop it."""

    async def main() -> None:
        async with daemon:
            pass

    asyncio.run(main())


# --- no policy assigned ---------------------------------------------------------------------------------------------


def test_a_floor_that_was_left_stands_though_no_policy_is_assigned_until_unassign(tmp_path: Path) -> None:
    async def main() -> None:
        async with Left(tmp_path, ASSIGNS_NONE) as daemon:
            assert daemon.table.there == SAVED
            assert daemon.flushed == 0
            (told,) = [line for line in daemon.told.lines if line.event == "floor-without-policy"]
            assert told.level == "error"
            assert "until ipsecctl unassign takes the floor away" in told.text
            assert "Ready: no policy is assigned, the floor of the last one stands" in daemon.texts("ready")[0]
            assert (
                "no policy is in force, but the floor of an earlier one stands" in (await daemon.ctl("status")).output
            )
            await daemon.ctl("explain", "10.1.0.1", "10.2.0.1", code=1)
            assert "ipsecctl unassign takes protection away" in (await daemon.ctl("reload", code=1)).output
            assert daemon.table.there == SAVED
            await daemon.ctl("unassign")
            assert daemon.table.there == ""
            assert daemon.options.floor.load() is None
            assert daemon.app.summary() == "no policy is assigned, nothing is protected"

    asyncio.run(main())


def test_a_stop_without_a_policy_says_that_the_floor_that_was_left_stays(tmp_path: Path) -> None:
    daemon = Left(tmp_path, ASSIGNS_NONE)
    run(daemon)
    assert daemon.table.there == SAVED
    assert [line.text[21:] for line in daemon.told.lines if line.event.startswith("stopping")] == [
        "Stopping on the test; no policy is in force, the floor of the last one stays"
    ]


def test_a_policy_takes_the_place_of_a_floor_that_was_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with Left(tmp_path, ASSIGNS_NONE) as daemon:
            daemon.write("policy.yaml", policy())
            daemon.kernel.refuses["tun"] = KernelError("never asked: that of the policy is another")
            assert (await daemon.ctl("reload")).output == "added: site\n"
            assert daemon.texts("policy-changed") == ["The policy has changed: added: site"]
            assert daemon.table.there == daemon.protection.prepared.floor != SAVED
            assert not daemon.app.bare

    asyncio.run(main())


@pytest.mark.parametrize("saved", [SAVED, ""])
def test_a_policy_that_fails_leaves_the_floor_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str
) -> None:
    async def main() -> None:
        async with Left(tmp_path, ASSIGNS_NONE, saved=saved) as daemon:
            daemon.write("policy.yaml", policy())
            with monkeypatch.context() as patch:
                patch.setattr(prepare, "gather", refuse)
                assert "no keys today" in (await daemon.ctl("reload", code=1)).output
            assert daemon.table.there == saved
            assert daemon.app.bare == bool(saved)
            assert daemon.app.protection is None
            assert (await daemon.ctl("reload")).output == "added: site\n"

    asyncio.run(main())


def test_a_policy_that_fails_half_way_takes_no_floor_away_that_nobody_has_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_tun(_: Kernel) -> None:
        raise KernelError("no TUN today")

    async def main() -> None:
        async with Left(tmp_path, ASSIGNS_NONE, saved="", in_kernel=SAVED) as daemon:
            daemon.write("policy.yaml", policy())
            monkeypatch.setattr(Kernel, "raise_tun", no_tun)
            assert "no TUN today" in (await daemon.ctl("reload", code=1)).output
            assert (bool(daemon.table.there), daemon.flushed) == (True, 0)
            assert "floor-not-as-before" in daemon.events
            await daemon.ctl("unassign")
            assert daemon.table.there == ""

    asyncio.run(main())


async def refuse(*_: object) -> Keyring:
    raise OperatorError("no keys today")


def test_with_nothing_assigned_and_nothing_left_nothing_is_protected(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon) -> None:
        assert daemon.flushed == 1  # rules and routes that may be left
        assert daemon.texts("nothing-assigned") == [
            f"{daemon.folder}/policy.yaml assigns no policy: nothing is protected"
        ]

    beside(tmp_path, scenario, ASSIGNS_NONE)


def test_a_table_that_nobody_has_saved_isnt_taken_away_by_a_file_either(tmp_path: Path) -> None:
    daemon = Left(tmp_path, ASSIGNS_NONE, saved="", in_kernel=SAVED)
    run(daemon)
    assert (daemon.table.there, daemon.flushed) == (SAVED, 0)
    assert "floor-without-policy" in daemon.events


def test_nor_by_a_reload_for_the_sake_of_persistent_rules(tmp_path: Path) -> None:
    persistent = "persistent: {rules: [{name: telnet, filter_list: all-icmp, action: block}]}\n"

    async def main() -> None:
        async with Left(tmp_path, ASSIGNS_NONE + persistent, saved="", in_kernel=SAVED) as daemon:
            assert "ipsecctl unassign takes protection away" in (await daemon.ctl("reload", code=1)).output
            assert daemon.table.there == SAVED
            await daemon.ctl("unassign")
            assert [each.name for each in daemon.protection.prepared.plan.rules] == ["persistent:telnet"]

    asyncio.run(main())


# --- keys that take their time --------------------------------------------------------------------------------------


class Slow:
    """Keys that are there once ``answered`` is set. ``asked``: somebody waits for them."""

    def __init__(self) -> None:
        self.asked, self.answered = asyncio.Event(), asyncio.Event()

    async def gather(self, *_: object) -> Keyring:
        self.asked.set()
        await self.answered.wait()
        return Keyring()


def test_at_a_start_the_floor_waits_for_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        keys = Slow()
        monkeypatch.setattr(prepare, "gather", keys.gather)
        daemon = Daemon(tmp_path, policy())
        work = asyncio.create_task(daemon.__aenter__())
        await keys.asked.wait()
        assert "10.2.0.0/16" in daemon.table.there
        assert not work.done()
        keys.answered.set()
        await work
        await daemon.__aexit__()

    asyncio.run(main())


@pytest.mark.parametrize("before", ["a policy", "the floor of a policy", "nothing"])
def test_a_change_touches_nothing_until_the_keys_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """What the new policy permits mightn't be what is in force a moment later."""

    async def main() -> None:
        keys = Slow()
        daemons = {
            "a policy": lambda: Daemon(tmp_path, policy()),
            "the floor of a policy": lambda: Left(tmp_path, ASSIGNS_NONE),
            "nothing": lambda: Daemon(tmp_path, ASSIGNS_NONE),
        }
        async with daemons[before]() as daemon:
            daemon.write("policy.yaml", policy(rule("other", "10.1.0.0/16", "10.3.0.0/16")))
            stood = daemon.table.there
            assert bool(stood) == (before != "nothing")
            monkeypatch.setattr(prepare, "gather", keys.gather)
            work = asyncio.create_task(daemon.ctl("reload", code=5))
            await keys.asked.wait()
            assert daemon.table.there == stood
            keys.answered.set()
            await work
            assert "10.3.0.0/16" in daemon.table.there
            assert "10.2.0.0/16" not in daemon.table.there

    asyncio.run(main())


# --- addresses ------------------------------------------------------------------------------------------------------


def test_a_new_address_waits_for_no_dns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESOLVE_TIME", 3_600.0)
    text = policy(rule(), rule("me", "me", "10.3.0.0/16"), rule("name", "10.1.0.0/16", "silent.example"))

    async def main() -> None:
        asked, answered = threading.Event(), threading.Event()

        def hang(_: str) -> Answer:
            asked.set()
            answered.wait()
            return Answer(())

        daemon = Daemon(tmp_path, text)
        daemon.app._resolver._lookup = hang
        async with daemon:
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            daemon.address = ip_address("192.0.2.77")
            daemon.context.run(daemon.app._moved.set)
            await asyncio.to_thread(eventually, lambda: "policy-follows" in daemon.events, "it follows", 20)
            entries = {entry.name: entry for entry in daemon.protection.prepared.plan.entries}
            assert [str(local) for local, _ in entries["me/1"].pairs] == ["192.0.2.77"]
            answered.set()

    asyncio.run(main())


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_start_that_fails_puts_the_saved_floor_in_the_place_of_whatever_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, error in enumerate((OperatorError("no"), ConfigError(()), KeyError("a fault"), OSError("disk"))):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(app_module, "read_policy", fail)
        daemon = Left(tmp_path / str(number), policy(), in_kernel="table inet ipsecd { }\n")
        with pytest.raises(type(error)):
            run(daemon)
        assert daemon.table.there == SAVED
        assert daemon.texts("last-floor-stands") == [
            "The floor of the last good policy stands: what it protects doesn't leave in clear"
        ]


def test_a_saved_floor_that_has_been_emptied_is_told(tmp_path: Path) -> None:
    daemon = Left(tmp_path, "assigned: [", in_kernel="table inet ipsecd { what the boot has closed }\n")
    daemon.options.floor.save("")
    with pytest.raises(IpsecdError):
        run(daemon)
    assert daemon.table.there == "table inet ipsecd { what the boot has closed }\n"
    (told,) = daemon.texts("no-floor")
    assert "floor.nft is empty" in told
    assert "last-floor-stands" not in daemon.events


def test_a_start_that_fails_behind_its_floor_leaves_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it could not be saved."""
    daemon = Left(tmp_path, policy())

    async def refuse_unsaved(*_: object) -> Keyring:
        daemon.options.floor.save(SAVED)
        return await refuse()

    monkeypatch.setattr(prepare, "gather", refuse_unsaved)
    with pytest.raises(IpsecdError, match="no keys today"):
        run(daemon)
    assert "10.2.0.0/16" in daemon.table.there


# --- the way out ----------------------------------------------------------------------------------------------------


def test_the_floor_follows_the_way_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with Daemon(tmp_path, policy(rule("a"))) as daemon:
            assert 'oifname { "wan0" } counter name "not-inside" drop' in daemon.kernel.floor
            daemon.way_out = "wan1"
            follow = daemon.app._follow()  # as when the kernel has told of another default route
            await asyncio.create_task(follow, context=daemon.context)
            assert 'oifname { "wan1" } counter name "not-inside" drop' in daemon.kernel.floor
            assert daemon.texts("outside-moved") == [
                "Interfaces that lead to peers and to everybody else are now: wan1"
            ]
            assert "policy-follows" not in daemon.events
            assert "kernel-setting" not in daemon.events
            daemon.kernel.found = ("wan0 leads both ways",)
            for way_out in ("wan0", "wan1"):
                daemon.way_out = way_out
                await asyncio.create_task(daemon.app._follow(), context=daemon.context)
            assert daemon.texts("kernel-setting") == [
                "A setting of this machine is in the way: wan0 leads both ways"
            ], "and told once"

    asyncio.run(main())


def test_a_way_that_nobody_tells_of_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK_AGAIN", 0.0)
    monkeypatch.setattr(limits, "ADDRESS_REST", 0.0)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Daemon(tmp_path, policy(rule("a"))) as daemon:
            daemon.way_out = "wan1"  # as a route to one peer may have it
            while "outside-moved" not in daemon.events:  # noqa: ASYNC110  nothing else tells when it has been seen
                await asyncio.sleep(0)
            assert 'oifname { "wan1" } counter name "not-inside" drop' in daemon.kernel.floor

    asyncio.run(main())


def test_where_the_policy_names_the_inside_the_way_out_says_nothing(tmp_path: Path) -> None:
    text = policy(rule("a")) + "settings: {inside: [lan0, lan1]}\n"

    async def main() -> None:
        async with Daemon(tmp_path, text) as daemon:
            assert 'oifname != { "lan0", "lan1" } counter name "not-inside" drop' in daemon.kernel.floor
            assert "wan0" not in daemon.kernel.floor

    asyncio.run(main())
