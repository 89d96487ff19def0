"""The two gateways, as each contestant's configuration names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.netns.places import GA_WAN, GB_WAN, NET_A, NET_B

CONFIGS = Path(__file__).parents[1] / "configs"
MTU = 1_400  # inside: strongSwan's kernel-libipsec has no other


@dataclass(frozen=True, slots=True)
class Side:
    """A gateway: its namespace and name, its address outside and its network; and those of the other."""

    place: str
    side: str
    other: str
    local: str
    remote: str
    near: str
    far: str

    def configuration(self, name: str, **words: object) -> str:
        """The text of a file in configs, for this side; ``words`` are what else it needs."""
        mine = {word: getattr(self, word) for word in ("side", "other", "local", "remote", "near", "far")}
        return Template((CONFIGS / name).read_text()).substitute(mine, mtu=MTU, **words)


A = Side("ga", "a", "b", GA_WAN[4], GB_WAN[4], NET_A[4], NET_B[4])
B = Side("gb", "b", "a", GB_WAN[4], GA_WAN[4], NET_B[4], NET_A[4])
