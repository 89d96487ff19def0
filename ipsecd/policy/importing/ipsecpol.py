"""Command lines of ``ipsecpol`` (Windows 2000) and ``ipseccmd`` (Windows XP).

Each line adds a rule: with ``-w`` to the stored policy of ``-p``, else to what the machine does at once, which becomes
a policy called *dynamic*. The forms are those of the Windows 2000 Resource Kit's help (ipsecpol_syntax) and of
Microsoft's page on Ipseccmd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from ipsecd.policy.complaint import Complaint, complaint
from ipsecd.policy.importing import places, suites
from ipsecd.policy.importing.carrying import carried
from ipsecd.policy.importing.draft import Action, Kind, Offer, Policy, Proof, Response, Rule, Stores, Traffic
from ipsecd.policy.importing.imported import Imported, Report
from ipsecd.policy.importing.words import Word, statements
from ipsecd.policy.nodes import Mark

T = TypeVar("T")

_PROGRAM: Final = re.compile(r"(?i:(?:.*[\\/])?ipsec(?:pol|cmd)(?:\.exe)?)")
_WITH_VALUES: Final = ("f", "n", "t", "a", "1s", "1k", "1f", "1e", "w", "p", "r")
_BARE: Final = ("1p", "soft", "confirm", "dialup", "lan", "x", "y", "o", "u", "?")
_PERMIT: Final[Kind] = "permit"
_BLOCK: Final[Kind] = "block"
_KINDS: Final = {"PASS": _PERMIT, "BLOCK": _BLOCK, "INPASS": "inpass"}
_DYNAMIC: Final = "dynamic"
_UNKNOWN: Final = "an option that there isn't, whose values need no further complaint"
_POLL: Final = re.compile(r":\d*$")
_RENEWAL: Final = re.compile(r"(?i:(\d{1,9})([QS]))")
_FILTER_FORM: Final = "such as 10.1.0.0/255.255.0.0+10.2.0.0/255.255.0.0:80:TCP"
_quick = partial(suites.quick, forms=suites.IPSECPOL)
_main = partial(suites.main, forms=suites.IPSECPOL)
_PROOF_FORM: Final = 'KERBEROS, PRESHARE:"key" or CERT:"name of the authority"'


@dataclass(slots=True)
class _Options:
    """The options of a line: where each stands first, and the values behind it."""

    places: dict[str, Mark] = field(default_factory=dict)
    values: dict[str, list[Word]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def of(self, name: str) -> list[Word]:
        """The values of an option, none if it isn't there."""
        return self.values.get(name, [])


def read(text: str, file: str) -> Imported:
    """The policies that these lines make; ``file`` is the text's name in messages. Raises ConfigError with all
    mistakes."""
    report = Report(file)
    reader = _Reader(report)
    for line in statements(text, report):
        reader.take(line)
    return carried(reader.stores, report)


