"""A reload touches the SAs of what has changed, and no others.

Gateway a has two rules with gateway b, r1 and r2, which share one IKE SA, and one with gateway c, r3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest

from ipsecd import limits
from ipsecd.crypto.secret import Secret
from ipsecd.ike.config import Child, Encapsulation, IkeConfig, Lifetime, Peer, SharedKey
from ipsecd.wire.identity import Identity
from ipsecd.wire.registry import Group
from ipsecd.wire.selector import Selector
from tests.exchange.gateways import ESP_CLASSIC, ESP_GCM, IKE_X25519, A, B, child_of_a, mirrored, peer_a, peer_b
from tests.exchange.network import Network
from tests.exchange.transcript import Tap

C, B_NEW = "203.0.113.3", "198.51.100.99"
OTHER_KEY = SharedKey("site", Secret(b"the same name, and another key altogether"))


def rule(name: str, subnet: str, **changes: object) -> Child:
    return child_of_a(name, local=(Selector.net(subnet),), start=True, **changes)


R1, R2, R3 = rule("r1", "10.1.0.0/16"), rule("r2", "10.3.0.0/16"), rule("r3", "10.1.0.0/16")
SHORT_NUMBERS = replace(ESP_GCM, esn=False)
C_ID = Identity.parse("c.example")


@dataclass(frozen=True)
class Policies:
    """What the three gateways are told. A peer is called as its first rule is, as planning does."""

    b_at_a: tuple[Peer, ...]
    a_at_b: tuple[Peer, ...]
    c_at_a: tuple[Peer, ...]

    @property
    def a(self) -> IkeConfig:
        named = tuple(replace(peer, name=peer.children[0].name) for peer in (*self.b_at_a, *self.c_at_a))
        return IkeConfig(named)

    @property
    def b(self) -> IkeConfig:
        return IkeConfig(self.a_at_b)


def both(*children: Child, **changes: object) -> Policies:
    """b has these rules, at a as at b, and these terms."""
    to_c = peer_b(R3, name="r3", remotes=(ip_address(C),), remote_id=C_ID)
    to_a = peer_a(*map(mirrored, children), local=None, **mirrored_terms(changes))
    return Policies((peer_b(*children, **changes),), (to_a,), (to_c,))


def mirrored_terms(changes: dict[str, object]) -> dict[str, object]:
    names = {"remote_id": "local_id", "local_id": "remote_id"}
    return {names.get(name, name): value for name, value in changes.items() if name not in ("remotes", "local")}


BEFORE = both(R1, R2)


class Three:
    """The three gateways, all rules up."""

    def __init__(self) -> None:
        self.net = Network("reload")
        self.a = self.net.add("a", A, BEFORE.a)
        self.b = self.net.add("b", B, BEFORE.b)
        self.net.nodes[B_NEW] = self.b
        of_c = peer_a(mirrored(R3), local=ip_address(C), local_id=C_ID)
        self.c = self.net.add("c", C, IkeConfig((of_c,)))
        self.net.start()
        assert self.net.run(10, until=lambda: set(self.spis) == {"r1", "r2", "r3"})
        self.net.run(5)

    @property
    def spis(self) -> dict[str, set[bytes]]:
        """The inbound SPIs of gateway a by child."""
        found: dict[str, set[bytes]] = {}
        for installed in self.a.inbound.values():
            found.setdefault(installed.child, set()).add(installed.spi)
        return found

    @property
    def ike_spis(self) -> dict[str, str]:
        """The IKE SPIs of gateway a by the peer's address."""
        return {sa.remote.split(":")[0]: sa.spi_i for sa in self.a.ike.status() if sa.stage == "established"}

    def reload(self, new: Policies) -> None:
        """First b, then a; nothing happens in between."""
        for node, config in ((self.b, new.b), (self.a, new.a)):
            self.net.carry_out(node, node.ike.reconfigure(config, self.net.now))

    def agree(self) -> bool:
        """Both ends of each child have it, and nobody else has any."""
        outbound = self.b.outbound_spis | self.c.outbound_spis
        inbound = self.b.inbound_spis | self.c.inbound_spis
        return self.a.inbound_spis == outbound and self.a.outbound_spis == inbound


