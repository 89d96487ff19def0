"""Rules for one type of connection: what the floor says of a packet is what it would say if the rules for other types
weren't there, and inside the tunnels nobody need know of types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from ipsecd.policy import classify
from ipsecd.policy.apart import mixed
from ipsecd.policy.boxes import Place
from ipsecd.policy.connections import WAYS
from ipsecd.policy.order import by_precedence
from ipsecd.policy.plan import Action, Entry
from ipsecd.wire.selector import Selector
from tests.property.test_policy_crossing import HOSTS, Packet, covers, entries, meant, met, said, verdict

TYPES = {"lan0": "lan", "ppp0": "remote-access", "new0": "unknown"}

names = st.sampled_from(sorted(TYPES))
hosts = st.sampled_from(HOSTS)
packets = st.builds(Packet, hosts, hosts, st.sampled_from((80, 22, None)), st.frozensets(hosts), names, names)


@st.composite
def typed(draw: st.DrawFn, most: int = 5) -> tuple[Entry, ...]:
    """Entries in order of precedence, some for one type of connection."""
    kinds = st.sampled_from(("", "lan", "remote-access"))
    found = [replace(draw(entries()), connections=draw(kinds)) for _ in range(draw(st.integers(0, most)))]
    return by_precedence(replace(entry, name=f"e/{number}") for number, entry in enumerate(found))


PAIRS = (("10.1.0.1/32", "10.2.0.1/32"), ("10.1.0.0/16", "10.2.0.0/16"), ("10.1.0.0/16", "0.0.0.0/0"))


@st.composite
def nested(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Entries that lie in each other, mostly protecting."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        near, far = draw(st.sampled_from(PAIRS))
        action = draw(st.sampled_from((Action.PROTECT, Action.PROTECT, Action.PERMIT, Action.BLOCK)))
        entry = Entry(f"e/{number}", "e", action, ((Selector.net(near), Selector.net(far)),))
        kind, persistent = (
            draw(st.sampled_from(("", "lan", "remote-access"))),
            draw(st.sampled_from((False, False, True))),
        )
        found.append(replace(entry, connections=kind, persistent=persistent))
    return by_precedence(found)


def visible(found: Sequence[Entry], interface: str) -> list[Entry]:
    return [entry for entry in found if entry.connections in ("", TYPES[interface])]


@given(typed(), packets, st.booleans())
def test_an_entry_for_another_type_is_as_good_as_none(found: Sequence[Entry], packet: Packet, leaving: bool) -> None:
    interface = packet.leaves_by if leaving else packet.came_by
    way, plain = (WAYS.out, classify.out) if leaving else (WAYS.into, classify.into)
    chains = classify.chains("c", classify.excepted(met(found, plain), way, verdict))
    others = classify.chains("c", classify.excepted(visible(met(found, plain), interface), plain, verdict))
    assert said(chains, "c", packet) == said(others, "c", packet)


@given(typed(), packets.filter(lambda packet: packet.port is not None), st.booleans())
def test_each_way_of_a_forwarded_packet_is_judged_by_its_own_interface(
    found: Sequence[Entry], packet: Packet, leaving: bool
) -> None:
    names = packet.leaves_by, packet.came_by
    way, other = (WAYS.out, WAYS.into) if leaving else (WAYS.into, WAYS.out)
    plain, plain_other = (classify.out, classify.into) if leaving else (classify.into, classify.out)
    chains = classify.blocked("blocked", found, (way, other), verdict)
    chains |= classify.crossing("crossing", met(found, plain), way, verdict)
    chains["c"] = ["jump blocked", "goto crossing"]
    own, across = (visible(found, name) for name in (names if leaving else names[::-1]))

    def covering(entry: Entry) -> bool:
        return bool(
            (entry in own and covers(plain, entry, packet)) or (entry in across and covers(plain_other, entry, packet))
        )

    first = next((entry for entry in found if covering(entry)), None)
    same = next((entry for entry in own if covers(plain, entry, packet)), None)
    assert said(chains, "c", packet) == meant(plain, first, same, packet)


inner = st.sampled_from(
    [Packet(HOSTS[0], HOSTS[2], 80), Packet(HOSTS[1], HOSTS[3], 80), Packet(HOSTS[2], HOSTS[0], 80)]
)


@given(st.one_of(nested(), typed()), st.one_of(inner, packets), st.booleans())
def test_the_spd_finds_the_entry_that_a_packet_was_steered_for(
    found: Sequence[Entry], packet: Packet, leaving: bool
) -> None:
    """Though it sees no interface, and whatever way the packet goes: of a policy that isn't refused."""
    assume(not list(mixed(Place(number, entry, (entry.name,), 1) for number, entry in enumerate(found))))
    way = classify.out if leaving else classify.into
    for interface in TYPES:
        steered = next((entry for entry in visible(found, interface) if covers(way, entry, packet)), None)
        if steered is not None and steered.action is Action.PROTECT:
            assert next(entry for entry in found if entry.inside_too and covers(way, entry, packet)) is steered
