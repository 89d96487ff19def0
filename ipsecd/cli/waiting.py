"""Waiting until child SAs are up, which ends at once when the peer has said no."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from ipsecd.cli.client import Client, taking_apart
from ipsecd.cli.program import FAILED, Failure
from ipsecd.cli.render import trouble

_FINAL = ("AUTHENTICATION_FAILED", "NO_PROPOSAL_CHOSEN", "TS_UNACCEPTABLE")  # another try would end in the same way
_NO_NEWS = "nothing has failed so far: ipsecctl monitor shows what happens"
_PAUSE = 0.1  # seconds between one look and the next


def wait_until_up(client: Client, names: list[str], begun: float, seconds: float) -> None:
    """Until each child has an SA; ``begun`` is when it was asked for. Raises Failure after so many seconds, or as soon
    as the peer has refused one of them."""
    while True:
        answer = client.ask("status")
        waited = time.monotonic() - begun
        with taking_apart():
            up = {name for rule in answer["rules"] for name in rule["up"]}
            # one of two hosts is called after the one of the rule, with the host behind it
            asked = {(child, host) for child, _, host in (name.partition("@") for name in names if name not in up)}
            children, hosts = ({each[part] for each in asked} for part in (0, 1))
            lacking = [_of(hosts, rule) for rule in answer["rules"] if not children.isdisjoint(rule["children"])]
            reasons = "; ".join(dict.fromkeys(filter(None, map(trouble, lacking))))
            refused = any(_is_final(rule, waited) for rule in lacking)
        missing = ", ".join(name for name in names if name not in up)
        if not missing:
            return
        if refused:
            raise Failure(FAILED, f"{missing}: not up", reasons)
        if waited > seconds:
            raise Failure(FAILED, f"{missing}: not up after {seconds:g} s", reasons or _NO_NEWS)
        time.sleep(_PAUSE)


def _of(hosts: Collection[str], rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule as it is for these hosts: what has gone wrong with others is left out."""
    failure = rule["last_failure"]
    if not failure or not rule["each"]:
        return rule
    host = failure["peer"].partition("@")[2]  # without an address of ours, where that isn't known
    foreign = host not in hosts and host not in {each.partition(",")[0] for each in hosts}
    return {**rule, "last_failure": None} if foreign else rule


def _is_final(rule: Mapping[str, Any], waited: float) -> bool:
    """Whether the peer has refused what is waited for."""
    failure = rule["last_failure"]
    if not failure or failure["ago"] >= waited:
        return False
    return any(f"({name})" in failure["reason"] for name in _FINAL)
