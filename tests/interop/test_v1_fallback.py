"""From IKEv2 to IKEv1 and no further: with a strongSwan that has one of them only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.pair import Pair, pair, tunnel
from tests.interop.v1_terms import keyed, told
from tests.interop.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.usefixtures("inline")]

EITHER = told(keyed(), key_exchange={"versions": ["ikev2", "ikev1"]})
# what comes to port 500 with major version 2, behind eight octets of UDP and two cookies and a type of payload
DEAF = """
table inet deaf {
    chain input {
        type filter hook input priority 0;
        udp dport 500 @th,200,4 2 drop
    }
}
"""


@pytest.mark.whole
def test_who_answers_nothing_to_ikev2_is_called_by_ikev1(tmp_path: Path) -> None:
    """After all of IKEv2's own time, 82 seconds."""
    with pair(tmp_path, EITHER) as both:
        both.sites.run("gb", ["nft", "-f", "-"], stdin=DEAF)
        both.ours.ask("up", name="t")
        eventually(both.ours.children, "the tunnel is there", within=180)
        assert both.carries()
        assert version(both) == "IKEv1"
        assert " warning t: calling by IKEv1, which is less safe: " in both.ours.log()


def test_who_answers_ikev2_by_an_error_is_not_called_by_ikev1(tmp_path: Path) -> None:
    """strongSwan refuses to speak IKEv2 where only IKEv1 is configured, and says so in IKEv2."""
    with pair(tmp_path, EITHER) as both:
        both.ours.ask("up", name="t")
        eventually(lambda: "NO_PROPOSAL_CHOSEN" in both.ours.log(), "our log says what it answers")
        assert both.theirs.sas() == []


@pytest.mark.parametrize("spoken", [1, 2])
def test_a_call_is_answered_by_either(tmp_path: Path, spoken: int) -> None:
    with pair(tmp_path, told(EITHER, connection={"version": spoken})) as both:
        both.theirs.initiate()
        assert both.carries()
        assert version(both) == f"IKEv{spoken}"


def test_who_has_spoken_ikev2_is_never_answered_by_ikev1_again(tmp_path: Path) -> None:
    """Not even after a start of the daemon."""
    with pair(tmp_path, told(EITHER, connection={"version": 2})) as both:
        both.theirs.initiate()
        assert both.carries()
        both.theirs.forget()
        both.ours.stop()
        both.ours.start()
        both.theirs.tell(tunnel(EITHER, "192.0.2.2", "192.0.2.1"))
        both.theirs.initiate(wait=False)
        cause = "theirs.example has authenticated by IKEv2 before, and who has isn't spoken to by IKEv1 any more"
        eventually(lambda: cause in both.ours.log(), "our log names the cause")
        assert both.theirs.sas() == []


def version(both: Pair) -> str:
    (sa,) = both.ours.ask("sas")["sas"]
    found: str = sa["version"]
    return found