class _Reader:
    def __init__(self, report: Report) -> None:
        self.stores = Stores()
        self._report = report
        self._draft = self.stores.local  # the store that a line is about

    def take(self, words: list[Word]) -> None:
        """One command line."""
        start = words[0]
        if _PROGRAM.fullmatch(words[0].text):
            words = words[1:]
        elif not words[0].text.startswith("-"):
            self._report.mistake(start.mark, "this isn't a line of ipsecpol or ipseccmd", "such as ipseccmd -f ...")
            return
        if words and words[0].text.startswith("\\\\"):
            self._report.remark(words[0].mark, "what other machine it is for has no meaning here")
            words = words[1:]
        if words and words[0].text.lower() in ("show", "set", "-u"):
            self._report.remark(words[0].mark, "this line changes no stored policy: it is left out")
            return
        options = self._options(words)
        policy = self._policy(start, options)
        if policy is not None:
            self._settings(policy, options)
            self._rules(policy, start, options)
            self._assignment(policy, options)

    def _options(self, words: list[Word]) -> _Options:
        found = _Options()
        name = ""
        for word in words:
            if word.text[:1] in ("-", "/") and word.text[1:].lower() in (*_WITH_VALUES, *_BARE):
                name = word.text[1:].lower()
                found.places.setdefault(name, word.mark)
            elif word.text.startswith("-"):
                self._report.mistake(word.mark, "there is no such option", f"-{', -'.join((*_WITH_VALUES, *_BARE))}")
                name = _UNKNOWN
            elif name in _WITH_VALUES:
                found.values.setdefault(name, []).append(word)
            elif name != _UNKNOWN:
                self._report.mistake(word.mark, "this belongs to no option", "quote what has spaces in it")
        for name, mark in found.places.items():
            if name in _WITH_VALUES and not found.of(name):
                self._report.mistake(mark, f"-{name} needs a value")
        return found

    def _policy(self, start: Word, options: _Options) -> Policy | None:
        """The policy that a line is about; None if it doesn't say, or has deleted it."""
        named = options.of("p")
        if "w" in options and not named:
            self._report.mistake(start.mark, "-w needs the policy's name", "-p NAME")
            return None
        persistent = any(word.text.upper().startswith("PERS") for word in options.of("w"))
        self._draft = self.stores.persistent if persistent else self.stores.local
        mark = (named[0] if named else start).mark
        name = _POLL.sub("", named[0].text) if named else _DYNAMIC
        if "o" in options:
            self._delete(name.lower(), options.of("r"))
            return None
        if not named and _DYNAMIC not in self._draft.policies:
            told = "lines without -w hold beside the assigned policy in Windows; here one policy is in force at a time"
            self._report.remark(mark, f"{told}: they are the policy {_DYNAMIC}")
        return self._draft.policies.setdefault(name.lower(), Policy(name, mark))

    def _delete(self, key: str, rules: list[Word]) -> None:
        """The policy, or the rules of it that are named."""
        if rules and key in self._draft.policies:
            policy, gone = self._draft.policies[key], {word.text.lower() for word in rules}
            policy.rules = [rule for rule in policy.rules if rule.name.lower() not in gone]
        elif not rules:
            self._draft.policies.pop(key, None)
            if self._draft.assigned == key:
                self._draft.assigned = ""

    def _settings(self, policy: Policy, options: _Options) -> None:
        if "1s" in options:
            offers = [each for word in options.of("1s") if (each := self._tried(_main, word))]
            if policy.offers and policy.offers != offers:
                told = f"these key exchange methods hold for the whole policy {policy.name}, instead of earlier ones"
                self._report.remark(options.places["1s"], told)
            policy.offers = offers
        for word in options.of("1k"):
            for piece in word.text.split("/"):
                if (found := _RENEWAL.fullmatch(piece)) is None:
                    self._report.mistake(word.mark, "this isn't how often keys are renewed", "such as 10Q/3600S")
                elif found[2].upper() == "Q":
                    policy.sessions = int(found[1])
                else:
                    policy.lifetime = int(found[1])
        policy.master_key_pfs |= "1p" in options
        if "1f" in options:
            told = "filters of the key exchange have no meaning here: the rules' own say who is spoken to"
            self._report.remark(options.places["1f"], told)

    def _assignment(self, policy: Policy, options: _Options) -> None:
        key = policy.name.lower()
        if "x" in options or (key == _DYNAMIC and not self._draft.assigned):
            self._draft.assigned = key
        elif "y" in options and self._draft.assigned == key:
            self._draft.assigned = ""

    def _rules(self, policy: Policy, start: Word, options: _Options) -> None:
        """The line's rule, and one more for filters in parentheses, which pass, and one for those in brackets, which
        are blocked."""
        named = options.of("r")
        name, mark = (named[0].text, named[0].mark) if named else ("", start.mark)
        proofs = [each for word in options.of("a") if (each := self._tried(_proof, word))]
        connections = "remote-access" if "dialup" in options else "lan" if "lan" in options else "all"
        tunnel = self._tunnel(options)
        plain, passed, blocked, default = self._filters(options)
        action = self._action(name or f"{policy.name}-action", start, options)
        if default is not None:
            policy.response = Response(default.mark, offers=action.offers, proofs=proofs)
        if plain:
            policy.rules.append(Rule(name, mark, self._known(action), "", plain, tunnel, proofs, connections))
        for kind, filters in ((_PERMIT, passed), (_BLOCK, blocked)):
            if filters:
                known = self._known(Action(kind, start.mark, kind))
                derived = f"{name}-{kind}".lstrip("-")
                policy.rules.append(Rule(derived, mark, known, "", filters, connections=connections))

    def _tunnel(self, options: _Options) -> str:
        found = [end for word in options.of("t") if (end := self._tried(_endpoint, word))]
        return found[0] if found else ""

    def _filters(self, options: _Options) -> tuple[list[Traffic], list[Traffic], list[Traffic], Word | None]:
        plain: list[Traffic] = []
        passed: list[Traffic] = []
        blocked: list[Traffic] = []
        default = None
        for word in options.of("f"):
            text = word.text
            if text.upper() == "DEFAULT":
                default = word
                continue
            group, inner = plain, word
            if text[:1] + text[-1:] in ("()", "[]"):
                group = passed if text[0] == "(" else blocked
                inner = Word(text[1:-1], word.behind(1).mark)
            if (each := self._tried(_filter, inner)) is not None:
                group.append(each)
        return plain, passed, blocked, default

    def _action(self, name: str, start: Word, options: _Options) -> Action:
        methods = list(self._methods(options))
        kinds: tuple[Kind, ...] = (_PERMIT, _BLOCK)
        for kind in kinds:
            if kind in methods:
                return Action(kind, start.mark, kind)
        action = Action(name, start.mark, offers=[each for each in methods if isinstance(each, Offer)])
        action.inbound_passthrough = "inpass" in methods
        action.soft = "soft" in options
        for word in options.of("1e"):
            if word.text.isascii() and word.text.isdecimal() and len(word.text) <= 9:
                action.soft_seconds = int(word.text)
            else:
                self._report.mistake(word.mark, "this isn't a number of seconds", "such as -1e 300")
        return action

    def _methods(self, options: _Options) -> Iterator[Offer | str]:
        for word in options.of("n"):
            if (kind := _KINDS.get(word.text.upper())) is not None:
                yield kind
            elif (offer := self._tried(_quick, word)) is not None:
                yield offer

    def _known(self, action: Action) -> str:
        """The name of this action, or of one that is the same."""
        for name, other in self._draft.actions.items():
            if other == action:
                return name
        key, number = action.name.lower(), 2
        while key in self._draft.actions:
            key, number = f"{action.name.lower()}-{number}", number + 1
        if number > 2:
            action.name = key
        self._draft.actions[key] = action
        return key

    def _tried(self, read: Callable[[str, Mark], T], word: Word) -> T | None:
        try:
            return read(word.text, word.mark)
        except Complaint as error:
            for remark in error.remarks:
                self._report.mistake(word.mark, remark.message, remark.hint)
            return None


