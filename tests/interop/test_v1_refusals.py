"""IKEv1: what must not come up when strongSwan calls: our log names the cause in words, and strongSwan says what it has
been told, if it is told anything: who can't be known is told nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.interop.certificates import STRANGER
from tests.interop.pair import Terms
from tests.interop.standing import Standing
from tests.interop.v1_terms import certified, keyed
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("v1 inline")]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``cause`` is what our log says, ``notify`` what charon's log calls the notify that it gets, if any."""

    ours: Terms
    theirs: Terms
    cause: str
    notify: str = ""


# Of a proof that is wrong nothing is said as long as a right one may come.
WRONG_PROOFS = (
    Case(
        ours=keyed(),
        theirs=keyed(psk="another key"),
        cause=r"the peer's proof can't be read or is wrong: the pre-shared keys differ",
    ),
    Case(
        ours=keyed(aggressive=True),
        theirs=keyed(aggressive=True, psk="another key"),
        cause=r"the peer doesn't take our proof: perhaps the pre-shared keys differ",
    ),
    Case(
        ours=certified(),
        theirs=certified(authority=STRANGER),
        cause=r"no trusted authority vouches for the certificate",
    ),
)
CASES = {
    "wrong identity": Case(
        ours=keyed(),
        theirs=keyed(theirs_id="stranger.example"),
        cause=r"the peer is stranger\.example; we want theirs\.example",
    ),
    "wrong identity in aggressive mode": Case(
        ours=keyed(aggressive=True),
        theirs=keyed(aggressive=True, theirs_id="stranger.example"),
        cause=r"the peer is stranger\.example; we want theirs\.example",
    ),
    "aggressive mode that isn't accepted": Case(
        ours=keyed(),
        theirs=keyed(aggressive=True),
        cause=r"the peer wants aggressive mode, which this rule doesn't accept",
    ),
    "no common proposal for phase 1": Case(
        ours=keyed(),
        theirs=keyed(ike="aes256-sha512-prfsha512-modp4096"),
        cause=r"no common proposal; the peer offers aes256-sha512-modp4096 by .*; we take aes128-sha256-modp2048",
        notify="NO_PROP",
    ),
    "no common method": Case(
        ours=keyed(),
        theirs=certified(),
        cause=r"no common proposal; the peer offers .*RSA",
        notify="NO_PROP",
    ),
    "no common proposal for quick mode": Case(
        ours=keyed(),
        theirs=keyed(esp="aes256-sha512-modp2048"),
        cause=r"no common proposal; the peer offers .*aes256-sha512.*; we take .*aes128-sha256",
        notify="NO_PROP",
    ),
    "without PFS, which we want": Case(
        ours=keyed(),
        theirs=keyed(esp="aes128-sha256"),
        cause=r"no common proposal; the peer offers .*aes128-sha256.*; we take .*aes128-sha256.*modp2048",
        notify="NO_PROP",
    ),
    "no common networks": Case(
        ours=keyed(),
        theirs=keyed(ours_ts=("10.9.0.0/24",)),
        cause=r"the peer asks for .*10\.9\.0\.0/24.*, which no rule has whole",
        notify="INVAL_ID",
    ),
    "wrong identity by a certificate": Case(
        ours=certified(),
        theirs=certified(theirs_id="other.example"),
        cause=r"the peer is other\.example; we want theirs\.example",
    ),
}


def test_their_call_with_a_wrong_proof_is_refused(v1_inline: Standing) -> None:
    """One after the other, as what is said of all of them comes half a minute later. They come first, as an address
    may have few calls of which nothing is known yet."""
    before = len(v1_inline.both.ours.log())
    for case in WRONG_PROOFS:
        with v1_inline.told(case.ours, case.theirs) as both:
            both.theirs.initiate(wait=False)
            eventually(lambda both=both: shown(both.they_said()), "our proof or theirs is there")
            assert both.theirs.sas() == []
    for case in WRONG_PROOFS:
        log, cause = v1_inline.both.ours.log, case.cause
        eventually(lambda log=log, cause=cause: re.search(cause, log()[before:]), f"our log says: {cause}")


@pytest.mark.parametrize("name", CASES)
def test_their_call_is_refused(v1_inline: Standing, name: str) -> None:
    case = CASES[name]
    with v1_inline.told(case.ours, case.theirs) as both:
        both.theirs.initiate(wait=False)
        eventually(lambda: re.search(case.cause, both.said()), f"our log says: {case.cause}")
        if case.notify:
            told = rf"parsed \w+ (request|response) \d+ \[.*N\({case.notify}\)"
            eventually(lambda: re.search(told, both.they_said()), f"strongSwan is told {case.notify}")
        assert (both.ours.children(), both.theirs.children()) == ([], [])


def shown(log: str) -> bool:
    """Whether charon has given up, or repeats what we don't take."""
    return "sending retransmit 1" in log or "AUTH_FAILED" in log
