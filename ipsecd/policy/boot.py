"""Boot modes: what stands from the boot on until a policy is in force, besides the floor of the last one.

Each is text for nft that is loaded behind the saved floor, in one transaction with it. What it adds to the floor's
table goes in the transaction that puts the daemon's own floor in its place. After Windows' bootmode (``netsh ipsec
dynamic set config``): stateful, block, permit. Windows has no floor that it could keep meanwhile; here, stateful and
block only drop more than that does. What is kept of a mode and can't be read counts as block.
"""

from __future__ import annotations

from typing import Final

from ipsecd.policy.floor import LATE, TABLE


def _dropping(**chains: tuple[str, ...]) -> str:
    """A chain for each hook that drops what these rules don't accept."""
    lines = [f"table inet {TABLE} {{"]
    for hook, rules in chains.items():
        lines += [f"\tchain boot_{hook} {{", f"\t\ttype filter hook {hook} priority {LATE + 1}; policy drop;"]
        lines += [*(f"\t\t{rule}" for rule in rules), "\t}", ""]
    return "\n".join([*lines[:-1], "}", ""])


_TO_US: Final = ('iif "lo" accept', "jump exempt_arriving")
_FROM_US: Final = ('oif "lo" accept', "jump exempt_departing")

ADDED: Final = {
    "last": "",
    "stateful": _dropping(input=("ct state established,related accept", *_TO_US), forward=()),
    "block": _dropping(input=_TO_US, output=_FROM_US, forward=()),
    "permit": f"delete table inet {TABLE}\n",
}
STRICTEST: Final = ADDED["block"]


def after_start(added: str) -> str:
    """What of it stands once the daemon has begun, until it has put a policy in force: that the boot lets everything
    pass is no reason to take a floor away later."""
    return "" if added == ADDED["permit"] else added
