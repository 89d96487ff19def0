"""strongSwan asks a host for security that has no rule for it, and gets it for the two of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from vici.exception import CommandException

from tests.interop.ipsecd import Ipsecd
from tests.interop.strongswan import StrongSwan, Tunnel
from tests.interop.waiting import eventually
from tests.netns.capture import Capture, send
from tests.netns.packets import udp
from tests.netns.places import GA_WAN, GB_WAN
from tests.netns.sites import Sites

pytestmark = [pytest.mark.root, pytest.mark.peer]

KEY = "correct horse battery staple"
HERE, THERE = GA_WAN[4], GB_WAN[4]
MARK, FENCE = b"<to the host that asks>", b"<to somebody else>"
POLICY = {
    "assigned": "client",
    "credentials": {"hosts": {"psk": {"file": "hosts.psk"}}},
    "policies": {"client": {"default_response": {"authentication": [{"psk": "hosts"}]}}},
}
ASKS = Tunnel(
    local=THERE,
    remote=HERE,
    local_id=THERE,
    remote_id=HERE,
    psk=KEY,
    local_ts=("dynamic",),
    remote_ts=("dynamic",),
    esp="aes128gcm16",
)


@contextmanager
def asked(folder: Path, tunnel: Tunnel) -> Iterator[tuple[Sites, Ipsecd, StrongSwan]]:
    """ipsecd with nothing but a default response in ga, and charon with this tunnel to it in gb."""
    plugins = {
        "vici": {"socket": f"unix://{folder / 'swan/vici'}"},
        "kernel-libipsec": {"allow_peer_ts": "yes"},  # and then its own datagrams have to stay out of its TUN
        "kernel-netlink": {"fwmark": "!0x42"},
        "socket-default": {"fwmark": "0x42"},
    }
    files = {"policy.yaml": yaml.safe_dump(POLICY), "hosts.psk": KEY}
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", folder / "a", files) as ours,
        StrongSwan(sites, "gb", folder / "swan", tunnel, {"plugins": plugins}) as theirs,
    ):
        yield sites, ours, theirs


def leaves_in_clear(sites: Sites, wan: Capture) -> bool:
    """Whether what ga sends to the host that asks leaves as it is."""
    wan.read()
    wan.seen.clear()
    send(sites, "ga", udp(HERE, THERE, MARK), udp(HERE, "198.51.100.9", FENCE))
    wan.wait_for(FENCE)
    return wan.count(MARK) > 0


@pytest.mark.parametrize("offered", [("dynamic",), ("0.0.0.0/0",)])
def test_it_gets_what_goes_between_the_two_hosts_and_no_more(tmp_path: Path, offered: tuple[str, ...]) -> None:
    """Whatever it offers."""
    tunnel = replace(ASKS, local_ts=offered, remote_ts=offered)
    with asked(tmp_path, tunnel) as (sites, ours, theirs), Capture(sites, "ga", "wan0") as wan:
        assert leaves_in_clear(sites, wan)
        theirs.initiate()
        [child] = theirs.children()
        assert (child["local-ts"], child["remote-ts"]) == ([f"{THERE}/32"], [f"{HERE}/32"])
        [child] = ours.children()
        assert (child["rule"], child["local"], child["remote"]) == ("default-response", [HERE], [THERE])
        assert not leaves_in_clear(sites, wan)
        for place, target in (("gb", HERE), ("ga", THERE)):
            assert sites.run(place, ["ping", "-c", "1", "-W", "30", target], check=False).returncode == 0
        theirs.terminate()
        eventually(lambda: leaves_in_clear(sites, wan), "the SA is gone, and so is what protected")
        assert ours.children() == []


def test_it_gets_nothing_for_another_host(tmp_path: Path) -> None:
    tunnel = replace(ASKS, local_ts=("198.51.100.0/24",), remote_ts=("dynamic",))
    with asked(tmp_path, tunnel) as (_, ours, theirs):
        with pytest.raises(CommandException):
            theirs.initiate()
        assert ours.children() == []
        assert ours.ask("policy")["entries"] == []
        assert "TS_UNACCEPT" in theirs.log()


def test_who_has_another_key_gets_nothing(tmp_path: Path) -> None:
    with asked(tmp_path, replace(ASKS, psk="another key than the one it should have")) as (_, ours, theirs):
        with pytest.raises(CommandException):
            theirs.initiate()
        assert ours.ask("sas")["sas"] == []
        assert "authentication failed" in ours.log()
