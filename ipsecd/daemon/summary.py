"""The state of the daemon in a few words, for systemd and for whoever lists what there is."""

from __future__ import annotations

from ipsecd.daemon.protection import Protection


def summary(protection: Protection | None, *, bare: bool) -> str:
    """What is in force; ``bare``: no policy, while the floor of the last one stands."""
    if protection is None:
        what = "the floor of the last one stands" if bare else "nothing is protected"
        return f"no policy is assigned, {what}"
    plan = protection.prepared.plan
    rules = "1 rule" if len(plan.rules) == 1 else f"{len(plan.rules)} rules"
    children = sum(len(sa.children) for sa in protection.sas())
    what = f"policy {plan.policy}" if plan.assigned else "no policy is assigned, persistent rules hold"
    return f"{what}, {rules}, {children} child SAs"
