"""What must not come up: the side that minds says so with the right notify, and our log names the cause in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from vici.exception import CommandException

from tests.interop.pair import IKE, Terms, pair
from tests.interop.traffic import silent
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.usefixtures("inline")]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``theirs`` changes what strongSwan is told. ``notify`` is what charon's log calls the notify that crosses the
    wire, ``cause`` what our log says when we call, and when they call."""

    theirs: Mapping[str, Any] = field(default_factory=dict)
    notify: str
    cause: tuple[str, str]


CASES = {
    "wrong pre-shared key": Case(
        theirs={"psk": "another key"},
        notify="AUTH_FAILED|AUTHENTICATION_FAILED",
        cause=(
            r"the peer refuses our identity or our credential \(AUTHENTICATION_FAILED\)",
            r"the pre-shared key of theirs\.example isn't the one we have",
        ),
    ),
    "wrong identity of theirs": Case(
        theirs={"theirs_id": "stranger.example"},
        notify="AUTH_FAILED|AUTHENTICATION_FAILED",
        cause=(
            r"the peer refuses our identity or our credential \(AUTHENTICATION_FAILED\)",
            r"no rule for this address names the remote identity stranger\.example",
        ),
    ),
    "wrong identity of ours": Case(
        theirs={"ours_id": "stranger.example"},
        notify="AUTH_FAILED|AUTHENTICATION_FAILED",
        cause=(
            r"the peer refuses our identity or our credential \(AUTHENTICATION_FAILED\)",
            r"the peer asks for stranger\.example; towards theirs\.example we are ours\.example",
        ),
    ),
    "no common proposal for the IKE SA": Case(
        theirs={"ike": "aes256-sha512-prfsha512-modp4096"},
        notify="NO_PROP|NO_PROPOSAL_CHOSEN",
        cause=(
            r"accepts none of our proposals \(NO_PROPOSAL_CHOSEN\): no common proposal; we offer .*aes128gcm16",
            r"no common proposal: the peer offers .*aes256.*; we accept .*aes128gcm16",
        ),
    ),
    "no common proposal for the child": Case(
        theirs={"esp": "aes256-sha512"},
        notify="NO_PROP|NO_PROPOSAL_CHOSEN",
        cause=(
            r"the peer accepts none of our proposals \(NO_PROPOSAL_CHOSEN\): we offer .*aes128gcm16",
            r"no common proposal: the peer offers .*aes256.*; we accept .*aes128gcm16",
        ),
    ),
    "no common selectors": Case(
        theirs={"ours_ts": ("10.9.0.0/24",)},
        notify="TS_UNACCEPT|TS_UNACCEPTABLE",
        cause=(
            r"the peer accepts none of our traffic selectors \(TS_UNACCEPTABLE\)",
            r"the peer asks for 10\.9\.0\.0/24 here and 10\.2\.0\.0/24 there, which no rule it has opened allows",
        ),
    ),
}


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("name", CASES)
def test_refusal(tmp_path: Path, name: str, initiator: str) -> None:
    case = CASES[name]
    terms = Terms()
    with pair(tmp_path, terms, replace(terms, **case.theirs)) as both:
        if initiator == "ours":
            both.ours.ctl("up", IKE)
            cause = case.cause[0]
        else:
            with pytest.raises(CommandException):
                both.theirs.initiate()
            cause = case.cause[1]
        eventually(lambda: re.search(cause, both.ours.log()), f"our log says: {cause}")
        assert re.search(rf"(generating|parsed) \w+ response \d \[.*N\(({case.notify})\)", both.theirs.log())
        assert both.theirs.children() == []
        assert both.ours.children() == []
        assert silent(both.sites, both.near, both.host(both.far))
