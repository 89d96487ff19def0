"""IKEv1: main and aggressive mode, by a key or by signatures, whoever calls, and what a tunnel can be. Each ends with
traffic both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.interop.pair import Terms
from tests.interop.standing import Standing
from tests.interop.v1_terms import certified, keyed

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1")]

BOTH = ("ours", "theirs")
IPV6 = {"ours_ts": ("fd01::/64",), "theirs_ts": ("fd02::/64",)}
MAIN, AGGRESSIVE = r"ID_PROT request 0 \[ SA V", r"AGGRESSIVE request 0 \[ SA KE No ID "
FRAGMENTS = (r"received fragment #\d, reassembled", r"splitting IKE message \(\d+ bytes\) into \d fragments")


@dataclass(frozen=True, kw_only=True)
class Case:
    """``told`` are patterns that charon's log has then, ``group`` is that of PFS, ``inside`` the version of IP that the
    tunnel carries, ``size`` the octets of each ping."""

    terms: Terms
    initiators: tuple[str, ...] = BOTH
    theirs: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = (MAIN,)
    group: str | None = "MODP_2048"
    inside: int = 4
    size: int = 56


CASES = {
    "main mode with a key": Case(terms=keyed()),
    "aggressive mode with a key": Case(terms=keyed(aggressive=True), told=(AGGRESSIVE,)),
    "main mode with certificates": Case(terms=certified()),
    "aggressive mode with certificates": Case(terms=certified(aggressive=True), told=(AGGRESSIVE,)),
    "certificates in fragments": Case(terms=certified(between=4), told=(MAIN, *FRAGMENTS)),
    "certificates in fragments in aggressive mode": Case(
        terms=certified(aggressive=True, between=4), told=(AGGRESSIVE, *FRAGMENTS)
    ),
    "without perfect forward secrecy": Case(terms=keyed(esp="aes128-sha256"), group=None),
    "IPv6 outside": Case(terms=keyed(outside=6)),
    "IPv6 inside": Case(terms=keyed(**IPV6), inside=6),
    "packets in fragments inside": Case(terms=keyed(), size=3_000),
    "identities that are addresses": Case(terms=keyed(ours_id="192.0.2.1", theirs_id="192.0.2.2")),
    "identities that are mail addresses": Case(terms=keyed(ours_id="gw@ours.example", theirs_id="gw@theirs.example")),
    "identities that are key ids in aggressive mode": Case(
        terms=keyed(aggressive=True, ours_id="keyid:ours", theirs_id="keyid:theirs"), told=(AGGRESSIVE,)
    ),
    "identities that are distinguished names": Case(terms=certified(ours_id="CN=ours", theirs_id="CN=theirs")),
}


@pytest.mark.parametrize(
    ("name", "initiator"), [(name, initiator) for name, case in CASES.items() for initiator in case.initiators]
)
def test_set_up(v1: Standing, name: str, initiator: str) -> None:
    case = CASES[name]
    with v1.told(case.terms) as both:
        both.up(initiator)
        assert both.carries(case.inside, case.size)
        (of_them,) = both.theirs.sas()
        (child,) = both.theirs.children()
        assert (of_them["version"], child.get("dh-group")) == ("1", case.group)
        (sa,) = both.ours.ask("sas")["sas"]
        # charon's user-space ESP always pretends to be behind a NAT
        assert (sa["version"], sa["nat_here"], sa["nat_there"]) == ("IKEv1", False, True)
        assert sa["product"] == "strongSwan"
        assert [pattern for pattern in case.told if not re.search(pattern, both.they_said())] == []
