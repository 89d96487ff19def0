"""Scripts of ``netsh ipsec static``, as on Windows Server 2003 and later.

The commands and tags are those of Microsoft's page on *netsh ipsec* and of netsh's own help.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ipsecd.policy.importing.carrying import carried
from ipsecd.policy.importing.draft import Stores
from ipsecd.policy.importing.imported import Imported, Report
from ipsecd.policy.importing.netsh_commands import Commands
from ipsecd.policy.importing.tags import arguments
from ipsecd.policy.importing.values import Values
from ipsecd.policy.importing.words import Word, statements
from ipsecd.policy.nodes import Mark

_PROOFS: Final = ("kerberos", "psk", "rootca")
_KEYS: Final = ("mmpfs", "qmpermm", "mmlifetime", "activatedefaultrule", "pollinginterval", "assign")
_DEALS: Final = ("qmpfs", "inpass", "soft", "action", "qmsecmethods")
_SIDES: Final = ("mirrored", "srcmask", "dstmask", "srcport", "dstport")
_RULE: Final = ("filterlist", "filteraction", "tunnel", "conntype", "activate")
TAGS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("add", "policy"): ("name", "description", *_KEYS, "mmsecmethods"),
    ("set", "policy"): ("name", "guid", "newname", "description", *_KEYS, "gponame", "mmsecmethods"),
    ("delete", "policy"): ("name",),
    ("add", "filterlist"): ("name", "description"),
    ("set", "filterlist"): ("name", "guid", "newname", "description"),
    ("delete", "filterlist"): ("name",),
    ("add", "filter"): ("filterlist", "srcaddr", "dstaddr", "description", "protocol", *_SIDES),
    ("delete", "filter"): ("filterlist", "srcaddr", "dstaddr", "protocol", *_SIDES),
    ("add", "filteraction"): ("name", "description", *_DEALS),
    ("set", "filteraction"): ("name", "guid", "newname", "description", *_DEALS),
    ("delete", "filteraction"): ("name",),
    ("add", "rule"): ("name", "policy", *_RULE, "description", *_PROOFS),
    ("set", "rule"): ("name", "id", "policy", "newname", "description", *_RULE, *_PROOFS),
    ("delete", "rule"): ("name", "id", "all", "policy"),
    ("set", "defaultrule"): ("policy", "qmpfs", "activate", "qmsecmethods", *_PROOFS),
}
_ASIDE: Final = {
    "show": "shows what there is",
    "dump": "shows what there is",
    "exportpolicy": "reads or writes a file of Windows' own",
    "importpolicy": "reads or writes a file of Windows' own",
    "restorepolicyexamples": "brings back Windows' examples",
    "batch": "says how netsh works",
    "interactive": "says how netsh works",
}
_BOOT_MODES: Final = {mode: mode for mode in ("stateful", "block", "permit")}
_CONTEXT: Final = ("netsh", "netsh.exe", "pushd", "ipsec", "static")


def read(text: str, file: str) -> Imported:
    """The policies that these commands make; ``file`` is the text's name in messages. Raises ConfigError with all
    mistakes."""
    report = Report(file)
    reader = _Reader(report)
    for words in statements(text, report):
        reader.take(words)
    return carried(reader.stores, report)


class _Reader:
    """Leads each command to what it changes."""

    def __init__(self, report: Report) -> None:
        self.stores = Stores()
        self._report = report
        self._values = Values(report)
        self._local = Commands(self.stores.local, report)
        self._persistent = Commands(self.stores.persistent, report)
        self._commands = self._local

    def take(self, words: list[Word]) -> None:
        """One command, with or without what leads to its context."""
        while words and words[0].text.lower() in _CONTEXT:
            words = words[1:]
        if not words or words[0].text.lower() in ("popd", "bye", "quit"):
            return
        if words[0].text.lower() == "dynamic":
            self._dynamic(words)
            return
        verb, noun = (word.text.lower() for word in [*words[:2], Word("", words[0].mark)][:2])
        aside = _ASIDE.get(verb) or (_ASIDE.get(noun) if verb in ("set", "show") else None)
        if aside is not None:
            self._report.remark(words[0].mark, f"this command {aside}: it is left out")
        elif (verb, noun) == ("set", "store"):
            self._store(dict(arguments(words[2:], ("location", "domain"), self._report)), words[0].mark)
        elif (verb, noun) == ("delete", "all"):
            self._commands.delete_all()
        elif (verb, noun) in TAGS:
            given = list(arguments(words[2:], TAGS[verb, noun], self._report))
            self._commands.do(verb, noun, given, words[0].mark)
        else:
            known = ", ".join(" ".join(each) for each in TAGS)
            self._report.mistake(words[0].mark, "this isn't a command of netsh ipsec static", known)

    def _store(self, given: Mapping[str, Word], mark: Mark) -> None:
        """Which store the commands from here on are about."""
        if "location" not in given:
            self._report.mistake(mark, "location is missing", "location=local or location=persistent")
            return
        known = {"local": self._local, "persistent": self._persistent, "domain": self._local}
        self._commands = self._values.one_of(given["location"], known, self._commands)
        if given["location"].text.strip().lower() == "domain":
            told = "what follows is of a domain's store: here it comes as policies of this file"
            self._report.remark(mark, told)

    def _dynamic(self, words: list[Word]) -> None:
        """Of what changes the machine at once there are two things that a policy file can say: the exemptions, and the
        boot mode."""
        mark = words[0].mark
        if [word.text.lower() for word in words[1:3]] == ["set", "config"]:
            given = list(arguments(words[3:], ("property", "value"), self._report))
            values = dict(given)
            setting = values["property"].text.lower() if "property" in values and "value" in values else ""
            if setting == "ipsecexempt":
                self.stores.exemptions = self._values.number(values["value"], 3)
                return
            if setting == "bootmode":
                self.stores.boot = self._values.one_of(values["value"], _BOOT_MODES, self.stores.boot)
                return
        self._report.remark(mark, "this command changes what holds at the moment, and no stored policy: it is left out")
