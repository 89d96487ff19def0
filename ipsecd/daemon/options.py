"""Where a daemon finds and puts its files. Every path is an option, so that several can run in several namespaces."""

from __future__ import annotations

import grp
from dataclasses import dataclass
from pathlib import Path

from ipsecd.io import tun, udp_open
from ipsecd.io.state_file import StateFile

POLICY = Path("/etc/ipsecd/policy.yaml")
STATE = Path("/var/lib/ipsecd")
CONTROL = Path("/run/ipsecd/control")
GROUP = "ipsecd"
OFFLOADS = (tun.TSO, tun.USO, udp_open.SEGMENT, udp_open.GRO)


@dataclass(frozen=True, slots=True)
class Options:
    """``group`` may give commands besides root and the daemon's own user; empty, or unknown here: nobody else.
    ``group_given``: somebody has named it, so it should be known. ``without`` names OFFLOADS that aren't used.
    ``inline``: packets are carried by the process that negotiates."""

    policy: Path = POLICY
    state: Path = STATE
    control: Path = CONTROL
    group: str = GROUP
    group_given: bool = False
    without: tuple[str, ...] = ()
    inline: bool = False

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def floor(self) -> StateFile:
        """The last floor that stood, for the next boot."""
        return StateFile(self.state / "floor.nft", "the floor", "without it nothing is protected after a reboot")

    @property
    def boot(self) -> StateFile:
        """What the next boot adds to it."""
        return StateFile(self.state / "boot.nft", "the boot mode", "the next boot raises the floor as the last did")

    @property
    def booted(self) -> StateFile:
        """What the last boot's mode still adds to it. A boot has to clear its folder."""
        path = self.control.parent / "boot.nft"
        return StateFile(path, "that the boot is over", "the boot mode counts on while ipsecd is stopped")

    @property
    def names(self) -> StateFile:
        """What the policy's DNS names last meant, for the next start."""
        path = self.state / "names.json"
        return StateFile(path, "DNS answers", "without them a name protects nothing until the DNS answers")

    @property
    def sets(self) -> StateFile:
        """What the policy's well-known sets last meant, for the next start."""
        path = self.state / "sets.json"
        return StateFile(path, "DNS servers, DHCP servers and gateways", "without them only those of now are protected")

    @property
    def assignment(self) -> StateFile:
        """Which policy an operator has chosen, for the next start."""
        path = self.state / "assigned.json"
        return StateFile(path, "the choice of a policy", "without it the policy file alone decides")

    @property
    def heard(self) -> StateFile:
        """Which peers have answered since the policy was assigned, for the next start."""
        cost = "without it a peer that has answered before may be talked to in clear when it is silent"
        return StateFile(self.state / "heard.json", "which peers have answered", cost)

    @property
    def spoken(self) -> StateFile:
        """Which peers have ever proved themselves by IKEv2, for the next start."""
        cost = "without it a peer that speaks IKEv2 may be called by IKEv1 after the next start, where both are allowed"
        return StateFile(self.state / "spoken.json", "which peers speak IKEv2", cost)

    @property
    def group_id(self) -> int | None:
        """The number of the group, if there is one of that name."""
        try:
            return grp.getgrnam(self.group).gr_gid if self.group else None
        except KeyError:
            return None