def _proof(text: str, mark: Mark) -> Proof:
    """An authentication method, whose kind may be its first letter alone; the complaint repeats nothing of it."""
    kind, colon, rest = text.partition(":")
    word = kind.upper()
    if word in ("K", "KERBEROS") and not colon:
        return Proof("kerberos", mark)
    if word in ("P", "PRESHARE") and rest:
        return Proof("psk", mark, secret=rest)
    if word in ("C", "CERT") and rest:
        return Proof("certificate", mark, authority=rest)
    raise complaint("this isn't an authentication method", _PROOF_FORM)


def _endpoint(text: str, _: Mark) -> str:
    return places.endpoint(text)


def _filter(text: str, mark: Mark) -> Traffic:
    """``source/mask:port=destination/mask:port:protocol``; with ``+`` instead of ``=`` both ways."""
    found = re.search(r"[=+]", text)
    if found is None:
        raise complaint("this isn't a filter", _FILTER_FORM)
    source, source_port = _side(text[: found.start()])
    behind = text[found.end() :].split(":")
    if len(behind) > 3:
        raise complaint("a filter ends with address:port:protocol", _FILTER_FORM)
    destination, destination_port = _side(":".join(behind[:2]))
    protocol = places.protocol(behind[2]) if len(behind) == 3 else 0
    return Traffic(source, destination, mark, protocol, source_port, destination_port, mirrored=found[0] == "+")


def _side(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    known = {"0": "me", "*": "any"}.get(address)
    return known or places.address(address), places.port(port)
