"""What a plan tells IKEv1: the same objects as long as their settings are, and what lacks costs the rule alone."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ipsecd.crypto.secret import Secret
from ipsecd.daemon.entrances import Entrances
from ipsecd.daemon.guard import Guard
from ipsecd.daemon.judging import Judging
from ipsecd.daemon.keyring import Keyring, Sources, gather
from ipsecd.daemon.special import lacking, specials
from ipsecd.ike.v1.access import Client, Gateway, Handing, User
from ipsecd.ike.v1.special import Special
from ipsecd.policy.plan import (
    Certificate,
    ConfigClient,
    ConfigGateway,
    Credential,
    Encapsulation,
    Lifetime,
    Peer,
    Plan,
    XauthClient,
    XauthGateway,
)
from tests.unit.daemon.pem_files import put, put_all

OURS = (ip_address("10.3.0.1"),)
PEER = Peer(
    "a", None, (), True, "", 500, None, None, ("key",), (), Lifetime(1.0), 30.0, Encapsulation.AUTO, True, False, (),
    versions=("ikev1",),
)  # fmt: skip
POOLS = (ip_network("10.3.0.0/24"), ip_network("2001:db8::/64"))
HANDING = ConfigGateway(POOLS, (ip_address("10.0.0.53"),), push=True)
CREDENTIALS = (
    Credential("key", file="key.psk"),
    Credential("word", file="word.psk"),
    Credential("gw", certificate=Certificate("gw.pem", "gw.key", ("ca.pem",))),
    Credential("ca", certificate=Certificate(authorities=("ca.pem",))),
)


def ring(folder: Path, *peers: Peer, before: Keyring | None = None) -> Keyring:
    sources = Sources(folder, None, frozenset({0, os.getuid()}))
    found = asyncio.run(gather(Plan(peers=peers, credentials=CREDENTIALS), sources))
    return found.following(before or Keyring())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    put_all(tmp_path, "i", "gw.example")
    put(tmp_path / "key.psk", b"a key of more than twenty octets")
    put(tmp_path / "word.psk", b"sesame")
    put(tmp_path / "users.txt", b"# nobody\n")
    return tmp_path


def entrances() -> Entrances:
    return Entrances(Judging(Guard()))


def special(folder: Path, peer: Peer, among: Entrances | None = None, had: Keyring | None = None) -> Special:
    found = specials(Plan(peers=(peer,)), ring(folder, peer, before=had), among or entrances(), OURS)
    return found["a"]


def test_a_peer_of_ikev2_alone_is_told_nothing(files: Path) -> None:
    peer = replace(PEER, versions=("ikev2",))
    assert specials(Plan(peers=(peer,)), ring(files, peer), entrances(), OURS) == {}


def test_by_a_key(files: Path) -> None:
    assert special(files, PEER) == Special()
    peer = replace(PEER, accept_offline_guessing=True, accept_names_in_clear=True)
    assert special(files, peer) == Special(i_accept_offline_guessing=True, i_accept_names_in_clear=True)


def test_by_a_certificate_before_a_key_and_alone(files: Path) -> None:
    peer = replace(PEER, certificates=("gw",), certificates_first=True)
    found = special(files, peer)
    assert (found.shared_key, found.certified_first, found.hybrid, found.trust) == (True, True, False, None)
    assert found.certified is not None
    assert not special(files, replace(peer, shared_keys=())).shared_key


def test_a_hybrid_client_believes_a_gateway_and_says_who_it_is(files: Path) -> None:
    peer = replace(PEER, shared_keys=(), certificates=("ca",), xauth=XauthClient("alice", "word", hybrid=True))
    found = special(files, replace(peer, mode_config=ConfigClient((4, 6))))
    assert (found.shared_key, found.hybrid, found.certified) == (False, True, None)
    assert found.trust is not None
    assert found.access == Client(User("alice", Secret(b"sesame")), (4, 6))


def test_a_client_without_a_user_takes_what_is_pushed(files: Path) -> None:
    assert special(files, replace(PEER, mode_config=ConfigClient(pushed=True))).access == Client(pushed=True)


def test_a_gateway_asks_for_users_and_hands_out_addresses_but_its_own(files: Path) -> None:
    peer = replace(PEER, xauth=XauthGateway("users.txt"), mode_config=HANDING)
    among = entrances()
    access = special(files, peer, among).access
    assert isinstance(access, Gateway)
    assert access.gate is among.gate("users.txt")
    four, six = (among.pool(network, ()) for network in POOLS)
    assert access.handing == Handing((four, six), (ip_address("10.0.0.53"),), pushes=True)
    assert four.lease("user alice", ip_address("10.3.0.1")) == ip_address("10.3.0.2")


def test_what_is_read_anew_and_is_the_same_stays_the_same_object(files: Path) -> None:
    peer = replace(PEER, certificates=("gw",), xauth=XauthGateway("users.txt"), mode_config=HANDING)
    among, had = entrances(), ring(files, peer)
    first = special(files, peer, among, had)
    assert special(files, peer, among, had) == first
    put(files / "users.txt", b"# nobody, still\n")
    assert special(files, peer, among, had) == first  # the gate asks whoever they are now
    put_all(files, "r", "gw.example")
    assert special(files, peer, among, had) != first
    assert ring(files, peer).others(had) == {"users.txt", "gw"}


def test_rules_that_say_the_same_of_who_comes_in_share_it(files: Path) -> None:
    one = replace(PEER, xauth=XauthClient("alice", "word"))
    peers = one, replace(one, name="b"), replace(one, name="c", xauth=XauthClient("bob", "word"))
    found = specials(Plan(peers=peers), ring(files, *peers), entrances(), OURS)
    assert found["a"].access is found["b"].access
    assert found["a"].access != found["c"].access


@pytest.mark.parametrize(
    ("peer", "gone", "told"),
    [
        (PEER, "key.psk", "credential key: the key file {folder}/key.psk doesn't exist"),
        (
            replace(PEER, shared_keys=(), certificates=("gw",)),
            "gw.key",
            "credential gw: the key file {folder}/gw.key doesn't exist",
        ),
        (replace(PEER, shared_keys=(), certificates=("ca",)), "", "credential ca: it has no certificate of ours"),
        (
            replace(PEER, xauth=XauthClient("alice", "word")),
            "word.psk",
            "credential word: the key file {folder}/word.psk doesn't exist",
        ),
        (
            replace(PEER, xauth=XauthGateway("users.txt")),
            "users.txt",
            "the users file {folder}/users.txt doesn't exist",
        ),
        (replace(PEER, certificates=("gw",)), "key.psk", ""),
    ],
    ids=["key", "certificate", "authorities alone", "password", "users", "one of two will do"],
)
def test_what_lacks_is_told(files: Path, peer: Peer, gone: str, told: str) -> None:
    if gone:
        (files / gone).unlink()
    found = ring(files, peer)
    lack = lacking(peer, found)
    assert lack.startswith(told.format(folder=files)) if told else lack == ""
    assert bool(specials(Plan(peers=(peer,)), found, entrances(), ())) == (not told)


def test_a_password_may_be_short(files: Path) -> None:
    with capture_logs() as logs:
        ring(files, replace(PEER, xauth=XauthClient("alice", "word")))
    assert logs == []
