"""The table of docs/policies.md obeys its laws, and the laws find what breaks them. Whether it is true, packet by
packet, tests/netns/test_policy_table.py sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecd.policy.actions import FallbackToClear, FilterAction
from ipsecd.policy.builtin import FILTER_ACTIONS
from ipsecd.policy.load import load_policy
from tests.netns import policy_table
from tests.netns.cell_policies import files_of_a, files_of_b
from tests.netns.cells import Layout
from tests.netns.events import EVENTS
from tests.netns.policy_table import BY_PASSTHROUGH, BY_SOFT_SA, CLEAR, NOTHING, PROTECTED, Cell
from tests.netns.test_policy_table import LIKE_ANOTHER, PART

TEXT = policy_table.DOCUMENT.read_text()
CELLS = policy_table.cells(TEXT)
ACTIONS = policy_table.actions(TEXT) | {
    "falls-back": FilterAction.model_validate({"action": "negotiate", "fallback_to_clear": True}),
    "lets-in": FilterAction.model_validate({"action": "negotiate", "inbound_passthrough": True}),
}
SAMPLE = """
<!-- table: passes -->

| action | direction | peer | traffic | packets | family | passes |
|---|---|---|---|---|---|---|
| `block` | out | in clear | local, forwarded | whole | IPv4, IPv6 | nothing |
| `permit` | in | silent | local | fragmented | IPv6 | clear |

