"""Every reason of a drop has a meaning for people, whoever counts it."""

from __future__ import annotations

import re
from pathlib import Path

import ipsecd
from ipsecd.daemon.drops import MEANINGS, OF_THE_DAEMON, OF_THE_FLOOR, meanings, of_the_floor
from ipsecd.io import outgoing, tun, udp
from ipsecd.policy.floor import ruleset
from ipsecd.policy.plan import Plan

ROOT = Path(ipsecd.__file__).parent


CARRYING = ("daemon/sockets.py", "daemon/softsas.py", "dataplane/sending.py", "dataplane/process.py")


def counted_in(*modules: str) -> set[str]:
    """The names that these modules count drops by, as far as they stand there."""
    return {name for module in modules for name in re.findall(r'drops\["([a-z-]+)"\]', (ROOT / module).read_text())}


def test_every_counter_of_the_floor_that_is_no_entrys_is_explained() -> None:
    named = set(re.findall(r"^\tcounter (\S+) \{", ruleset(Plan()), re.MULTILINE))
    assert set(OF_THE_FLOOR) == named


def test_every_reason_of_sockets_and_of_the_tun_is_explained() -> None:
    assert set(udp.DROPS) == counted_in("io/udp.py") | set(outgoing.REASONS.values()) | {"send-failed"}
    assert set(tun.DROPS) == counted_in("io/tun.py") | set(tun._REFUSALS.values()) | {"tun-failed"}
    assert set(OF_THE_DAEMON) == counted_in("daemon/wires.py", *CARRYING)


def test_what_two_rooms_call_the_same_means_what_either_says() -> None:
    assert MEANINGS["bad-icv"] == "its integrity check value is wrong"
    assert MEANINGS["bad-padding"] == (
        "its padding isn't what RFC 4303 section 2.4 demands; or its padding can't be, although it's authentic"
    )


def test_of_the_tables_counters_those_of_entries_are_left_out() -> None:
    assert of_the_floor({"not-inside": 2, "hits.a/1": 3, "drops.a/1": 4}) == {
        "wrong-side": 0,
        "not-inside": 2,
        "not-steered": 0,
        "beside-the-tun": 0,
        "source-routed": 0,
        "unknown-interface": 0,
    }


def test_a_name_that_nobody_explains_has_no_meaning() -> None:
    assert meanings(["runt", "of-another-version"]) == {"runt": "too short for anything that is expected here"}
