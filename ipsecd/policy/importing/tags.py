"""The arguments of a netsh command: ``tag=value``, tags cut short as far as they stay clear, or values alone in the
order of the tags, which stand first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.words import Word

_TAGGED: Final = re.compile(r"([A-Za-z]+)=")
_REPEATED: Final = ("rootca",)


def arguments(words: Sequence[Word], tags: Sequence[str], report: Report) -> Iterator[tuple[str, Word]]:
    """Tags with their values, in the order in which they stand. What can't be one is a mistake."""
    left = list(tags)
    seen: set[str] = set()
    tagged = False
    for word in words:
        found = _TAGGED.match(word.text)
        if found is None and tagged:
            report.mistake(word.mark, "this has no tag, and stands behind one that has", "quote what has spaces in it")
            continue
        if found is None and not left:
            report.mistake(
                word.mark, "there are more values than this command has tags", f"its tags: {', '.join(tags)}"
            )
            continue
        tagged = found is not None
        tag = left[0] if found is None else _tag(found[1].lower(), tags)
        if not tag:
            report.mistake(word.mark, "there is no such tag here", f"its tags: {', '.join(tags)}")
            continue
        if tag in seen and tag not in _REPEATED:
            report.mistake(word.mark, f"{tag} stands here twice")
            continue
        seen.add(tag)
        left = [each for each in left if each != tag]
        yield tag, word if found is None else word.behind(found.end())


def _tag(short: str, tags: Sequence[str]) -> str:
    """The tag that this is the beginning of; empty if there is none, or more than one."""
    close = [short] if short in tags else [tag for tag in tags if tag.startswith(short)]
    return close[0] if len(close) == 1 else ""
