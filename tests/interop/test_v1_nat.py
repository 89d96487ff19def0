"""IKEv1 through a NAT before whoever calls (RFC 3947): from the third exchange on all goes by port 4500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import v1_terms
from tests.interop.pair import IKE
from tests.interop.standing import Standing, standing
from tests.interop.traffic import Ping
from tests.interop.v1_terms import certified, keyed
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer]

TERMS = {
    "main mode with a key": keyed(),
    "aggressive mode with a key": keyed(aggressive=True),
    "main mode with certificates": certified(),
    "aggressive mode with certificates in fragments": certified(aggressive=True, between=4),
}


@pytest.fixture(scope="module", params=["ours", "theirs"])
def behind_nat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    side: str = request.param
    with standing(tmp_path_factory.mktemp("v1-nat"), v1_terms.BASE, behind_nat=side) as built:
        yield built


@pytest.mark.xdist_group("v1 nat")
@pytest.mark.parametrize("name", TERMS)
def test_the_call_floats_to_port_4500(behind_nat: Standing, tmp_path: Path, name: str) -> None:
    """Then both phases are renewed, by whoever may call: only the side behind the NAT begins a phase 1."""
    side = behind_nat.behind_nat
    with behind_nat.told(TERMS[name]) as both:
        both.up(side)
        assert both.carries()
        (sa,) = both.ours.ask("sas")["sas"]
        # charon's user-space ESP always pretends to be behind a NAT; in front of us it's seen only if it's there
        assert (sa["version"], sa["nat_here"], sa["nat_there"]) == ("IKEv1", side == "ours", True)
        assert (sa["local"].rpartition(":")[2], both.theirs.sas()[0]["local-port"]) == ("4500", "4500")
        before = {each["initiator-spi"] for each in both.theirs.sas()}
        with Ping(both.sites, both.near, both.host(both.far), tmp_path / "ping") as ping:
            if side == "ours":
                both.ours.ask("rekey", name=IKE)
            else:
                both.theirs.rekey("ike")
            eventually(lambda: {each["initiator-spi"] for each in both.theirs.sas()} - before, "a new SA")
            both.theirs.rekey("child")
            ping.flows()
        assert ping.gaps == []
