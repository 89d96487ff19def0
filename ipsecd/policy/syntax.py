"""What libyaml has against a text, in plain words and at the place where people would look."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from ipsecd import limits
from ipsecd.policy.nodes import Mark

_LINE_END = re.compile(r"\r\n|\r|\n")
_QUOTE = "quote the text"
_INDENTATION = "check its indentation"
_DIRECTIVE = ("a directive, a line that begins with %", "remove it")
_LONGEST_KEY = 1_024  # YAML 1.2 section 7.4.2


class NotYamlError(Exception):
    """A text that can't be read any further. ``hint`` says what to do."""

    def __init__(self, mark: Mark, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.hint = hint


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends, as editors and YAML count them."""
    return _LINE_END.split(text)


def place_of(text: str, index: int) -> Mark:
    """The line and column of a character."""
    before = lines_of(text[:index])
    return Mark(len(before), len(before[-1]) + 1)


def comments_of(text: str) -> dict[int, str]:
    """The comments of a YAML text by their lines, counted from 1: alone in a line or behind something."""
    ends: dict[int, int] = {}  # where that is over, by line
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        for line in range(token.start_mark.line, token.end_mark.line):
            ends[line] = len(text)  # what goes on in the next one
        ends[token.end_mark.line] = max(ends.get(token.end_mark.line, 0), token.end_mark.column)
    left = ((number, line[ends.get(number, 0) :].strip()) for number, line in enumerate(lines_of(text)))
    return {number + 1: rest for number, rest in left if rest.startswith("#")}


@dataclass(frozen=True, slots=True)
class _Problem:
    """libyaml's words, where it stopped, and where the thing begins that it was reading."""

    words: str
    context: str
    at: Mark
    began: Mark
    lines: Sequence[str]

    @property
    def before(self) -> str:
        """What stands before the place in its line."""
        return self._line(self.at)[: self.at.column - 1]

    @property
    def letter(self) -> str:
        """The character at the place; empty behind the last one of a line."""
        return self._line(self.at)[self.at.column - 1 : self.at.column]

    @property
    def opening(self) -> str:
        """The character that the thing begins with."""
        return self._line(self.began)[self.began.column - 1 : self.began.column]

    @property
    def at_end(self) -> bool:
        """Whether nothing but white space follows."""
        return not any(map(str.strip, (self._line(self.at)[self.at.column - 1 :], *self.lines[self.at.line :])))

    def _line(self, mark: Mark) -> str:
        return self.lines[mark.line - 1] if mark.line <= len(self.lines) else ""


def problem_of(error: yaml.MarkedYAMLError, text: str) -> NotYamlError:
    """The error as people would say it."""
    at, began = (_mark(mark or error.context_mark) for mark in (error.problem_mark, error.context_mark))
    problem = _Problem(error.problem or "", error.context or "", at, began, lines_of(text))
    for words, say in _SAYINGS:
        if words in problem.words or words in problem.context:
            return say(problem)
    return NotYamlError(at, "this isn't YAML")


def _mark(mark: yaml.Mark | None) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _says(message: str, hint: str = "", *, where_it_began: bool = False) -> Callable[[_Problem], NotYamlError]:
    return lambda problem: NotYamlError(problem.began if where_it_began else problem.at, message, hint)


def _no_token(problem: _Problem) -> NotYamlError:
    if problem.letter == "\t":
        return NotYamlError(problem.at, "a tab where YAML wants spaces", "use spaces")
    return NotYamlError(problem.at, f"text can't begin with {problem.letter!r} in YAML", _QUOTE)


def _no_content(problem: _Problem) -> NotYamlError:
    if problem.at_end:
        return NotYamlError(problem.at, "the file ends where a value should stand", "is every '[' and '{' closed?")
    return NotYamlError(problem.at, f"{problem.letter!r} stands where a value should", "quote text that begins so")


def _no_value_allowed(problem: _Problem) -> NotYamlError:
    if problem.at.column > _LONGEST_KEY:
        return NotYamlError(problem.at, "this is too long for a key", "quote text that holds ': '")
    if ": " in problem.before or problem.before.startswith("---"):
        hint = "quote text that holds one, and give nested keys lines of their own"
        return NotYamlError(problem.at, "a second ': ' in one line", hint)
    return NotYamlError(problem.at, "this line goes on with the one above it, and can't hold a ': '", _INDENTATION)


def _no_document(problem: _Problem) -> NotYamlError:
    for number, line in enumerate(problem.lines[: problem.at.line - 1], start=1):
        if line.startswith("%"):
            return NotYamlError(Mark(number, 1), *_DIRECTIVE)
    return NotYamlError(problem.at, "this stands behind the end of the document", "a policy file is one document")


def _no_key(problem: _Problem) -> NotYamlError:
    if problem.letter in ("]", "}"):
        return NotYamlError(problem.at, f"this {problem.letter!r} closes nothing", "quote it if it is text")
    if problem.before.strip():
        return NotYamlError(problem.at, "something stands behind the value", "quote all of it, or begin a new line")
    return NotYamlError(problem.at, "this line doesn't fit those above it", _INDENTATION)


def _not_closed(problem: _Problem) -> NotYamlError:
    closing = {"[": "]", "{": "}"}.get(problem.opening, "]")
    if problem.at_end:
        return NotYamlError(problem.began, f"this {problem.opening!r} isn't closed", f"end it with {closing!r}")
    hint = f"{problem.opening!r} stands in line {problem.began.line}"
    return NotYamlError(problem.at, f"a ',' or {closing!r} is missing before this", hint)


_TAG = _says("a tag, or what looks like one", "remove it, or quote text that begins with '!'", where_it_began=True)
_REFERENCE = _says("an anchor or alias without a name", "quote text that begins with '&' or '*'", where_it_began=True)
_BLOCK = _says(
    "a block of text doesn't begin so",
    "put the text on the lines below, or quote text that begins with '|' or '>'",
    where_it_began=True,
)
_ESCAPE = _says("this isn't an escape of YAML's", "write \\\\ for a backslash, or use single quotes")

# libyaml's words, or those on what it was reading, from the most to the least telling
_SAYINGS: Final[Sequence[tuple[str, Callable[[_Problem], NotYamlError]]]] = (
    ("nesting depth", _says(f"nested deeper than {limits.MAX_POLICY_DEPTH} levels")),  # met first where it looks ahead
    ("cannot start any token", _no_token),
    ("found a tab", _says("a tab where YAML wants spaces", "use spaces")),
    ("unexpected end of stream", _says("this quote isn't closed", where_it_began=True)),
    ("unexpected document indicator", _says("this quote isn't closed", where_it_began=True)),
    ("while scanning a simple key", _says("a key without a ': ' behind it", "write key: value", where_it_began=True)),
    ("%", _says(*_DIRECTIVE)),
    ("directive", _says(*_DIRECTIVE)),
    ("incompatible YAML", _says(*_DIRECTIVE)),
    ("tag", _TAG),
    ("anchor", _REFERENCE),
    ("alias", _REFERENCE),
    ("block scalar", _BLOCK),
    ("escape", _ESCAPE),
    ("hexdecimal", _ESCAPE),
    ("unexpected ':'", _says("text in [...] or {...} can't end with ':'", _QUOTE)),
    ("expected node content", _no_content),
    ("mapping values are not allowed", _no_value_allowed),
    ("mapping keys are not allowed", _says("a '? ' can't stand here", "quote text that begins with one")),
    ("block sequence entries", _says("a '- ' can't stand here", "begin a list on a line of its own")),
    ("expected <document start>", _no_document),
    ("expected ','", _not_closed),
    ("expected key", _no_key),
    ("expected '-'", _no_key),
)
