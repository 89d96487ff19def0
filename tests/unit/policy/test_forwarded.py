"""Which addresses of a plan are other machines' to forward for."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd.policy.forwarded import local_ranges
from ipsecd.policy.plan import Action, Entry, Plan
from ipsecd.wire.selector import Selector

FAR = Selector.net("10.2.0.0/16")


def entry(local: str, action: Action = Action.PROTECT, me: str = "") -> Entry:
    pairs = ((Selector.net(local), FAR),)
    return Entry("rule/1", "rule", action, pairs, me=((Selector.net(me), FAR),) if me else ())


def test_they_are_the_local_sides_of_what_protects_but_for_me_and_pairs_of_hosts() -> None:
    plan = Plan(
        entries=(
            entry("10.1.0.0/16"),
            entry("10.1.0.0/16"),
            entry("10.3.0.0/16", Action.BLOCK),
            entry("10.4.0.0/16", Action.PERMIT),
            entry("192.0.2.1", me="0.0.0.0"),
            replace(entry("10.5.0.0/16"), each=True),
        )
    )
    assert local_ranges(plan) == ((ip_address("10.1.0.0"), ip_address("10.1.255.255")),)
