"""Whatever happens to a gateway under a flood of numbered packets, not one of them leaves in clear: from both sites, of
both IP versions, and from the gateway itself."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.interop.ipsecd import IPSECD
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, inject, send
from tests.netns.flood import MARK, Flood, in_clear
from tests.netns.packets import udp
from tests.netns.pair import KEY, Pair, files, pair, policy, rule
from tests.netns.places import GA_LAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

BOTH = {"inside": (4, 6)}
SEED = 20
KILLS = 4


@pytest.fixture
def both(sites: Sites, tmp_path: Path) -> Iterator[Pair]:
    """A pair of which nothing leaves in clear, in either direction, for as long as it is there."""
    with pair(sites, tmp_path, files(rule("a", **BOTH)), files(rule("b", **BOTH))) as made:
        yield made


@contextlib.contextmanager
def flooded(both: Pair) -> Iterator[Capture]:
    """Everybody sends, and a capture sees what reaches hb."""
    forth = [(HA[version], HB[version]) for version in (4, 6)]
    own = [(GA_LAN[version], HB[version]) for version in (4, 6)]
    back = [(HB[version], HA[version]) for version in (4, 6)]
    with (
        Capture(both.sites, "hb", "eth0") as far,
        Flood(both.sites, "ha", *forth),
        Flood(both.sites, "ga", *own),
        Flood(both.sites, "hb", *back),
    ):
        yield far


def flows(far: Capture, *places: str) -> None:
    """Wait until packets of each place, and of both versions, arrive at hb."""
    far.read()
    far.seen.clear()
    wanted = {(f"{MARK.decode()}{place}".encode(), version) for place in places for version in (4, 6)}

    def arrived() -> bool:
        far.read()
        found = {(mark, seen.packet[0] >> 4) for seen in far.seen for mark, _ in wanted if mark in seen.packet}
        return found == wanted

    eventually(arrived, f"packets of {', '.join(places)} arrive")


def negotiates(both: Pair) -> bool:
    """Whether a has called, or was called, since its last start."""
    since = both.a.log().rpartition("Ready:")[2]
    return "calling" in since or "IKE SA established" in since


def test_killed_at_any_moment_it_lets_nothing_out(both: Pair) -> None:
    chance = Random(SEED)
    with flooded(both) as far:
        flows(far, "ha", "ga")
        for number in range(KILLS):
            match number:
                case 0:
                    both.a.show("rekey", "site")  # in the middle of it
                case 1:
                    eventually(lambda: negotiates(both), "it negotiates again")
                case _:
                    time.sleep(chance.random() / 2)  # any moment
            both.a.stop(signal.SIGKILL)
            both.a.start()
        flows(far, "ha", "ga")


def test_stopped_started_and_started_with_a_broken_policy_it_lets_nothing_out(both: Pair, tmp_path: Path) -> None:
    with flooded(both) as far:
        for number in (signal.SIGTERM, signal.SIGINT):
            flows(far, "ha", "ga")
            assert both.a.stop(number) == 0
            if number == signal.SIGINT:
                both.a.write("policy.yaml", "assigned: [")
                words = ["--policy", tmp_path / "a/policy.yaml", "--state-dir", tmp_path / "a/state"]
                command = [IPSECD, "run", *words, "--control", tmp_path / "a/control"]
                assert both.sites.run("ga", command, check=False).returncode == 1
                both.a.write("policy.yaml", policy(rule("a", **BOTH)))
            both.a.start()
        flows(far, "ha", "ga")


def test_without_its_tun_its_key_or_its_peer_it_lets_nothing_out(both: Pair, tmp_path: Path) -> None:
    limited = {"custom": {"action": "negotiate", "lifetime": {"seconds": 3_600, "packets": 1_000}}}
    text = policy(rule("a", **BOTH) | {"action": "custom"})
    with flooded(both) as far:
        flows(far, "ha", "ga")
        both.sites.run("ga", ["ip", "link", "del", "ipsecd0"])
        flows(far, "ha", "ga")
        (tmp_path / "a/peer.psk").unlink()
        assert both.a.ask("reload")["unusable"]
        eventually(lambda: not both.a.children(), "without a key there is no SA")
        both.a.write("peer.psk", KEY)
        both.a.write("policy.yaml", text + f"filter_actions: {limited}\n")
        both.a.ctl("reload")
        flows(far, "ha", "ga")
        both.b.stop(signal.SIGKILL)
        eventually(lambda: "child SA expired" in both.a.log(), "its keys are used up, and nobody gives it others")
        both.b.start()
        flows(far, "ha", "ga")


def test_what_is_seen_as_clear_is_seen(sites: Sites, both: Pair) -> None:
    """Without a floor, the same flood is in clear; and then the pair has to be without its own look at the wire."""
    with Capture(sites, "ga", "wan0") as wan, flooded(both):
        assert in_clear(wan) == []
        both.a.ctl("unassign")
        eventually(lambda: {"ha", "ga"} <= {number[:2] for number in in_clear(wan)}, "both leave in clear")
    both.wire.frames.clear()


# --- borrowed addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_a_pair_carries_and_takes_no_borrowed_address_before_and_after_a_reload(tmp_path: Path, rp_filter: int) -> None:
    of = {side: files(rule(side, **BOTH)) for side in "ab"}
    with (
        Sites(rp_filter=rp_filter) as sites,
        pair(sites, tmp_path, of["a"], of["b"]) as both,
        Capture(sites, "ha", "eth0") as near,
        Capture(sites, "hb", "eth0") as far,
    ):
        for round_ in (1, 2):
            assert all(both.carries(version) for version in (4, 6))
            borrowed = f"<borrowed {round_}>".encode()
            honest = f"<honest {round_}>".encode()
            packets = [udp(*ends, borrowed) for v in (4, 6) for ends in ((HA[v], HB[v]), (HB[v], HA[v]))]
            inject(sites, "gb", "wan0", sites.mac("ga", "wan0"), *packets)
            for version in (4, 6):
                send(sites, "ha", udp(HA[version], HB[version], honest + bytes([version])))
                far.wait_for(honest + bytes([version]))
            assert near.count(borrowed) == far.count(borrowed) == 0
            both.a.write("policy.yaml", policy(rule("a", **BOTH), rule("a", "more") | {"filters": MORE}))
            both.a.ctl("reload")
        both.wire.frames.clear()  # what was borrowed crossed it


MORE = [{"source": "10.1.0.0/25", "destination": "10.9.0.0/24"}]
