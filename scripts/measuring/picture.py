"""The results as a picture (SVG): one panel for each quantity, one bar for each VPN, with a line from quartile to
quartile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from scripts.measuring.quantities import QUANTITIES
from scripts.measuring.results import Results, Spread, spread
from scripts.measuring.table import number

SHOWN = ("tcp1", "tcp4", "tcp1-cpu", "udp64", "udp1372", "ping-p50", "loaded-ping-p99", "setup")
SCALE = "plain"  # so fast that bars beside its own would vanish: its figure stands in the title
OURS, THEIRS = "#1f6f8b", "#b0b7bf"
WIDTH, PANEL = 420, 2  # of a panel, and how many stand side by side
NAMES, BAR, STEP, HEAD = 130, 14, 22, 44  # room for names; a bar, from bar to bar, room for a title
LONGEST = 190


def picture(results: Results) -> str:
    contestants = [name for name in results.versions if name != SCALE]
    panels = []
    for name in SHOWN:
        spreads = {who: spread(list(found.values())) for who in contestants if (found := results.values(who, name))}
        if spreads:
            panels.append(_panel(_titles(results, name), spreads))
    height = HEAD + STEP * len(contestants)
    rows = -(-len(panels) // PANEL)
    placed = [
        f'<g transform="translate({index % PANEL * WIDTH},{index // PANEL * height})">{panel}</g>'
        for index, panel in enumerate(panels)
    ]
    size = f'width="{WIDTH * PANEL}" height="{height * rows + STEP // 2}"'
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', background, *placed, "</svg>", ""])


def _titles(results: Results, name: str) -> Sequence[str]:
    quantity = QUANTITIES[name]
    plain = list(results.values(SCALE, name).values())
    without = f"; without a VPN {number(spread(plain).median)}" if plain else ""
    return f"{quantity.title}, {quantity.unit}", f"{'more' if quantity.more_is_better else 'less'} is better{without}"


def _panel(titles: Sequence[str], spreads: Mapping[str, Spread]) -> str:
    most = max(found.upper for found in spreads.values()) or 1.0
    parts = [
        f'<text x="10" y="18" font-weight="bold">{escape(titles[0])}</text>',
        f'<text x="10" y="33" font-size="10" fill="#666">{escape(titles[1])}</text>',
    ]
    for index, (who, found) in enumerate(spreads.items()):
        parts += _bar(HEAD + index * STEP, who, found, LONGEST / most)
    return "".join(parts)


def _bar(top: int, who: str, found: Spread, scale: float) -> list[str]:
    middle, base = top + BAR / 2, top + BAR - 3
    start, end = (f"{NAMES + value * scale:.1f}" for value in (found.lower, found.upper))
    colour = OURS if who.startswith("ipsecd") else THEIRS
    return [
        f'<text x="{NAMES - 8}" y="{base}" text-anchor="end">{escape(who)}</text>',
        f'<rect x="{NAMES}" y="{top}" width="{found.median * scale:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{start} {middle}H{end}" stroke="#222"/>',
        f'<text x="{NAMES + LONGEST + 8}" y="{base}">{number(found.median)}</text>',
    ]
