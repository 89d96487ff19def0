"""What each command of ``netsh ipsec static`` changes: policies, filter lists, filter actions and rules of a draft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from ipsecd.policy.complaint import complaint
from ipsecd.policy.importing import places, suites
from ipsecd.policy.importing.draft import Action, Draft, Kind, Policy, Proof, Response, Rule, Traffic, TrafficList
from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.predefined import REQUIRE, predefined_action, predefined_list
from ipsecd.policy.importing.store import Arguments, Store
from ipsecd.policy.importing.values import Values, given
from ipsecd.policy.importing.words import Word
from ipsecd.policy.nodes import Mark

_CONNECTIONS: Final = {"lan": "lan", "dialup": "remote-access", "all": "all"}
_KINDS: Final[Mapping[str, Kind]] = {"permit": "permit", "block": "block", "negotiate": "negotiate"}
_MOST_MINUTES: Final = 10_080  # a week, the longest lifetime of an SA
_MOST: Final = (1 << 32) - 1
_CERTIFICATE_FLAGS: Final = re.compile(r"(?i:\s+(?:certmap|excludecaname):\S+)")


class Commands:
    """The store of Windows, as far as a script has filled it."""

    def __init__(self, draft: Draft, report: Report) -> None:
        self._draft = draft
        self._report = report
        self._store = Store(draft, report)
        self._values = Values(report)

    def delete_all(self) -> None:
        """Nothing is left but what is predefined."""
        for section in (self._draft.policies, self._draft.lists, self._draft.actions):
            section.clear()
        self._draft.assigned = ""

    def do(self, verb: str, noun: str, arguments: Arguments, mark: Mark) -> None:
        """One command; what it names and isn't there is a mistake."""
        if noun == "filter":
            self._filter(verb, arguments, mark)
        elif noun == "defaultrule":
            self._default_rule(arguments, mark)
        elif noun == "rule":
            self._rule(verb, arguments, mark)
        elif noun == "policy":
            self._policy(verb, arguments, mark)
        elif noun == "filterlist":
            self._list(verb, arguments, mark)
        else:
            self._action(verb, arguments, mark)

    # --- policies -------------------------------------------------------------------------------------------------

    def _policy(self, verb: str, arguments: Arguments, mark: Mark) -> None:
        policy = self._store.named(verb, "policy", self._draft.policies, arguments, mark, _new_policy)
        if policy is None:
            return
        key = policy.name.lower()
        for tag, word in arguments:
            if tag == "assign":
                assigned = self._values.yes(word, self._draft.assigned == key)
                self._draft.assigned = key if assigned else "" if self._draft.assigned == key else self._draft.assigned
            else:
                self._policy_tag(policy, tag, word)

    def _policy_tag(self, policy: Policy, tag: str, word: Word) -> None:
        match tag:
            case "description":
                policy.description = word.text
            case "mmpfs":
                policy.master_key_pfs = self._values.yes(word, policy.master_key_pfs)
            case "qmpermm":
                policy.sessions = self._values.number(word, _MOST)
            case "mmlifetime":
                policy.lifetime = 60 * self._values.number(word, _MOST_MINUTES)
            case "mmsecmethods":
                policy.offers = self._values.each(word, partial(suites.main, forms=suites.NETSH))
            case "activatedefaultrule":
                response = policy.response or Response(word.mark)
                response.active = self._values.yes(word, response.active)
            case "pollinginterval":
                self._report.remark(word.mark, "ipsecd reads a policy when it is told to: ipsecctl reload")
            case "gponame":
                self._report.remark(word.mark, "there are no group policies here")

    def _default_rule(self, arguments: Arguments, mark: Mark) -> None:
        policy = self._store.found("policy", self._draft.policies, given(arguments, "policy"), mark)
        if policy is None:
            return
        response = policy.response = policy.response or Response(mark)
        response.proofs = self._proofs(arguments) or response.proofs
        for tag, word in arguments:
            if tag == "activate":
                response.active = self._values.yes(word, response.active)
            elif tag == "qmsecmethods":
                response.offers = self._values.each(word, partial(suites.quick, forms=suites.NETSH))
            elif tag == "qmpfs" and self._values.yes(word, before=False):
                self._report.remark(word.mark, "the default response has no setting for perfect forward secrecy here")

    # --- filters --------------------------------------------------------------------------------------------------

    def _list(self, verb: str, arguments: Arguments, mark: Mark) -> None:
        found = self._store.named(verb, "filterlist", self._draft.lists, arguments, mark, TrafficList)
        if found is not None and (word := given(arguments, "description")) is not None:
            found.description = word.text

    def _filter(self, verb: str, arguments: Arguments, mark: Mark) -> None:
        """A list that isn't there is made, as netsh does."""
        name = given(arguments, "filterlist")
        if name is None or not name.text:
            self._report.mistake(mark, "filterlist is missing", "filterlist=NAME")
            return
        filters = self._draft.lists.setdefault(name.text.lower(), TrafficList(name.text, name.mark)).filters
        each = self._report.tried(lambda: _traffic(arguments, mark), mark)
        if each is None:
            return
        if (word := given(arguments, "mirrored")) is not None and not self._values.yes(word, before=True):
            each = replace(each, mirrored=False)
        if verb == "add":
            filters.append(each)
        elif each in filters:
            filters.remove(each)

    # --- filter actions -------------------------------------------------------------------------------------------

    def _action(self, verb: str, arguments: Arguments, mark: Mark) -> None:
        action = self._store.named(verb, "filteraction", self._draft.actions, arguments, mark, Action)
        if action is not None:
            for tag, word in arguments:
                self._action_tag(action, tag, word)

    def _action_tag(self, action: Action, tag: str, word: Word) -> None:
        match tag:
            case "description":
                action.description = word.text
            case "qmpfs":
                action.pfs = self._values.yes(word, bool(action.pfs))
            case "inpass":
                action.inbound_passthrough = self._values.yes(word, action.inbound_passthrough)
            case "soft":
                action.soft = self._values.yes(word, action.soft)
            case "qmsecmethods":
                action.offers = self._values.each(word, partial(suites.quick, forms=suites.NETSH))
            case "action":
                action.kind = self._values.one_of(word, _KINDS, action.kind)

    # --- rules ----------------------------------------------------------------------------------------------------

    def _rule(self, verb: str, arguments: Arguments, mark: Mark) -> None:
        policy = self._store.found("policy", self._draft.policies, given(arguments, "policy"), mark)
        if policy is None:
            return
        rule = self._rule_of(policy, verb, arguments, mark)
        if rule is None:
            return
        rule.proofs = self._proofs(arguments) or rule.proofs
        for tag, word in arguments:
            self._rule_tag(rule, tag, word)
        if verb == "add":
            policy.rules.append(rule)
            for tag in ("filterlist", "filteraction"):
                if given(arguments, tag) is None:
                    self._report.mistake(mark, f"this rule has no {tag}", f"{tag}=NAME")

    def _rule_of(self, policy: Policy, verb: str, arguments: Arguments, mark: Mark) -> Rule | None:
        """The rule that a command makes or changes; None if it has deleted it, or there is none."""
        word = given(arguments, "name")
        if verb == "delete" and given(arguments, "all") is not None:
            policy.rules.clear()
            return None
        if word is None:
            self._report.mistake(mark, "name is missing", "name=RULE; a rule can't be found by its id here")
            return None
        rules = {rule.name.lower(): rule for rule in policy.rules}
        if verb == "add":
            if word.text.lower() in rules:
                self._report.mistake(word.mark, "this policy has a rule of that name already")
            return Rule(word.text, word.mark, "")
        rule = self._store.found("rule", rules, word, mark)
        if verb == "delete" and rule is not None:
            policy.rules.remove(rule)
            return None
        return rule

    def _rule_tag(self, rule: Rule, tag: str, word: Word) -> None:
        match tag:
            case "newname":
                rule.name = word.text
            case "description":
                rule.description = word.text
            case "filterlist":
                rule.traffic_list = self._list_name(word)
            case "filteraction":
                rule.action = self._action_name(word)
            case "tunnel":
                rule.tunnel = self._report.tried(lambda: places.endpoint(word.text), word.mark) or ""
            case "conntype":
                rule.connections = self._values.one_of(word, _CONNECTIONS, rule.connections)
            case "activate":
                rule.active = self._values.yes(word, rule.active)

    def _list_name(self, word: Word) -> str:
        key = word.text.lower()
        if key not in self._draft.lists and (known := predefined_list(word.text, word.mark)) is not None:
            self._draft.lists[key] = known
        return word.text if self._store.found("filterlist", self._draft.lists, word, word.mark) else ""

    def _action_name(self, word: Word) -> str:
        key = word.text.lower()
        if key not in self._draft.actions and (known := predefined_action(word.text, word.mark)) is not None:
            self._draft.actions[key] = known
            if key == REQUIRE.lower():
                told = f"Windows' {REQUIRE} lets clear packets in and answers with protected ones; here none come in"
                self._report.remark(word.mark, told)
        return word.text if self._store.found("filteraction", self._draft.actions, word, word.mark) else ""

    def _proofs(self, arguments: Arguments) -> list[Proof]:
        """The authentication methods, in their order."""
        found: list[Proof] = []
        for tag, word in arguments:
            if tag == "kerberos" and self._values.yes(word, before=False):
                found.append(Proof("kerberos", word.mark))
            elif tag == "psk":
                found.append(Proof("psk", word.mark, secret=word.text))
            elif tag == "rootca":
                found.append(Proof("certificate", word.mark, authority=_CERTIFICATE_FLAGS.sub("", word.text)))
        return found


def _new_policy(name: str, mark: Mark) -> Policy:
    """Its default response rule is active until a command says otherwise."""
    return Policy(name, mark, response=Response(mark))


def _traffic(arguments: Arguments, mark: Mark) -> Traffic:
    """The filter that these tags describe; raises Complaint."""
    words = {tag: word.text for tag, word in arguments}
    for tag in ("srcaddr", "dstaddr"):
        if tag not in words:
            raise complaint(f"{tag} is missing", f"{tag}=me, any, an address or a DNS name")
    return Traffic(
        places.address(words["srcaddr"], words.get("srcmask", "")),
        places.address(words["dstaddr"], words.get("dstmask", "")),
        mark,
        places.protocol(words.get("protocol", "")),
        places.port(words.get("srcport", "")),
        places.port(words.get("dstport", "")),
        description=words.get("description", ""),
    )
