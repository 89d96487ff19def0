"""The search for filters that compete, against one that compares each with each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.policy.boxes import Place, Work
from ipsecd.policy.load import load_policy
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.notes import places
from ipsecd.policy.order import rank
from ipsecd.policy.paths import Path
from ipsecd.policy.plan import Action, Entry
from ipsecd.policy.ties import ties
from tests.property.test_policy_order import Written, lists

TUNNELS = """\
    action: require-security
    tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
    authentication: [{psk: hq}]
"""


def rules(filters: list[Written], sizes: list[int], actions: list[str]) -> PolicyFile:
    """The filters in rules of these sizes; what negotiates covers both directions."""
    text = "credentials: {hq: {psk: {file: hq}}}\npolicies:\n  p:\n    rules:\n"
    left = list(filters)
    for number, (size, action) in enumerate(zip(sizes, actions, strict=True)):
        some, left = left[:size], left[size:]
        if some:
            written = ", ".join(map(str, some))
            text += f"    - name: r{number}\n      filters: [{written}]\n"
            text += TUNNELS.replace("    ", "      ") if action == "tunnel" else f"      action: {action}\n"
    return load_policy(text, "p.yaml")


def same_rank(one: Place, two: Place) -> bool:
    return one.entry.pairs[0][0].version == two.entry.pairs[0][0].version and rank(one.entry) == rank(two.entry)


def covers(one: Entry, two: Entry) -> bool:
    ways = one.outbound >= two.outbound and one.inbound >= two.inbound
    return ways and all(pair in one.pairs for pair in two.pairs)


def overlap(one: Entry, two: Entry) -> bool:
    return any(
        near.intersect(other_near) is not None and far.intersect(other_far) is not None
        for near, far in one.pairs
        for other_near, other_far in two.pairs
    )


def compete(one: Entry, two: Entry) -> bool:
    if one.rule == two.rule or (one.action == two.action and one.action != Action.PROTECT):
        return False
    return (one.outbound and two.outbound) or (one.inbound and two.inbound)


def slow(found: list[Place]) -> tuple[dict[Path, int], dict[Path, int]]:
    """By path, the line of the one that comes first; and of the one that does if some address is this machine's."""
    free: list[Place] = []
    beaten: dict[Path, list[Place]] = {}
    ours: dict[Path, list[Place]] = {}
    for place in found:
        first = next((one for one in free if same_rank(one, place) and covers(one.entry, place.entry)), None)
        others = [one for one in free if same_rank(one, place)]
        rivals = [first] if first else [one for one in others if overlap(one.entry, place.entry)]
        beaten.setdefault(place.path, []).extend(one for one in rivals if compete(one.entry, place.entry))
        if first is None:
            maybe = (one for one in others if overlap_if_ours(one.entry, place.entry))
            ours.setdefault(place.path, []).extend(one for one in maybe if compete(one.entry, place.entry))
            free.append(place)
    return lines(beaten), lines(ours)


def lines(rivals: dict[Path, list[Place]]) -> dict[Path, int]:
    return {path: min(some, key=lambda one: one.number).entry.line for path, some in rivals.items() if some}


def overlap_if_ours(one: Entry, two: Entry) -> bool:
    """Whether they do if a single address here is this machine's."""
    if bool(one.me) == bool(two.me):
        return False
    mine, other = (one, two) if one.me else (two, one)
    alone = [(local, remote) for local, remote in other.pairs if local.start == local.end and int(local.start) > 65_535]
    near = mine.me[0][0]
    return any(
        near.intersect(replace(local, start=near.start, end=near.start)) is not None
        and far.intersect(remote) is not None
        for _, far in mine.me
        for local, remote in alone
    )


@given(
    lists,
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
    st.lists(st.sampled_from(["permit", "block", "tunnel"]), min_size=6, max_size=6),
)
def test_what_is_told_is_what_a_slow_comparison_finds(
    filters: list[Written], sizes: list[int], actions: list[str]
) -> None:
    found = list(places(rules(filters, sizes, actions), "p"))
    told = ties(found, Work())
    beaten, ours = slow(found)
    assert told.keys() == beaten.keys() | ours.keys()
    for path, message in told.items():
        line = beaten.get(path, ours.get(path))
        assert message.startswith(f"is as specific as the filter in line {line} ")
        assert message.endswith(" is this machine's") == (path not in beaten)