RELOADS: dict[str, tuple[Policies, dict[str, str]]] = {
    # what changes to what: "" stays, "new" has other SPIs, "gone", "made"; r1, r2 and r3 are "" if they aren't named
    "nothing": (both(R1, R2), {}),
    "the first rule of a peer is removed": (both(R2), {"r1": "gone"}),
    "the last rule of a peer is removed": (both(R1), {"r2": "gone"}),
    "a rule is put before the first": (both(rule("r0", "10.0.0.0/16"), R1, R2), {"r0": "made"}),
    "a rule is put behind the last": (both(R1, R2, rule("r4", "10.4.0.0/16")), {"r4": "made"}),
    "the rules change places": (both(R2, R1), {}),
    "the first rule is renamed": (both(replace(R1, name="r9"), R2), {}),
    "the last rule is renamed": (both(R1, replace(R2, name="r9")), {}),
    "the rules exchange their names": (both(replace(R1, name="r2"), replace(R2, name="r1")), {}),
    "the first rule is removed and the second renamed": (both(replace(R2, name="r9")), {"r1": "gone"}),
    "the first rule is removed and the second has its name": (both(replace(R2, name="r1")), {"r1": "gone"}),
    "another rule has the name of the first": (
        both(replace(R1, id="r9"), R2),
        {"r1": "gone", "r9": "made"},
    ),
    "another key of the same name": (both(R1, R2, shared_keys=(OTHER_KEY,)), {"r1": "new", "r2": "new", "b": "new"}),
    "other algorithms for the IKE SA": (
        both(R1, R2, proposals=(replace(IKE_X25519, groups=(Group.ECP_256,)),)),
        {"r1": "new", "r2": "new", "b": "new"},
    ),
    "other algorithms for a child": (both(replace(R1, proposals=(ESP_CLASSIC,)), R2), {"r1": "new"}),
    "one more algorithm for a child": (both(replace(R1, proposals=(ESP_CLASSIC, ESP_GCM)), R2), {}),
    "no extended sequence numbers for a child": (both(replace(R1, proposals=(SHORT_NUMBERS,)), R2), {"r1": "new"}),
    "one more algorithm and PFS for a child": (
        both(replace(R1, proposals=(ESP_GCM, replace(ESP_CLASSIC, groups=(Group.CURVE25519,)))), R2),
        {"r1": "new"},
    ),
    "PFS for a child": (
        both(R1, replace(R2, proposals=(replace(ESP_GCM, groups=(Group.CURVE25519,)),))),
        {"r2": "new"},
    ),
    "a rule covers more": (both(rule("r1", "10.0.0.0/15"), R2), {"r1": "new"}),
    "a rule covers less": (both(rule("r1", "10.1.0.0/17"), R2), {"r1": "new"}),
    "a rule covers one more subnet": (
        both(replace(R1, local=(*R1.local, Selector.net("10.5.0.0/16"))), R2),
        {"r1": "new"},
    ),
    "liveness": (both(R1, R2, dpd=7.0), {}),
    "the lifetime of a child": (both(replace(R1, lifetime=Lifetime(900)), R2), {}),
    "the lifetime of the IKE SA": (both(R1, R2, lifetime=Lifetime(900)), {}),
    "keys are kept from now on": (both(R1, R2, keylog=True), {}),
    "a rule comes up by traffic": (both(replace(R1, start=False), R2), {}),
    "the peer has moved": (both(R1, R2, remotes=(ip_address(B_NEW),)), {"r1": "new", "r2": "new", "b": "new"}),
    "the peer has one more address": (both(R1, R2, remotes=(ip_address(B_NEW), ip_address(B))), {}),
    "the peer may be anywhere": (both(R1, R2, remotes=()), {}),
    "our address is left open": (both(R1, R2, local=None), {}),
    "the peer is called otherwise": (
        both(R1, R2, remote_id=Identity.parse("b2.example")),
        {"r1": "new", "r2": "new", "b": "new"},
    ),
    "we are called otherwise": (
        both(R1, R2, local_id=Identity.parse("a2.example")),
        {"r1": "new", "r2": "new", "b": "new"},
    ),
    "encapsulation": (both(R1, R2, encapsulation=Encapsulation.UDP), {"r1": "new", "r2": "new", "b": "new"}),
    "the other peer's rule is removed": (replace(BEFORE, c_at_a=()), {"r3": "gone", "c": "gone"}),
    "the other peer has another identity and refuses ours": (
        replace(BEFORE, c_at_a=(replace(BEFORE.c_at_a[0], local_id=Identity.parse("a2.example")),)),
        {"r3": "gone", "c": "gone"},
    ),
}


@pytest.mark.parametrize("case", RELOADS)
def test_a_reload_touches_what_has_changed_and_nothing_else(case: str) -> None:
    policies, changes = RELOADS[case]
    three = Three()
    before, ikes = three.spis, three.ike_spis
    kept = [name for name in ("r1", "r2", "r3") if name not in changes]
    peers = {"r1": three.b, "r2": three.b, "r3": three.c}
    for name in kept[:1]:
        three.net.exchange_packets(three.a, peers[name], name, every=0.05, until=three.net.now + 20)
    three.reload(policies)
    three.net.run(25)
    after = three.spis
    assert three.net.lost_packets == []
    assert three.agree()
    for name in before.keys() | after.keys():
        now, then = after.get(name, set()), before.get(name, set())
        match changes.get(name, ""):
            case "":
                assert now == then, name
            case "new":
                assert len(now) == len(then) == 1
                assert now != then, name
            case "gone":
                assert (len(now), len(then)) == (0, 1), name
            case "made":
                assert (len(now), len(then)) == (1, 0), name
    assert changes.keys() <= before.keys() | after.keys() | {"b", "c"}
    assert _ike_changes(three, ikes) == {name: what for name, what in changes.items() if name in ("b", "c")}


