"""ipsecd on one side, strongSwan or another on the other, and the terms both are told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from ipsecd.policy import proposals
from tests.interop.ipsecd import Ipsecd
from tests.interop.peer import Peer
from tests.interop.strongswan import Charon, StrongSwan, Tree, Tunnel, Wallet
from tests.interop.traffic import answers
from tests.interop.wire import Wire
from tests.netns.sites import Sites

Theirs = TypeVar("Theirs", bound=Peer)
GROUPS = ("modp", "ecp", "x25519", "x448")
HOSTS = {("a", 4): "10.1.0.2", ("a", 6): "fd01::2", ("b", 4): "10.2.0.2", ("b", 6): "fd02::2"}
OUTSIDE_B = {4: "192.0.2.2", 6: "2001:db8::2"}
RULE, IKE, CHILD = "t", "peer:t", "t/1"  # what `ipsecctl` calls the rule, its IKE SA and its first child
NAT_OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}  # what the other side sees of whoever is behind the router


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a side is told. Proposals are strongSwan's keywords, joined by hyphens, one suite only."""

    ike: str = "aes128gcm16-prfsha256-x25519"
    esp: str = "aes128gcm16-x25519"
    psk: str = "correct horse battery staple"
    ours_id: str = "ours.example"
    theirs_id: str = "theirs.example"
    ours_ts: tuple[str, ...] = ("10.1.0.0/24",)
    theirs_ts: tuple[str, ...] = ("10.2.0.0/24",)
    outside: int = 4
    # only for ipsecd
    rule: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    key_exchange: Mapping[str, Any] = field(default_factory=dict)
    keylog: bool = False
    # only for strongSwan
    connection: Tree = field(default_factory=dict)
    child: Tree = field(default_factory=dict)
    charon: Tree = field(default_factory=dict)
    wallet: Wallet = field(default_factory=Wallet)


@dataclass(frozen=True)
class Both(Generic[Theirs]):
    """Both sides at work. ``near`` is the namespace of the host behind ipsecd, ``far`` that behind the other one."""

    sites: Sites
    ours: Ipsecd
    theirs: Theirs
    wire: Wire
    near: str
    far: str

    def up(self, initiator: str, version: int = 4) -> None:
        """Set the tunnel up: ipsecd (``ours``) because a packet wants to go, the other (``theirs``) by command."""
        if initiator == "theirs":
            self.theirs.initiate()
        else:
            assert answers(self.sites, self.near, self.host(self.far, version)) == 3

    def host(self, place: str, version: int = 4) -> str:
        return HOSTS[place[1], version]

    def carries(self, version: int = 4, size: int = 56) -> bool:
        """Whether pings of both hosts reach the other."""
        return all(
            answers(self.sites, source, self.host(target, version), size=size) == 3
            for source, target in ((self.near, self.far), (self.far, self.near))
        )


Pair = Both[Charon]


@contextlib.contextmanager
def pair(folder: Path, ours: Terms, theirs: Terms | None = None, *, behind_nat: str = "") -> Iterator[Pair]:
    """The sites with both sides at work; ``theirs`` are the same terms unless given. ``behind_nat`` is ``ours`` or
    ``theirs``."""
    theirs = theirs or ours
    here, there = ("gb", "ga") if behind_nat == "theirs" else ("ga", "gb")
    with Sites(nat=bool(behind_nat)) as sites:
        written, peer = sides(sites, ours, theirs, behind_nat)
        with at_work(
            sites,
            Ipsecd(sites, here, folder / "ours", written),
            StrongSwan(sites, there, folder / "theirs", peer, theirs.charon),
            here.replace("g", "h"),
            there.replace("g", "h"),
        ) as both:
            yield both


def sides(sites: Sites, ours: Terms, theirs: Terms, behind_nat: str) -> tuple[dict[str, str], Tunnel]:
    """What each side is told, where it stands: ipsecd's files, and strongSwan's tunnel."""
    here, there = "ga", "gb"
    if behind_nat == "theirs":
        here, there, ours, theirs = there, here, _swapped(ours), _swapped(theirs)
    address = {
        "ga": sites.wan_a6 if ours.outside == 6 else sites.wan_a,
        "gb": OUTSIDE_B[ours.outside],
    }
    seen = address | ({"ga": NAT_OUTSIDE[ours.outside]} if behind_nat else {})
    caller = "any" if behind_nat == "theirs" else seen[there]
    return files(ours, address[here], caller), tunnel(theirs, address[there], _expected(seen[here], behind_nat))


