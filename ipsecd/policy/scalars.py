"""What an unquoted YAML scalar means here: a whole number, true, false, or text.

YAML 1.1 reads ``no`` as false, ``12:30`` as 750 and ``010`` as 8; YAML 1.2 doesn't. Whatever the two, or a reader and
a writer, could understand differently is refused and has to be quoted or written plainly.
"""

from __future__ import annotations

import re

_DIGITS = 20  # more than any field holds; int() itself is quadratic
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)|0x[0-9A-Fa-f]+")
_TEXT = "quote it if it is text"
_BOOLEAN = f"write true or false; {_TEXT}"
_NUMBER = f"write plain decimal digits; {_TEXT}"
_SURPRISES = tuple(
    (re.compile(pattern), what, hint)
    for pattern, what, hint in (
        (r"(?i:~|null|)", "has no value", "write one, or leave the key out"),
        (r"(?i:y|n|yes|no|on|off|true|false)", "is a boolean in one YAML and text in another", _BOOLEAN),
        # an IPv6 address of decimal digits alone is one too
        (r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", "is a number in base 60 in YAML 1.1", _TEXT),
        (r"[-+]?0[0-9_]+|[-+]?0o[0-7_]+|[-+]?0b[01_]+", "is octal or binary in one YAML and not in another", _NUMBER),
        (r"[-+]?(?:[0-9][0-9_]*_[0-9_]*|0x[0-9A-Fa-f_]+)|\+[0-9]+", "is a number in one YAML only", _NUMBER),
        (r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?", "isn't a whole number", _TEXT),
        (r"(?i:[-+]?\.inf|\.nan)", "isn't a whole number", _TEXT),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?", "is a date in YAML 1.1", _TEXT),
        (r"=|<<", "has a meaning of its own in YAML 1.1", _TEXT),
    )
)


class SurpriseError(ValueError):
    """A scalar that people and parsers read differently. ``message`` begins with the verb; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def plain(text: str) -> str | int | bool:
    """The value of an unquoted scalar; raises SurpriseError."""
    if text in ("true", "false"):
        return text == "true"
    if _WHOLE.fullmatch(text):
        if len(text) > _DIGITS:
            raise SurpriseError("is too large a number", "")
        return int(text, 0)
    for pattern, what, hint in _SURPRISES:
        if pattern.fullmatch(text):
            raise SurpriseError(what, hint)
    return text
