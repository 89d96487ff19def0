"""docs/strongswan.md: the swanctl.conf there and the policy of the README make a tunnel, whoever calls; those for IKEv1
and the policies in docs/policy.md bring hosts in from elsewhere, either way round."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from ipsecd.crypto.scrypt_hash import Cost, PasswordHash
from ipsecd.crypto.secret import Secret
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
    return configuration("branch").replace(*THERE)


def configuration(name: str) -> str:
    """The document's swanctl.conf with a connection of this name."""
    document = (ROOT / "docs/strongswan.md").read_text()
    found = re.findall(r"^```\n(connections .*?)^```$", document, re.DOTALL | re.MULTILINE)
    [text] = [text for text in found if text.startswith(f"connections {{\n  {name} {{\n")]
    return str(text)


def of_policies(assigned: str) -> str:
    """The policy file that docs/policy.md has for IKEv1 under this name."""
    found = re.findall(
        r"^```yaml\n(assigned: .*?)^```$", (ROOT / "docs/policy.md").read_text(), re.DOTALL | re.MULTILINE
    )
    [text] = [text for text in found if text.startswith(f"assigned: {assigned}\n")]
    return str(text)


def load(folder: Path, conf: str) -> None:
    """Have the charon of this folder read a swanctl.conf in place of what it has."""
    (folder / "swanctl.conf").write_text(conf)
    words = ["swanctl", "--load-all", "--clear", "--file", f"{folder}/swanctl.conf"]
    subprocess.run([*words, "--uri", f"unix://{folder}/theirs/vici"], check=True, capture_output=True, text=True)


def by_ikev1(conf: str) -> str:
    """With the lines that the document says are others."""
    suite = "aes128-sha256-modp2048"
    conf = conf.replace("version = 2", "version = 1")
    return re.sub(r"proposals = .*", f"proposals = {suite}", conf)


BRANCH = {
    "as it stands": (of_readme, of_strongswan),
    "with strongSwan's own algorithms": (of_readme, lambda: re.sub(r".*proposals = .*\n", "", of_strongswan())),
    "by IKEv1": (
        lambda: (
            of_readme()
            .replace("    rules:", "    key_exchange: {versions: [ikev1]}\n    rules:")
            .replace("require-security\n", "pfs\n")
            + "filter_actions: {pfs: {action: negotiate, pfs: modp2048}}\n"
        ),
        lambda: by_ikev1(of_strongswan()),
    ),
}


@pytest.mark.parametrize("name", BRANCH)
def test_both_examples_make_a_tunnel_whoever_calls(tmp_path: Path, name: str) -> None:
    policy, conf = (made() for made in BRANCH[name])
    [key] = re.findall(r'secret = "(.*)"', conf)
    files = {"policy.yaml": policy, "secrets/hq.psk": key}
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", tmp_path / "ours", files) as ours,
        StrongSwan(sites, "gb", tmp_path / "theirs", ANOTHER) as theirs,
        Wire(sites) as wire,
    ):
        load(tmp_path, conf)
        eventually(lambda: theirs.children() and ours.children(), "strongSwan has called, as it is told to")
        assert "remote host is behind NAT" in theirs.log()
        assert answers(sites, "ha", "10.2.0.2") == answers(sites, "hb", "10.1.0.2") == 3
        ours.ctl("down", "to-hq")
        eventually(lambda: not theirs.sas(), "the tunnel is gone")
        ours.ctl("up", "to-hq", "--wait", "60")
        assert answers(sites, "ha", "10.2.0.2") == answers(sites, "hb", "10.1.0.2") == 3
    assert wire.cleartext() == {}


KEY, PASSWORD = "the key of all", "down the rabbit hole"
USERS = f"alice:{PasswordHash.of(Secret(PASSWORD.encode()), b'salt of the tests', Cost(ln=14))}\n"


def told(conf: str) -> str:
    """With what stands between quotation marks filled in: the key, then the password."""
    return re.sub('secret = "the text in everybody.psk"', f'secret = "{KEY}"', conf).replace(
        re.findall('secret = "(.*)"', conf)[-1], PASSWORD
    )


def test_a_strongswan_comes_in_by_ikev1(tmp_path: Path) -> None:
    here = ("198.51.100.1", "192.0.2.1")
    files = {
        "policy.yaml": of_policies("remote-access").replace(*here),
        "users.txt": USERS,
        "secrets/everybody.psk": KEY,
    }
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", tmp_path / "ours", files) as ours,
        StrongSwan(sites, "gb", tmp_path / "theirs", ANOTHER),
    ):
        load(tmp_path, told(configuration("hq")).replace(*here))
        words = ["swanctl", "--initiate", "--child", "net", "--uri", f"unix://{tmp_path}/theirs/vici"]
        subprocess.run(words, check=True, capture_output=True, text=True)
        assert (ours.ask("sas")["sas"][0]["user"], answers(sites, "gb", "10.1.0.2")) == ("alice", 3)


def test_we_come_in_to_a_strongswan_by_ikev1(tmp_path: Path) -> None:
    inside = ("10.1.0.0/16", "10.2.0.0/16")
    policy = of_policies("hq").replace(*THERE).replace(*inside)
    files = {"policy.yaml": policy, "secrets/everybody.psk": KEY, "secrets/alice.password": PASSWORD}
    with (
        Sites() as sites,
        Ipsecd(sites, "ga", tmp_path / "ours", files) as ours,
        StrongSwan(sites, "gb", tmp_path / "theirs", ANOTHER),
    ):
        load(tmp_path, told(configuration("staff")).replace(*THERE).replace(*inside))
        ours.ctl("up", "hq", "--wait", "60")
        assert (ours.ask("sas")["sas"][0]["given"], answers(sites, "ga", "10.2.0.2")) == (["10.3.0.1"], 3)
