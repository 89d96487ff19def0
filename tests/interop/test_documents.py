"""docs/strongswan.md: the swanctl.conf there and the policy of the README make a tunnel, whoever calls."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from tests.interop.ipsecd import Ipsecd
from tests.interop.strongswan import StrongSwan, Tunnel
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.peer]

ROOT = Path(__file__).parents[2]
THERE = ("198.51.100.1", "192.0.2.2")  # in the documents, and of the other gateway here
ANOTHER = Tunnel(  # what charon has before it reads the document's file
    local=THERE[1],
    remote="192.0.2.99",
    local_id="another",
    remote_id="another's peer",
    psk="of another",
    local_ts=("10.99.0.0/16",),
    remote_ts=("10.98.0.0/16",),
)


def of_readme() -> str:
    [text] = re.findall(
        r"^    # /etc/ipsecd/policy.yaml\n(?:    .*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    return dedent(text).replace(*THERE)


def of_strongswan() -> str:
    document = (ROOT / "docs/strongswan.md").read_text()
    [text] = re.findall(r"^```\n(connections .*?)^```$", document, re.DOTALL | re.MULTILINE)
    return str(text).replace(*THERE)


@pytest.mark.parametrize("chosen", [True, False], ids=["as it stands", "with strongSwan's own algorithms"])
def test_both_examples_make_a_tunnel_whoever_calls(tmp_path: Path, chosen: bool) -> None:
    conf = of_strongswan()
    if not chosen:
        conf = re.sub(r".*proposals = .*\n", "", conf)
    (tmp_path / "swanctl.conf").write_text(conf)
    [key] = re.findall(r'secret = "(.*)"', conf)
    files = {"policy.yaml": of_readme(), "secrets/hq.psk": key}
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", tmp_path / "ours", files) as ours,
        StrongSwan(sites, "gb", tmp_path / "theirs", ANOTHER) as theirs,
        Wire(sites) as wire,
    ):
        load = ["swanctl", "--load-all", "--clear", "--file", tmp_path / "swanctl.conf"]
        subprocess.run([*load, "--uri", f"unix://{tmp_path}/theirs/vici"], check=True, capture_output=True, text=True)
        eventually(lambda: theirs.children() and ours.children(), "strongSwan has called, as it is told to")
        assert "remote host is behind NAT" in theirs.log()
        assert answers(sites, "ha", "10.2.0.2") == answers(sites, "hb", "10.1.0.2") == 3
        ours.ctl("down", "to-hq")
        eventually(lambda: not theirs.sas(), "the tunnel is gone")
        ours.ctl("up", "to-hq", "--wait", "60")
        assert answers(sites, "ha", "10.2.0.2") == answers(sites, "hb", "10.1.0.2") == 3
    assert wire.cleartext() == {}
