"""Host to host with strongSwan, by a rule without a tunnel: whoever calls, all that the two send each other is ESP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.ipsecd import Ipsecd
from tests.interop.strongswan import StrongSwan, Tunnel
from tests.interop.traffic import answers
from tests.interop.waiting import eventually
from tests.interop.wire import Wire
from tests.netns.pair import KEY, files
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.peer]

OURS, THEIRS = GA_WAN[4], GB_WAN[4]
RULE = {"name": "all", "filter_list": "all-ip", "action": "require-security", "authentication": [{"psk": "peer"}]}
HOST = Tunnel(
    local=THEIRS, remote=OURS, local_id=THEIRS, remote_id=OURS, psk=KEY, local_ts=("dynamic",), remote_ts=("dynamic",)
)
MARK = "0x42"  # of charon's own packets, which would go into its own tunnel: what it protects is where they go


@pytest.mark.parametrize("caller", ["we call", "strongSwan calls"])
def test_two_hosts_protect_all_they_send_each_other(tmp_path: Path, caller: str) -> None:
    plugins = {
        "vici": {"socket": f"unix://{tmp_path}/theirs/vici"},
        "kernel-libipsec": {"allow_peer_ts": "yes"},
        "kernel-netlink": {"fwmark": f"!{MARK}"},
        "socket-default": {"fwmark": MARK},
    }
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", tmp_path / "ours", files(RULE)) as ours,
        StrongSwan(sites, "gb", tmp_path / "theirs", HOST, {"plugins": plugins}) as theirs,
        Wire(sites) as wire,
    ):
        if caller == "strongSwan calls":
            theirs.initiate()
        assert answers(sites, "ga", THEIRS) == 3
        [child] = eventually(ours.children, "a child SA is up")
        assert (child["local"], child["remote"]) == ([OURS], [THEIRS])
        assert [child["local-ts"] for child in theirs.children()] == [[f"{THEIRS}/32"]]
        assert answers(sites, "gb", OURS) == 3
    assert wire.cleartext() == {}
