"""IKEv1 by policy, between two ipsecd: what crosses the wire, and what operators do with it."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import Ping, answers, silent
from tests.interop.waiting import eventually
from tests.interop.wire import ETHERNET, Wire
from tests.netns.certificates import files_of
from tests.netns.pair import KEY, files, pair, policy, rule
from tests.netns.places import GA_WAN, GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

ALONE: dict[str, Any] = {"key_exchange": {"versions": ["ikev1"]}}
BOTH: dict[str, Any] = {"key_exchange": {"versions": ["ikev2", "ikev1"]}}
MAIN, AGGRESSIVE = 2, 4  # exchange types
METHODS: dict[str, dict[str, Any]] = {
    "esp": {"esp": {"encryption": "aes256", "integrity": "sha256"}},
    "ah": {"ah": {"integrity": "sha256"}},
    "bundle": {"ah": {"integrity": "sha256"}, "esp": {"encryption": "aes256gcm16"}},
}


def of(side: str, versions: dict[str, Any] = ALONE, **more: Any) -> dict[str, str]:
    return files(rule(side, **more), **versions)


def by(method: str, made: dict[str, Any]) -> dict[str, str]:
    """The files of one side whose rule has one security method, with native packets."""
    action = {"own": {"action": "negotiate", "security_methods": [METHODS[method]]}}
    text = policy({**made, "action": "own", "encapsulation": "native"}, **ALONE)
    return {"policy.yaml": text + yaml.safe_dump({"filter_actions": action}), "peer.psk": KEY}


def certified(side: str, **more: Any) -> dict[str, str]:
    """The files of a gateway that proves itself by a certificate."""
    made = {**rule(side), "authentication": [{"certificate": "gw"}], **more}
    return {"policy.yaml": _with_certificate(policy(made, **ALONE)), **files_of(f"gw.{side}.example"), "peer.psk": KEY}


def _with_certificate(text: str) -> str:
    told = yaml.safe_load(text)
    told["credentials"]["gw"] = {"certificate": {"chain": "gw.pem", "key": "gw.key", "authorities": ["ca.pem"]}}
    return yaml.safe_dump(told, sort_keys=False)


def exchanges(wire: Wire) -> set[int]:
    """The exchange types of all IKE messages on UDP port 500 over IPv4."""
    found = set()
    for _, frame in wire.frames:
        packet = frame[ETHERNET:]
        if frame[12:14] == b"\x08\x00" and packet[9] == 17 and packet[22:24] == (500).to_bytes(2, "big"):
            found.add(packet[28 + 18])
    return found


# --- what there may be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outside", [4, 6])
def test_the_first_packet_brings_the_tunnel_up_and_isnt_lost(sites: Sites, tmp_path: Path, outside: int) -> None:
    told = {"outside": outside, "inside": (4, 6)}
    with pair(sites, tmp_path, of("a", **told), of("b", **told)) as both:
        assert both.carries(4)
        assert both.carries(6)
        (sa,) = both.a.ask("sas")["sas"]
        assert (sa["version"], sa["stage"], sa["initiator"]) == ("IKEv1", "established", True)
        assert (sa["local_id"], sa["remote_id"]) == ("gw.a.example", "gw.b.example")
        assert sorted(child["name"] for child in sa["children"]) == ["site/1", "site/2"]
        ours, theirs = both.spis()
        assert ours == theirs
        assert both.wire.kinds().keys() - {"link", "IKE"} == {"ESP in UDP"}
        assert "IKEv1, " in both.a.show("sas")


def test_a_child_of_several_networks_has_a_pair_of_sas_for_each(sites: Sites, tmp_path: Path) -> None:
    told = {"inside": (4, 6), "children": "merged"}
    with pair(sites, tmp_path, of("a", **told), of("b", **told)) as both:
        both.a.ctl("up", "site", "--wait", "30")
        eventually(lambda: len(both.a.children()) == len(both.b.children()) == 2, "both pairs are up")
        assert both.carries(4)
        assert both.carries(6)
        assert {child["name"] for child in both.a.children()} == {"site"}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["tunnel", "hosts"])
def test_each_method_crosses_the_wire_without_udp(
    sites: Sites, tmp_path: Path, method: str, form: str, version: int
) -> None:
    hosts = {"name": "all", "filter_list": "all-ip", "authentication": [{"psk": "peer"}]}
    made = [rule(side, outside=version) if form == "tunnel" else hosts for side in "ab"]
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", tmp_path / "a", by(method, made[0])) as a,
        Ipsecd(sites, "gb", tmp_path / "b", by(method, made[1])) as b,
    ):
        if form == "tunnel":
            assert answers(sites, "ha", HB[4]) == 3
            assert answers(sites, "hb", HA[4], size=1_200) == 3
        else:
            assert answers(sites, "ga", GB_WAN[version]) == 3
            assert answers(sites, "gb", GA_WAN[version], size=1_200) == 3
        (child,) = a.children()
        assert child["protocol"] == {"esp": "ESP", "ah": "AH", "bundle": "AH around ESP"}[method]
        assert child["mode"] == {"tunnel": "tunnel", "hosts": "transport"}[form]
        assert {sa["version"] for daemon in (a, b) for sa in daemon.ask("sas")["sas"]} == {"IKEv1"}
    protocol = "ESP" if method == "esp" else "AH"
    ends = {f"{protocol} {GA_WAN[version]} > {GB_WAN[version]}", f"{protocol} {GB_WAN[version]} > {GA_WAN[version]}"}
    assert set(wire.kinds()) - {"link"} == {"IKE", *ends}


def test_certificates_prove_both_ends(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path, certified("a"), certified("b")) as both:
        assert both.carries()
        assert exchanges(both.wire) == {MAIN}
        assert [sa["remote_id"] for sa in both.a.ask("sas")["sas"]] == ["gw.b.example"]


def test_a_certificate_that_another_has_is_refused_with_the_cause(sites: Sites, tmp_path: Path) -> None:
    of_b = certified("b") | files_of("somebody.example")
    with pair(sites, tmp_path, certified("a"), of_b) as both:
        assert silent(sites, "hb", HA[4])
        told = "the peer says it is gw.b.example; its certificate is for"
        eventually(lambda: told in both.a.log(), "a says why, once the call has had its time", within=60)


@pytest.mark.parametrize("how", ["psk", "certificate"])
def test_aggressive_mode_is_spoken_where_a_rule_accepts_what_it_shows(sites: Sites, tmp_path: Path, how: str) -> None:
    if how == "psk":
        accepted = {"i_accept_offline_guessing_in_aggressive_mode": True}
        of_a, of_b = (of(side, **accepted) for side in "ab")
    else:
        accepted = {"i_accept_names_in_clear_in_aggressive_mode": True}
        of_a, of_b = (certified(side, **accepted) for side in "ab")
    with pair(sites, tmp_path, of_a, of_b) as both:
        assert both.carries()
        assert exchanges(both.wire) == {AGGRESSIVE}


def test_aggressive_mode_is_answered_by_nobody_else(sites: Sites, tmp_path: Path) -> None:
    of_a = of("a", i_accept_offline_guessing_in_aggressive_mode=True)
    with pair(sites, tmp_path, of_a, of("b")) as both:
        assert silent(sites, "ha", HB[4])
        assert both.b.ask("sas")["sas"] == []


# --- what operators do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", "ab")
@pytest.mark.parametrize("name", ["peer:site", "site"])
def test_a_rekey_under_ping_loses_nothing(sites: Sites, tmp_path: Path, side: str, name: str) -> None:
    """``peer:site`` is the ISAKMP SA, ``site`` means the child."""
    with pair(sites, tmp_path, of("a"), of("b")) as both:
        asker = {"a": both.a, "b": both.b}[side]
        with Ping(sites, "ha", HB[4], tmp_path / "ping") as ping:
            (before,) = asker.ask("sas")["sas"]
            asker.ctl("rekey", name)

            def replaced() -> bool:
                sas = [sa for sa in asker.ask("sas")["sas"] if sa["stage"] == "established"]
                spis = {child["spi_in"] for sa in sas for child in sa["children"] if child["stage"] == "up"}
                newer = {sa["spi_i"] for sa in sas} - {before["spi_i"]}
                if name == "peer:site":
                    return bool(newer)
                return bool(spis) and before["children"][0]["spi_in"] not in spis

            eventually(replaced, f"{name} is replaced")
            ping.flows(50)
        assert ping.gaps == []
        eventually(lambda: both.spis()[0] == both.spis()[1], "both ends know the same SAs")


def test_a_reload_keeps_what_the_policy_still_allows(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path, certified("a"), certified("b")) as both:
        assert both.carries()
        before = both.a.ask("sas")["sas"][0]["spi_i"], both.spis()
        for daemon in (both.a, both.b):
            daemon.ctl("reload")
        assert both.carries()
        assert (both.a.ask("sas")["sas"][0]["spi_i"], both.spis()) == before
        told = yaml.safe_load(certified("a")["policy.yaml"])
        told["policies"]["sites"]["rules"][0]["filters"][0]["destination"] = "10.77.0.0/16"
        both.a.write("policy.yaml", yaml.safe_dump(told))
        both.a.ctl("reload")
        eventually(lambda: not both.a.children() and not both.b.children(), "what isn't allowed any more is gone")


def test_down_holds_the_traffic_back_until_up(sites: Sites, tmp_path: Path) -> None:
    with pair(sites, tmp_path, of("a"), of("b")) as both:
        assert both.carries()
        both.a.ctl("down", "site")
        eventually(lambda: not both.b.children(), "the peer has heard of it")
        assert silent(sites, "ha", HB[4])
        both.a.ctl("up", "site", "--wait", "30")
        assert both.carries()


def test_a_peer_that_ends_is_heard_and_one_that_was_killed_is_noticed_and_called_again(
    sites: Sites, tmp_path: Path
) -> None:
    slow = {"key_exchange": {"versions": ["ikev1"], "dpd": 5}}
    with pair(sites, tmp_path, of("a", slow, start="always"), of("b", slow)) as both:
        eventually(lambda: both.a.children() and both.b.children(), "both are up, without a packet")
        both.b.stop(signal.SIGTERM)
        eventually(lambda: not both.a.children(), "the peer has said goodbye")
        both.b.start()
        eventually(lambda: both.a.children() and both.b.children(), "it's called again", within=120)
        assert both.carries()
        both.b.stop()
        eventually(lambda: not both.a.children(), "the peer's death is noticed")
        both.b.start()
        eventually(lambda: both.a.children() and both.b.children(), "it's called again", within=120)
        assert both.carries()


# --- which version --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["ikev1", "ikev2"])
def test_whoever_allows_both_answers_either(sites: Sites, tmp_path: Path, version: str) -> None:
    of_a = of("a", {"key_exchange": {"versions": [version]}})
    with pair(sites, tmp_path, of_a, of("b", BOTH)) as both:
        assert both.carries()
        spoken = {sa["version"] for daemon in (both.a, both.b) for sa in daemon.ask("sas")["sas"]}
        assert [each.lower() for each in spoken] == [version]


def test_who_has_proved_itself_by_ikev2_gets_nothing_by_ikev1_until_an_operator_forgets_it(
    sites: Sites, tmp_path: Path
) -> None:
    spoken = tmp_path / "b" / "state" / "spoken.json"
    with pair(sites, tmp_path, of("a", {}), of("b", BOTH)) as both:
        assert both.carries()
        eventually(lambda: spoken.exists() and spoken.read_text() == '"gw.a.example"\n', "it's remembered")
        both.a.stop(signal.SIGTERM)
        both.b.stop(signal.SIGTERM)
        both.b.start()
        (tmp_path / "a" / "state" / "spoken.json").unlink()
        both.a.write("policy.yaml", of("a")["policy.yaml"])
        both.a.start()
        assert silent(sites, "ha", HB[4])
        assert both.b.children() == []
        eventually(lambda: "gw.a.example has authenticated by IKEv2 before" in both.b.log(), "b says why", within=120)
        both.b.stop(signal.SIGTERM)
        spoken.unlink()
        both.b.start()
        both.a.ctl("up", "site", "--wait", "30")
        assert both.carries()


def test_where_it_isnt_known_who_speaks_ikev2_a_rule_that_allows_both_speaks_that_alone(
    sites: Sites, tmp_path: Path
) -> None:
    (tmp_path / "b" / "state").mkdir(parents=True)
    (tmp_path / "b" / "state" / "spoken.json").write_text("damaged\n")
    with (
        Ipsecd(sites, "ga", tmp_path / "a", of("a")) as a,
        _Beside(sites, "gb", tmp_path / "b", of("b", BOTH)) as b,
    ):
        assert silent(sites, "ha", HB[4])
        assert "Which peers speak IKEv2 isn't known any more" in b.log()
        assert a.children() == b.children() == []


class _Beside(Ipsecd):
    """In a folder that is there."""

    def __enter__(self) -> _Beside:
        for name, text in self._files.items():
            self.write(name, text)
        self.start()
        return self


def test_keys_are_exported_for_wireshark(sites: Sites, tmp_path: Path) -> None:
    logged = files(rule("a"), **ALONE, keylog=True)
    with pair(sites, tmp_path, logged, of("b")) as both:
        assert both.carries()
        keys = both.a.ctl("keys", "export")
        (sa,) = both.a.ask("sas")["sas"]
        (line,) = keys["ikev1_decryption_table"]
        assert re.fullmatch(rf"{sa['spi_i']},[0-9a-f]{{32,64}}", line)
        assert (len(keys["esp_sa"]), keys["ikev2_decryption_table"]) == (2, [])
