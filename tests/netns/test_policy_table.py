"""What passes, and in which form, is what docs/policies.md says; and what mustn't pass in clear never does, whatever
happens to the gateway. Everything is in sites of which every link is seen, with packets in all cells of the table at
once; before there is a policy, each cell passes in clear, and is seen.

`scripts/test policies` has it all; other suites have fewer packets for each event, and of events and of actions that
are alike one.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.interop.waiting import eventually
from tests.netns import policy_table
from tests.netns.cells import GATEWAYS, Layout
from tests.netns.events import EVENTS
from tests.netns.policy_table import BY_SOFT_SA, Cell
from tests.netns.stage import Moment, Stage

pytestmark = pytest.mark.root

TEXT = policy_table.DOCUMENT.read_text()
CELLS = policy_table.cells(TEXT)
LIKE_ANOTHER = "accept-unsecured"  # does nothing that request-security doesn't do too
ROUNDS = 5  # packets in each cell
FEW, MANY = 1_000, 10_000  # packets at least for each event
SILENT = {address for peer in ("in clear", "silent") for address in GATEWAYS[peer].values()}
NATIVE_PART = ["rekey", "SIGKILL"]
PART = [event for event in EVENTS if event not in ("start", "stop and start", "negotiation", "assign")]


@contextlib.contextmanager
def staged(folder: Path, cells: Sequence[Cell], *, tunnels: bool = True, native: str = "") -> Iterator[Stage]:
    """Without a policy each cell was seen to pass in clear; now there is one."""
    with Stage(folder, Layout(cells, policy_table.actions(TEXT), tunnels, native)) as built:
        with built.flooded(cells):
            built.flow_in_clear(cells)
            built.flow(cells)
        built.govern()
        yield built


def disagreed(stage: Stage) -> bool:
    """Whether a has met what the table's peers are."""
    log = stage.a.log()
    told = {"in clear": "calling", "silent": "calling", "refuses": "authentication failed"}
    lines = (rf"{rule.name}\b.*: {what}" for peer, what in told.items() for rule in stage.layout.firsts(peer))
    unreachable = stage.ledger.others["ICMP error about IKE or ESP"]
    return bool(unreachable) and all(re.search(line, log) for line in lines)


def test_what_passes_is_what_the_table_says_whatever_happens(tmp_path: Path) -> None:
    with staged(tmp_path, [cell for cell in CELLS if cell.action != LIKE_ANOTHER]) as stage:
        measure(stage)
        endure(stage, PART, FEW, gap=0.1)
        measure(stage)


@pytest.mark.parametrize(("native", "tunnels"), [("ESP", True), ("AH", False)], ids=["ESP of gateways", "AH of hosts"])
def test_what_is_protected_in_native_packets_is_so_whatever_happens(tmp_path: Path, native: str, tunnels: bool) -> None:
    traffic = policy_table.TRAFFIC if tunnels else ("local",)
    cells = [cell for cell in CELLS if cell.action == "require-security" and cell.traffic in traffic]
    with staged(tmp_path, cells, tunnels=tunnels, native=native) as stage:
        measure(stage)
        endure(stage, NATIVE_PART, FEW, gap=0.2)
        measure(stage)


@pytest.mark.whole
@pytest.mark.parametrize("action", ["require-security", "request-security"])
@pytest.mark.parametrize("native", ["", "ESP", "AH"], ids=["ESP in UDP", "ESP", "AH"])
def test_what_passes_between_hosts_without_a_tunnel_is_the_same_whatever_happens(
    tmp_path: Path, action: str, native: str
) -> None:
    cells = [cell for cell in CELLS if (cell.action, cell.traffic) == (action, "local")]
    with staged(tmp_path, cells, tunnels=False, native=native) as stage:
        measure(stage)
        endure(stage, EVENTS, MANY, gap=0.01)
        measure(stage)


@pytest.mark.whole
@pytest.mark.timeout(900)
@pytest.mark.parametrize("native", ["ESP", "AH"])
def test_what_passes_is_what_the_table_says_if_what_is_protected_is_native(tmp_path: Path, native: str) -> None:
    with staged(tmp_path, [cell for cell in CELLS if cell.action != LIKE_ANOTHER], native=native) as stage:
        measure(stage)
        endure(stage, EVENTS, MANY, gap=0.03)
        measure(stage)