<!-- end -->
"""


def test_the_table_obeys_the_laws_and_is_whole() -> None:
    assert policy_table.breaches(CELLS, ACTIONS) == []


def test_the_table_has_what_every_policy_can_name() -> None:
    assert {*FILTER_ACTIONS, "accept-unsecured"} == {cell.action for cell in CELLS}


def test_the_events_of_the_document_are_those_of_the_test() -> None:
    assert policy_table.events(TEXT) == tuple(EVENTS)


def test_every_run_has_each_event_that_is_no_part_of_another_and_all_actions_but_one() -> None:
    """A start is in stop and start, that in SIGKILL, a negotiation in both, and assign in unassign and assign."""
    assert set(EVENTS) - set(PART) == {"start", "stop and start", "negotiation", "assign"}
    assert LIKE_ANOTHER in {cell.action for cell in policy_table.cells(TEXT)}


def test_the_document_tells_at_which_events_soft_sas_end() -> None:
    ends = [event for event in EVENTS if policy_table.ends_soft_sas(TEXT, event)]
    assert ends == ["start", "stop and start", "unassign and assign", "SIGKILL"]
    with pytest.raises(ValueError, match="'stay' is none of end, stand"):
        policy_table.ends_soft_sas(TEXT.replace("| stand |", "| stay |"), "rekey")


def test_a_row_holds_for_each_kind_of_packets_that_it_names() -> None:
    assert policy_table.cells(SAMPLE) == (
        Cell("block", "out", "in clear", "local", "whole", "IPv4", "nothing"),
        Cell("block", "out", "in clear", "local", "whole", "IPv6", "nothing"),
        Cell("block", "out", "in clear", "forwarded", "whole", "IPv4", "nothing"),
        Cell("block", "out", "in clear", "forwarded", "whole", "IPv6", "nothing"),
        Cell("permit", "in", "silent", "local", "fragmented", "IPv6", "clear"),
    )


@pytest.mark.parametrize(
    ("word", "other"),
    [("in clear", "gone"), ("forwarded", "both"), ("whole", "whole packets"), ("IPv4", "v4"), ("nothing", "none")],
)
def test_a_word_that_the_table_does_not_have_is_refused(word: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"'{other}' is none of"):
        policy_table.cells(SAMPLE.replace(word, other))


def test_actions_of_the_document_are_read_as_a_policy_file_has_them() -> None:
    text = "```yaml\nfilter_actions:\n  mild: {action: negotiate, inbound_passthrough: true}\n```\n"
    assert policy_table.actions(text)["mild"] == ACTIONS["lets-in"]


def breaches_of(action: str, direction: str, peer: str, passes: str) -> list[str]:
    """What the laws have against one cell."""
    cell = Cell(action, direction, peer, "local", "whole", "IPv4", passes)
    return [told for told in policy_table.breaches([cell], ACTIONS) if not told.endswith(": not told")]


@pytest.mark.parametrize(
    ("action", "direction", "peer", "passes"),
    [
        ("block", "out", "silent", NOTHING),
        ("block", "in", "protects", NOTHING),
        ("permit", "in", "refuses", CLEAR),
        ("require-security", "out", "protects", PROTECTED),
        ("require-security", "out", "lapses", PROTECTED),
        ("require-security", "in", "lapses", NOTHING),
        ("require-security", "in", "silent", NOTHING),
        ("falls-back", "out", "silent", BY_SOFT_SA),
        ("falls-back", "out", "in clear", BY_SOFT_SA),
        ("falls-back", "out", "refuses", NOTHING),
        ("lets-in", "in", "refuses", BY_PASSTHROUGH),
        ("lets-in", "in", "protects", PROTECTED),
        ("request-security", "in", "silent", BY_PASSTHROUGH),
        ("request-security", "out", "silent", BY_SOFT_SA),
    ],
)
def test_what_is_lawful(action: str, direction: str, peer: str, passes: str) -> None:
    assert breaches_of(action, direction, peer, passes) == []


@pytest.mark.parametrize(
    ("action", "direction", "peer", "passes", "law"),
    [
        ("block", "out", "protects", PROTECTED, "what is blocked never passes"),
        ("block", "in", "silent", CLEAR, "what is blocked never passes"),
        ("permit", "out", "protects", PROTECTED, "what is permitted passes in clear"),
        ("permit", "in", "silent", NOTHING, "what is permitted passes in clear"),
        ("require-security", "out", "silent", CLEAR, "only by a soft SA or by passthrough"),
        ("require-security", "out", "silent", BY_SOFT_SA, "a soft SA is for what leaves"),
        ("require-security", "in", "in clear", BY_PASSTHROUGH, "passthrough is for what arrives, if the action has it"),
        ("require-security", "out", "protects", NOTHING, "where the peer has agreed"),
        ("require-security", "in", "lapses", PROTECTED, "where the peer has agreed"),
        ("require-security", "in", "refuses", PROTECTED, "where the peer has agreed"),
        ("request-security", "out", "silent", CLEAR, "only by a soft SA or by passthrough"),
        ("falls-back", "out", "refuses", BY_SOFT_SA, "to a peer that gives no answer"),
        ("falls-back", "out", "protects", BY_SOFT_SA, "to a peer that gives no answer"),
        ("falls-back", "in", "silent", BY_SOFT_SA, "a soft SA is for what leaves"),
        ("falls-back", "in", "silent", BY_PASSTHROUGH, "passthrough is for what arrives, if the action has it"),
        ("lets-in", "out", "silent", BY_PASSTHROUGH, "passthrough is for what arrives, if the action has it"),
        ("lets-in", "out", "silent", BY_SOFT_SA, "if the action falls back to clear"),
    ],
)
def test_what_is_not_lawful(action: str, direction: str, peer: str, passes: str, law: str) -> None:
    (told,) = breaches_of(action, direction, peer, passes)
    assert law in told


def test_more_rows_need_no_more_than_their_words() -> None:
    """Each cell has packets of its own, and the policies of both ends have a rule for it."""
    known = [cell for cell in CELLS if cell.action in ("permit", "block", "require-security")]
    more = [
        replace(cell, action=action)
        for action in ("lets-in", "falls-back")
        for cell in known
        if cell.action == "require-security"
    ]
    layout = Layout([*known, *more], ACTIONS)
    flows = [flow for place in ("ha", "ga", "gb", "hb") for flow in layout.flows(place, layout.cells)]
    assert len({flow.name for flow in flows}) == len(layout.cells)
    assert len({(flow.source, flow.target, flow.port) for flow in flows}) == len(layout.cells)
    ours, theirs = (load_policy(files["policy.yaml"], "") for files in (files_of_a(layout), files_of_b(layout)))
    assert [rule.action for _, rule in ours.rules("table")] == [
        action for action in ("permit", "block", "require-security", "lets-in") for _ in policy_table.PEERS
    ] + ["falls-back-lasting" for _ in policy_table.PEERS for _ in (4, 6)]
    lasting = FallbackToClear(lifetime=86_400)
    assert ours.content.filter_actions == {
        "lets-in": ACTIONS["lets-in"],
        "falls-back-lasting": ACTIONS["falls-back"].model_copy(update={"fallback_to_clear": lasting}),
    }
    assert [rule.name for _, rule in theirs.rules("far")] == [
        *("permit-protects", "permit-lapses", "require-security-protects", "require-security-lapses"),
        *("lets-in-protects", "lets-in-lapses", "falls-back-protects-4", "falls-back-protects-6"),
        *("falls-back-lapses-4", "falls-back-lapses-6"),
        *("lapse", "refuses-4", "refuses-6"),
    ]


@pytest.mark.parametrize("native", ["ESP", "AH"])
def test_what_is_to_be_native_is_so_at_both_ends(native: str) -> None:
    """Whoever is there: none of the rules that negotiate leaves it to the peer."""
    known = [cell for cell in CELLS if cell.action in ("permit", "require-security")]
    layout = Layout(known, ACTIONS, native=native)
    name = {"ESP": "require-security", "AH": "require-security-by-ah"}[native]
    for files, assigned, count in ((files_of_a(layout), "table", 5), (files_of_b(layout), "far", 3)):
        policy = load_policy(files["policy.yaml"], "")
        negotiated = [rule for _, rule in policy.rules(assigned) if rule.action == name]
        assert [rule.encapsulation for rule in negotiated] == ["native"] * count
        action = policy.content.filter_actions.get(name)
        assert (action is None) is (native == "ESP")
        if action:
            assert [(method.esp, bool(method.ah)) for method in action.security_methods] == [(None, True)]


def test_a_cell_that_is_missing_or_there_twice_is_told() -> None:
    first, *rest = CELLS
    assert policy_table.breaches(rest, ACTIONS) == [f"{' '.join(first.way)}: not told"]
    assert policy_table.breaches([*CELLS, first], ACTIONS) == [f"{' '.join(first.way)}: told 2 times"]
    assert policy_table.breaches([*CELLS, replace(first, passes=PROTECTED)], ACTIONS) == [
        f"{' '.join(first.way)}: what is permitted passes in clear",
        f"{' '.join(first.way)}: told 2 times",
    ]
