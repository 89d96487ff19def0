"""IKEv1: how SAs end: by a delete from either side, and by the death of either, which DPD shows (RFC 3706)."""

from __future__ import annotations

import re
import signal

import pytest

from tests.interop.pair import CHILD, IKE
from tests.interop.standing import Standing
from tests.interop.traffic import silent
from tests.interop.v1_terms import keyed
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1")]

BOTH = ("ours", "theirs")
R_U_THERE, ACK = r"N\(DPD\)", r"N\(DPD_ACK\)"


@pytest.mark.parametrize("initiator", BOTH)
def test_they_delete_a_child_and_then_the_isakmp_sa(v1: Standing, initiator: str) -> None:
    with v1.told(keyed()) as both:
        both.up(initiator)
        both.theirs.terminate("child")
        eventually(lambda: both.ours.children() == [], "we have no child")
        assert len(both.ours.ask("sas")["sas"]) == 1
        both.theirs.terminate("ike")
        eventually(both.ended, "we have nothing")


@pytest.mark.parametrize("initiator", BOTH)
def test_we_put_a_child_down_and_then_the_peer(v1: Standing, initiator: str) -> None:
    with v1.told(keyed()) as both:
        both.up(initiator)
        both.ours.ask("down", name=CHILD)
        eventually(lambda: both.theirs.children() == [], "strongSwan has no child")
        assert silent(both.sites, both.near, both.host(both.far))
        both.ours.ask("down", name=IKE)
        eventually(both.ended, "strongSwan has nothing")
        both.up("ours")  # which what is put down waits for


@pytest.mark.parametrize("initiator", BOTH)
def test_they_ask_whether_we_live_and_we_answer(v1: Standing, initiator: str) -> None:
    with v1.told(keyed(connection={"dpd_delay": "1s"})) as both:
        both.up(initiator)
        (sa,) = both.theirs.sas()
        eventually(
            lambda: len(re.findall(rf"generating .*{R_U_THERE}", both.they_said())) >= 2, "strongSwan asks twice"
        )
        eventually(lambda: len(re.findall(rf"parsed .*{ACK}", both.they_said())) >= 2, "we answer twice")
        assert [sa["initiator-spi"]] == [each["initiator-spi"] for each in both.theirs.sas()]


@pytest.mark.parametrize("initiator", BOTH)
def test_we_ask_whether_they_live_and_they_answer(v1: Standing, initiator: str) -> None:
    with v1.told(keyed(key_exchange={"dpd": 1})) as both:
        both.up(initiator)
        (sa,) = both.ours.ask("sas")["sas"]
        eventually(lambda: len(re.findall(rf"generating .*{ACK}", both.they_said())) >= 2, "it answers twice")
        (later,) = both.ours.ask("sas")["sas"]
        assert later["spi_i"] == sa["spi_i"]


def test_we_notice_that_they_died_and_call_again(v1: Standing) -> None:
    with v1.told(keyed(key_exchange={"dpd": 1}, rule={"start": "always"})) as both:
        eventually(both.theirs.children, "the tunnel is there without traffic")
        both.theirs.kill()
        eventually(lambda: both.ours.children() == [], "their death is noticed")
        both.theirs.start()
        eventually(both.theirs.children, "the tunnel is back")
        assert both.carries()
        assert re.search("warning t: the peer doesn't answer any more", both.said())


def test_they_notice_that_we_died(v1: Standing) -> None:
    with v1.told(keyed(connection={"dpd_delay": "1s", "dpd_timeout": "3s"})) as both:
        both.up("ours")
        both.ours.stop(signal.SIGKILL)
        eventually(lambda: both.theirs.sas() == [], "strongSwan notices")
        both.ours.start()
        both.up("ours")
        assert both.carries()


def test_we_come_back_and_what_was_before_is_forgotten(v1: Standing) -> None:
    """strongSwan notices nothing of our death; INITIAL-CONTACT tells it (RFC 2407 section 4.6.3.3)."""
    with v1.told(keyed(connection={"unique": "replace"}, rule={"start": "always"})) as both:
        eventually(both.theirs.children, "the tunnel is there")
        (before,) = [sa["initiator-spi"] for sa in both.theirs.sas()]
        both.ours.stop(signal.SIGKILL)
        both.ours.start()
        eventually(lambda: before not in [sa["initiator-spi"] for sa in both.theirs.sas()], "the old SA is forgotten")
        eventually(both.theirs.children, "a new one is there")
        assert both.carries()
        assert len(both.theirs.sas()) == 1


def test_we_stop_and_say_so(v1: Standing) -> None:
    with v1.told(keyed()) as both:
        both.up("ours")
        both.ours.stop(signal.SIGTERM)
        eventually(lambda: both.theirs.sas() == [], "strongSwan is told")
        both.ours.start()
