"""YAML text to plain values and the place of each: mappings, lists, text, whole numbers, true and false.

Works on parser events instead of PyYAML's objects, because events still show anchors, tags, quotes and repeated keys,
and because nesting then costs no stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

import yaml

from ipsecd import limits
from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy.scalars import SurpriseError, plain
from ipsecd.printable import printable

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "str | int | bool | dict[str, Value] | list[Value]"

_TAB = re.compile(r"^ *\t", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; lines and columns count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Tree:
    """The document and, by path, where each value and each key stands. ``mistakes`` are those found so far; what
    stands at or below a ``spoilt`` path isn't what was meant, and needs no further complaint."""

    file: str
    value: Value = ""
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    spoilt: set[Path] = field(default_factory=set)

    def mark(self, path: Path) -> Mark:
        """Where the value at this path stands, or else the nearest thing that holds it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))

    def key(self, path: Path) -> Mark:
        """Where the key that names this path stands."""
        return self.keys.get(path) or self.mark(path)

    def mistake(self, path: Path, message: str, hint: str = "", mark: Mark | None = None) -> Mistake:
        """A mistake of this file, at the value's place unless another is given."""
        mark = mark or self.mark(path)
        return Mistake(self.file, mark.line, mark.column, dotted(path), message, hint)

    def is_spoilt(self, path: Path) -> bool:
        """Whether something at or above this path has been complained about already."""
        return any(path[:length] in self.spoilt for length in range(len(path) + 1))


def dotted(path: Path) -> str:
    """The path as people read it: ``policies.branch.rules.0``."""
    return printable(".".join(str(step) for step in path))


def parse(text: str, file: str) -> Tree:
    """The one document in the text. Raises ConfigError if it isn't YAML at all, with what was found up to there;
    lesser mistakes are left in the tree."""
    tree = Tree(file)
    _check_size(text, tree)
    builder = _Builder(tree)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        problem, hint = _plain_words(error.problem or error.context or "this isn't YAML", text, place)
        _fail(tree, place, problem, hint)
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")  # libyaml counts octets
        _fail(tree, _place_of(text, len(before)), "a control character")
    if tree.value == "" and not tree.mistakes:
        _fail(tree, Mark(1, 1), "the file is empty", "a policy file that protects nothing says: policies: {}")
    for found in _TAB.finditer(text):
        _note(tree, _place_of(text, found.start()), "a tab in the indentation", "use spaces")
    return tree


def _check_size(text: str, tree: Tree) -> None:
    try:
        octets = len(text.encode())
    except UnicodeEncodeError as error:
        _fail(tree, _place_of(text, error.start), "half of a surrogate pair, which isn't a character")
    if octets > limits.MAX_POLICY_FILE:
        _fail(tree, Mark(1, 1), f"the file has more than {limits.MAX_POLICY_FILE} octets")


def _note(tree: Tree, place: Mark, message: str, hint: str = "") -> None:
    tree.mistakes.append(Mistake(tree.file, place.line, place.column, "", message, hint))


def _fail(tree: Tree, place: Mark, message: str, hint: str = "") -> NoReturn:
    _note(tree, place, message, hint)
    raise ConfigError(tuple(tree.mistakes))


def _place_of(text: str, index: int) -> Mark:
    start = text.rfind("\n", 0, index) + 1
    return Mark(text.count("\n", 0, index) + 1, index - start + 1)


def _plain_words(problem: str, text: str, place: Mark) -> tuple[str, str]:
    """libyaml's problem as people would say it, and a hint."""
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    letter = line[place.column - 1 : place.column]
    if letter == "\t":
        return "a tab where YAML wants spaces", "use spaces"
    if "cannot start any token" in problem:
        return f"text can't begin with {letter!r} in YAML", "quote the text"
    if "nesting depth" in problem:  # libyaml's own limit, met first where it has to look far ahead
        return f"nested deeper than {limits.MAX_POLICY_DEPTH} levels", ""
    if "mapping values are not allowed" in problem:
        return (
            "a second ': ' in one line",
            "quote text that holds one, and give nested keys lines of their own",
        )
    if "did not find expected key" in problem or "block sequence" in problem or "expected '-'" in problem:
        return "this line doesn't fit those above it", "check its indentation"
    return problem, ""


@dataclass(slots=True)
class _Open:
    """A mapping or list that isn't closed yet; ``key`` is the mapping key that waits for its value."""

    path: Path
    value: dict[str, Value] | list[Value]
    key: str | None = None


class _Builder:
    """Takes parser events in order and grows the tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    _fail(self._tree, _mark(event), "a second document begins here", "a policy file is one document")
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

    def _enter(self, event: yaml.CollectionStartEvent, value: dict[str, Value] | list[Value]) -> None:
        if len(self._open) >= limits.MAX_POLICY_DEPTH:
            _fail(self._tree, _mark(event), f"nested deeper than {limits.MAX_POLICY_DEPTH} levels")
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
            shown = f"{printable(text, 40)!r} " if text and path[:1] != ("credentials",) else ""  # it may be a key
            self._spoil(path, event, f"{shown}{surprise.message}", surprise.hint)

    def _key(self, event: yaml.ScalarEvent, holder: _Open, value: Value) -> Path:
        text = event.value
        path = (*holder.path, text)
        if not isinstance(value, str):
            self._spoil(path, event, "a key has to be text", "quote it")
        if path in self._tree.keys:
            line = self._tree.keys[path].line
            self._spoil(path, event, f"{printable(text)!r} stands here a second time; the first is in line {line}")
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
                _fail(self._tree, _mark(event), "a key has to be text")
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
            self._tree.mistakes.append(
                self._tree.mistake(path, "an anchor", "write the value out where it is needed", _mark(event))
            )
        if event.tag is not None:
            self._spoil(path, event, f"a tag, {printable(event.tag, 60)}", "remove it")

    def _spoil(self, path: Path, event: yaml.Event, message: str, hint: str = "") -> None:
        self._tree.mistakes.append(self._tree.mistake(path, message, hint, _mark(event)))
        self._tree.spoilt.add(path)


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
