"""Values of netsh's tags, each read or complained about at its place. No complaint repeats a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.words import Word
from ipsecd.policy.nodes import Mark

T = TypeVar("T")


class Values:
    """Reads words; what can't be read is a mistake of the report, and comes as None or as what was there before."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def yes(self, word: Word, before: bool) -> bool:
        """yes or no, or the first letter of it."""
        return self.one_of(word, {"yes": True, "y": True, "no": False, "n": False}, before)

    def one_of(self, word: Word, known: Mapping[str, T], before: T) -> T:
        """What one of these words stands for."""
        if (value := word.text.strip().lower()) in known:
            return known[value]
        whole = [each for each in known if len(each) > 1]
        self._report.mistake(word.mark, "this isn't one of the words that belong here", ", ".join(whole))
        return before

    def number(self, word: Word, most: int) -> int:
        """A number from 0; 0 too where it can't be read."""
        text = word.text.strip()
        if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= most:
            return int(text)
        self._report.mistake(word.mark, "this isn't a number that belongs here", f"0 to {most}")
        return 0

    def each(self, word: Word, read: Callable[[str, Mark], T]) -> list[T]:
        """Those of a word's parts that can be read; spaces stand between them."""
        return [found for part in _parts(word) if (found := self._part(read, part)) is not None]

    def _part(self, read: Callable[[str, Mark], T], part: Word) -> T | None:
        return self._report.tried(lambda: read(part.text, part.mark), part.mark)


def _parts(word: Word) -> Iterator[Word]:
    at = 0
    for part in word.text.split():
        at = word.text.index(part, at)
        yield Word(part, word.behind(at).mark)
        at += len(part)


def given(arguments: Sequence[tuple[str, Word]], tag: str) -> Word | None:
    """The value of a tag, or None."""
    return next((word for name, word in arguments if name == tag), None)
