"""What the policies of an import have in common: credentials, and filter lists and filter actions by their names."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecd.policy.importing.credentials import Credentials
from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.naming import Names
from ipsecd.policy.names import FILTER_ACTIONS, FILTER_LISTS
from ipsecd.policy.paths import Value


class Named:
    """Things of one kind, each once, under a name of its own."""

    def __init__(self, kind: str, built_in: Iterable[str]) -> None:
        self.section: dict[str, Value] = {}
        self._names = Names(kind, built_in)
        self._called: dict[str, list[str]] = {}

    def name(self, text: str, content: Value) -> str:
        """The name of this content, made of this text unless the same content has come by the same text before."""
        before = self._called.setdefault(text.lower(), [])
        if (known := next((name for name in before if self.section[name] == content), None)) is not None:
            return known
        name = self._names.fresh(text)
        before.append(name)
        self.section[name] = content
        return name


class Shared:
    """One import's. Sections fill up as rules ask for what is in them."""

    def __init__(self, report: Report) -> None:
        self.credentials = Credentials(report)
        self.lists = Named("list", FILTER_LISTS)
        self.actions = Named("action", FILTER_ACTIONS)
        self.policy_names = Names("policy")

    def sections(self) -> dict[str, Value]:
        """Those that hold something."""
        sections: dict[str, dict[str, Value]] = {
            "credentials": self.credentials.section,
            "filter_lists": self.lists.section,
            "filter_actions": self.actions.section,
        }
        return {name: content for name, content in sections.items() if content}
