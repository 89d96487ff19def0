"""strongSwan with kernel-libipsec, its own ESP in user space, with one cipher for ESP."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import vici
import yaml

from scripts import packages
from scripts.measuring.contestants.contestant import Contestant, Running, first_line
from scripts.measuring.contestants.sides import A, B, Side
from tests.interop.strongswan import CHARON, StrongSwan, Tunnel
from tests.netns.sites import Sites


class Strongswan(Contestant):
    needs = packages.STRONGSWAN

    def __init__(self, encryption: str) -> None:
        self._encryption = encryption

    def version(self) -> str:
        return first_line(CHARON, "--version")

    @contextmanager
    def run(self, sites: Sites, folder: Path) -> Iterator[Running]:
        key = secrets.token_urlsafe(32)
        with self._daemon(sites, B, folder, key) as b, self._daemon(sites, A, folder, key) as a:
            yield Running(lambda: _initiate(a), [a.pid, b.pid], lambda: _renew(a))

    def _daemon(self, sites: Sites, side: Side, folder: Path, key: str) -> StrongSwan:
        settings = yaml.safe_load(side.configuration("strongswan.yaml", encryption=self._encryption))
        tunnel = Tunnel(
            local=side.local,
            remote=side.remote,
            local_id=f"{side.side}.example",
            remote_id=f"{side.other}.example",
            psk=key,
            local_ts=(side.near,),
            remote_ts=(side.far,),
            ike=settings["ike"],
            esp=settings["esp"],
        )
        return StrongSwan(sites, side.place, folder / side.side, tunnel, settings["charon"])


def _initiate(daemon: StrongSwan) -> None:
    try:
        daemon.initiate()
    except vici.exception.CommandException as error:
        raise RuntimeError(f"strongSwan: {error}\n{daemon.log()}") from None


def _renew(daemon: StrongSwan) -> None:
    daemon.terminate()
    _initiate(daemon)
