"""The forms of IPsec that ipsecd and a kernel's strongSwan are told of: modes, ESP and AH, in UDP or native."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from tests.interop import pair as terms
from tests.interop.kernel_pair import Told
from tests.interop.pair import Terms, suite
from tests.interop.strongswan import Tunnel
from tests.netns.pair import KEY
from tests.netns.pair import files as files_of
from tests.netns.places import GA_WAN, GB_WAN, NET_A, NET_B

ALL = {"name": "all", "filter_list": "all-ip", "action": "require-security", "authentication": [{"psk": "peer"}]}


def networks(outside: int, esp: str, *, inside: tuple[int, ...] = (4, 6), keylog: bool = False) -> Told:
    """A tunnel with packets of these versions inside."""
    ours_ts, theirs_ts = (tuple(net[version] for version in inside) for net in (NET_A, NET_B))
    said = Terms(esp=esp, outside=outside, ours_ts=ours_ts, theirs_ts=theirs_ts, keylog=keylog)
    ours, theirs = GA_WAN[outside], GB_WAN[outside]
    return Told(terms.files(said, ours, theirs), terms.tunnel(said, theirs, ours), inside)


def hosts(version: int, esp: str, *, keylog: bool = False) -> Told:
    """By a rule without a tunnel."""
    ours, theirs = GA_WAN[version], GB_WAN[version]
    tunnel = Tunnel(
        local=theirs,
        remote=ours,
        local_id=theirs,
        remote_id=ours,
        psk=KEY,
        local_ts=("dynamic",),
        remote_ts=("dynamic",),
        esp=esp,
        child={"mode": "transport"},
    )
    return Told(files_of(ALL, keylog=keylog), tunnel, (version,), hosts=True)


def natively(told: Told) -> Told:
    """As IP protocol 50, which strongSwan leaves as it is where nobody says that there is a NAT."""

    def change(policy: dict[str, Any]) -> None:
        for rule in rules(policy):
            rule["encapsulation"] = "native"

    tunnel = replace(told.tunnel, connection={"encap": "no"})
    return replace(told, files=changed(told.files, change), tunnel=tunnel, native="ESP")


def signed(told: Told, mac: str) -> Told:
    """By AH in the place of ESP; ``auto`` leaves it to be IP protocol 51, as strongSwan isn't ipsecd."""

    def change(policy: dict[str, Any]) -> None:
        method = {"ah": {"integrity": mac}}
        policy["filter_actions"] = {"sign": {"action": "negotiate", "security_methods": [method]}}
        for rule in rules(policy):
            rule["action"] = "sign"

    child = {**told.tunnel.child, "esp_proposals": [], "ah_proposals": [told.tunnel.esp]}
    tunnel = replace(told.tunnel, connection={"encap": "no"}, child=child)
    return replace(told, files=changed(told.files, change), tunnel=tunnel, native="AH")


def by_ikev1(told: Told, ike: str = "aes128-sha256-modp2048") -> Told:
    """By IKEv1 alone, with this suite in phase 1."""

    def change(policy: dict[str, Any]) -> None:
        assigned = policy["policies"][policy["assigned"]]
        assigned["key_exchange"] = {"versions": ["ikev1"], "proposals": [suite(ike)]}

    connection = {**told.tunnel.connection, "version": 1}
    return replace(told, files=changed(told.files, change), tunnel=replace(told.tunnel, ike=ike, connection=connection))


def changed(files: Mapping[str, str], change: Callable[[dict[str, Any]], None]) -> dict[str, str]:
    """The files with something changed in the policy."""
    policy = yaml.safe_load(files["policy.yaml"])
    change(policy)
    return {**files, "policy.yaml": yaml.safe_dump(policy)}


def rules(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the policy that is assigned."""
    found: list[dict[str, Any]] = policy["policies"][policy["assigned"]]["rules"]
    return found
