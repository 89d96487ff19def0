"""Two ipsecd carry the traffic of two sites: hosts talk, the wire shows IKE and ESP alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.ipsecd import IPSECCTL, Ipsecd
from tests.interop.traffic import Ping, answers, silent
from tests.interop.waiting import eventually
from tests.netns.pair import files, pair, rule
from tests.netns.places import GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

STORY_OF_A = [
    r"ipsecd \S+ starts with \S+/a/policy.yaml",
    r"Ready: policy sites, 1 rule, 0 child SAs",
    r"site/1: 10\.1\.0\.2 wants to send to 10\.2\.0\.2 \(icmp\)",
    r"site: calling 192\.0\.2\.2:500",
    r"site: IKE SA established, 192\.0\.2\.1:4500 -> 192\.0\.2\.2:4500, aes\S+, udp encapsulation",
    r"site/1: child SA established, 10\.1\.0\.0/24 = 10\.2\.0\.0/24, aes\S+, tunnel mode, ESP, udp encapsulation",
    r"site: IKE SA closed: the peer deleted it",  # as b stops first
    r"Stopping on SIGTERM; the floor stays.*",
    r"Stopped",
]


def test_the_first_packet_brings_the_tunnel_up_and_isnt_lost(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert answers(sites, "ha", HB[4], count=3) == 3
        assert answers(sites, "hb", HA[4], count=3) == 3
        ours, theirs = both.spis()
        assert len(ours) == 1
        assert ours == theirs
        (sa,) = both.a.ctl("sas")["sas"]
        (child,) = sa["children"]
        assert (sa["local_id"], sa["remote_id"], sa["initiator"]) == ("gw.a.example", "gw.b.example", True)
        assert (child["in"]["packets"], child["out"]["packets"]) == (6, 6)
        assert both.wire.kinds().keys() - {"link", "IKE"} == {"ESP in UDP"}
        (row,) = both.a.ctl("status")["rules"]
        assert (row["state"], row["up"]) == ("up", ["site/1"])
    told = [re.sub(r"^\S+ (info|warning) +", "", line) for line in both.a.log().splitlines()]
    assert [line for line, pattern in zip(told, STORY_OF_A, strict=True) if not re.fullmatch(pattern, line)] == []


@pytest.mark.parametrize(("outside", "inside"), [(4, 6), (6, 4), (6, 6)])
def test_ipv6_goes_inside_and_outside(sites: Sites, tmp_path: Path, outside: int, inside: int) -> None:
    of_a, of_b = (files(rule(side, outside=outside, inside=(inside,))) for side in "ab")
    with pair(sites, tmp_path, of_a, of_b) as both:
        assert both.carries(inside)


@pytest.mark.parametrize("side", "ab")
@pytest.mark.parametrize("name", ["peer:site", "site"])
def test_a_rekey_under_ping_loses_nothing(sites: Sites, tmp_path: Path, side: str, name: str) -> None:
    """``peer:site`` is the IKE SA, ``site`` means the child."""
    with pair(sites, tmp_path) as both:
        asker = {"a": both.a, "b": both.b}[side]
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            (before,) = asker.ctl("sas")["sas"]
            asker.ctl("rekey", name)

            def replaced() -> bool:
                sas = [sa for sa in asker.ctl("sas")["sas"] if sa["stage"] == "established"]
                children = [child for sa in sas for child in sa["children"]]
                if len(sas) != 1 or len(children) != 1:
                    return False
                changed = {
                    "peer:site": sas[0]["spi_i"] != before["spi_i"],
                    "site": children[0]["spi_in"] != before["children"][0]["spi_in"],
                }
                return changed == {"peer:site": name == "peer:site", "site": name == "site"}

            eventually(replaced, f"{name} is replaced, and nothing else")
            ping.flows()
        assert ping.gaps == []
        eventually(lambda: both.spis()[0] == both.spis()[1], "both ends know the same SAs")


def test_down_holds_the_traffic_back_until_up(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert both.carries()
        both.a.ctl("down", "site")
        eventually(lambda: not both.b.ctl("sas")["sas"], "the peer has heard of it")
        assert silent(sites, "ha", HB[4])
        both.a.ctl("up", "site", "--wait", "30")
        assert both.carries()


def test_a_peer_that_was_killed_is_noticed_and_called_again(sites: Sites, tmp_path: Path) -> None:
    of_a = files(rule("a", start="always"), key_exchange={"dpd": 5})
    with pair(sites, tmp_path, of_a) as both:
        eventually(lambda: both.a.children() and both.b.children(), "both are up, without a packet")
        both.b.stop()
        eventually(lambda: not both.a.children(), "the peer's death is noticed")
        both.b.start()
        eventually(lambda: len(both.b.children()) == 1, "it's called again", within=120)
        assert both.carries()
    assert "the peer doesn't answer any more" in both.a.log()
    assert re.search(r"192\.0\.2\.2:4?500: IKE doesn't get there: Connection refused", both.a.log())


@pytest.fixture
def hosts(sites: Sites) -> Iterator[Path]:
    """The file /etc/hosts of gateway a, and no DNS server that answers."""
    folder = Path("/etc/netns", sites.namespace("ga"))
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    yield folder / "hosts"
    shutil.rmtree(folder)


def test_a_peer_known_by_name_is_called_when_its_name_resolves(sites: Sites, tmp_path: Path, hosts: Path) -> None:
    named = rule("a")
    named["tunnel"]["remote"] = "gw-b.test"
    with pair(sites, tmp_path, files(named)) as both:
        (row,) = both.a.ctl("status")["rules"]
        assert (row["state"], row["reason"]) == ("unusable", "gw-b.test has no address now")
        assert silent(sites, "ha", HB[4])
        hosts.write_text(f"{GB_WAN[4]} gw-b.test\n")
        both.a.ctl("reload")
        eventually(lambda: both.a.ctl("status")["rules"][0]["state"] == "down", "the name has an address")
        assert both.carries()
    assert "gw-b.test is 192.0.2.2" in both.a.log()


def test_rules_beside_each_other_share_the_ike_sa(sites: Sites, tmp_path: Path) -> None:
    def rules(side: str) -> tuple[dict[str, object], ...]:
        return rule(side, "first"), rule(side, "second", inside=(6,))

    with pair(sites, tmp_path, files(*rules("a")), files(*rules("b"))) as both:
        assert both.carries(4)
        assert both.carries(6)
        (sa,) = both.a.ctl("sas")["sas"]
        assert sorted(child["name"] for child in sa["children"]) == ["first/1", "second/1"]


def test_rules_beside_each_other_have_ike_sas_of_their_own_if_the_policy_says_so(sites: Sites, tmp_path: Path) -> None:
    def rules(side: str) -> tuple[dict[str, object], ...]:
        return rule(side, "first"), rule(side, "second", inside=(6,))

    of_a = files(*rules("a"), key_exchange={"master_key_pfs": True})
    with pair(sites, tmp_path, of_a, files(*rules("b"))) as both:
        assert both.carries(4)
        assert both.carries(6)
        found = [[child["name"] for child in sa["children"]] for sa in both.a.ctl("sas")["sas"]]
        assert sorted(found) == [["first/1"], ["second/1"]]


def test_explain_tells_the_rule_and_where_the_packet_goes(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        told = both.a.ctl("explain", HA[4], HB[4], "tcp", "any", "80")["outbound"]
        assert (told["verdict"], told["entry"]) == ("protect", "site/1")
        assert told["why"] == "held back until an SA is negotiated"
        assert both.carries()
        told = both.a.ctl("explain", HA[4], HB[4])
        assert told["outbound"]["why"] == "leaves inside ESP to 192.0.2.2:4500"
        assert told["inbound"]["verdict"] == "clear"
        assert both.a.ctl("explain", HB[4], HA[4])["inbound"]["why"] == "accepted inside ESP from 192.0.2.2:4500 alone"
        with pytest.raises(RuntimeError, match="exit 1\nipsecctl: 'nobody' isn't an IP address"):
            both.a.ctl("explain", "nobody", HB[4])


def test_the_policy_is_shown_in_order_of_precedence(sites: Sites, tmp_path: Path) -> None:
    rules = rule("a"), {"name": "dns", "filters": [{"source": HA[4], "destination": HB[4]}], "action": "permit"}
    with pair(sites, tmp_path, files(*rules)) as both:
        shown = both.a.ctl("policy")
        assert [(entry["name"], entry["action"]) for entry in shown["entries"]] == [
            ("dns/1", "permit"),
            ("site/1", "protect"),
        ]
        assert [peer["credentials"] for peer in shown["peers"]] == [["peer"]]
        assert "correct horse" not in json.dumps(shown) + both.a.show("policy") + both.a.log()


def test_monitor_shows_the_story_as_it_happens(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        command: list[str | Path] = [IPSECCTL, "--control", tmp_path / "a" / "control", "monitor", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
            eventually(lambda: _monitored(both.a), "somebody listens")
            assert both.carries()
            assert monitor.stdout is not None
            events = [json.loads(line)["event"] for _, line in zip(range(4), monitor.stdout, strict=False)]
            monitor.terminate()
        assert events == ["child-wanted", "ike-calling", "ike-established", "child-established"]


def _monitored(daemon: Ipsecd) -> bool:
    monitors: int = daemon.ctl("status")["monitors"]
    return monitors == 1


def test_the_log_level_changes_at_run_time(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path) as both:
        assert both.a.ctl("log-level") == {"level": "info", "before": None}
        assert both.a.ctl("log-level", "error") == {"level": "error", "before": "info"}
        assert both.carries()
        assert "established" not in both.a.log()
        assert "established" in both.b.log()
