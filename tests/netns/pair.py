"""An ipsecd in each gateway of the sites, and the policies they are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.interop.ipsecd import Ipsecd
from tests.interop.traffic import answers
from tests.interop.wire import Wire
from tests.netns.places import GA_WAN, GB_WAN, HA, HB, NET_A, NET_B
from tests.netns.sites import Sites

SIDES = {"a": (GA_WAN, NET_A), "b": (GB_WAN, NET_B)}
KEY = "correct horse battery staple"


def rule(
    side: str, name: str = "site", *, outside: int = 4, inside: tuple[int, ...] = (4,), **more: Any
) -> dict[str, Any]:
    """The rule of one side that protects what goes between the two sites."""
    other = "b" if side == "a" else "a"
    (here, near), (there, far) = SIDES[side], SIDES[other]
    return {
        "name": name,
        "filters": [{"source": near[version], "destination": far[version]} for version in inside],
        "action": "require-security",
        "tunnel": {"local": here[outside], "remote": there[outside]},
        "identity": {"local": f"gw.{side}.example", "remote": f"gw.{other}.example"},
        "authentication": [{"psk": "peer"}],
        **more,
    }


def policy(*rules: Mapping[str, Any], **more: Any) -> str:
    """A policy file with these rules; ``more`` stands beside them in the policy."""
    return yaml.safe_dump(
        {
            "assigned": "sites",
            "credentials": {"peer": {"psk": {"file": "peer.psk"}}},
            "policies": {"sites": {"rules": list(rules), **more}},
        },
        sort_keys=False,
    )


def files(*rules: Mapping[str, Any], **more: Any) -> dict[str, str]:
    """The files of a gateway's folder."""
    return {"policy.yaml": policy(*rules, **more), "peer.psk": KEY}


@dataclass(frozen=True)
class Pair:
    """Both daemons, and what crosses the wire between them."""

    sites: Sites
    a: Ipsecd
    b: Ipsecd
    wire: Wire

    def carries(self, version: int = 4, size: int = 56) -> bool:
        """Whether the hosts of both sites reach each other."""
        return all(
            answers(self.sites, source, target[version], size=size) == 3 for source, target in (("ha", HB), ("hb", HA))
        )

    def spis(self) -> tuple[set[str], set[str]]:
        """The SPIs by which a sends and b receives, as each knows them."""
        return {child["spi_out"] for child in self.a.children()}, {child["spi_in"] for child in self.b.children()}


@contextlib.contextmanager
def pair(
    sites: Sites,
    folder: Path,
    of_a: Mapping[str, str] | None = None,
    of_b: Mapping[str, str] | None = None,
    *,
    without: Sequence[str] = (),
) -> Iterator[Pair]:
    """Start both; nothing but IKE and ESP in UDP may have crossed the wire when this ends without another failure."""
    with (
        Wire(sites) as wire,
        Ipsecd(sites, "ga", folder / "a", of_a or files(rule("a")), without=without) as a,
        Ipsecd(sites, "gb", folder / "b", of_b or files(rule("b")), without=without) as b,
    ):
        yield Pair(sites, a, b, wire)
    in_clear = wire.cleartext()
    assert in_clear == {}
