"""What of a plan needs a machine that forwards: the addresses local to its rules that may be other machines'."""

from __future__ import annotations

from ipsecd.policy.plan import Action, Plan
from ipsecd.wire.selector import Address


def local_ranges(plan: Plan) -> tuple[tuple[Address, Address], ...]:
    """First and last of each range that is local to a rule which protects. A filter with ``me``, or of a rule without a
    tunnel, has none: that is this machine itself."""
    entries = [entry for entry in plan.entries if entry.action is Action.PROTECT and not (entry.me or entry.each)]
    pairs = (pair for entry in entries for pair in entry.pairs)
    return tuple(dict.fromkeys((local.start, local.end) for local, _ in pairs))