@pytest.mark.whole
@pytest.mark.timeout(1_800)
def test_what_passes_is_what_the_table_says_whatever_happens_in_either_order(tmp_path: Path) -> None:
    with staged(tmp_path, CELLS) as stage:
        measure(stage)
        endure(stage, [*EVENTS, *reversed(EVENTS)], MANY, gap=0.03)
        measure(stage)


def measure(stage: Stage) -> None:
    """Some packets in all cells, when everything that can be negotiated is, and others have shown what they are."""
    cells = stage.layout.cells
    with stage.flooded(cells):
        stage.flow([cell for cell in cells if cell.passes != "nothing"])
        eventually(lambda: disagreed(stage), "peers refuse")
    stage.settle()
    since, before = stage.now(), Counter(stage.ledger.protected)
    with stage.flooded(cells, rounds=ROUNDS):
        stage.settle()
    wrong = {" ".join(cell.way): found for cell in cells if (found := seen(stage, cell, since)) != expected(cell)}
    assert wrong == {}
    assert stage.leaks(cells, stage.governed, stage.now()) == {}, "before, or while nothing happened"
    assert stage.strange() == {}
    assert {child["mode"] for child in stage.a.children()} == {"tunnel" if stage.layout.tunnels else "transport"}
    if stage.layout.native and not stage.layout.tunnels:
        assert stage.ledger.cut == {4, 6}, "the large ones are cut behind AH or ESP"
    by_spi = stage.ledger.protected - before
    known = {child[spi]: (child["name"], way) for child in stage.a.children() for way, spi in WAYS.items()}
    needed = Counter({sa: ROUNDS * len(group) for sa, group in by_sa(stage).items()})
    assert by_spi.keys() <= known.keys(), "by an SA that isn't there"
    assert {known[spi]: count for spi, count in by_spi.items() if count < needed[known[spi]]} == {}


WAYS = {"out": "spi_out", "in": "spi_in"}


def by_sa(stage: Stage) -> dict[tuple[str, str], list[Cell]]:
    """The cells whose packets cross the wire by each child SA, in one direction."""
    found = defaultdict(list)
    for cell in stage.layout.cells:
        if sa := stage.layout.sa(cell):
            found[sa, cell.direction].append(cell)
    return found


def seen(stage: Stage, cell: Cell, since: Moment) -> tuple[int, int]:
    """How many packets came to where they were sent, and crossed the wire in clear."""
    return stage.arrived(cell, since), stage.in_clear(cell, since)


def expected(cell: Cell) -> tuple[int, int]:
    """What arrives in clear is there whatever we do with it; all else is as the table says."""
    sent_in_clear = cell.direction == "in" and cell.peer != "protects"
    return (0 if cell.passes == "nothing" else ROUNDS, ROUNDS if cell.may_be_clear or sent_in_clear else 0)


def endure(stage: Stage, events: Iterable[str], packets: int, gap: float) -> None:
    """So many packets are sent through each event, in all cells that may not be clear; and others where they may by a
    soft SA, which stands or ends as the table says, and is made again."""
    cells = [cell for cell in stage.layout.cells if not cell.may_be_clear or cell.passes == BY_SOFT_SA]
    flowing = [cell for cell in cells if cell.passes != "nothing"]
    spans = []
    with stage.flooded(cells, gap=gap):
        for event in events:
            since, begun = stage.now(), time.monotonic()
            EVENTS[event](stage)
            stage.flow(flowing)
            stage.meanwhile(packets, since)
            spans.append((event, since, stage.now()))
            excepted = stage.excepted()
            assert excepted.keys() == (SILENT if BY_SOFT_SA in {cell.passes for cell in cells} else set())
            if policy_table.ends_soft_sas(TEXT, event):
                assert all(latest > begun for _, latest in excepted.values()), f"soft SAs outlast {event}"
            else:
                assert all(earliest <= begun for earliest, _ in excepted.values()), f"soft SAs end at {event}"
    stage.settle()
    for event, *span in spans:
        sent = sum(span[1].values()) - sum(span[0].values())
        print(f"{event:25}{sent:8} packets{stage.escaped(cells, *span):6} let out")
    assert [(event, leaks) for event, *span in spans if (leaks := stage.leaks(cells, *span))] == []
    assert stage.strange() == {}
