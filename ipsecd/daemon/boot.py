"""What the next boot raises, and what the last one has raised: the saved floor, and what the boot mode adds to it."""

from __future__ import annotations

import structlog

from ipsecd.daemon.options import Options
from ipsecd.errors import KernelError
from ipsecd.policy.boot import ADDED, after_failure

log = structlog.get_logger()


def keep_mode(options: Options, mode: str) -> None:
    """See that the next boot is in this mode. That it won't be is told."""
    added = ADDED[mode]
    try:
        options.boot.save(added) if added else options.boot.remove()
    except KernelError as error:
        log.warning("boot-not-saved", reason=str(error))


def last_floor(options: Options) -> str:
    """The last good floor, with what the boot mode adds until a policy is in force; empty if there is none. Raises
    KernelError."""
    floor = options.floor.load()
    return floor + after_failure(options.boot.load() or "") if floor else ""
