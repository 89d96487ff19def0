"""IKEv1: hosts that come in from elsewhere, with a user (XAUTH) and by an address that they are lent (mode config)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.pair import IKE, Terms
from tests.interop.standing import Scene, Standing
from tests.interop.traffic import Ping, answers
from tests.interop.v1_terms import (
    LENT,
    USER,
    certified,
    hybrid_client,
    hybrid_gateway,
    keyed,
    we_are_the_client,
    we_are_the_gateway,
)
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1")]

WE_LEND = {
    "a key": we_are_the_gateway(keyed()),
    "a key in aggressive mode": we_are_the_gateway(keyed(aggressive=True)),
    "a key, and the address is set": we_are_the_gateway(keyed(), push=True),
    "certificates": we_are_the_gateway(certified()),
    "hybrid": hybrid_gateway(),
    "hybrid in aggressive mode": hybrid_gateway(aggressive=True),
}
THEY_LEND = {
    "a key": we_are_the_client(keyed()),
    "a key in aggressive mode": we_are_the_client(keyed(aggressive=True)),
    "a key, and the address is set": we_are_the_client(keyed(), push=True),
    "certificates": we_are_the_client(certified()),
    "hybrid": hybrid_client(),
    "hybrid in aggressive mode": hybrid_client(aggressive=True),
}


@pytest.mark.parametrize("name", WE_LEND)
def test_strongswan_comes_in(v1: Standing, name: str) -> None:
    with v1.told(WE_LEND[name]) as both:
        both.up("theirs")
        (of_them,) = both.theirs.sas()
        assert of_them["local-vips"] == [LENT]
        (sa,) = both.ours.ask("sas")["sas"]
        assert (sa["user"], sa["given"]) == (USER, [LENT])
        assert sa["children"][0]["remote"] == [LENT]
        assert passes(both, "gb", "ha", both.host("ha"))


@pytest.mark.parametrize("name", THEY_LEND)
def test_we_come_in(v1: Standing, name: str) -> None:
    with v1.told(THEY_LEND[name]) as both:
        both.up("ours")
        (of_them,) = both.theirs.sas()
        assert (of_them["remote-vips"], of_them["remote-xauth-id"]) == ([LENT], USER)
        (sa,) = both.ours.ask("sas")["sas"]
        assert sa["given"] == [LENT]
        assert sa["children"][0]["local"] == [LENT]
        assert passes(both, "ga", "hb", both.host("hb"))
        both.theirs.terminate()
        eventually(lambda: LENT not in both.sites.run("ga", ["ip", "address"]).stdout, "the address is ours no more")


def test_a_packet_brings_us_in(v1: Standing) -> None:
    with v1.told(we_are_the_client(keyed())) as both:
        eventually(lambda: answers(both.sites, "ga", both.host("hb"), patience=3), "something is answered")
        assert passes(both, "ga", "hb", both.host("hb"))


@pytest.mark.parametrize(("terms", "who"), [(WE_LEND["a key"], "theirs"), (THEY_LEND["a key"], "ours")])
def test_the_address_stays_the_same_over_phases_1(v1: Standing, tmp_path: Path, terms: Terms, who: str) -> None:
    place, target = ("gb", "10.1.0.2") if who == "theirs" else ("ga", "10.2.0.2")
    with v1.told(terms) as both:
        both.up(who)
        before = {sa["initiator-spi"] for sa in both.theirs.sas()}
        with Ping(both.sites, place, target, tmp_path / "ping") as ping:
            if who == "ours":
                both.ours.ask("rekey", name=IKE)
            else:
                both.theirs.rekey("ike")
            eventually(lambda: {sa["initiator-spi"] for sa in both.theirs.sas()} - before, "a new SA")
            ping.flows()
        assert ping.gaps == []
        assert both.ours.ask("sas")["sas"][0]["given"] == [LENT]


def test_a_wrong_password_of_theirs_is_refused(v1: Standing) -> None:
    with v1.told(we_are_the_gateway(keyed(), password="off with her head")) as both:
        both.theirs.initiate(wait=False)
        eventually(lambda: "there is no user 'alice' with this password" in both.said(), "our log names the cause")
        eventually(lambda: "XAuth authentication of 'alice' (myself) failed" in both.they_said(), "they are told")
        assert both.ours.children() == []


def test_a_wrong_password_of_ours_is_refused(v1: Standing) -> None:
    with v1.told(we_are_the_client(keyed(), password="off with her head")) as both:
        both.ours.ask("up", name=IKE)
        eventually(lambda: "the gateway doesn't let user 'alice' in" in both.said(), "our log names the cause")
        assert both.theirs.children() == []


def passes(both: Scene, inside: str, far: str, target: str) -> bool:
    """Whether pings reach each other of the host that came in and of one behind the gateway."""
    return answers(both.sites, inside, target) == 3 and answers(both.sites, far, LENT) == 3
