"""Removing everything of ours from the kernel while no daemon runs: ``ipsecd flush``."""

from __future__ import annotations

from ipsecd.daemon.lock import alone
from ipsecd.daemon.options import Options
from ipsecd.io.kernel_state import flush
from ipsecd.io.netlink import Netlink
from ipsecd.io.nftables import Nftables
from ipsecd.policy.floor import TABLE


async def flush_kernel(options: Options) -> None:
    """Remove table, rules, routes, the floor kept for the next boot, and which peers have answered; that they speak
    IKEv2 stays known. Raises OperatorError while a daemon runs, and KernelError."""
    with alone(options.lock):
        async with Netlink() as netlink:
            await flush(netlink, Nftables(TABLE), options.floor)
        options.heard.remove()
