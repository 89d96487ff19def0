"""What has a name in one policy file, put into another. The other's text stays as it is, its comments too, wherever the
new lines can be put between its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy.complaint import quoted
from ipsecd.policy.nodes import Tree, in_order
from ipsecd.policy.parsing import parse
from ipsecd.policy.paths import Value
from ipsecd.policy.syntax import comments_of, lines_of
from ipsecd.policy.writing import entry, to_yaml

SECTIONS: Final = ("credentials", "filter_lists", "filter_actions", "policies")
ONCE: Final = {  # taken as a whole, and what is said where there is one
    "boot": "there is a boot mode already",
    "persistent": "there are persistent rules already",
}
_KINDS: Final = {
    "credentials": "credential",
    "filter_lists": "filter list",
    "filter_actions": "filter action",
    "policies": "policy",
}
Section = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Merged:
    """The new text; ``kept`` is whether all of the old one still stands in it but what was replaced."""

    text: str
    kept: bool


def merge(text: str, file: str, new: dict[str, Value], *, replace: bool = False) -> Merged:
    """The text of a good policy file with the sections of another, its boot mode and its persistent rules. What both
    have alike is left alone; of other things with the same name the new one takes the place if ``replace`` says so,
    else ConfigError names them all."""
    tree = parse(text, file)
    old: Section = tree.value if isinstance(tree.value, dict) else {}
    added = {section: _new_in(section, old, new) for section in SECTIONS}
    taken = [
        _taken(tree, section, name) for section in SECTIONS for name in added[section] if name in _section(old, section)
    ]
    once = {name: new[name] for name in ONCE if name in new and new[name] != old.get(name)}
    taken += [tree.mistake((name,), ONCE[name], "", tree.key((name,))) for name in once if name in old]
    if taken and not replace:
        raise ConfigError(in_order(taken))
    whole = old | {section: {**_section(old, section), **entries} for section, entries in added.items() if entries}
    whole |= once
    spliced = _Splicing(tree, text).with_all(added, once)
    kept = _reads_as(spliced, whole)
    return Merged(spliced if kept else to_yaml(whole), kept)


def _new_in(section: str, old: Section, new: Section) -> Section:
    known = _section(old, section)
    return {name: value for name, value in _section(new, section).items() if known.get(name) != value}


def _section(tree: Section, section: str) -> Section:
    found = tree.get(section)
    return found if isinstance(found, dict) else {}


def _taken(tree: Tree, section: str, name: str) -> Mistake:
    mark = tree.key((section, name))
    return tree.mistake((section, name), f"there is a {_KINDS[section]} {quoted(name)} already", "", mark)


def _reads_as(text: str, whole: Section) -> bool:
    try:
        tree = parse(text, "")
    except ConfigError:
        return False
    return tree.value == whole and not tree.mistakes


class _Splicing:
    """Lines put between lines. Whether that came out right, only reading it again tells."""

    def __init__(self, tree: Tree, text: str) -> None:
        self._tree = tree
        self._lines = lines_of(text.rstrip("\r\n"))
        self._comments = comments_of(text)
        self._top = [self._tree.key((name,)).line for name in tree.value] if isinstance(tree.value, dict) else []

    def with_all(self, added: dict[str, Section], once: Section) -> str:
        """The text with all of these entries, each section's last part first, so that lines keep their numbers."""
        edits: list[tuple[int, int, list[str]]] = []
        # new sections come behind what is put at the end of the last one there is
        for section in sorted(added, key=lambda name: (name,) not in self._tree.keys):
            edits += self._edits(section, added[section]) if added[section] else []
        edits += [self._whole(name, value) for name, value in once.items()]
        edits.reverse()  # what stands at the same place is put in front of what was put there before
        for start, end, lines in sorted(edits, key=lambda edit: edit[:2], reverse=True):
            self._lines[start:end] = lines
        return "\n".join(self._lines) + "\n"

    def _whole(self, name: str, value: Value) -> tuple[int, int, list[str]]:
        """Likewise, for what has no entries that could be put beside those that are there."""
        key, lines = self._tree.keys.get((name,)), entry(name, value, (), "")
        if key is None:
            return len(self._lines), len(self._lines), ["", *lines]
        return key.line - 1, self._end(key.line, self._top), lines

    def _edits(self, section: str, entries: Section) -> list[tuple[int, int, list[str]]]:
        """Which lines, counted from 0, make place for which."""
        key, value = self._tree.keys.get((section,)), self._tree.values.get((section,))
        if key is None or value is None:
            return [(len(self._lines), len(self._lines), ["", *entry(section, entries, (), "")])]
        end = self._end(key.line, self._top)
        if value.line == key.line:  # in one line, or begun in it
            old = self._tree.value if isinstance(self._tree.value, dict) else {}
            lines = entry(section, {**_section(old, section), **entries}, (), "")
            return [(key.line - 1, end, self._commented(lines, key.line, end))]
        names = {path[1]: mark for path, mark in self._tree.keys.items() if path[:1] == (section,) and len(path) == 2}
        starts = [mark.line for mark in names.values()]
        indent = " " * (value.column - 1)
        edits, fresh = [], []
        for name, content in entries.items():
            lines = entry(name, content, (section,), indent)
            if name in names:
                start = names[name].line
                edits.append((start - 1, self._end(start, [*starts, end + 1]), lines))
            else:
                fresh += lines
        return [*edits, (end, end, fresh)] if fresh else edits

    def _commented(self, lines: list[str], first: int, last: int) -> list[str]:
        """The lines of a section that take the place of those from the first to the last, with the comments of these:
        that of the first one stays behind the section's name, the others stand below it."""
        behind = f"{lines[0]}  {self._comments[first]}" if first in self._comments else lines[0]
        within = [f"  {self._comments[line]}" for line in range(first + 1, last + 1) if line in self._comments]
        return [behind, *within, *lines[1:]]

    def _end(self, start: int, beginnings: list[int]) -> int:
        """The number of lines up to the end of what begins in a line: where the next thing begins, without the comments
        and empty lines in front of that."""
        end = min((line - 1 for line in beginnings if line > start), default=len(self._lines))
        while end > start and (not self._lines[end - 1].strip() or self._lines[end - 1].lstrip().startswith("#")):
            end -= 1
        return end
