"""The configurations of the contestants can be filled in for both sides."""

from __future__ import annotations

import pytest
import yaml

from ipsecd.policy.check import check
from scripts.measuring.contestants.field import RIVALS, contestants
from scripts.measuring.contestants.ipsecd import Ipsecd
from scripts.measuring.contestants.sides import CONFIGS, A, B, Side

WORDS = {
    "ipsecd.yaml": {"method": "{ah: {integrity: sha256}}", "encapsulation": "native"},
    "openvpn.conf": dict.fromkeys(
        ("role", "port", "inner", "other_inner", "far_address", "far_mask", "folder", "fingerprint"), "x"
    ),
    "strongswan.yaml": {"encryption": "aes128gcm16"},
    "wireguard.uapi": {"private": "00", "public": "11", "port": "51820"},
}


def test_each_configuration_is_used() -> None:
    assert sorted(path.name for path in CONFIGS.iterdir()) == sorted(WORDS)


@pytest.mark.parametrize("side", [A, B], ids=lambda side: side.side)
@pytest.mark.parametrize("name", WORDS)
def test_each_configuration_can_be_filled_in(name: str, side: Side) -> None:
    assert side.configuration(name, **WORDS[name]).count("$") == (CONFIGS / name).read_text().count("$$")


def test_both_sides_have_each_other_as_peers() -> None:
    assert (A.local, A.near, A.side) == (B.remote, B.far, B.other) == ("192.0.2.1", "10.1.0.0/24", "a")
    assert (B.local, B.near, B.side) == (A.remote, A.far, A.other) == ("192.0.2.2", "10.2.0.0/24", "b")
    assert "endpoint=192.0.2.2:51820\n" in A.configuration("wireguard.uapi", **WORDS["wireguard.uapi"])


@pytest.mark.parametrize("each", [each for each in contestants().values() if isinstance(each, Ipsecd)])
def test_the_policies_of_both_sides_have_no_mistake(each: Ipsecd) -> None:
    for side in (A, B):
        assert check(each.policy(side), "policy.yaml").lines() == ()


def test_strongswan_writes_no_log() -> None:
    settings = yaml.safe_load(A.configuration("strongswan.yaml", encryption="aes128gcm16"))
    assert settings["charon"] == {"filelog": {}, "syslog": {"daemon": {"default": -1}}}


def test_whoever_is_compared_can_be_measured() -> None:
    named = {name for ours, theirs in RIVALS.items() for name in (ours, *theirs)}
    assert named == set(contestants()) - {"plain"}
