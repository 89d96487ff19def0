"""A host comes in by IKEv1 with a user's password, is lent an address of the network inside, and gives it back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipsecd.daemon.passwords import users_line
from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers, silent
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.certificates import files_of
from tests.netns.pair import KEY
from tests.netns.places import GB_WAN, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

ALICE = users_line("alice", b"sesame")
POOL, FIRST = "10.3.0.0/24", "10.3.0.1"
CREDENTIALS = {
    "everybody": {"psk": {"file": "everybody.psk"}},
    "alice": {"psk": {"file": "alice.password"}},
    "gw": {"certificate": {"chain": "gw.pem", "key": "gw.key", "authorities": ["ca.pem"]}},
    "ca": {"certificate": {"authorities": ["ca.pem"]}},
}


def policy(rule: Mapping[str, Any], **more: Any) -> str:
    told = {"key_exchange": {"versions": ["ikev1"]}, **more, "rules": [{**rule, "action": "require-security"}]}
    return yaml.safe_dump({"assigned": "p", "credentials": CREDENTIALS, "policies": {"p": told}}, sort_keys=False)


def client(*, hybrid: bool = False, mode_config: Mapping[str, Any] | None = None, **rule: Any) -> dict[str, str]:
    """``ga`` is one: a host with an address on the wire alone."""
    told = {
        "name": "hq",
        "filters": [{"source": "me", "destination": "10.2.0.0/24"}],
        "tunnel": {"remote": GB_WAN[4]},
        "identity": {"local": "keyid:staff", "remote": "gw.hq.example"},
        "authentication": [{"certificate": "ca"} if hybrid else {"psk": "everybody"}],
        "xauth": {"user": "alice", "password": "alice", "hybrid": hybrid},
        "mode_config": mode_config or {"request": ["ipv4"]},
        **rule,
    }
    return {"policy.yaml": policy(told), **SECRETS}


def gateway(*, hybrid: bool = False, push: bool = False, **rule: Any) -> dict[str, str]:
    told = {
        "name": "staff",
        "filters": [{"source": "10.2.0.0/24", "destination": POOL}],
        "tunnel": {"local": GB_WAN[4], "remote": "any"},
        "identity": {"local": "gw.hq.example", "remote": "keyid:staff"},
        "authentication": [{"certificate": "gw"} if hybrid else {"psk": "everybody"}],
        "xauth": {"users": "users.txt", "hybrid": hybrid},
        "mode_config": {"pools": [POOL], "dns": ["10.2.0.53"], "subnets": ["10.2.0.0/24"], "push": push},
        **rule,
    }
    return {"policy.yaml": policy(told), "users.txt": f"{ALICE}\n", **SECRETS}


SECRETS = {"everybody.psk": KEY, "alice.password": "sesame\n", **files_of("gw.hq.example")}


@contextlib.contextmanager
def both(
    sites: Sites, folder: Path, of_client: Mapping[str, str], of_gateway: Mapping[str, str]
) -> Iterator[tuple[Ipsecd, Ipsecd]]:
    """Nothing but IKE and ESP in UDP, or ESP, may have crossed the wire when this ends without another failure."""
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", folder / "a", of_client) as a,
        Ipsecd(sites, "gb", folder / "b", of_gateway) as b,
    ):
        yield a, b
    assert wire.cleartext() == {}


def addresses(sites: Sites) -> str:
    return sites.run("ga", ["ip", "-o", "addr", "show", "dev", "ipsecd0"]).stdout


def has_come_in(sites: Sites, a: Ipsecd, b: Ipsecd) -> None:
    """A host behind the gateway is reached from the address that was lent, without a word about it."""
    a.ctl("up", "hq", "--wait", "30")
    assert f"inet {FIRST}/32" in addresses(sites)
    assert answers(sites, "ga", HB[4]) == 3
    assert [(child["local"], child["remote"]) for child in a.children()] == [([FIRST], ["10.2.0.0/24"])]
    (ours,), (theirs,) = a.ask("sas")["sas"], b.ask("sas")["sas"]
    assert (ours["given"], theirs["given"], theirs["user"]) == ([FIRST], [FIRST], "alice")
    assert f"user alice, address given: {FIRST}" in b.show("sas")


@pytest.mark.parametrize("hybrid", [False, True], ids=["key", "hybrid"])
@pytest.mark.parametrize("push", [False, True], ids=["asked for", "pushed"])
def test_a_user_comes_in_and_has_an_address_inside_until_it_is_over(
    sites: Sites, tmp_path: Path, hybrid: bool, push: bool
) -> None:
    asked = {"accept_push": True} if push else {"request": ["ipv4"]}
    of_client = client(hybrid=hybrid, mode_config=asked)
    with both(sites, tmp_path, of_client, gateway(hybrid=hybrid, push=push)) as (a, b):
        has_come_in(sites, a, b)
        assert f"hq: the gateway has given us {FIRST}; DNS servers 10.2.0.53" in a.log()
        a.ctl("down", "hq")
        eventually(lambda: FIRST not in addresses(sites), "the address is given back")
        eventually(lambda: not b.ask("sas")["sas"], "the gateway has heard of it")
        assert "10.2.0.0/24" not in sites.run("ga", ["ip", "route"]).stdout
        has_come_in(sites, a, b)
    assert "sesame" not in a.log() + b.log()


def test_the_first_packet_brings_a_client_in_and_later_ones_get_through(sites: Sites, tmp_path: Path) -> None:
    """The first ones have another address of this machine."""
    with both(sites, tmp_path, client(), gateway()) as (_, b):
        sites.run("ga", ["ping", "-c", "1", "-W", "1", HB[4]], check=False)
        eventually(lambda: f"{FIRST}/32" in addresses(sites), "it has an address")
        eventually(lambda: answers(sites, "ga", HB[4], patience=3) == 3, "packets get through", within=60)
        assert b.children()


def test_a_wrong_password_is_told_on_both_sides_and_counted(sites: Sites, tmp_path: Path) -> None:
    with both(sites, tmp_path, client() | {"alice.password": "simsalabim"}, gateway()) as (a, b):
        assert silent(sites, "ga", HB[4])
        told = "there is no user 'alice' with this password"
        eventually(lambda: told in b.log(), "the gateway says why")
        eventually(lambda: "doesn't let user 'alice' in" in a.log(), "the client says why")
        assert a.children() == b.children() == []
        assert FIRST not in addresses(sites)
        b.write("users.txt", f"{users_line('alice', b'simsalabim')}\n")
        b.ctl("reload")
        a.ctl("up", "hq", "--wait", "60")
        assert "simsalabim" not in a.log() + b.log()


def test_a_reload_of_the_gateway_ends_nothing_though_users_are_others(sites: Sites, tmp_path: Path) -> None:
    with both(sites, tmp_path, client(), gateway()) as (a, b):
        has_come_in(sites, a, b)
        before = [child["spi_in"] for child in b.children()]
        b.write("users.txt", f"{ALICE}\n{users_line('bob', b'more')}\n")
        assert b.ctl("reload")["difference"]["credentials"] == ["users.txt"]
        a.ctl("reload")
        assert [child["spi_in"] for child in b.children()] == before
        assert answers(sites, "ga", HB[4]) == 3


def test_a_client_that_was_killed_leaves_no_address_and_has_the_same_one_again(sites: Sites, tmp_path: Path) -> None:
    with both(sites, tmp_path, client(start="always"), gateway()) as (a, b):
        eventually(lambda: a.children() and b.children(), "it has come in by itself")
        a.stop(signal.SIGKILL)
        assert "ipsecd0" not in sites.run("ga", ["ip", "-o", "addr"]).stdout + sites.run("ga", ["ip", "route"]).stdout
        a.start()
        eventually(a.children, "it has come in again")
        has_come_in(sites, a, b)
