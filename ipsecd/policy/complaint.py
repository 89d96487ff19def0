"""What a field says of a value it can't take. The field's place in the file is added by whoever knows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ipsecd import limits, printable


@dataclass(frozen=True, slots=True)
class Remark:
    """One complaint of a value made of several. ``at`` leads from that value to the part that is wrong."""

    message: str
    hint: str = ""
    at: tuple[str | int, ...] = ()


class Complaint(ValueError):
    """Raised by the checks of the schema; pydantic carries it to where the path is known."""

    def __init__(self, *remarks: Remark) -> None:
        super().__init__("; ".join(remark.message for remark in remarks))
        self.remarks = remarks


def complaint(message: str, hint: str = "", *at: str | int) -> Complaint:
    """A complaint of a single remark."""
    return Complaint(Remark(message, hint, at))


def quoted(text: object) -> str:
    """Text of the file, fit for a message; what isn't text comes without the marks."""
    return printable.quoted(text, 60) if isinstance(text, str) else printable.printable(str(text), 60)


def folded(word: str) -> str:
    """A keyword as it stands in its table, whatever the case of its letters. Letters that only look like ours stay."""
    return word.lower() if word.isascii() else word


def did_you_mean(word: str, known: Iterable[str], *, list_all: bool = True) -> str:
    """A hint that names the closest known word; or else, if wanted, all of them if they are few; or nothing."""
    names = sorted(known)
    if len(names) > limits.MAX_SUGGESTIONS:
        return ""
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "one of " + ", ".join(names) if list_all and 0 < len(names) <= 8 else ""
