"""What of a policy can't change while one is in force: sockets and what is in the kernel are made with it."""

from __future__ import annotations

from ipsecd.daemon.prepare import Outline
from ipsecd.errors import OperatorError
from ipsecd.policy.plan import Plan

_FIXED = {  # of a plan: what can't change while it is in force
    "ike_port": "IKE port",
    "natt_port": "NAT traversal port",
    "settings": "settings",
}


def check_fixed(plan: Plan, sketch: Outline) -> None:
    """Raises OperatorError if ``sketch`` can't take the place of the plan that is in force for that."""
    other = sketch.plan
    fixed = [what for name, what in _FIXED.items() if getattr(plan, name) != getattr(other, name)]
    if fixed and plan.policy != other.policy:
        what = f"policy {other.policy} has other {' and '.join(fixed)} than {plan.policy}, which is in force"
        hint = f"write assigned: {other.policy} into {sketch.file.file}; systemctl restart ipsecd; the floor stays"
        raise OperatorError(f"{what}: they can't change while ipsecd runs", hint)
    if fixed:
        raise OperatorError(f"{' and '.join(fixed)} can't change while ipsecd runs", "systemctl restart ipsecd")
