"""Persistent rules under a flood: through assign, unassign, reload, failures and restarts, and against the policy."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.interop.ipsecd import IPSECD, Ipsecd
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.flood import Flood, in_clear, leaves_in_clear
from tests.netns.packets import udp
from tests.netns.pair import files, rule
from tests.netns.places import GB_WAN, HA, HB
from tests.netns.sites import Sites

pytestmark = pytest.mark.root

FAR = "10.2.0.99"  # in the far site, for nobody
OPEN = 4_002  # a port that a persistent rule permits where the policy protects


def with_persistent(text: str) -> str:
    blocked = {"name": "far", "filters": [{"source": "any", "destination": FAR}], "action": "block"}
    port = {"source": HA[4], "destination": "10.2.0.0/16", "protocol": "udp", "destination_port": OPEN}
    opened = {"name": "open", "filters": [port], "action": "permit"}
    return text + yaml.safe_dump({"persistent": {"rules": [blocked, opened]}})


def open_port(sites: Sites, wan: Capture, number: int) -> bool:
    """Whether what the persistent rule permits leaves in clear, though the policy protects it more specifically."""
    permitted, uncovered = (f"<{word} {number}>".encode() for word in ("permitted", "uncovered-by-it"))
    send(sites, "ha", udp(HA[4], HB[4], permitted, dport=OPEN))
    send(sites, "ha", udp(HA[4], GB_WAN[4], uncovered))
    wan.wait(lambda seen: seen.outgoing and uncovered in seen.packet, "an uncovered packet")
    return any(seen.outgoing and permitted in seen.packet for seen in wan.seen)


def test_what_they_block_stays_blocked_and_what_they_permit_permitted(sites: Sites, tmp_path: Path) -> None:
    narrow = rule("a") | {"filters": [{"source": HA[4], "destination": HB[4]}]}
    given = files(narrow)
    given["policy.yaml"] = with_persistent(given["policy.yaml"])
    with (
        Ipsecd(sites, "ga", tmp_path / "a", given) as daemon,
        Capture(sites, "ga", "wan0") as wan,
        Flood(sites, "ha", (HA[4], FAR)),
    ):

        def holds(number: int, protected: bool) -> None:
            assert open_port(sites, wan, number)
            assert leaves_in_clear(sites, wan) is not protected
            assert in_clear(wan) == [], "nothing for what is blocked"

        holds(1, True)
        daemon.ctl("unassign")
        holds(2, False)
        daemon.ctl("reload")
        holds(3, False)
        daemon.stop(signal.SIGKILL)
        holds(4, False)
        daemon.start()
        holds(5, False)
        daemon.ctl("assign", "sites")
        holds(6, True)
        daemon.write("policy.yaml", "assigned: [")
        with pytest.raises(RuntimeError, match="policy"):
            daemon.ctl("reload")
        holds(7, True)
        daemon.stop(signal.SIGTERM)
        assert _starts(sites, tmp_path / "a").returncode == 1
        holds(8, True)
        daemon.write("policy.yaml", given["policy.yaml"])
        daemon.start()
        holds(9, True)
        daemon.stop(signal.SIGKILL)  # else the table is its own
        sites.run("ga", ["nft", "delete", "table", "inet", "ipsecd"])
        eventually(lambda: in_clear(wan), "without the floor it would be seen")


def _starts(sites: Sites, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ["--policy", folder / "policy.yaml", "--state-dir", folder / "state", "--control", folder / "control"]
    return sites.run("ga", [IPSECD, "run", *options], check=False)
