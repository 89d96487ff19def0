"""Command lines, as Windows' own programs split them: words, each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ipsecd.policy.importing.imported import Report
from ipsecd.policy.nodes import Mark
from ipsecd.policy.syntax import lines_of

_COMMENTS: Final = ("#", "::", ";", "//")
_ASIDE: Final = ("rem", "@rem", "echo", "@echo", "pause", "exit", "setlocal", "endlocal", "cls")


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quotation marks. It may hold a key, and is shown nowhere."""

    text: str
    mark: Mark

    def __repr__(self) -> str:
        return f"Word({self.mark})"

    def behind(self, count: int) -> Word:
        """The rest of the word without its first characters."""
        return Word(self.text[count:], Mark(self.mark.line, self.mark.column + count))


def statements(text: str, report: Report) -> Iterator[list[Word]]:
    """The words of each command line; a caret at a line's end joins it with the next. Comments, and what batch files
    say to people, are left out. A line whose quotation mark isn't closed is a mistake."""
    line: list[Word] = []
    for number, raw in enumerate(lines_of(text.removeprefix("\ufeff")), start=1):
        content = raw.rstrip()
        goes_on = content.endswith("^")
        if line or not content.lstrip().startswith(_COMMENTS):
            line += _words(content.removesuffix("^"), number, report)
        if not goes_on:
            yield from _told(line)
            line = []
    yield from _told(line)


def _told(line: list[Word]) -> Iterator[list[Word]]:
    if line and line[0].text.lower() not in _ASIDE:
        yield line


def _words(line: str, number: int, report: Report) -> Iterator[Word]:
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        begin, letters, quote = at, [], -1
        while at < len(line) and (quote >= 0 or not line[at].isspace()):
            if line.startswith('\\"', at):
                letters.append('"')
                at += 1
            elif line[at] == '"':
                quote = -1 if quote >= 0 else at
            else:
                letters.append(line[at])
            at += 1
        if quote >= 0:
            report.mistake(Mark(number, quote + 1), "a quotation mark that isn't closed", 'close it with "')
        yield Word("".join(letters), Mark(number, begin + 1))
