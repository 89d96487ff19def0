"""What the peers of a plan are proved by: pre-shared keys and passwords, certificates, files of users; those that could
be had, and why the others couldn't."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import structlog

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.daemon.certificate_files import Certificates, doubts, read_certificates
from ipsecd.daemon.credentials import read_file, read_systemd, run_command
from ipsecd.daemon.users_file import Users, read_users
from ipsecd.errors import OperatorError
from ipsecd.policy.plan import Credential, Plan, XauthClient, XauthGateway

log = structlog.get_logger()

_Value = TypeVar("_Value", Certificates, Users)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where credentials are looked for: relative files below ``folder``, systemd's below ``directory``; files and
    commands must belong to one of ``users``."""

    folder: Path
    directory: str | None
    users: frozenset[int]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys and certificates by credential name, and for each credential that has none the sentence that says why; the
    same of files of users, by their path in the policy."""

    keys: dict[str, Secret] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, Certificates] = field(default_factory=dict)
    users: dict[str, Users] = field(default_factory=dict)
    user_problems: dict[str, str] = field(default_factory=dict)

    def following(self, before: Keyring) -> Keyring:
        """The same, with those objects of the one before that are as they were: what is made of them is compared by
        who it is."""
        certificates, users = _known(self.certificates, before.certificates), _known(self.users, before.users)
        return replace(self, certificates=certificates, users=users)

    def others(self, before: Keyring) -> frozenset[str]:
        """The names and paths that mean something else than before, or nothing any more."""
        tables: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = (
            (self.keys, before.keys),
            (self.certificates, before.certificates),
            (self.users, before.users),
        )
        return frozenset(
            name for now, then in tables for name in now.keys() | then.keys() if now.get(name) != then.get(name)
        )


async def gather(plan: Plan, sources: Sources) -> Keyring:
    """Read every credential; one that can't be had costs only the rules that need it."""
    ring = Keyring()
    keys = {name for peer in plan.peers for name in peer.shared_keys}
    passwords = {peer.xauth.password for peer in plan.peers if isinstance(peer.xauth, XauthClient)}
    for credential in plan.credentials:
        try:
            await _add(ring, credential, sources)
        except OperatorError as error:
            ring.problems[credential.name] = str(error)
            continue
        if credential.name in ring.keys and credential.name not in passwords - keys:
            _warn_of_short(credential.name, len(ring.keys[credential.name]))
        if credential.name in ring.certificates:
            _warn_of_doubts(credential.name, ring.certificates[credential.name], plan)
    for path in dict.fromkeys(peer.xauth.users for peer in plan.peers if isinstance(peer.xauth, XauthGateway)):
        try:
            ring.users[path] = read_users(sources.folder / path, sources.users)
        except OperatorError as error:
            ring.user_problems[path] = str(error)
    return ring


def _warn_of_short(name: str, octets: int) -> None:
    if octets < limits.STRONG_PSK:
        log.warning("short-key", credential=name, octets=octets)


def _warn_of_doubts(name: str, found: Certificates, plan: Plan) -> None:
    ours = dict.fromkeys(
        peer.local_id for peer in plan.peers if name in peer.certificates and peer.local_id is not None
    )
    for doubt in doubts(found, ours, time.time()):
        log.warning("certificate-doubtful", credential=name, doubt=doubt)


async def _add(ring: Keyring, credential: Credential, sources: Sources) -> None:
    name = credential.name
    if credential.certificate is not None:
        told = credential.certificate
        ring.certificates[name] = read_certificates(told, sources.folder, sources.users, time.time)
    elif credential.file:
        ring.keys[name] = Secret(read_file(sources.folder / credential.file, sources.users))
    elif credential.systemd:
        ring.keys[name] = Secret(read_systemd(credential.systemd, sources.directory))
    else:
        ring.keys[name] = Secret(await run_command(credential.command, sources.users))


def _known(now: dict[str, _Value], before: dict[str, _Value]) -> dict[str, _Value]:
    return {name: before[name] if before.get(name) == value else value for name, value in now.items()}
