"""A policy file's tree as YAML text: fields in the order of the schema, sections and rules as blocks, what is small in
one line. Whatever is written here ``parsing`` reads as it was, and other YAML readers too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ipsecd.policy.mistakes import fields_at
from ipsecd.policy.paths import Path, Value
from ipsecd.policy.scalars import SurpriseError, plain

_WIDTH: Final = 110  # columns up to which a mapping or list is written in one line
_STEP: Final = "  "
_NAMED: Final = ("credentials", "filter_lists", "filter_actions", "policies")
# Begins like a name, an address or a sentence, and holds nothing that ends a plain scalar: no colon but one inside a
# word, no '#', no bracket or brace, no space at its ends; a comma only where it ends nothing.
_PLAIN: Final = re.compile(r"[/\w](?:[\w ./()'+*@;!?%=~<>-]*[\w./()'+*@;!?%=~<>-])?|[A-Za-z]+:[\w.@/-]+")
_PLAIN_IN_BLOCK: Final = re.compile(rf"{_PLAIN.pattern}|[/\w](?:[\w ,./()'+*@;!?%=~<>-]*[\w./()'+*@;!?%=~<>-])?")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def to_yaml(tree: dict[str, Value]) -> str:
    """The text of a policy file with this tree; an empty line stands between its sections."""
    sections = []
    for name, value in _ordered(tree, ()):
        sections.append("\n".join(entry(name, value, (), "")) + "\n")
    small = "".join(text for text in sections if text.count("\n") == 1)
    large = [text for text in sections if text.count("\n") > 1]
    return "\n".join([small, *large] if small else large)


def entry(name: str, value: Value, holder: Path, indent: str) -> list[str]:
    """The lines of one key and its value, which stand in what is at the path ``holder``, behind this indentation."""
    key = f"{indent}{_scalar(name)}:"
    path = (*holder, name)
    if isinstance(value, str):
        return [f"{key} {_scalar(value, _PLAIN_IN_BLOCK)}"]
    if _in_one_line(value, path, len(key) + 1):
        return [f"{key} {_flow(value, path)}"]
    return [key, *_block(value, path, indent + _STEP)]


def _block(value: Value, path: Path, indent: str) -> list[str]:
    if isinstance(value, dict):
        return [line for name, inner in _ordered(value, path) for line in entry(name, inner, path, indent)]
    lines: list[str] = []
    for index, item in enumerate(value if isinstance(value, list) else ()):
        where = (*path, index)
        if _in_one_line(item, where, len(indent) + 2):
            lines.append(f"{indent}- {_flow(item, where)}")
        else:
            first, *others = _block(item, where, indent + _STEP)
            lines += [f"{indent}- {first[len(indent) + 2 :]}", *others]
    return lines


def _in_one_line(value: Value, path: Path, before: int) -> bool:
    """Whether the value is written behind its key. What holds things with names is a block, a rule too, and filters
    stand one below the other."""
    if not isinstance(value, dict | list) or not value:
        return True
    if isinstance(value, list) and isinstance(value[0], list):
        return True  # the grammar has no list in a list, and so this hasn't a form for it
    return not _is_open(path) and before + len(_flow(value, path)) <= _WIDTH


def _is_open(path: Path) -> bool:
    match path:
        case (section,):
            return section in (*_NAMED, "persistent")
        case ("policies" | "filter_lists" | "filter_actions", _):
            return True
        case (*_, "rules" | "filters" | "proposals" | "security_methods"):
            return True
        case (*_, "rules", int()):
            return True
    return False


def _flow(value: Value, path: Path) -> str:
    if isinstance(value, dict):
        items = _ordered(value, path)
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(inner, (*path, name))}" for name, inner in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item, (*path, index)) for index, item in enumerate(value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _scalar(value)


def _ordered(value: dict[str, Value], path: Path) -> Iterator[tuple[str, Value]]:
    """The items of a mapping in the schema's order; names, and what the schema doesn't know, stay where they are."""
    known = {name: place for place, name in enumerate(fields_at(path))}
    return iter(sorted(value.items(), key=lambda item: known.get(item[0], len(known))))


def _scalar(text: str, form: re.Pattern[str] = _PLAIN) -> str:
    """Text without quotes where no reader takes it for anything else."""
    if form.fullmatch(text) and text.isprintable() and _is_text(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _is_text(text: str) -> bool:
    try:
        return plain(text) == text
    except SurpriseError:
        return False


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x1_0000 else f"\\U{number:08x}"
