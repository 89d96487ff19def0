"""What an editor is told of values: parts of the JSON schema.

Patterns use only what all dialects of regular expressions have. In some of them ``$`` also matches before a line end at
the end of a text; what must not hold one says so apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ipsecd import limits

Part: TypeAlias = dict[str, Any]

NAME: Final = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
INTERFACE_NAME: Final = r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$"  # IFNAMSIZ
CREDENTIAL_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"
ANY_CASE: Final = "in any case"

_CONTROL = r"\u0000-\u0009\u000b-\u001f\u007f-\u009f"  # all but the line feed
_NO_LINE_END: Final[Part] = {"pattern": "\\n"}
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"


def name(pattern: str, *, but: Sequence[str] = ()) -> Part:
    """A name of this pattern, but none of some words."""
    no = [{"pattern": "\\s"}, {"enum": list(but)}] if but else [{"pattern": "\\s"}]
    return {"type": "string", "pattern": pattern, "not": no[0] if len(no) == 1 else {"anyOf": no}}


def keyword(words: Iterable[str]) -> Part:
    """One of these words, in any case; those in lower case are what an editor offers."""
    known = list(words)
    letters = "|".join("".join(map(_either_case, word)) for word in known)
    any_case = {"type": "string", "pattern": f"^({letters})$", "not": {"pattern": "\\s"}, "$comment": ANY_CASE}
    return {"anyOf": [{"enum": known}, any_case]}


def _either_case(letter: str) -> str:
    return f"[{letter.upper()}{letter}]" if letter.isalpha() else letter


def keywords(words: Iterable[str]) -> Part:
    """One of these words, or a list of them."""
    one = keyword(words)
    known = one["anyOf"][0]["enum"]
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": len(known), "uniqueItems": True}
    return {"anyOf": [*one["anyOf"], several]}


def named(built_in: Iterable[str]) -> Part:
    """A name, with the built-in ones for an editor to offer."""
    return {"anyOf": [{"enum": list(built_in)}, name(NAME)]}


def number(least: int, most: int) -> Part:
    return {"type": "integer", "minimum": least, "maximum": most}


def words_or_numbers(table: Mapping[str, int], among: Iterable[int] | None = None) -> Part:
    """A word of a table, in any case, or a number: of an octet, or of these."""
    known = None if among is None else set(among)
    words = [word for word, value in table.items() if known is None or value in known]
    return {"anyOf": [*keyword(words)["anyOf"], number(0, 255) if known is None else {"enum": sorted(known)}]}


ONE_FIELD: Final[Part] = {"minProperties": 1, "maxProperties": 1}
UNIQUE: Final[Part] = {"uniqueItems": True}
ANY: Final[Part] = {"type": "string", "pattern": "^\\s*[Aa][Nn][Yy]\\s*$"}
ME: Final[Part] = {"type": "string", "pattern": "^\\s*[Mm][Ee]\\s*$"}
NOT_EMPTY: Final[Part] = {"type": "string", "pattern": "\\S"}
TEXT: Final[Part] = {"type": "string", "maxLength": limits.MAX_POLICY_TEXT, "pattern": f"^[^{_CONTROL}]*$"}
LINE: Final[Part] = {
    "type": "string",
    "maxLength": limits.MAX_POLICY_TEXT,
    "pattern": f"^ *[^ \\n{_CONTROL}][^\\n{_CONTROL}]*$",
    "not": _NO_LINE_END,
}
COMMAND: Final[Part] = {
    "type": "array",
    "minItems": 1,
    "prefixItems": [{**LINE, "pattern": f"^/[^\\n{_CONTROL}]*$"}],
    "items": TEXT,
}
PORTS: Final[Part] = {
    "anyOf": [
        number(1, 65_535),
        *keyword(["any"])["anyOf"],
        {"type": "string", "pattern": f"^{_PORT} *- *{_PORT}$", "not": _NO_LINE_END},
    ]
}


def given(**fields: Part) -> Part:
    """Holds where all of these fields are given and are so."""
    return {"required": list(fields), "properties": fields}


def given_words(**fields: Iterable[str]) -> Part:
    """Holds where all of these fields are given and are one of these words."""
    return given(**{field: {"enum": list(words)} for field, words in fields.items()})
