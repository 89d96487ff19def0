"""Gateways a and b, each with the versions of IKE that its policy has, in order."""

from __future__ import annotations

from ipsecd.ike.config import Child, Version
from tests.exchange.gateways import IKE_CLASSIC, Pair, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Datagram, Link, Node

NEW, OLD = (Version.IKEV2,), (Version.IKEV1,)
NEW_OLD, OLD_NEW = (Version.IKEV2, Version.IKEV1), (Version.IKEV1, Version.IKEV2)


def pair_of(
    of_a: tuple[Version, ...],
    of_b: tuple[Version, ...],
    *children: Child,
    seed: int | str = 0,
    link: Link | None = None,
    spoken: tuple[str, ...] = (),
) -> Pair:
    ours = children or (child_of_a(),)
    return Pair(
        seed,
        link,
        peer_b(*ours, versions=of_a, proposals=(IKE_CLASSIC,)),
        peer_a(*(mirrored(child) for child in ours), versions=of_b, proposals=(IKE_CLASSIC,)),
        spoken=spoken,
    )


def versions_of(node: Node) -> list[str]:
    """Those of the SAs that stand, for each."""
    return sorted(sa.version for sa in node.ike.status() if sa.stage == "established")


def agree(pair: Pair, version: str, children: int = 1) -> bool:
    """One SA of IKE, by this version, so many pairs of SAs, and the same SPIs on both sides."""
    return (
        versions_of(pair.a) == versions_of(pair.b) == [version]
        and pair.a.inbound_spis == pair.b.outbound_spis
        and pair.b.inbound_spis == pair.a.outbound_spis
        and len(pair.a.inbound) == children
    )


def up(pair: Pair, version: str, seconds: float = 60.0) -> bool:
    """Gateway a brings the child up; whether both have it in time, by this version alone."""
    pair.do(pair.a, pair.a.ike.up("net", pair.net.now))
    return pair.net.run(seconds, until=lambda: agree(pair, version))


def major(datagram: Datagram) -> int:
    return datagram.data[17] >> 4


def said(pair: Pair, node: Node) -> list[int]:
    """The major versions of what a node has sent."""
    return [major(each) for _, each in pair.net.sent if str(each.source.address) == node.address]


def deaf_to(pair: Pair, version: int, node: Node) -> None:
    """What is said to this node by a version doesn't arrive."""

    def lose(datagram: Datagram) -> Datagram | None:
        lost = major(datagram) == version and str(datagram.destination.address) == node.address
        return None if lost else datagram

    pair.net.hook = lose
