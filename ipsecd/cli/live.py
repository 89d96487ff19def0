"""``ipsecctl monitor`` on a terminal: rules, SAs, negotiations, soft SAs and drops as they are now, and what happens.

The view is made anew from the daemon's answers each time; only rates need what was there before. What doesn't fit is
named by number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ipsecd.cli import render
from ipsecd.cli.client import Client, taking_apart
from ipsecd.cli.program import Failure

EVENTS = 200  # that are kept; no terminal shows more
_RULE = ("rule", "state", "hits", "a second", "dropped in clear", "a second")
_SA = ("SA", "state", "in", "out", "rekey in")
_DROP = ("dropped because", "count", "a second")
_TABLES = 4
_BESIDE = 12  # lines of titles, of what is said around the tables, and of a few events
_LEAST = 3  # rows of each table, however low the terminal

Answers = Mapping[str, Mapping[str, Any]]  # of status, policy and sas, by command
Counts = dict[tuple[str, str], int]


class View:
    """What is shown, from one look at the daemon to the next."""

    def __init__(self) -> None:
        self._answers: Answers = {}
        self._counts: Counts = {}
        self._before: Counts = {}
        self._now = self._then = 0.0

    def take(self, answers: Answers, now: float) -> None:
        """The daemon's answers at this moment, in seconds of any clock that runs on."""
        self._before, self._then = self._counts, self._now
        self._answers, self._now = answers, now
        self._counts = dict(_counted(answers))

    def parts(self, width: int, height: int) -> Iterable[RenderableType]:
        """All but the events, for a terminal of so many columns and lines."""
        status, most = self._answers["status"], max(_LEAST, (height - _BESIDE) // _TABLES)
        yield render.headline(status)
        yield from _table(_RULE, [self._rule(rule) for rule in status["rules"]], most, width)
        yield from _table(render.SOFT, [render.soft(each) for each in status["soft_sas"]], most, width)
        yield from _table(_SA, list(_sas(self._answers["sas"]["sas"])), most, width)
        drops = sorted(status["drops"].items(), key=lambda item: (-self._rate("drop", item[0]), -item[1]))
        rows = [(name, count, _each_second(self._rate("drop", name))) for name, count in drops]
        yield from _table(_DROP, rows, most, width)

    def _rule(self, rule: Mapping[str, Any]) -> tuple[object, ...]:
        name = rule["name"]
        counts = [(self._counts.get((what, name), 0), self._rate(what, name)) for what in ("hit", "clear")]
        (hits, hit), (clear, cleared) = counts
        return name, render.state(rule["state"]), hits, _each_second(hit), clear, _each_second(cleared)

    def _rate(self, what: str, name: str) -> float:
        """How much was added in each second since the look before. A counter that has less than then was set back."""
        before = self._before.get((what, name))
        seconds = self._now - self._then
        if before is None or seconds <= 0:
            return 0.0
        count = self._counts[what, name]
        return (count - before if count >= before else count) / seconds


def _counted(answers: Answers) -> Iterable[tuple[tuple[str, str], int]]:
    for name, count in answers["status"]["drops"].items():
        yield ("drop", name), count
    hits: Counts = {}
    for entry in answers["policy"]["entries"]:
        for what, field in (("hit", "steered"), ("clear", "dropped")):
            key = what, entry["rule"]
            hits[key] = hits.get(key, 0) + entry[field]
    yield from hits.items()


def _sas(sas: Iterable[Mapping[str, Any]]) -> Iterable[tuple[object, ...]]:
    """Each IKE SA, and its children below it; of AH around ESP those of AH in a row of their own."""
    for sa in sas:
        yield f"IKE {sa['peer']}", render.state(sa["stage"]), "", "", render.duration(sa["rekey_in"])
        for child in sa["children"]:
            rekey = render.duration(child["rekey_in"])
            yield f"  {child['name']}", render.state(child["stage"]), *_traffic(child), rekey
            for pair in child["around"]:
                yield f"    {pair['protocol']} around it", "", *_traffic(pair), ""


def _traffic(pair: Mapping[str, Any]) -> Iterable[str]:
    """What a child, or the AH around it, has carried: in, then out."""
    return (render.traffic(pair[way]) for way in ("in", "out"))


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]], most: int, width: int) -> Iterable[RenderableType]:
    if rows:
        yield render.grid(titles, rows[:most], width)
    if len(rows) > most:
        yield Text(f"and {len(rows) - most} more", style="dim")


def _each_second(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 1 else f"{rate:.1g}" if rate else ""


def screen(console: Console, view: View, events: Sequence[Mapping[str, Any]]) -> Group:
    """A whole terminal: the view, and below it the latest of ``events``, as many as there is room for."""
    width, height = console.size
    with taking_apart():
        parts = list(view.parts(width, height))
        options = console.options.update(height=None)
        used = len(console.render_lines(Group(*parts), options, pad=False))
        room = max(0, height - used - 1)
        lines = [render.event(event) for event in events][-room:] if room else []
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*parts, *lines)


def watch(control: Path, level: str, interval: float, console: Console) -> NoReturn:
    """Show it until Ctrl-C, each ``interval`` seconds anew. Raises Failure, also once the daemon is gone."""
    view, events = View(), deque[Mapping[str, Any]](maxlen=EVENTS)
    with Client(control) as client, Client(control) as listener:
        listener.ask("monitor", level=level)
        threading.Thread(target=_listen, args=(listener, events), daemon=True).start()
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                with taking_apart():
                    view.take(_ask(client), time.monotonic())
                live.update(screen(console, view, tuple(events)), refresh=True)
                time.sleep(interval)


def _ask(client: Client) -> Answers:
    status = client.ask("status")
    in_force = status["policy"] is not None
    policy = client.ask("policy") if in_force else {"entries": []}
    return {"status": status, "policy": policy, "sas": client.ask("sas")}


def _listen(client: Client, events: deque[Mapping[str, Any]]) -> None:
    """In a thread of its own. Whoever asks hears of it too when the daemon is gone."""
    try:
        events.extend(client.events())
    except (Failure, OSError, ValueError):  # the last: the connection was closed here
        return
