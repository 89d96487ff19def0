"""Which of our keys a peer took is remembered of so many peers as there may be IKE SAs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import SharedKey
from ipsecd.ike.own_keys import OwnKeys
from tests.exchange.gateways import KEY, peer_b

OTHER = SharedKey("other", Secret(b"another key altogether"))
PEERS = [peer_b(name=name, shared_keys=(OTHER, KEY)) for name in "abc"]


def test_of_too_many_peers_the_one_longest_unasked_for_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IKE_SAS", 2)
    known, (a, b, c) = OwnKeys(), PEERS
    for peer in (a, b, a, c):
        known.taken(peer, KEY)
    assert [known.best(peer).name for peer in (a, c)] == ["site", "site"]
    assert known.best(b).name == "other"


def test_other_keys_of_a_peer_begin_anew() -> None:
    known, peer = OwnKeys(), PEERS[0]
    known.taken(peer, KEY)
    assert known.best(replace(peer, shared_keys=(OTHER,))).name == "other"
    assert known.best(peer).name == "other"