@contextlib.contextmanager
def at_work(
    sites: Sites,
    ours: Ipsecd,
    theirs: Theirs,
    near: str,
    far: str,
    kind: Callable[..., Both[Theirs]] = Both,
    native: str = "",
) -> Iterator[Both[Theirs]]:
    """Start both sides. ``near`` and ``far`` are the namespaces of the hosts behind them.

    Nothing but IKE and ESP in UDP, or what is ``native``, ESP or AH, may have crossed the wire when this ends without
    another failure."""
    with theirs, ours, Wire(sites) as wire:
        try:
            yield kind(sites, ours, theirs, wire, near, far)
        except BaseException:
            print(f"--- ipsecd\n{ours.log()}\n--- its peer\n{theirs.log()}\n--- wire\n{dict(wire.kinds())}")
            raise
    assert wire.cleartext(native) == {}


def _expected(address: str, behind_nat: str) -> str:
    return "%any" if behind_nat == "ours" else address


def _swapped(terms: Terms) -> Terms:
    """The terms for sides that changed places: ipsecd stands at b, because the router is always before a."""
    return replace(terms, ours_ts=terms.theirs_ts, theirs_ts=terms.ours_ts)


def files(terms: Terms, local: str, remote: str) -> dict[str, str]:
    """ipsecd's side of the terms."""
    text = yaml.safe_dump(policy(terms, local, remote), sort_keys=False)
    return {"policy.yaml": text, "shared.psk": terms.psk, **terms.files}


def policy(terms: Terms, local: str, remote: str) -> dict[str, Any]:
    """ipsecd's policy file."""
    ike, esp = suite(terms.ike), suite(terms.esp)
    pfs = esp.pop("groups", False)
    method = {"esp": {name: words for name, words in esp.items() if name != "prf"}}
    action = {"action": "negotiate", "security_methods": [method], "pfs": pfs, **terms.action}
    filters = [
        {"source": source, "destination": destination}
        for source, destination in product(terms.ours_ts, terms.theirs_ts)
        if ip_network(source).version == ip_network(destination).version
    ]
    rule = {
        "name": RULE,
        "filters": filters,
        "action": "protect",
        "tunnel": {"local": local, "remote": remote},
        "identity": {"local": terms.ours_id, "remote": terms.theirs_id},
        "authentication": [{"psk": "shared"}],
        **terms.rule,
    }
    return {
        "assigned": "interop",
        "credentials": {"shared": {"psk": {"file": "shared.psk"}}, **terms.credentials},
        "filter_actions": {"protect": action},
        "policies": {
            "interop": {
                "rules": [rule],
                "keylog": terms.keylog,
                "key_exchange": {"proposals": [ike], **terms.key_exchange},
            }
        },
    }


def tunnel(terms: Terms, local: str, remote: str) -> Tunnel:
    """strongSwan's side of the terms."""
    return Tunnel(
        local=local,
        remote=remote,
        local_id=terms.theirs_id,
        remote_id=terms.ours_id,
        psk=terms.psk,
        local_ts=terms.theirs_ts,
        remote_ts=terms.ours_ts,
        ike=terms.ike,
        esp=terms.esp,
        connection=terms.connection,
        child=terms.child,
        wallet=terms.wallet,
    )


def suite(proposal: str) -> dict[str, list[str]]:
    """``aes128-sha256-prfsha256-ecp256`` as a policy file says it: its keywords by what they are. ESN is no algorithm:
    ipsecd offers it anyway."""
    words: dict[str, list[str]] = {}
    for word in proposal.removesuffix("-esn").split("-"):
        if word.startswith("prf"):
            kind = "prf"
        elif word in proposals.MACS:
            kind = "integrity"
        else:
            kind = "groups" if word.startswith(GROUPS) else "encryption"
        words.setdefault(kind, []).append(word)
    return words
