"""Answers of the daemon as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ipsecd import limits
from ipsecd.printable import first_of, printable

_STYLES = {
    "up": "green",
    "established": "green",
    "protect": "green",
    "permit": "blue",
    "clear": "blue",
    "exempt": "blue",
    "waiting": "blue",
    "down": "yellow",
    "held": "yellow",
    "negotiating": "yellow",
    "connecting": "yellow",
    "half-open": "yellow",
    "unusable": "red",
    "failed": "red",
    "block": "red",
    "drop": "red",
    "soft-sa": "red",
    "warning": "yellow",
    "error": "red",
    "debug": "dim",
}
_ALONE = "(persistent rules)"  # what is in force, to the daemon, if those are without a policy
_RULE = ("rule", "state", "action", "child SAs", "remark")
_HOST = ("host", "state", "remark")
SOFT = ("in clear with", "rule", "since", "ends in")
_ENTRY = ("entry", "action", "way", "here", "there", "line", "packets", "dropped in clear")
_PEER = ("peer", "here", "there", "our identity", "its identity", "versions", "credentials")
_NARROW, _FEW = 100, 5  # with fewer columns of the terminal, no table has more of its own
_NO_POLICY = {
    False: "no policy is in force",
    True: "no policy is in force, but the floor of an earlier one stands",
}  # whether it's bare
_FAULT = "an error of ipsecd's own, which the log has in full"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def show(console: Console, *parts: RenderableType) -> None:
    """Print them below each other."""
    console.print(Group(*parts), end="")


def status(answer: Mapping[str, Any], width: int) -> Iterable[RenderableType]:
    """``ipsecctl status``."""
    yield headline(answer)
    if answer["assigned"]["by"] != "file":
        yield plain(f"{_assigned(answer)}\n")
    if answer["rules"]:
        yield grid(_RULE, [_rule(rule) for rule in answer["rules"]], width)
    if hosts := [row for rule in answer["rules"] for row in _hosts(rule)]:
        yield grid(_HOST, hosts, width)
    if answer.get("soft_sas"):
        yield grid(SOFT, [soft(each) for each in answer["soft_sas"]], width)
    if "data_plane" in answer:
        yield plain(f"packets are carried by {_carriers(answer)}\n")
    if off := [name for name, on in answer.get("offloads", {}).items() if not on]:
        yield plain(f"offloads that are off: {', '.join(off)}\n")
    if answer["unresolved"]:
        yield plain(f"names without an address: {', '.join(answer['unresolved'])}\n")
    if answer["exempt"]:
        names = ", ".join(answer["exempt"]).replace("_", " ")
        yield plain(f"passes in clear whatever the rules say: {names}\n")
    rows = [(name, count, answer["drop_reasons"].get(name, "")) for name, count in answer["drops"].items()]
    rows += [(f"fault in {what}", count, _FAULT) for what, count in answer["faults"].items()]
    if lost := answer["log_lines_lost"]:
        rows.append(("log lines lost", lost, "whoever reads the log was too slow"))
    if rows:
        yield grid(("dropped because", "count", "that is"), rows, width)


def headline(answer: Mapping[str, Any]) -> Text:
    """The daemon and its policy in one line, from the answer to ``status``."""
    policy = f"{_called(answer['policy'])} of {answer['file']}" if answer["policy"] else _NO_POLICY[answer["bare"]]
    return plain(f"ipsecd {answer['version']}, process {answer['pid']}, up {duration(answer['uptime'])}, {policy}\n")


def _called(policy: str) -> str:
    """A policy by its name, or what is in force without one."""
    return "the persistent rules alone" if policy == _ALONE else f"policy {policy}"


def soft(told: Mapping[str, Any]) -> tuple[object, ...]:
    """A soft SA, as a row under SOFT."""
    return told["remote"], told["rule"], f"{duration(told['age'])} ago", duration(told["left"])


def _carriers(answer: Mapping[str, Any]) -> str:
    """The processes of the data plane; they have no number while they are being started."""
    if answer["data_plane"] == "inline":
        return "the same process"
    numbers = [f"process {pid} ({road})" for road, pid in answer["processes"].items() if pid is not None]
    return " and ".join(numbers) or "nobody now"


def _rule(rule: Mapping[str, Any]) -> tuple[object, ...]:
    up = f"{len(rule['up'])} of {len(rule['children'])}" if rule["children"] else ""
    if rule["each"]:
        up = str(len(rule["up"]))
    held = f"put down by command: ipsecctl up {rule['name']}" if rule["state"] == "held" else ""
    return rule["name"], state(rule["state"]), rule["action"], up, trouble(rule) or held or rule["description"]


def _hosts(rule: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    """Of a rule without a tunnel those that have no SA, and why."""
    for host in rule["hosts"]:
        failed = f"{host['reason']}, {duration(host['ago'])} ago" if host["reason"] else ""
        held = f"put down by command: ipsecctl up {host['peer']}" if host["state"] == "held" else ""
        yield host["peer"], state(host["state"]), held or failed
    if more := rule["more_hosts"]:
        yield f"{rule['name']}: {more} more", "", ""


def trouble(rule: Mapping[str, Any]) -> str:
    """What stands in the way of a rule, or has done so last; empty if nothing is known."""
    failure, found = rule["last_failure"], [rule["reason"]]
    if failure and not rule["reason"]:
        whose = f"{failure['peer']}: " if rule["each"] and failure["peer"] else ""
        found = [f"{whose}{failure['reason']}, {duration(failure['ago'])} ago"]
    if rule["not_clear"]:
        found.append(f"not in clear: {rule['not_clear']}")
    return "; ".join(part for part in found if part)


def policy(answer: Mapping[str, Any], width: int) -> Iterable[RenderableType]:
    """``ipsecctl policy``: the entries as they are tried, one after the other."""
    yield plain(f"{_called(answer['policy'])}, the first entry that matches decides\n")
    yield grid(_ENTRY, [_entry(entry) for entry in answer["entries"]], width)
    if answer["peers"]:
        yield grid(_PEER, [_peer(peer) for peer in answer["peers"]], width)


def _entry(entry: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        entry["name"],
        state(entry["action"]).append("\nin clear: in" if entry["passthrough"] else "", style="yellow"),
        entry["direction"],
        "\n".join(local for local, _ in entry["pairs"]),
        "\n".join(remote for _, remote in entry["pairs"]),
        entry["line"] or "",
        entry["steered"],
        entry["dropped"],
    )


def _peer(peer: Mapping[str, Any]) -> tuple[object, ...]:
    there = ", ".join(peer["remotes"]) or ("anywhere" if peer["anywhere"] else f"{peer['remote_name']} ?")
    if peer["each"]:
        there = "each host"
    identities = (peer[side] or "its address" for side in ("local_id", "remote_id"))
    lists = (", ".join(peer[each]) for each in ("versions", "credentials"))
    return peer["name"], peer["local"] or "by route", there, *identities, *lists


def explain(answer: Mapping[str, Any], width: int) -> Iterable[RenderableType]:
    """``ipsecctl explain``: in a line, or in a table where a filter has a say."""
    title = f"{answer['packet']}, and"
    ways = [(name, answer[way]) for way, name in (("inbound", "arriving"), ("outbound", "leaving")) if way in answer]
    passing = {"clear": "passes in clear", "exempt": "exempt"}
    if all(told["verdict"] in passing and not told["runners_up"] for _, told in ways):
        for line in dict.fromkeys(f"{passing[told['verdict']]}: {told['why']}" for _, told in ways):
            yield plain(line)
        return
    rows = [
        (
            name,
            state(told["verdict"]),
            _filter(told) if "entry" in told else "",
            "\n".join(f"{_filter(other)}: {other['why']}" for other in told["runners_up"]),
            told["why"],
        )
        for name, told in ways
    ]
    yield grid((title, "verdict", "by", "instead of", "that is"), rows, width)


def _filter(told: Mapping[str, Any]) -> str:
    return f"{told['entry']}, line {told['line']}" if told["line"] else str(told["entry"])


def _assigned(answer: Mapping[str, Any]) -> str:
    """What is assigned otherwise than the policy file says."""
    assigned = answer["assigned"]
    if assigned["by"] == "unknown":
        return "what ipsecctl has assigned can't be read: ipsecctl assign NAME, or unassign, says it anew"
    what = f"policy {assigned['policy']} is assigned" if assigned["policy"] else "no policy is assigned"
    return f"{what} by ipsecctl; the policy file says {assigned['file_says'] or 'none'}"


def assigned(answer: Mapping[str, Any], width: int) -> Iterable[RenderableType]:
    """``ipsecctl assign``."""
    yield plain(f"policy {answer['policy']} is assigned")
    yield from difference(answer, width)


def difference(answer: Mapping[str, Any], _width: int) -> Iterable[RenderableType]:
    """``ipsecctl reload``."""
    changes = {name: names for name, names in answer["difference"].items() if names and name != "kept"}
    if not changes:
        yield plain("nothing has changed")
    for name, names in changes.items():
        yield plain(f"{name.replace('_', ' ')}: {first_of(names, limits.SHOWN_RULES)}")
    for peer, reason in answer["unusable"].items():
        yield plain(f"{peer} can't be used: {reason}", "red")
    if answer["policy"] is None:
        chosen = answer["assigned"]["by"] == "ipsecctl"
        why = _assigned(answer) if chosen else "the policy file assigns no policy"
        yield plain(f"WARNING: {why}: nothing is protected", "red")


def level(answer: Mapping[str, Any], _width: int) -> Iterable[RenderableType]:
    """``ipsecctl log-level``: with what it was before, if it was set."""
    before = answer["before"]
    was = {None: "", answer["level"]: ", as before"}.get(before, f", until now {before}")
    yield plain(f"{answer['level']}{was}")


def unassigned(answer: Mapping[str, Any], _width: int) -> Iterable[RenderableType]:
    """``ipsecctl unassign``."""
    if answer["persistent"]:
        yield plain("no policy is in force, until ipsecctl assign, also after a restart; the persistent rules are")
    elif answer["policy"] is not None:
        alone = answer["policy"] == _ALONE
        out = "the persistent rules are out of force" if alone else f"policy {answer['policy']} is out of force"
        yield plain(f"{out}: what was protected leaves in clear, until ipsecctl assign, also after a restart")
    elif answer["bare"]:
        yield plain("the floor of an earlier policy is gone: what it covered leaves in clear")
    else:
        yield plain("no policy was in force")


def nothing(_answer: Mapping[str, Any], _width: int) -> Iterable[RenderableType]:
    """Of commands that are done without a word."""
    return ()


def event(told: Mapping[str, Any]) -> Text:
    """One line of ``ipsecctl monitor``."""
    level = told["level"]
    clock = str(told["time"])[11:23]
    return plain(f"{clock} {level:8}{told['text']}", _STYLES.get(level, ""))


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


def traffic(counters: Mapping[str, Any]) -> str:
    """What an SA has carried in one direction."""
    dummies = f", {counters['dummies']} dummies" if counters["dummies"] else ""
    return f"{counters['packets']} pkts, {octets(counters['octets'])}{dummies}"


def state(name: str) -> Text:
    """A state or an action, in its colour."""
    return plain(name, _STYLES.get(name, ""))


def plain(text: str, style: str = "") -> Text:
    """Text that shows what it holds: no markup, no escape sequences. One newline at its end stays."""
    body = printable(text.removesuffix("\n"), 2_048)
    return Text(body + ("\n" if text.endswith("\n") else ""), style=style)


def grid(titles: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> RenderableType:
    """Rows under their titles; or, where columns would be too narrow to read, one block of lines for each row. A cell
    may have several lines."""
    cells = [[value if isinstance(value, Text) else _lines(str(value)) for value in row] for row in rows]
    if width < _NARROW and len(titles) > _FEW:
        return _blocks(titles, cells)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def _blocks(titles: Sequence[str], cells: Sequence[Sequence[Text]]) -> RenderableType:
    room = max(map(len, titles)) + 2
    text = Text()
    for row in cells:
        for title, value in zip(titles, row, strict=True):
            for number, line in enumerate(value.split("\n")):
                text.append(("" if number else title).ljust(room), "bold").append_text(line).append("\n")
        text.append("\n")
    return text[:-1]


def _lines(text: str) -> Text:
    return Text("\n").join(plain(line) for line in text.split("\n"))
