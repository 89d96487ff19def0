"""How tunnels end: deleted, or a side that dies; and that what requires protection stays off the wire then."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.interop.pair import CHILD, IKE, Terms, pair
from tests.interop.traffic import answers, silent
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.usefixtures("inline")]


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_we_delete_the_ike_sa(tmp_path: Path, initiator: str) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up(initiator)
        both.ours.ctl("down", IKE)
        eventually(lambda: both.theirs.sas() == [], "strongSwan has no SA left")
        assert silent(both.sites, both.near, both.host(both.far))


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_we_delete_the_child(tmp_path: Path, initiator: str) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up(initiator)
        both.ours.ctl("down", CHILD)
        eventually(lambda: both.theirs.children() == [], "strongSwan has no child left")
        assert silent(both.sites, both.near, both.host(both.far))


@pytest.mark.parametrize("what", ["ike", "child"])
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_they_delete_and_traffic_brings_it_back(tmp_path: Path, initiator: str, what: str) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up(initiator)
        both.theirs.terminate(what)
        eventually(lambda: both.theirs.children() == [], "strongSwan has no child left")
        eventually(lambda: both.ours.children() == [], "ipsecd has no child left")
        assert answers(both.sites, both.near, both.host(both.far)) == 3
        assert len(both.theirs.sas()) == 1


def test_they_die_and_come_back(tmp_path: Path) -> None:
    """Their death is noticed, and the tunnel returns with them, by itself."""
    terms = Terms(key_exchange={"dpd": 1}, rule={"start": "always"})
    with pair(tmp_path, terms) as both:
        eventually(both.theirs.children, "the tunnel is there without traffic")
        both.theirs.kill()
        eventually(lambda: both.ours.children() == [], "their death is noticed")
        both.theirs.start()
        eventually(both.theirs.children, "the tunnel is back")
        assert both.carries()
        assert "t: the peer doesn't answer any more" in both.ours.log()


def test_they_called_and_die_and_traffic_brings_the_tunnel_back(tmp_path: Path) -> None:
    with pair(tmp_path, Terms(key_exchange={"dpd": 1})) as both:
        both.up("theirs")
        assert both.carries()  # they have our answer: until they have spoken by it we leave them time
        both.theirs.kill()
        eventually(lambda: both.ours.children() == [], "their death is noticed")
        both.theirs.start()
        both.up("ours")
        assert both.carries()
        assert "t: the peer doesn't answer any more" in both.ours.log()


def test_we_die_and_come_back(tmp_path: Path) -> None:
    """strongSwan notices nothing of it in time; INITIAL_CONTACT makes it forget the SA of the life before."""
    with pair(tmp_path, Terms(rule={"start": "always"}, connection={"unique": "replace"})) as both:
        eventually(both.theirs.children, "the tunnel is there")
        both.ours.stop(signal.SIGKILL)
        assert silent(both.sites, both.near, both.host(both.far))
        (before,) = [sa["initiator-spi"] for sa in both.theirs.sas()]
        both.ours.start()
        eventually(lambda: before not in [sa["initiator-spi"] for sa in both.theirs.sas()], "the old SA is forgotten")
        eventually(both.theirs.children, "a new one is there")
        assert both.carries()
        assert len(both.theirs.sas()) == 1


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_they_notice_that_we_died(tmp_path: Path, initiator: str) -> None:
    terms = Terms(connection={"dpd_delay": "1s"}, charon={"retransmit_tries": 1})
    with pair(tmp_path, terms) as both:
        both.up(initiator)
        both.ours.stop(signal.SIGKILL)
        eventually(lambda: both.theirs.sas() == [], "strongSwan notices")


def test_we_stop_and_say_so(tmp_path: Path) -> None:
    with pair(tmp_path, Terms()) as both:
        both.up("ours")
        both.ours.stop(signal.SIGTERM)
        eventually(lambda: both.theirs.sas() == [], "strongSwan is told")
        assert silent(both.sites, both.near, both.host(both.far))
