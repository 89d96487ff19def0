"""What an operator should know of a plan that is in force from now on."""

from __future__ import annotations

import structlog

from ipsecd.daemon.prepare import Prepared

log = structlog.get_logger()


def tell_plan(prepared: Prepared) -> bool:
    """Log it; whether keys are kept for export."""
    plan = prepared.plan
    for rule in plan.rules:
        if rule.peer in prepared.unusable:
            log.warning("rule-unusable", rule=rule.name, reason=prepared.unusable[rule.peer])
        elif rule.peer in prepared.absent:
            log.warning("local-absent", rule=rule.name, reason=prepared.absent[rule.peer])
    logged = [peer.name for peer in plan.peers if peer.keylog]
    if logged:
        log.warning("keylog-on", peers=", ".join(logged))
    return bool(logged)
