"""A peer that can't be reached by IKE is told about."""

from __future__ import annotations

import asyncio
import errno
import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from ipsecd.io.udp_errors import PathError
from tests.unit.daemon.daemons import Daemon, beside, policy

PEER = ip_address("192.0.2.2")
IKE, ESP = bytes(4) + b"\x11" * 20, b"\x11" * 24


@pytest.mark.parametrize(
    ("natt", "data", "told"),
    [
        (False, IKE, ["192.0.2.2:1500: IKE doesn't get there: Connection refused"]),
        (True, IKE, ["192.0.2.2:1500: IKE doesn't get there: Connection refused"]),
        (True, ESP, []),  # of no SA there is
    ],
    ids=["port 500", "IKE on port 4500", "ESP on port 4500"],
)
def test_a_port_that_refuses_ike_is_told(tmp_path: Path, natt: bool, data: bytes, told: list[str]) -> None:
    async def scenario(daemon: Daemon) -> None:
        error = PathError(errno.ECONNREFUSED, True, PEER, 1_500, 0, data)
        wires, port = daemon.protection.wires, 4_500 if natt else 500
        daemon.context.run(lambda: wires._path_error(error, port, 0.0, natt=natt))
        assert daemon.texts("ike-unreachable") == told
        remark = "IKE doesn't get there: Connection refused"
        assert (remark in (await daemon.ctl("status")).output) == bool(told)

    beside(tmp_path, scenario)


def test_what_an_address_we_do_not_have_is_needed_for_is_told_until_it_comes(tmp_path: Path) -> None:
    reason = "nothing can be negotiated until this machine has the address 192.0.2.9 (tunnel.local)"

    async def scenario(daemon: Daemon) -> None:
        assert daemon.texts("local-absent") == [f"site: {reason}"]
        (rule,) = json.loads((await daemon.ctl("status", "--json")).output)["rules"]
        assert (rule["state"], rule["reason"]) == ("down", reason)
        daemon.address = ip_address("192.0.2.9")
        follow = daemon.app._follow()  # as when the kernel has told of another address
        await asyncio.create_task(follow, context=daemon.context)
        (rule,) = json.loads((await daemon.ctl("status", "--json")).output)["rules"]
        assert rule["reason"] == ""
        assert len(daemon.texts("local-absent")) == 1

    beside(tmp_path, scenario, policy(here="192.0.2.9"))
