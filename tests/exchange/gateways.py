"""The two gateways of most tests, and how to vary them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Child, EspProposal, IkeConfig, IkeProposal, Lifetime, Peer, SharedKey
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Encr, Group, Integ, Prf
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link, Network, Node

A, B = "192.0.2.1", "198.51.100.1"
IP_A, IP_B = ip_address(A), ip_address(B)
ID_A, ID_B = Identity.parse("a.example"), Identity.parse("b.example")
KEY = SharedKey("site", Secret(b"a shared key of forty octets or nearly so"))

IKE_X25519 = IkeProposal(
    encryption=((Encr.AES_GCM_16, 128),), integrity=(), prf=(Prf.HMAC_SHA2_256,), groups=(Group.CURVE25519,)
)
IKE_CLASSIC = IkeProposal(
    encryption=((Encr.AES_CBC, 256),),
    integrity=(Integ.HMAC_SHA2_256_128,),
    prf=(Prf.HMAC_SHA2_256,),
    groups=(Group.ECP_256,),
)
ESP_GCM = EspProposal(encryption=((Encr.AES_GCM_16, 128),), integrity=())
ESP_PFS = EspProposal(encryption=((Encr.AES_GCM_16, 128),), integrity=(), groups=(Group.CURVE25519, Group.ECP_256))
ESP_CLASSIC = EspProposal(encryption=((Encr.AES_CBC, 128),), integrity=(Integ.HMAC_SHA2_256_128,))

NET_A, NET_B = Selector.net("10.1.0.0/16"), Selector.net("10.2.0.0/16")
FOREVER = Lifetime(None)


def child_of_a(name: str = "net", **changes: object) -> Child:
    """10.1.0.0/16 here, 10.2.0.0/16 there."""
    base = Child(name, name, f"rule-{name}", (NET_A,), (NET_B,), (ESP_GCM,), lifetime=FOREVER)
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


def mirrored(child: Child) -> Child:
    """The same child as the other gateway writes it."""
    return replace(child, local=child.remote, remote=child.local, start=False)


def peer_b(*children: Child, **changes: object) -> Peer:
    """Gateway b, as gateway a's policy has it."""
    base = Peer(
        name="b",
        local=IP_A,
        remotes=(IP_B,),
        local_id=ID_A,
        remote_id=ID_B,
        shared_keys=(KEY,),
        proposals=(IKE_X25519,),
        children=children or (child_of_a(),),
        lifetime=FOREVER,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


def peer_a(*children: Child, **changes: object) -> Peer:
    """Gateway a, as gateway b's policy has it."""
    base = Peer(
        name="a",
        local=IP_B,
        remotes=(IP_A,),
        local_id=ID_B,
        remote_id=ID_A,
        shared_keys=(KEY,),
        proposals=(IKE_X25519,),
        children=children or (mirrored(child_of_a()),),
        lifetime=FOREVER,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


class Pair:
    """Gateways a and b on one network."""

    def __init__(
        self,
        seed: int | str = 0,
        link: Link | None = None,
        of_a: Peer | tuple[Peer, ...] = (),
        of_b: Peer | tuple[Peer, ...] = (),
        cookie_threshold: int = 30,
        spoken: tuple[str, ...] = (),
    ) -> None:
        """``spoken``: who has ever authenticated by IKEv2, as both know it."""
        self.net = Network(seed, link)
        self.a = self.net.add("a", A, _config(of_a or peer_b(), cookie_threshold), spoken)
        self.b = self.net.add("b", B, _config(of_b or peer_a(), cookie_threshold), spoken)

    def up(self, child: str = "net", seconds: float = 60.0) -> bool:
        """Gateway a brings a child up; whether both have it in time."""
        self.do(self.a, self.a.ike.up(child, self.net.now))
        return self.net.run(seconds, until=lambda: self.agree(1))

    def do(self, node: Node, effects: list) -> None:  # type: ignore[type-arg]  # Effect
        self.net.carry_out(node, effects)

    def agree(self, children: int) -> bool:
        """One IKE SA, so many children, and the same SPIs on both sides."""
        return (
            len(self.a.established) == 1
            and self.a.established == self.b.established
            and self.a.inbound_spis == self.b.outbound_spis
            and self.b.inbound_spis == self.a.outbound_spis
            and len(self.a.inbound) == children
        )


def _config(peers: Peer | tuple[Peer, ...], cookie_threshold: int) -> IkeConfig:
    return IkeConfig((peers,) if isinstance(peers, Peer) else peers, cookie_threshold=cookie_threshold)
