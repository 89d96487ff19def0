"""Answers of the daemon as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ipsecd.printable import printable

_STYLES = {
    "up": "green",
    "established": "green",
    "protect": "green",
    "permit": "blue",
    "clear": "blue",
    "exempt": "blue",
    "down": "yellow",
    "negotiating": "yellow",
    "connecting": "yellow",
    "half-open": "yellow",
    "unusable": "red",
    "block": "red",
    "warning": "yellow",
    "error": "red",
    "debug": "dim",
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def show(console: Console, *parts: RenderableType) -> None:
    """Print them below each other."""
    console.print(Group(*parts), end="")


def status(answer: Mapping[str, Any]) -> Iterable[RenderableType]:
    """``ipsecctl status``."""
    policy = f"policy {answer['policy']} of {answer['file']}" if answer["policy"] else "no policy is in force"
    yield _text(f"ipsecd {answer['version']}, process {answer['pid']}, up {duration(answer['uptime'])}, {policy}\n")
    if answer["rules"]:
        table = _table("rule", "state", "action", "child SAs", "remark")
        for rule in answer["rules"]:
            up = f"{len(rule['up'])} of {len(rule['children'])}" if rule["children"] else ""
            remark = rule["reason"] or rule["description"]
            table.add_row(*_cells(rule["name"], _state(rule["state"]), rule["action"], up, remark))
        yield table
    if answer["unresolved"]:
        yield _text(f"names without an address: {', '.join(answer['unresolved'])}\n")
    counted = {**answer["drops"], **{f"fault in {what}": count for what, count in answer["faults"].items()}}
    if answer["log_lines_lost"]:
        counted["log lines lost"] = answer["log_lines_lost"]
    if counted:
        table = _table("dropped because", "count")
        for reason, count in counted.items():
            table.add_row(*_cells(reason, count))
        yield table


def sas(answer: Mapping[str, Any]) -> Iterable[RenderableType]:
    """``ipsecctl sas``."""
    if not answer["sas"]:
        yield _text("no SAs\n")
    for sa in answer["sas"]:
        yield _ike(sa)
        if sa["children"]:
            table = _table("child", "state", "traffic", "suite", "SPI in", "SPI out", "in", "out", "rekey in")
            for child in sa["children"]:
                table.add_row(
                    *_cells(
                        child["name"],
                        _state(child["stage"]),
                        f"{', '.join(child['local'])} = {', '.join(child['remote'])}",
                        child["suite"],
                        child["spi_in"],
                        child["spi_out"],
                        _traffic(child["in"]),
                        _traffic(child["out"]),
                        duration(child["rekey_in"]),
                    )
                )
            yield table


def _ike(sa: Mapping[str, Any]) -> Text:
    ends = f"{sa['local_id'] or '?'} ({sa['local']}) = {sa['remote_id'] or '?'} ({sa['remote']})"
    role = "we called" if sa["initiator"] else "it called"
    nat = " and ".join(side for side, there in (("us", sa["nat_here"]), ("the peer", sa["nat_there"])) if there)
    facts = [
        sa["suite"],
        role,
        f"NAT before {nat}" if nat else "",
        f"up {duration(sa['age'])}" if sa["age"] is not None else "",
        f"rekey in {duration(sa['rekey_in'])}" if sa["rekey_in"] is not None else "",
    ]
    text = Text(f"{printable(sa['peer'])} ", style="bold")
    text.append(_state(sa["stage"]))
    text.append(f"  {printable(ends, 512)}\n  {', '.join(fact for fact in facts if fact)}", style="not bold")
    text.append(f"\n  SPIs {sa['spi_i']} {sa['spi_r']}\n", style="dim not bold")
    return text


def policy(answer: Mapping[str, Any]) -> Iterable[RenderableType]:
    """``ipsecctl policy``: the entries as they are tried, one after the other."""
    yield _text(f"policy {answer['policy']}, the first entry that matches decides\n")
    table = _table("entry", "action", "way", "here", "there", "line", "packets", "dropped in clear")
    for entry in answer["entries"]:
        for index, (local, remote) in enumerate(entry["pairs"]):
            first = index == 0
            table.add_row(
                *_cells(
                    entry["name"] if first else "",
                    _state(entry["action"]) if first else "",
                    entry["direction"] if first else "",
                    local,
                    remote,
                    entry["line"] or "" if first else "",
                    entry["steered"] if first else "",
                    entry["dropped"] if first else "",
                )
            )
    yield table
    if answer["peers"]:
        table = _table("peer", "here", "there", "our identity", "its identity", "credentials")
        for peer in answer["peers"]:
            there = ", ".join(peer["remotes"]) or ("anywhere" if peer["anywhere"] else f"{peer['remote_name']} ?")
            table.add_row(
                *_cells(
                    peer["name"],
                    peer["local"] or "by route",
                    there,
                    peer["local_id"],
                    peer["remote_id"],
                    ", ".join(peer["credentials"]),
                )
            )
        yield table


def explain(answer: Mapping[str, Any]) -> Iterable[RenderableType]:
    """``ipsecctl explain``."""
    ways = [(name, answer[way]) for way, name in (("outbound", "leaving"), ("inbound", "arriving"))]
    covered = [(name, told) for name, told in ways if told["verdict"] != "clear"]
    if not covered:
        yield _text(f"passes in clear: {ways[0][1]['why']}")
    elif all(told["verdict"] == "exempt" for _, told in covered):
        for why in dict.fromkeys(told["why"] for _, told in covered):
            yield _text(f"exempt: {why}")
    else:
        table = _table("such a packet", "verdict", "by", "instead of", "that is")
        for name, told in covered:
            by = told.get("entry", "") + (f", line {told['line']}" if told.get("line") else "")
            table.add_row(*_cells(name, _state(told["verdict"]), by, ", ".join(told["instead_of"]), told["why"]))
        yield table


def difference(answer: Mapping[str, Any]) -> Iterable[RenderableType]:
    """``ipsecctl reload``."""
    changes = {name: names for name, names in answer["difference"].items() if names and name != "kept"}
    if not changes:
        yield _text("nothing has changed")
    for name, names in changes.items():
        yield _text(f"{name}: {', '.join(names)}")
    for peer, reason in answer["unusable"].items():
        yield _text(f"{peer} can't be used: {reason}", "red")
    if answer["policy"] is None:
        yield _text("WARNING: the policy file assigns no policy, so nothing is protected any more", "red")


def event(told: Mapping[str, Any]) -> Text:
    """One line of ``ipsecctl monitor``."""
    level = told["level"]
    clock = str(told["time"])[11:23]
    return _text(f"{clock} {level:8}{told['text']}", _STYLES.get(level, ""))


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units, as people say them."""
    if seconds is None:
        return ""
    left = max(0, round(seconds))
    for size, unit in _UNITS:
        if left >= size:
            smaller = next((f" {left % size // part} {name}" for part, name in (*_UNITS, (1, "s")) if part < size), "")
            return f"{left // size} {unit}{smaller}"
    return f"{left} s"


def octets(count: int) -> str:
    """A number of octets in the unit that keeps it short."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1_000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} TB"


def _traffic(counters: Mapping[str, Any]) -> str:
    return f"{counters['packets']} pkts, {octets(counters['octets'])}"


def _state(name: str) -> Text:
    return _text(name, _STYLES.get(name, ""))


def _text(text: str, style: str = "") -> Text:
    """Text that shows what it holds: no markup, no escape sequences. One newline at its end stays."""
    body = printable(text.removesuffix("\n"), 2_048)
    return Text(body + ("\n" if text.endswith("\n") else ""), style=style)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cells(*values: Any) -> Iterable[Text]:
    return (value if isinstance(value, Text) else _text(str(value)) for value in values)
