"""The filter lists and filter actions that every Windows has, for scripts that use them without making them."""

from __future__ import annotations

from ipsecd.policy.importing.draft import Action, Traffic, TrafficList
from ipsecd.policy.nodes import Mark
from ipsecd.policy.traffic import ICMP

REQUIRE = "Require Security"


def predefined_list(name: str, mark: Mark) -> TrafficList | None:
    """The filter list of this name in any case, or None."""
    protocol = {"all ip traffic": 0, "all icmp traffic": ICMP}.get(name.lower())
    if protocol is None:
        return None
    return TrafficList(name, mark, [Traffic("me", "any", mark, protocol)])


def predefined_action(name: str, mark: Mark) -> Action | None:
    """The filter action of this name in any case, or None. Methods are left to the default: Windows' are obsolete."""
    known = {
        "permit": Action(name, mark, "permit"),
        "request security (optional)": Action(name, mark, inbound_passthrough=True, soft=True),
        REQUIRE.lower(): Action(name, mark),
    }
    return known.get(name.lower())
