"""Roads to a tunnel that aren't straight. Each ends with traffic both ways, and nothing but IKE and ESP on the wire."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.pair import Terms, pair
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer]

BOTH = ("ours", "theirs")
# so many networks that IKE_AUTH is larger than one fragment
MANY = {"ours_ts": ("fd01::/64", *(f"fd01:0:{number:x}::/64" for number in range(1, 50))), "theirs_ts": ("fd02::/64",)}
TWO_GROUPS = "aes128gcm16-prfsha256-x25519-ecp256"
P256 = "aes128gcm16-prfsha256-ecp256"
IPV6 = {"ours_ts": ("fd01::/64",), "theirs_ts": ("fd02::/64",)}
DUAL = {"ours_ts": ("10.1.0.0/24", "fd01::/64"), "theirs_ts": ("10.2.0.0/24", "fd02::/64")}
WIDE = {"ours_ts": ("10.0.0.0/8",), "theirs_ts": ("10.2.0.0/15",)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """``ours`` and ``theirs`` change what a side is told, ``both`` what both are. ``told`` are patterns that charon's
    log has then, ``inside`` the versions of IP that the tunnel carries, ``size`` the octets of each ping."""

    initiators: tuple[str, ...] = BOTH
    both: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    inside: tuple[int, ...] = (4,)
    size: int = 56
    behind_nat: str = ""


CASES = {
    "we offer a group they decline": Case(
        initiators=("ours",), ours={"ike": TWO_GROUPS}, theirs={"ike": P256}, told=("requesting ECP_256",)
    ),
    "they offer a group we decline": Case(
        initiators=("theirs",), ours={"ike": P256}, theirs={"ike": TWO_GROUPS}, told=("it requested ECP_256",)
    ),
    "we ask for a cookie": Case(
        initiators=("theirs",), ours={"key_exchange": {"cookie_threshold": 0}}, told=(r"response 0 \[ N\(COOKIE\) \]",)
    ),
    "messages in fragments": Case(
        both={**MANY, "rule": {"children": "merged"}},
        inside=(6,),
        told=("splitting IKE message", r"received fragment #2 of 2"),
    ),
    "no fragmentation": Case(
        ours={"key_exchange": {"fragmentation": False}}, theirs={"connection": {"fragmentation": "no"}}
    ),
    "a NAT before us": Case(initiators=("ours",), behind_nat="ours"),
    "a NAT before them": Case(initiators=("theirs",), behind_nat="theirs", told=("local host is behind NAT",)),
    "IPv6 outside": Case(both={"outside": 6}),
    "IPv6 inside": Case(both=IPV6, inside=(6,)),
    "IPv6 outside and inside": Case(both={"outside": 6, **IPV6}, inside=(6,)),
    "both families in one child": Case(both={**DUAL, "rule": {"children": "merged"}}, inside=(4, 6)),
    "our networks are narrowed": Case(ours=WIDE, told=(r"TS 10\.2\.0\.0/24 === 10\.1\.0\.0/24",)),
    "their networks are narrowed": Case(theirs=WIDE, told=(r"TS 10\.2\.0\.0/24 === 10\.1\.0\.0/24",)),
    "without perfect forward secrecy": Case(both={"esp": "aes128gcm16"}),
    "packets in fragments inside": Case(size=3_000),
    "identities that are addresses": Case(both={"ours_id": "192.0.2.1", "theirs_id": "192.0.2.2"}),
    "identities that are mail addresses": Case(both={"ours_id": "gw@ours.example", "theirs_id": "gw@theirs.example"}),
    "identities that are key ids": Case(both={"ours_id": "keyid:ours", "theirs_id": "keyid:theirs"}),
    "identities that are distinguished names": Case(
        both={"ours_id": "C=XX, O=Example, CN=ours", "theirs_id": "C=XX, O=Example, CN=theirs"}
    ),
}


@pytest.mark.parametrize(
    ("name", "initiator"), [(name, initiator) for name, case in CASES.items() for initiator in case.initiators]
)
def test_set_up(tmp_path: Path, name: str, initiator: str) -> None:
    case = CASES[name]
    terms = Terms(**case.both)
    ours, theirs = replace(terms, **case.ours), replace(terms, **case.theirs)
    with pair(tmp_path, ours, theirs, behind_nat=case.behind_nat) as both:
        both.up(initiator, case.inside[0])
        for version in case.inside:
            assert both.carries(version, case.size)
        assert len(both.theirs.sas()) == 1
        assert len(both.theirs.children()) == 1
        (sa,) = both.ours.ctl("sas")["sas"]
        # charon's user-space ESP always pretends to be behind a NAT; in front of us it's seen only if it's there
        assert (sa["nat_here"], sa["nat_there"]) == (case.behind_nat == "ours", True)
        assert [pattern for pattern in case.told if not re.search(pattern, both.theirs.log())] == []


def test_they_ask_for_a_cookie(tmp_path: Path) -> None:
    """charon asks from one half-open SA on, so one is left behind first."""
    terms = Terms(charon={"cookie_threshold": "1"})
    with pair(tmp_path, terms) as both:
        both.sites.inside("ga", send_init, "192.0.2.2")
        eventually(lambda: "is initiating an IKE_SA" in both.theirs.log(), "charon has a half-open SA")
        both.up("ours")
        assert both.carries()
        assert re.search(r"response 0 \[ N\(COOKIE\) \]", both.theirs.log())


def send_init(target: str) -> None:
    """An IKE_SA_INIT request that charon answers, from someone who never goes on (RFC 7296 section 1.2)."""
    transforms = (
        struct.pack("!BBHBBHHH", 3, 0, 12, 1, 0, 20, 0x800E, 128)  # AES-GCM-16, 128 bits
        + struct.pack("!BBHBBH", 3, 0, 8, 2, 0, 5)  # PRF_HMAC_SHA2_256
        + struct.pack("!BBHBBH", 0, 0, 8, 4, 0, 31)  # Curve25519
    )
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms
    payloads = (
        struct.pack("!BBH", 34, 0, 4 + len(proposal))
        + proposal
        + struct.pack("!BBHHH", 40, 0, 40, 31, 0)
        + bytes(range(1, 33))
        + struct.pack("!BBH", 0, 0, 36)
        + bytes(range(32))
    )
    header = b"half-opn" + bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 0x08, 0, 28 + len(payloads))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(header + payloads, (target, 500))
