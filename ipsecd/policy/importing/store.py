"""What has a name in Windows' store, found and made by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from ipsecd.policy.complaint import did_you_mean
from ipsecd.policy.importing.draft import Action, Draft, Policy, Rule, TrafficList
from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.values import given
from ipsecd.policy.importing.words import Word
from ipsecd.policy.nodes import Mark

Named = TypeVar("Named", Policy, TrafficList, Action)
Found = TypeVar("Found")
Arguments: TypeAlias = Sequence[tuple[str, Word]]


class Store:
    """The names of a draft. What is asked for and isn't there, or is there and mustn't be, is a mistake."""

    def __init__(self, draft: Draft, report: Report) -> None:
        self._draft = draft
        self._report = report

    def named(
        self,
        verb: str,
        noun: str,
        section: dict[str, Named],
        arguments: Arguments,
        mark: Mark,
        make: Callable[[str, Mark], Named],
    ) -> Named | None:
        """What a command makes or changes; None if it has deleted it, or there is none."""
        word = given(arguments, "name")
        if word is None or not word.text:
            self._report.mistake(mark, "name is missing", f"{verb} {noun} name=NAME")
            return None
        key = word.text.lower()
        if verb == "add":
            if key in section:
                self._report.mistake(word.mark, f"there is a {noun} of that name already", f"set {noun} changes it")
            return section.setdefault(key, make(word.text, word.mark))
        found = self.found(noun, section, word, mark)
        if found is None:
            return None
        if verb == "delete":
            self._delete(noun, section, key, word)
            return None
        if (new := given(arguments, "newname")) is not None and new.text:
            self._rename(noun, section, key, new.text)
        return found

    def found(self, noun: str, section: Mapping[str, Found], word: Word | None, mark: Mark) -> Found | None:
        """What has the name that a word says."""
        if word is None or not word.text:
            self._report.mistake(mark, f"{noun} is missing", f"{noun}=NAME")
            return None
        found = section.get(word.text.lower())
        if found is None:
            self._report.mistake(word.mark, f"there is no {noun} of that name", did_you_mean(word.text, section))
        return found

    def _delete(self, noun: str, section: dict[str, Named], key: str, word: Word) -> None:
        if any(_uses(rule, noun, key) for rule in self._rules()):
            self._report.mistake(word.mark, f"there are rules that use this {noun}", "delete them first")
            return
        del section[key]
        if noun == "policy" and self._draft.assigned == key:
            self._draft.assigned = ""

    def _rename(self, noun: str, section: dict[str, Named], key: str, new: str) -> None:
        found = section.pop(key)
        found.name = new
        section[new.lower()] = found
        if noun == "policy" and self._draft.assigned == key:
            self._draft.assigned = new.lower()
        for rule in self._rules():
            if _uses(rule, noun, key) and noun == "filterlist":
                rule.traffic_list = new
            elif _uses(rule, noun, key):
                rule.action = new

    def _rules(self) -> Iterator[Rule]:
        for policy in self._draft.policies.values():
            yield from policy.rules


def _uses(rule: Rule, noun: str, key: str) -> bool:
    name = {"filterlist": rule.traffic_list, "filteraction": rule.action}.get(noun, "")
    return name.lower() == key
