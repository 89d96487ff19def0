"""The programs that tests and demo run, and the Debian packages that have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

STRONGSWAN_PLUGINS = Path("/usr/lib/ipsec/plugins")
POLICY_RC = Path("/usr/sbin/policy-rc.d")
APART = Path("/var/cache/ipsecd-tests")
CLASHING = ("libreswan",)  # can't be installed beside strongSwan: a folder in ``APART`` has its files
LIBRESWAN = APART / "libreswan"

NETWORK = {
    "ethtool": "ethtool",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "nft": "nftables",
    "ping": "iputils-ping",
    "sysctl": "procps",
    "systemd-analyze": "systemd",
    "tcpdump": "tcpdump",
}
STRONGSWAN = {
    "/usr/lib/ipsec/charon": "strongswan-charon",
    f"{STRONGSWAN_PLUGINS}/libstrongswan-kernel-libipsec.so": "libcharon-extra-plugins",
    f"{STRONGSWAN_PLUGINS}/libstrongswan-openssl.so": "libstrongswan-standard-plugins",
    f"{STRONGSWAN_PLUGINS}/libstrongswan-curve25519.so": "libstrongswan-extra-plugins",
    f"{STRONGSWAN_PLUGINS}/libstrongswan-vici.so": "strongswan-swanctl",
}
PEERS = STRONGSWAN | {
    f"{STRONGSWAN_PLUGINS}/libstrongswan-xauth-generic.so": "libcharon-extauth-plugins",
    "swanctl": "strongswan-swanctl",
    "tshark": "tshark",
    "/usr/bin/linux.uml": "user-mode-linux",
    "certutil": "libnss3-tools",
    f"{LIBRESWAN}/usr/libexec/ipsec/pluto": "libreswan",
}


def missing(programs: Mapping[str, str]) -> list[str]:
    """The packages whose program isn't there, sorted."""
    return sorted({package for program, package in programs.items() if not _present(program)})


def advice(packages: Sequence[str]) -> str:
    """How to get what is missing."""
    clashing = [package for package in packages if package in CLASHING]
    words = [package for package in packages if package not in CLASHING]
    install = [f"apt-get install {' '.join(words)}"] if words else []
    unpack = [f"sudo scripts/test unpacks {' '.join(clashing)}"] if clashing else []
    return "needs Debian packages: " + "; ".join(install + unpack)


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def ensure(programs: Mapping[str, str]) -> None:
    """Install what is missing, as root on a Debian; else leave it to the tests to say what they miss."""
    packages = missing(programs)
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"missing Debian packages: {' '.join(packages)}", file=sys.stderr)
        return
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    quiet = not POLICY_RC.exists()
    if quiet:  # a peer that the tests start in a namespace isn't wanted as a service of this machine
        POLICY_RC.write_text("#!/bin/sh\nexit 101\n")
        POLICY_RC.chmod(0o755)
    try:
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", *(name for name in packages if name not in CLASHING))
        for name in CLASHING:
            if name in packages:
                _unpack(name)
    finally:
        if quiet:
            POLICY_RC.unlink()


def _unpack(package: str) -> None:
    """Put the files of a package into a folder of their own, and install what it depends on."""
    APART.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=APART) as folder:
        Path(folder).chmod(0o777)  # apt fetches as a user that owns nothing
        _apt("download", package, folder=folder)
        [archive] = Path(folder).glob("*.deb")
        needs = subprocess.run(
            ["dpkg-deb", "-f", archive, "Depends"], text=True, capture_output=True, check=True
        ).stdout
        _apt("satisfy", "-y", "--no-install-recommends", needs)
        files = Path(folder, package)
        subprocess.run(["dpkg-deb", "-x", archive, files], check=True)
        shutil.rmtree(APART / package, ignore_errors=True)
        files.rename(APART / package)


def _apt(*arguments: str, folder: str | None = None) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-q", *arguments], env=environment, stdout=sys.stderr, cwd=folder, check=True)
