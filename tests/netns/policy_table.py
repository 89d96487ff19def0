"""Reads the tables of docs/policies.md, and the laws that their rows have to obey. Knows nothing of packets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml

from ipsecd.policy.actions import FilterAction
from ipsecd.policy.builtin import FILTER_ACTIONS

DOCUMENT = Path(__file__).parents[2] / "docs/policies.md"

DIRECTIONS = ("out", "in")
PEERS = ("protects", "lapses", "in clear", "silent", "refuses")
TRAFFIC = ("local", "forwarded")
SHAPES = ("whole", "fragmented")
FAMILIES = ("IPv4", "IPv6")
CLEAR, BY_SOFT_SA, BY_PASSTHROUGH = "clear", "clear by a soft SA", "clear by passthrough"
PROTECTED, NOTHING = "protected", "nothing"
FORMS = (CLEAR, BY_SOFT_SA, BY_PASSTHROUGH, PROTECTED, NOTHING)
_AGREED = (("protects", "out"), ("protects", "in"), ("lapses", "out"))
_UNANSWERED = ("in clear", "silent")  # of these peers comes no IKE answer, as fallback to clear wants it


@dataclass(frozen=True, slots=True)
class Cell:
    """What can be sent in one way, and in which form it passes: one of ``FORMS``."""

    action: str
    direction: str
    peer: str
    traffic: str
    packets: str
    family: str
    passes: str

    @property
    def version(self) -> int:
        return {"IPv4": 4, "IPv6": 6}[self.family]

    @property
    def may_be_clear(self) -> bool:
        return self.passes in (CLEAR, BY_SOFT_SA, BY_PASSTHROUGH)

    @property
    def way(self) -> tuple[str, ...]:
        """All but what passes: no two cells of a table have the same."""
        return self.action, self.direction, self.peer, self.traffic, self.packets, self.family


def cells(text: str) -> tuple[Cell, ...]:
    """The cells of the table ``passes``: a row may name several kinds of traffic, packets and families. Raises
    ValueError for a word that isn't one of the table's."""
    return tuple(cell for row in _rows(text, "passes") for cell in _expanded(row))


def events(text: str) -> tuple[str, ...]:
    """The names of the table ``events``."""
    return tuple(row["event"] for row in _rows(text, "events"))


def ends_soft_sas(text: str, event: str) -> bool:
    """Whether the table ``events`` says that soft SAs end at this one; else they stand. Raises ValueError for another
    word."""
    (said,) = (row["soft SAs"] for row in _rows(text, "events") if row["event"] == event)
    return _word(said, ("end", "stand")) == "end"


def actions(text: str) -> dict[str, FilterAction]:
    """The filter actions that the rows may name: those built in, and those of the document's own YAML."""
    block = re.search(r"^```yaml\n(filter_actions:.*?)^```", text, re.MULTILINE | re.DOTALL)
    own = yaml.safe_load(block[1])["filter_actions"] if block else {}
    return {**FILTER_ACTIONS, **{name: FilterAction.model_validate(action) for name, action in own.items()}}


def breaches(table: Sequence[Cell], known: Mapping[str, FilterAction]) -> list[str]:
    """Each cell that breaks a law, each that is missing, and each that there is twice."""
    told = [f"{' '.join(cell.way)}: {law}" for cell in table for law in _broken(cell, known[cell.action])]
    count = Counter(cell.way for cell in table)
    told += [f"{' '.join(way)}: told {times} times" for way, times in count.items() if times > 1]
    named = dict.fromkeys(cell.action for cell in table)
    whole = product(named, DIRECTIONS, PEERS, TRAFFIC, SHAPES, FAMILIES)
    return told + [f"{' '.join(way)}: not told" for way in whole if way not in count]


def _broken(cell: Cell, action: FilterAction) -> Iterator[str]:
    if action.action == "block":
        if cell.passes != NOTHING:
            yield "what is blocked never passes"
    elif action.action == "permit":
        if cell.passes != CLEAR:
            yield "what is permitted passes in clear"
    elif cell.passes == CLEAR:
        yield "what is negotiated passes in clear only by a soft SA or by passthrough"
    elif cell.passes == BY_SOFT_SA:
        if action.fallback_to_clear is None or cell.direction != "out" or cell.peer not in _UNANSWERED:
            yield "a soft SA is for what leaves to a peer that gives no answer, if the action falls back to clear"
    elif cell.passes == BY_PASSTHROUGH:
        if not action.inbound_passthrough or cell.direction != "in":
            yield "passthrough is for what arrives, if the action has it"
    elif (cell.passes == PROTECTED) != ((cell.peer, cell.direction) in _AGREED):
        yield "what is negotiated passes protected where the peer has agreed to that and does it, and only there"


def _expanded(row: Mapping[str, str]) -> Iterator[Cell]:
    several = [_words(row[column], known) for column, known in _SEVERAL.items()]
    one = [_word(row[column], known) for column, known in _ONE.items()]
    (form,) = _words(row["passes"], FORMS)
    for traffic, packets, family in product(*several):
        yield Cell(row["action"], *one, traffic, packets, family, form)


_ONE = {"direction": DIRECTIONS, "peer": PEERS}
_SEVERAL = {"traffic": TRAFFIC, "packets": SHAPES, "family": FAMILIES}


def _words(text: str, known: Sequence[str]) -> list[str]:
    return [_word(word, known) for word in text.split(", ")]


def _word(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise ValueError(f"{text!r} is none of {', '.join(known)}")
    return text


def _rows(text: str, table: str) -> list[dict[str, str]]:
    """The rows of the Markdown table behind ``<!-- table: NAME -->``, by the heads of its columns."""
    lines = text.partition(f"<!-- table: {table} -->")[2].partition("<!-- end -->")[0].strip().splitlines()
    heads, _, *rows = ([each.strip().strip("`") for each in line.strip("|").split("|")] for line in lines)
    return [dict(zip(heads, row, strict=True)) for row in rows]
