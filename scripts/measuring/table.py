"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scripts.measuring.quantities import QUANTITIES, Quantity
from scripts.measuring.results import Results, Spread, ratios, spread


def document(results: Results, rivals: Mapping[str, Sequence[str]]) -> str:
    """All of it. ``rivals`` says whom each of ours is compared with."""
    parts = [_about(results), "Median (lower to upper quartile) of the rounds:", _values(results)]
    for ours, theirs in rivals.items():
        present = [name for name in theirs if name in results.versions]
        if ours in results.versions and present:
            parts += [
                f"{ours} divided by each in the same round, median (lower to upper quartile):",
                _ratios(results, ours, present),
            ]
    failures = [f"* round {turn.round}, {turn.contestant}: {turn.error}" for turn in results.turns if turn.error]
    if failures:
        parts += ["What failed:", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """Three digits or more, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _about(results: Results) -> str:
    lines = [f"* {name}: {value}" for name, value in {**results.machine, **results.options}.items()]
    return "\n".join(lines + [f"* {name}: {version}" for name, version in results.versions.items()])


def _values(results: Results) -> str:
    contestants = list(results.versions)
    rows = []
    for name, quantity in QUANTITIES.items():
        cells = [_cell(results.values(contestant, name).values()) for contestant in contestants]
        if any(cells):
            rows.append([_title(quantity), *cells])
    return _table(["", *contestants], rows)


def _ratios(results: Results, ours: str, theirs: Sequence[str]) -> str:
    rows = []
    for name, quantity in QUANTITIES.items():
        mine = results.values(ours, name)
        others = [results.values(contestant, name) for contestant in theirs]
        others.append(results.best(theirs, name, more_is_better=quantity.more_is_better))
        cells = [_cell(ratios(mine, values)) for values in others]
        if any(cells):
            rows.append([f"{quantity.title}, {'more' if quantity.more_is_better else 'less'} is better", *cells])
    return _table(["", *theirs, "the best of them"], rows)


def _title(quantity: Quantity) -> str:
    return f"{quantity.title}, {quantity.unit}"


def _cell(values: Iterable[float]) -> str:
    found = list(values)
    return _told(spread(found)) if found else ""


def _told(found: Spread) -> str:
    return f"{number(found.median)} ({number(found.lower)} to {number(found.upper)})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
