"""pydantic's findings as mistakes: with line and column, in plain words, with a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ipsecd import limits
from ipsecd.errors import Mistake
from ipsecd.policy.complaint import Complaint, did_you_mean, quoted
from ipsecd.policy.nodes import Tree
from ipsecd.policy.paths import Path
from ipsecd.policy.schema import json_schema

_QUOTED = re.compile(r"'([^']*)'")

_FEW_FIELDS = 4
_WANTED = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping of names",
    "model_type": "expected a mapping",
}
_BOUNDS: Mapping[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "greater_than_equal": ("at least {}", lambda ctx: ctx["ge"]),
    "less_than_equal": ("at most {}", lambda ctx: ctx["le"]),
}


def of(error: ValidationError, tree: Tree) -> Iterator[Mistake]:
    """The mistakes of a failed validation, except where the tree has been complained about already."""
    for number, details in enumerate(error.errors(include_url=False)):
        path = tuple(step for step in details["loc"] if step != "[key]")
        if not tree.is_spoilt(path):
            yield from _mistakes(details, path, tree, hints=number < limits.MAX_MISTAKES)


def _mistakes(details: ErrorDetails, path: Path, tree: Tree, *, hints: bool) -> Iterator[Mistake]:
    """``hints``: whether to look for the field that was meant, which costs, and more mistakes aren't shown."""
    kind, ctx = details["type"], details.get("ctx", {})
    found = ctx.get("error")
    if isinstance(found, Complaint):
        key = details["loc"][-1:] == ("[key]",)
        for remark in found.remarks:
            where = (*path, *remark.at)
            yield tree.mistake(where, remark.message, remark.hint, tree.key(where) if key else None)
    elif kind == "extra_forbidden":
        hint = did_you_mean(str(path[-1]), fields_at(path[:-1])) if hints else ""
        yield tree.mistake(path, "there is no such field", hint, tree.key(path))
    elif kind == "missing":
        yield tree.mistake(path, "is missing")
    elif kind == "too_short":
        if not details["input"]:  # pydantic counts good items only
            yield tree.mistake(path, "the list is empty")
    elif kind == "too_long":
        yield tree.mistake(path, f"{len(details['input'])} are too many", f"at most {ctx['max_length']}")
    else:
        yield tree.mistake(path, *_plain_words(kind, ctx, details["input"], path))


def _plain_words(kind: str, ctx: dict[str, Any], value: object, path: Path) -> tuple[str, str]:
    if kind == "model_type":
        return _WANTED[kind], _form(path)
    if kind in _WANTED:
        return _WANTED[kind], _type_hint(kind, value)
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{value} is out of range", words.format(bound(ctx))
    if kind == "literal_error":
        known = _QUOTED.findall(ctx["expected"])
        if isinstance(value, str):
            return f"{quoted(value)} isn't one of {', '.join(known)}", did_you_mean(value, known, list_all=False)
        return f"expected one of {', '.join(known)}", ""
    return "isn't what belongs here", ""


def _type_hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, bool | int):
        return "quote it if it is meant as text"
    if kind in ("int_type", "bool_type") and isinstance(value, str):
        return "without quotes" if value.isdigit() or value in ("true", "false") else ""
    if kind == "tuple_type":
        return "begin each item with '- ', or write [one, two]"
    return ""


def _form(path: Path) -> str:
    """What a mapping at this path looks like: with the fields that it must have, or else with the first of a few."""
    part = _part_at(path)
    fields = tuple(part.get("properties", ()))
    shown = part.get("required") or (fields[:1] if len(fields) <= _FEW_FIELDS else ())
    return f"such as {{{', '.join(f'{field}: ...' for field in shown)}}}" if shown else ""


def fields_at(path: Path) -> tuple[str, ...]:
    """The fields that the schema knows at this path."""
    return tuple(_part_at(path).get("properties", ()))


def _part_at(path: Path) -> dict[str, Any]:
    """The part of the JSON schema that describes what stands at this path."""
    found = _whole_schema()
    for step in path:
        found = _resolve(found)
        inside = found.get("items") if isinstance(step, int) else found.get("properties", {}).get(step)
        found = inside or found.get("additionalProperties") or {}
    return _resolve(found)


def _resolve(part: dict[str, Any]) -> dict[str, Any]:
    """What a part of the JSON schema stands for: references followed, of alternatives the one that has fields."""
    if "$ref" in part:
        definition: dict[str, Any] = _whole_schema()["$defs"][part["$ref"].rpartition("/")[2]]
        return definition
    return next((_resolve(other) for other in part.get("anyOf", ()) if "$ref" in other), part)


@cache
def _whole_schema() -> dict[str, Any]:
    return json_schema()
