"""YAML text to a tree of plain values.

Works on parser events instead of PyYAML's objects, because events still show anchors, tags, quotes and repeated keys,
and because nesting then costs no stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from ipsecd import limits
from ipsecd.errors import ConfigError
from ipsecd.policy.nodes import Mark, Tree, in_order
from ipsecd.policy.paths import Path, Value, is_private, is_private_key
from ipsecd.policy.scalars import SurpriseError, plain
from ipsecd.policy.syntax import NotYamlError, lines_of, place_of, problem_of
from ipsecd.printable import printable

_TAB = re.compile(r" *\t")
_BYTE_ORDER_MARK = "\ufeff"
# YAML 1.1 ends lines with the first three, 1.2 and editors don't: to one of them a comment goes on, to the other not.
_FOREIGN = re.compile(f"[\x85\u2028\u2029{_BYTE_ORDER_MARK}]")


def parse(text: str, file: str) -> Tree:
    """The one document in the text. Raises ConfigError if it isn't YAML at all, with what was found up to there;
    lesser mistakes are left in the tree."""
    tree = Tree(file)
    try:
        _read(text.removeprefix(_BYTE_ORDER_MARK), tree)
    except NotYamlError as error:
        tree.mistakes.append(tree.mistake((), error.message, error.hint, error.mark))
        raise ConfigError(in_order(tree.mistakes)) from None
    return tree


def _read(text: str, tree: Tree) -> None:
    _check_size(text)
    for number, line in enumerate(lines_of(text), start=1):
        for found in _FOREIGN.finditer(line):
            message = f"the character U+{ord(found[0]):04X}, which not every reader takes alike"
            tree.mistakes.append(tree.mistake((), message, "remove it", Mark(number, found.start() + 1)))
    text = _FOREIGN.sub(lambda found: "" if found[0] == _BYTE_ORDER_MARK else " ", text)
    builder = _Builder(tree)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise problem_of(error, text) from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")  # libyaml counts octets
        raise NotYamlError(place_of(text, len(before)), "a control character") from None
    finally:
        builder.tell()
    if tree.value == "" and not tree.mistakes:
        raise NotYamlError(Mark(1, 1), "the file is empty", "a policy file that protects nothing says: policies: {}")
    for number, line in enumerate(lines_of(text), start=1):
        if _TAB.match(line):
            tree.mistakes.append(tree.mistake((), "a tab in the indentation", "use spaces", Mark(number, 1)))


def _check_size(text: str) -> None:
    try:
        octets = len(text.encode())
    except UnicodeEncodeError as error:
        mark = place_of(text, error.start)
        raise NotYamlError(mark, "half of a surrogate pair, which isn't a character") from None
    if octets > limits.MAX_POLICY_FILE:
        raise NotYamlError(Mark(1, 1), f"the file has more than {limits.MAX_POLICY_FILE} octets")


@dataclass(slots=True)
class _Open:
    """A mapping or list that isn't closed yet; ``key`` is the mapping key that waits for its value."""

    path: Path
    value: dict[str, Value] | list[Value]
    key: str | None = None


class _Builder:
    """Takes parser events in order and grows the tree. What it finds is told when the tree is as whole as it gets,
    because only then it is known what may be shown."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._open: list[_Open] = []
        self._documents = 0
        self._found: list[tuple[Path, Mark, str, str]] = []

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise NotYamlError(_mark(event), "a second document begins here", "a policy file is one document")
            case yaml.MappingStartEvent():
                self._enter(event, {})
            case yaml.SequenceStartEvent():
                self._enter(event, [])
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
            case yaml.AliasEvent():
                self._spoil(self._put(event, ""), event, "an alias", "write the value out again")
            case yaml.ScalarEvent():
                self._scalar(event)

    def tell(self) -> None:
        """Add what was found to the tree's mistakes."""
        self._tree.mistakes += [
            self._tree.mistake(path, message, hint, mark) for path, mark, message, hint in self._found
        ]

    def _enter(self, event: yaml.CollectionStartEvent, value: dict[str, Value] | list[Value]) -> None:
        if len(self._open) >= limits.MAX_POLICY_DEPTH:
            raise NotYamlError(_mark(event), f"nested deeper than {limits.MAX_POLICY_DEPTH} levels")
        path = self._put(event, value)
        self._open.append(_Open(path, value))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text, surprise = event.value, None
        value: Value = text
        if event.implicit[0]:
            try:
                value = plain(text)
            except SurpriseError as error:
                surprise = error
        holder = self._open[-1] if self._open else None
        if holder is not None and isinstance(holder.value, dict) and holder.key is None:
            path = self._key(event, holder, value)
        else:
            path = self._put(event, value)
        if surprise is not None:
            shown = f"{printable(text, 40)!r} " if text and not is_private(path) else ""
            self._spoil(path, event, f"{shown}{surprise.message}", surprise.hint)

    def _key(self, event: yaml.ScalarEvent, holder: _Open, value: Value) -> Path:
        text = event.value
        path = (*holder.path, text)
        if not isinstance(value, str):
            self._spoil(path, event, "a key has to be text", "quote it")
        if path in self._tree.keys:
            what = "this key" if is_private_key(path, self._tree.value) else repr(printable(text))
            line = self._tree.keys[path].line
            self._spoil(path, event, f"{what} stands here a second time; the first is in line {line}")
        self._tree.keys.setdefault(path, _mark(event))
        self._check(event, path)
        holder.key = text
        return path

    def _put(self, event: yaml.NodeEvent, value: Value) -> Path:
        """Put a value where the next one belongs; its path."""
        path: Path = ()
        if not self._open:
            self._tree.value = value
        else:
            holder = self._open[-1]
            if isinstance(holder.value, list):
                path = (*holder.path, len(holder.value))
                holder.value.append(value)
            elif holder.key is None:
                raise NotYamlError(_mark(event), "a key has to be text")
            else:
                path = (*holder.path, holder.key)
                holder.value[holder.key] = value
                holder.key = None
        self._tree.values[path] = _mark(event)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._check(event, path)
        return path

    def _check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: Path) -> None:
        if event.anchor is not None:
            self._found.append((path, _mark(event), "an anchor", "write the value out where it is needed"))
        if event.tag is not None:
            name = "" if is_private(path) else f", {printable(event.tag, 60)}"
            self._spoil(path, event, f"a tag{name}", "remove it")

    def _spoil(self, path: Path, event: yaml.Event, message: str, hint: str = "") -> None:
        self._found.append((path, _mark(event), message, hint))
        self._tree.spoilt.add(path)


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
