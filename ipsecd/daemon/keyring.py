"""The pre-shared keys of a plan: those that could be had, and why the others couldn't."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.credentials import read_file, read_systemd, run_command
from ipsecd.errors import OperatorError
from ipsecd.policy.plan import Credential

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where credentials are looked for: relative files below ``folder``, systemd's below ``directory``; files and
    commands must belong to one of ``users``."""

    folder: Path
    directory: str | None
    users: frozenset[int]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by credential name, and for each credential that has none the sentence that says why."""

    keys: dict[str, Secret] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


async def gather(credentials: tuple[Credential, ...], sources: Sources) -> Keyring:
    """Read every credential; one that can't be had costs only the rules that need it."""
    ring = Keyring()
    for credential in credentials:
        try:
            octets = await _octets(credential, sources)
        except OperatorError as error:
            ring.problems[credential.name] = str(error)
            continue
        ring.keys[credential.name] = Secret(octets)
        if len(octets) < limits.STRONG_PSK:
            log.warning("short-key", credential=credential.name, octets=len(octets))
    return ring


async def _octets(credential: Credential, sources: Sources) -> bytes:
    if credential.file:
        return read_file(sources.folder / credential.file, sources.users)
    if credential.systemd:
        return read_systemd(credential.systemd, sources.directory)
    return await run_command(credential.command, sources.users)