def _ike_changes(three: Three, before: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, addresses in {"b": (B, B_NEW), "c": (C,)}.items():
        now = {spi for address, spi in three.ike_spis.items() if address in addresses}
        then = {spi for address, spi in before.items() if address in addresses}
        if now != then:
            found[name] = "new" if now else "gone"
    return found


@pytest.mark.parametrize("case", [case for case, (_, changes) in RELOADS.items() if not changes])
def test_a_reload_that_changes_no_sa_says_nothing_on_the_wire(case: str) -> None:
    three = Three()
    sent = len(three.net.sent)
    three.reload(RELOADS[case][0])
    three.net.run(1)
    assert len(three.net.sent) == sent


def test_what_is_told_of_an_sa_has_the_names_of_the_new_policy() -> None:
    three = Three()
    three.reload(both(replace(R2, rule="the second"), R1))
    (sa,) = [sa for sa in three.a.ike.status() if sa.remote.startswith(B)]
    assert sa.peer == "r2"
    assert {child.name: child.rule for child in sa.children} == {"r1": "rule-r1", "r2": "the second"}


def test_a_rule_that_is_renamed_while_an_sa_is_made_gets_it_under_its_new_name() -> None:
    three = Three()
    for command in (three.a.ike.down, three.a.ike.up):
        three.net.carry_out(three.a, command("r1", three.net.now))
        three.net.run(0)
    three.reload(both(replace(R1, name="r9"), R2))
    three.net.run(5)
    (sa,) = [sa for sa in three.a.ike.status() if sa.remote.startswith(B)]
    assert sorted(child.name for child in sa.children) == ["r2", "r9"]
    assert three.agree()
    assert three.a.events("child-failed") == []


def test_of_two_sas_that_both_ends_ask_for_one_is_left_though_the_rule_is_renamed_meanwhile() -> None:
    three = Three()
    three.net.carry_out(three.a, three.a.ike.down("r1", three.net.now))
    three.net.run(1)
    for node in (three.a, three.b):
        three.net.carry_out(node, node.ike.up("r1", three.net.now))
    three.reload(both(replace(R1, name="r9"), R2))
    three.net.run(5)
    assert {name: len(spis) for name, spis in three.spis.items()} == {"r1": 1, "r2": 1, "r3": 1}
    assert three.agree()


def test_a_rekey_that_a_reload_overtakes_is_begun_again_with_what_is_allowed_now() -> None:
    three = Three()
    before = three.spis
    three.net.exchange_packets(three.a, three.b, "r1", every=0.05, until=three.net.now + 20)
    three.net.carry_out(three.a, three.a.ike.rekey("r1", three.net.now))
    three.reload(both(replace(R1, proposals=(ESP_CLASSIC, ESP_GCM)), R2))
    three.net.run(25)
    assert three.agree()
    assert {name: len(spis) for name, spis in three.spis.items()} == {"r1": 1, "r2": 1, "r3": 1}
    assert three.spis["r1"] != before["r1"]
    (sa,) = [sa for sa in three.a.ike.status() if sa.remote.startswith(B)]
    assert [child.suite for child in sa.children if child.name == "r1"] == ["aes128-sha256-esn"]
    assert three.net.lost_packets == []


def test_a_rule_that_was_put_down_stays_down_when_it_becomes_another() -> None:
    three = Three()
    three.net.carry_out(three.a, three.a.ike.down("r1", three.net.now))
    three.reload(both(replace(R1, id="r9"), R2))
    three.net.run(5)
    assert set(three.spis) == {"r2", "r3"}
    assert three.a.ike.held("r9")


def test_another_liveness_holds_at_once() -> None:
    three = Three()
    three.net.carry_out(three.a, three.a.ike.reconfigure(both(R1, R2, dpd=7.0).a, three.net.now))
    tap = Tap(three.net)
    three.net.run(8)
    assert [line.split()[1:3] + line.split()[4:] for line in tap.lines()] == [
        ["->", "INFORMATIONAL", "{}"],
        ["<-", "INFORMATIONAL", "{}"],
    ]


def test_another_lifetime_holds_from_the_next_rekey_on() -> None:
    three = Three()
    three.reload(both(replace(R1, lifetime=Lifetime(900, octets=1_000_000)), R2, lifetime=Lifetime(700)))
    for rekey in (three.a.ike.rekey, three.a.ike.rekey_peer):
        three.net.carry_out(three.a, rekey("r1", three.net.now))
        three.net.run(10)
    (installed,) = [installed for installed in three.a.inbound.values() if installed.child == "r1"]
    assert installed.hard == Lifetime(900, octets=1_000_000)
    (sa,) = [sa for sa in three.a.ike.status() if sa.remote.startswith(B)]
    assert sa.rekey_in is not None
    assert sa.rekey_in < 700


def test_a_rule_that_moves_to_another_identity_of_the_same_gateway_leaves_the_rule_it_shared_with_alone() -> None:
    three = Three()
    before = three.spis
    other = Identity.parse("b2.example")
    moved = replace(
        BEFORE,
        b_at_a=(peer_b(R1), peer_b(R2, remote_id=other)),
        a_at_b=(peer_a(mirrored(R1), local=None), peer_a(mirrored(R2), local=None, name="a2", local_id=other)),
    )
    three.net.exchange_packets(three.a, three.b, "r1", every=0.05, until=three.net.now + 20)
    three.reload(moved)
    three.net.run(25)
    assert three.net.lost_packets == []
    assert three.spis["r1"] == before["r1"]
    assert three.spis["r2"] != before["r2"]
    assert three.agree()
    assert len(three.b.established) == 2


def two_entries(*names: str) -> IkeConfig:
    """The same peer twice, for b. One credential opens both, since they differ by nothing that it proves."""
    rules = {"r1": peer_a(mirrored(R1), name="r1"), "r2": peer_a(mirrored(R2), name="r2", fragmentation=False)}
    return IkeConfig(tuple(rules[name] for name in names))


def test_a_rule_that_gets_an_entry_of_its_own_stays_open_to_the_credential_that_opened_it() -> None:
    three = Three()
    before, ikes = three.spis, three.ike_spis
    three.net.exchange_packets(three.a, three.b, "r1", every=0.05, until=three.net.now + 20)
    three.net.carry_out(three.b, three.b.ike.reconfigure(two_entries("r1", "r2"), three.net.now))
    three.net.run(25)
    assert three.net.lost_packets == []
    assert set(three.spis) == {"r1", "r2", "r3"}
    assert three.spis["r1"] == before["r1"]
    assert three.spis["r2"] != before["r2"]  # its terms are others
    assert three.ike_spis == ikes
    assert three.agree()


@pytest.mark.parametrize(("left", "gone"), [("r2", "r1"), ("r1", "r2")])
def test_of_two_entries_that_one_credential_opened_either_may_go(left: str, gone: str) -> None:
    three = Three()
    three.net.carry_out(three.b, three.b.ike.reconfigure(two_entries("r1", "r2"), three.net.now))
    three.net.run(25)
    spis, established = three.spis, three.b.established
    assert [sa.peer for sa in three.b.ike.status()] == ["r1"]
    three.net.exchange_packets(three.a, three.b, left, every=0.05, until=three.net.now + 20)
    three.net.carry_out(three.b, three.b.ike.reconfigure(two_entries(left), three.net.now))
    three.net.run(25)
    assert three.b.established == established
    assert [sa.peer for sa in three.b.ike.status()] == [left]
    assert three.spis == {left: spis[left], "r3": spis["r3"]}
    assert gone in spis
    assert three.net.lost_packets == []


def test_an_entry_with_another_key_is_not_opened_by_what_opened_the_first() -> None:
    three = Three()
    config = two_entries("r1", "r2")
    strict = replace(config.peers[1], shared_keys=(OTHER_KEY,))
    three.net.carry_out(three.b, three.b.ike.reconfigure(IkeConfig((config.peers[0], strict)), three.net.now))
    three.net.run(25)
    assert set(three.spis) == {"r1", "r3"}
    assert three.a.events("child-failed")[-1].fields["reason"] == (
        "the peer accepts none of our traffic selectors (TS_UNACCEPTABLE): we ask for 10.3.0.0/16 = 10.2.0.0/16"
    )


def test_a_gateway_whose_policy_is_taken_away_closes_all_and_starts_nothing() -> None:
    three = Three()
    three.net.carry_out(three.a, three.a.ike.reconfigure(IkeConfig(), three.net.now))
    three.net.run(1)
    assert not three.a.inbound | three.b.inbound | three.c.inbound
    assert not three.a.ike.status()
    assert {report.fields["reason"] for report in three.a.events("ike-closed")} == {"the policy has changed"}
    assert limits.RECONNECT_LAST * 2 < 600
    sent = len(three.net.sent)
    three.net.run(600)
    assert len([1 for _, datagram in three.net.sent[sent:] if str(datagram.source.address) == A]) == 0
