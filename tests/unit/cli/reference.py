"""The tables of docs/control-protocol.md that are made from the code.

python -m tests.unit.cli.reference       writes them anew
"""

from __future__ import annotations

import re
from pathlib import Path

from ipsecd.daemon import audit
from ipsecd.daemon.drops import MEANINGS
from ipsecd.daemon.protocol import COMMANDS, Argument
from ipsecd.daemon.story import STORY

PROTOCOL = Path(__file__).parents[3] / "docs" / "control-protocol.md"
_MARKED = re.compile(r"(<!-- (commands|events|drops) -->\n).*?(<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """The document with its tables as they should be."""
    tables = {"commands": _commands, "events": _events, "drops": _drops}
    return _MARKED.sub(lambda found: f"{found[1]}\n{tables[found[2]]()}\n\n{found[3]}", text)


def _commands() -> str:
    rows = ["| command | arguments |", "|---|---|"]
    for name, command in COMMANDS.items():
        arguments = "; ".join(f"`{each}`: {_takes(rule)}" for each, rule in command.arguments.items())
        rows.append(f"| `{name}`{' (root)' if command.root else ''} | {f'{arguments} ' if arguments else ''}|")
    return "\n".join(rows)


def _takes(rule: Argument) -> str:
    what = f"{rule.span[0]} to {rule.span[1]}" if rule.span else ", ".join(rule.choices) or "text"
    return what if rule.required else f"{what}, optional"


def _events() -> str:
    rows = ["| event | mode | Windows | sentence |", "|---|---|---|---|"]
    for event, told in STORY.items():
        facts = audit.facts(event)
        rows.append(f"| `{event}` | {facts.get('mode', '')} | {facts.get('windows_event', '')} | {told.text} |")
    return "\n".join(rows)


def _drops() -> str:
    rows = ["| reason | the packet, datagram or message: |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {meaning} |" for name, meaning in sorted(MEANINGS.items()))])


if __name__ == "__main__":
    PROTOCOL.write_text(renewed(PROTOCOL.read_text()))
